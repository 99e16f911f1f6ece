"""Keys with a meaning of their own."""

from __future__ import annotations

from bisyncer.core.keys import folder_marker


def test_only_an_empty_object_with_a_final_slash_is_a_folder_marker() -> None:
    assert folder_marker("a/", 0)
    assert not folder_marker("a/", 1)
    assert not folder_marker("a", 0)
