"""Which keys are in."""

from __future__ import annotations

import pytest

from bisyncer.core.filters import Filters


@pytest.mark.parametrize(
    ("pattern", "out", "kept"),
    [
        ("*.tmp", ["a.tmp", "d/e/a.tmp"], ["a.tmp2", "tmp"]),
        (".git/**", [".git/config", ".git/a/b"], [".gitignore", "x"]),
        (".~lock*", [".~lock.a.odt#", "d/.~lock.b#"], ["lock"]),
        ("/top.txt", ["top.txt"], ["d/top.txt"]),
        ("cache/", ["cache/x", "d/cache/y"], ["cache"]),
        ("**/logs/*.log", ["logs/a.log", "d/logs/b.log"], ["logs/d/c.log"]),
    ],
)
def test_a_pattern_means_what_gitignore_says(pattern: str, out: list[str], kept: list[str]) -> None:
    filters = Filters([pattern])

    assert [key for key in out + kept if filters.excluded(key)] == out


def test_a_later_pattern_with_a_bang_brings_a_key_back() -> None:
    filters = Filters(["*.log", "!keep.log"])

    assert filters.excluded("a.log")
    assert not filters.excluded("keep.log")


def test_a_place_is_hidden_only_where_no_pattern_brings_back_what_lies_below() -> None:
    assert Filters(["d/"]).hidden("d/")
    assert not Filters(["*", "!*.txt"]).hidden("d/")
    assert not Filters(["e/"]).hidden("d/")


def test_nothing_is_excluded_without_a_pattern() -> None:
    assert not Filters().excluded("anything")


def test_what_is_no_pattern_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'!'"):
        Filters(["*.tmp", "!"])
