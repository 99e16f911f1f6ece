"""Who wins a conflict, and what the other version is called."""

from __future__ import annotations

from itertools import islice

import pytest

from bisyncer.core.conflict import names, winner
from bisyncer.model import Resolve, Side
from tests.making import entry

ONE = entry(size=10, mtime_ns=200)
TWO = entry(size=20, mtime_ns=100)


@pytest.mark.parametrize(
    ("resolve", "side"),
    [
        (Resolve.NEWER, Side.PATH1),
        (Resolve.OLDER, Side.PATH2),
        (Resolve.LARGER, Side.PATH2),
        (Resolve.SMALLER, Side.PATH1),
        (Resolve.PATH1, Side.PATH1),
        (Resolve.PATH2, Side.PATH2),
    ],
)
def test_the_rule_picks_the_side_that_it_names(resolve: Resolve, side: Side) -> None:
    assert winner(ONE, TWO, resolve) is side


@pytest.mark.parametrize("resolve", [Resolve.NEWER, Resolve.OLDER, Resolve.LARGER, Resolve.SMALLER])
def test_path1_keeps_the_name_where_the_rule_cannot_tell(resolve: Resolve) -> None:
    assert winner(ONE, ONE, resolve) is Side.PATH1


@pytest.mark.parametrize("resolve", [Resolve.NEWER, Resolve.OLDER])
def test_a_time_that_is_not_known_never_wins_by_being_made_up(resolve: Resolve) -> None:
    assert winner(ONE._replace(mtime_ns=None), TWO, resolve) is Side.PATH1
    assert winner(ONE, TWO._replace(mtime_ns=None), resolve) is Side.PATH1


def test_candidates_count_up_beside_the_key() -> None:
    found = list(islice(names("a/b.txt", "conflict"), 3))

    assert found == ["a/b.txt.conflict1", "a/b.txt.conflict2", "a/b.txt.conflict3"]


def test_a_candidate_is_no_longer_than_the_store_can_hold() -> None:
    key = "/".join(["d" * 200] * 5) + "/" + "x" * 17

    (candidate,) = islice(names(key, "conflict", 1024), 1)

    assert len(candidate.encode()) <= 1024
    assert candidate.endswith(".conflict1")


@pytest.mark.parametrize("name", ["x" * 255, "é" * 127, "😀" * 63])
def test_a_candidate_fits_a_file_name_and_stays_valid_text(name: str) -> None:
    for candidate in islice(names(f"d/{name}", "conflict"), 12):
        last = candidate.removeprefix("d/")

        assert len(last.encode()) <= 255
        assert last.startswith(name[:50])
        assert ".conflict" in last
