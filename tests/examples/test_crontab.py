"""The lines of the example crontab are run."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from tests.desk import Desk, clear_environment

CRONTAB = Path(__file__).resolve().parents[2] / "examples/crontab"
FIELDS = 6  # minute, hour, day, month, weekday, user


def test_every_line_of_the_crontab_is_a_command_that_is_silent_when_all_is_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    clear_environment(tmp_path / "home", monkeypatch)
    monkeypatch.chdir(tmp_path)
    desk = Desk(tmp_path, capfd)
    desk.align({"cms": 'stale_after = "5m"', "media": ""})
    lines = [line for line in CRONTAB.read_text().splitlines() if line and not line.startswith("#")]

    for line in lines:
        program, *arguments = shlex.split(line.split(maxsplit=FIELDS)[FIELDS])
        assert program == "bisyncer"
        assert desk(*arguments) == (0, "", "")
    assert len(lines) == 2
