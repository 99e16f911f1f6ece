from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bisyncer.config import setting
from bisyncer.config.page import page

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/reference/config.md"


def test_the_page_is_what_the_table_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "say `make docs`"


def test_every_setting_with_its_variable_and_flag_is_on_the_page() -> None:
    text = page()
    for each in (setting.STATE, *setting.PAIR):
        assert f"`{each.name}`" in text and each.variable in text and each.flag in text
    for each in setting.REMOTE:
        assert f"`{each.name}`" in text


def test_the_page_is_written_by_a_command(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "bisyncer.config.page", tmp_path / "page.md"], check=True, cwd=ROOT, timeout=60
    )
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == page()
