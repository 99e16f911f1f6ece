"""The real rclone, which writes the files that are read here."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.endpoints.test_oci_server import rclone_program


def run(*words: str, env: Mapping[str, str] | None = None) -> str:
    """Run rclone with whatever file it finds."""
    done = subprocess.run(
        [rclone_program(), "--retries", "1", *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **(env or {})},
    )
    assert done.returncode == 0, f"rclone {words} ended with {done.returncode}:\n{done.stderr}"
    return done.stdout


class Rclone:
    """rclone with a config file of its own."""

    def __init__(self, config: Path) -> None:
        self.config = config

    def __call__(self, *words: str, env: Mapping[str, str] | None = None) -> str:
        """Run rclone to its end; it must succeed."""
        return run("--config", str(self.config), *words, env=env)

    def create(self, name: str, kind: str, **options: str) -> None:
        """Let rclone write a remote into its file.

        Options that begin with `config_` aren't kept by this command of rclone's: a person writes them.
        """
        by_hand = {key: value for key, value in options.items() if key.startswith("config_")}
        words = [f"{key}={value}" for key, value in options.items() if key not in by_hand]
        self("config", "create", "--non-interactive", name, kind, *words)
        self.add("".join(f"{key} = {value}\n" for key, value in by_hand.items()))  # the section is the last

    def add(self, text: str) -> None:
        """Write into the file as a person does."""
        with self.config.open("a", encoding="utf-8") as file:
            file.write(text)
