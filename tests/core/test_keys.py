"""What a kind of store can name."""

from __future__ import annotations

import pytest

from bisyncer.core.keys import folder_marker, tree_refusal


@pytest.mark.parametrize(
    "key", ["a", "a/b", "a b", "é", "😀", "...", ".a", "a\nb", "%41", "+", "x" * 255, "é" * 127]
)
def test_a_tree_holds_any_other_name(key: str) -> None:
    assert tree_refusal(key) is None


@pytest.mark.parametrize(
    "key", ["", "/", "/a", "a/", "a//b", ".", "..", "a/..", "../a", "a/./b", "a\x00b", "x" * 256, "é" * 128]
)
def test_a_tree_holds_no_empty_dotted_or_overlong_segment(key: str) -> None:
    assert tree_refusal(key) is not None


def test_only_an_empty_object_with_a_final_slash_is_a_folder_marker() -> None:
    assert folder_marker("a/", 0)
    assert not folder_marker("a/", 1)
    assert not folder_marker("a", 0)
