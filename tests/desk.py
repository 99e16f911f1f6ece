"""A user at a desk of their own: two trees, a config, a state, and the real `bisyncer` command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bisyncer.cli.app import main
from bisyncer.core.reserved import is_reserved
from bisyncer.state.store import Store
from tests.world import new_state

ROOT = Path(__file__).resolve().parents[1]


class Answer(NamedTuple):
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Desk:
    """Commands run in this process, in a folder with the trees `one` and `two`."""

    def __init__(self, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.one, self.two = folder / "one", folder / "two"
        self.config = folder / "bisyncer.toml"
        self.state = folder / "state.db"
        self._capfd = capfd
        for tree in (self.one, self.two):
            tree.mkdir()

    def __call__(self, *arguments: object) -> Answer:
        """Run `bisyncer` with these arguments."""
        self._capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        said = self._capfd.readouterr()
        assert isinstance(ended.value.code, int)
        assert "Traceback" not in said.err
        return Answer(ended.value.code, said.out, said.err)

    def process(self, *arguments: object, **options: Any) -> subprocess.Popen[str]:
        """Start `bisyncer` in a process of its own."""
        program = options.pop("program", ["-m", "bisyncer"])
        return subprocess.Popen(
            [sys.executable, *program, *map(str, arguments)],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **options.pop("env", {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def configure(self, pairs: Mapping[str, str] | None = None) -> None:
        """Write the config: pairs by name, each with more keys; by default one pair, `cms`."""
        text = f'state = "sqlite:///{self.state}"\n'
        for number, (name, more) in enumerate((pairs or {"cms": ""}).items()):
            roots = (self.one, self.two) if number == 0 else (self.tree(f"{name}1"), self.tree(f"{name}2"))
            text += f'[pairs.{name}]\npath1 = "{roots[0]}"\npath2 = "{roots[1]}"\n{more}\n'
        self.config.write_text(text)

    def tree(self, name: str) -> Path:
        """One more tree."""
        path = self.folder / name
        path.mkdir(exist_ok=True)
        return path

    def align(self, pairs: Mapping[str, str] | None = None, *, files: int = 0) -> None:
        """Write the config and make the first alignment, of so many files on both sides."""
        self.configure(pairs)
        if not self.state.exists():
            new_state(self.folder)
        for number in range(files):
            put(self.one, {f"f{number:03}": f"text {number}"})
        for name in pairs or {"cms": ""}:
            answer = self("init", name, "--resync", "--quiet")
            assert answer == (0, "", ""), answer

    def clash(self, key: str = "x.txt") -> None:
        """Make a conflict that waits: path2's version is the newer."""
        put(self.one, {key: "of one"})
        put(self.two, {key: "of the two"})
        os.utime(self.one / key, (1_000_000_000, 1_000_000_000))
        assert self("run", "--quiet").code == 0

    def store(self) -> Store:
        """The state, to look at behind the command's back."""
        return Store.open(f"sqlite:///{self.state}")


def put(tree: Path, files: Mapping[str, str]) -> None:
    """Write files into a tree."""
    for key, text in files.items():
        path = tree / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def held(tree: Path) -> dict[str, str]:
    """What a tree holds, but for what is bisyncer's own."""
    return {
        path.relative_to(tree).as_posix(): path.read_text()
        for path in sorted(tree.rglob("*"))
        if path.is_file() and not is_reserved(path.relative_to(tree).as_posix())
    }


def clear_environment(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home of its own, and no setting in the environment."""
    for name in list(os.environ):
        if name.startswith(("BISYNCER_", "AWS_", "RCLONE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(home / ".local/state"))
