"""A pair as an operator has it: a config file, real trees, a real S3 server, and the command."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bisyncer.cli.app import main
from bisyncer.core.reserved import is_reserved
from tests.servers import BUCKET, S3Server
from tests.world import new_state

PAIR = "p"

# The command, which gets SIGKILL in the moment when it says its line of that number. From outside the signal
# comes too late: the command says its lines 8 KiB at a time, and has nearly ended by the first.
KILLED = """
import io, os, signal, sys
from bisyncer.cli.app import main

class Said(io.FileIO):
    left = int(sys.argv.pop(1))

    def write(self, data):
        written = super().write(data)
        self.left -= bytes(data[:written]).count(b"\\n")
        if self.left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return written

sys.stdout = io.TextIOWrapper(Said(1, "w"), write_through=True)
main()
"""


@dataclass
class Operator:
    """Somebody with a pair, a terminal and a state of their own."""

    folder: Path
    tree: Path
    config: str
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tree.mkdir(exist_ok=True)
        path = self.folder / "bisyncer.toml"
        path.write_text(self.config)
        self.environment = {
            **os.environ,
            "BISYNCER_CONFIG": str(path),
            "BISYNCER_STATE": new_state(self.folder),
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "NO_COLOR": "1",
        }

    def start(self, *words: str, program: Sequence[str] = ("-m", "bisyncer")) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, *program, *words],
            env=self.environment,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def call(self, *words: str, code: int = 0) -> str:
        """Run a command to its end, in this process; it must end with `code`, and never with a traceback."""
        out, err = io.StringIO(), io.StringIO()
        with (
            pytest.MonkeyPatch.context() as here,
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            for name, value in self.environment.items():
                here.setenv(name, value)
            here.chdir(self.folder)
            with pytest.raises(SystemExit) as ended:
                main(list(words))
        said = f"{words} ended with {ended.value.code}:\n{out.getvalue()}\n{err.getvalue()}"
        assert ended.value.code == code, said
        assert "Traceback" not in err.getvalue()
        return out.getvalue()

    def report(self, *words: str, code: int = 0) -> dict[str, Any]:
        """The JSON report of a run."""
        found: dict[str, Any] = json.loads(self.call(*words, "--json", code=code))
        return found

    def kill(self, *words: str, after_lines: int) -> None:
        """Start a command that SIGKILL ends once it has said so many lines."""
        with self.start(str(after_lines), *words, program=("-c", KILLED)) as process:
            out, err = process.communicate(timeout=240)
        assert process.returncode == -signal.SIGKILL, (
            f"{words} ended with {process.returncode}:\n{out}\n{err}"
        )
        assert out.count("\n") == after_lines


def actions(report: dict[str, Any]) -> dict[str, int]:
    """The actions of a report that are not zero."""
    return {name: number for name, number in report["actions"].items() if number}


def contents(tree: Path) -> dict[str, str]:
    """Each regular file below a tree but for the trash, by name, with the hash of its bytes.

    What is left over shows too.
    """
    return {
        str(path.relative_to(tree)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(tree.rglob("*"))
        if path.is_file() and not path.is_symlink() and not is_reserved(path.relative_to(tree).as_posix())
    }


def bucket_contents(server: S3Server, prefix: str) -> dict[str, str]:
    """Each object below a prefix but for the trash, by key, with the hash of its bytes."""
    with server.client() as client:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{prefix}/")
        keys = [found["Key"] for page in pages for found in page.get("Contents", ())]
        return {
            key.removeprefix(f"{prefix}/"): hashlib.sha256(
                client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
            ).hexdigest()
            for key in keys
            if not is_reserved(key)
        }


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    """A place in the bucket for this test alone."""
    return hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:12]


@pytest.fixture
def operator(tmp_path: Path, seaweed: S3Server, prefix: str) -> Operator:
    """An operator whose pair is a tree and a bucket on SeaweedFS."""
    return operator_of(tmp_path, seaweed, prefix, "tree")


def operator_of(folder: Path, seaweed: S3Server, prefix: str, tree: str) -> Operator:
    folder.mkdir(exist_ok=True)
    key_env, secret_env = seaweed.variables
    config = f"""
[remotes.store]
type = "s3"
endpoint_url = "{seaweed.endpoint_url}"
region = "us-east-1"
access_key_id_env = "{key_env}"
secret_access_key_env = "{secret_env}"

[pairs.{PAIR}]
path1 = "{folder / tree}"
path2 = "store:{BUCKET}/{prefix}"
"""
    return Operator(folder, folder / tree, config)
