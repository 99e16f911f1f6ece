from __future__ import annotations

from pathlib import Path

import pytest

from tests.desk import Desk, clear_environment


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Desk:
    clear_environment(tmp_path / "home", monkeypatch)
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    return Desk(here, capfd)
