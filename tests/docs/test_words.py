"""The words of the project are explained."""

from __future__ import annotations

import re

import pytest

from bisyncer.cli.run import GATES as FORCED
from bisyncer.core.gates import GATES
from bisyncer.job import Resolve
from bisyncer.model import Agreement, Delta, RunOutcome, Side, Verdict
from tests.docs.pages import ROOT

GLOSSARY = (ROOT / "docs/glossary.md").read_text(encoding="utf-8")
GATE_NAMES = {gate.__name__.replace("_", "-") for gate in GATES} | {*FORCED, "listing-incomplete"}
WORDS = {
    *(word.value for kind in (Verdict, Delta, Agreement, RunOutcome, Resolve, Side) for word in kind),
    *GATE_NAMES,
}


@pytest.mark.parametrize("word", sorted(WORDS))
def test_the_glossary_has_the_word(word: str) -> None:
    assert re.search(rf"`{word}`", GLOSSARY)


@pytest.mark.parametrize("gate", sorted(GATE_NAMES))
def test_the_page_of_the_gates_has_each(gate: str) -> None:
    assert f"`{gate}`" in (ROOT / "docs/concepts/gates.md").read_text(encoding="utf-8")
