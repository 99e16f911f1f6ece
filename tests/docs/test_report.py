"""The page of the report is what a run prints."""

from __future__ import annotations

import json
import re

from bisyncer.report.jsonl import ACTIONS, as_json
from tests.docs.pages import ROOT, fences
from tests.report.samples import summary

PAGE = ROOT / "docs/reference/report.md"


def test_the_page_explains_every_key_in_its_order() -> None:
    explained = re.findall(r"^\| `(\w+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert explained[: len(as_json(summary()))] == list(as_json(summary()))


def test_the_example_has_the_keys_of_a_report() -> None:
    [example, *_] = [json.loads(block) for block in fences(PAGE, "json")]
    assert list(example) == list(as_json(summary()))
    assert list(example["actions"]) == list(ACTIONS)
    for key in ("scanned", "bytes", "requests"):
        assert list(example[key]) == list(as_json(summary())[key])  # type: ignore[call-overload] # a mapping


def test_every_action_is_explained() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for action in ACTIONS:
        assert f"`{action}`" in text
