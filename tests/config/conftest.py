from __future__ import annotations

from pathlib import Path

import pytest

from tests.desk import clear_environment


@pytest.fixture(autouse=True)
def _nobody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home of its own, an empty folder, and no setting in the environment."""
    clear_environment(tmp_path / "home", monkeypatch)
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
