"""The pages that the code writes are what the code says now."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from bisyncer.core.decide import TABLES, verdicts
from bisyncer.endpoints.base import Capabilities
from bisyncer.model import Agreement, Delta, Verdict
from docs import generate
from tests.docs.pages import ROOT


@pytest.mark.parametrize("place", generate.PAGES)
def test_a_page_that_the_code_writes_is_current(place: str) -> None:
    written = (ROOT / "docs" / place).read_text(encoding="utf-8")
    assert written == generate.PAGES[place](), "say `make docs`"


def test_the_table_has_every_delta_verdict_and_agreement() -> None:
    page = generate.decision_table()
    assert set(generate.DELTAS) == set(Delta)
    assert set(generate.AGREEMENTS) == set(Agreement)
    for mode in TABLES:
        assert f"## {mode}\n" in page
    assert {verdict for mode in TABLES for verdict in verdicts(mode)} == set(Verdict)


def test_the_page_of_the_stores_has_every_promise() -> None:
    assert list(generate.PROMISES) == [field.name for field in fields(Capabilities)]


def test_the_words_of_make_docs_write_the_pages(tmp_path: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "$(BIN)/python docs/generate.py" in makefile
    for place in generate.PAGES:
        (tmp_path / place).parent.mkdir(exist_ok=True)
    script = tmp_path / "generate.py"
    script.write_text((ROOT / "docs/generate.py").read_text(encoding="utf-8"), encoding="utf-8")
    subprocess.run([sys.executable, script], check=True, timeout=60, env={"PYTHONPATH": str(ROOT)})
    for place, page in generate.PAGES.items():
        assert (tmp_path / place).read_text(encoding="utf-8") == page()
