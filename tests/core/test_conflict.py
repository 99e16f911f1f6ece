"""Who wins a conflict, and what the other version is called."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import pytest

from bisyncer.core.conflict import chosen, endings, names, replaces, winner
from bisyncer.job import Loser, Policy, Resolve
from bisyncer.model import Action, Agreement, Delta, Side, Verdict
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
    assert chosen(ONE, TWO, resolve) is winner(ONE, TWO, resolve) is side


@pytest.mark.parametrize("resolve", [Resolve.NEWER, Resolve.OLDER, Resolve.LARGER, Resolve.SMALLER])
def test_path1_keeps_the_name_where_the_rule_cannot_tell(resolve: Resolve) -> None:
    assert chosen(ONE, ONE, resolve) is None
    assert winner(ONE, ONE, resolve) is Side.PATH1


def test_none_chooses_nobody_and_path1_keeps_the_name() -> None:
    assert chosen(ONE, TWO, Resolve.NONE) is None
    assert winner(ONE, TWO, Resolve.NONE) is Side.PATH1


DELETE = Policy(conflict_loser=Loser.DELETE)


@pytest.mark.parametrize(
    ("policy", "wins", "replaced"),
    [
        (Policy(), Side.PATH1, False),
        (DELETE, Side.PATH1, True),
        (DELETE, Side.PATH2, False),  # planned under another rule
        (replace(DELETE, conflict_resolve=Resolve.NONE), Side.PATH1, False),
        (replace(DELETE, conflict_resolve=Resolve.PATH2), Side.PATH2, True),
        (Policy(resync_mode=Resolve.LARGER), Side.PATH2, True),
    ],
)
def test_the_loser_is_replaced_only_where_the_rule_itself_chose_the_winner(
    policy: Policy, wins: Side, replaced: bool
) -> None:
    action = Action("k", Verdict.CONFLICT, Delta.NEW, Delta.NEW, Agreement.DIFFERENT, ONE, TWO, winner=wins)

    assert replaces(action, policy, set(Side)) is replaced


def test_a_side_that_keeps_nothing_has_nothing_replaced() -> None:
    action = Action(
        "k", Verdict.CONFLICT, Delta.NEW, Delta.NEW, Agreement.DIFFERENT, ONE, TWO, winner=Side.PATH2
    )
    policy = replace(DELETE, conflict_resolve=Resolve.PATH2)

    assert replaces(action, policy, {Side.PATH1})
    assert not replaces(action, policy, {Side.PATH2})


def test_a_tie_replaces_nothing() -> None:
    action = Action(
        "k", Verdict.CONFLICT, Delta.NEW, Delta.NEW, Agreement.DIFFERENT, ONE, ONE, winner=Side.PATH1
    )

    assert not replaces(action, DELETE, set(Side))


@pytest.mark.parametrize("resolve", [Resolve.NEWER, Resolve.OLDER])
def test_a_time_that_is_not_known_never_wins_by_being_made_up(resolve: Resolve) -> None:
    assert winner(ONE._replace(mtime_ns=None), TWO, resolve) is Side.PATH1
    assert winner(ONE, TWO._replace(mtime_ns=None), resolve) is Side.PATH1


@pytest.mark.parametrize(
    ("loser", "suffix", "one", "two"),
    [
        (Loser.NUM, ("conflict", "conflict"), ["conflict1", "conflict2"], ["conflict1", "conflict2"]),
        (Loser.NUM, ("here", "there"), ["here1", "here2"], ["there1", "there2"]),
        (Loser.PATHNAME, ("path", "path"), ["path1", "path1-2"], ["path2", "path2-2"]),
        (Loser.PATHNAME, ("here", "there"), ["here", "here-2"], ["there", "there-2"]),
        (Loser.DELETE, ("conflict", "conflict"), ["conflict1", "conflict2"], ["conflict1", "conflict2"]),
    ],
)
def test_an_ending_says_the_number_or_the_side(
    loser: Loser, suffix: tuple[str, str], one: list[str], two: list[str]
) -> None:
    policy = Policy(conflict_loser=loser, conflict_suffix=suffix)

    assert list(islice(endings(Side.PATH1, policy), 2)) == one
    assert list(islice(endings(Side.PATH2, policy), 2)) == two


def test_candidates_count_up_beside_the_key() -> None:
    found = list(islice(names("a/b.txt", endings(Side.PATH1, Policy())), 3))

    assert found == ["a/b.txt.conflict1", "a/b.txt.conflict2", "a/b.txt.conflict3"]


def test_a_candidate_is_no_longer_than_the_store_can_hold() -> None:
    key = "/".join(["d" * 200] * 5) + "/" + "x" * 17

    (candidate,) = islice(names(key, endings(Side.PATH1, Policy()), 1024), 1)

    assert len(candidate.encode()) <= 1024
    assert candidate.endswith(".conflict1")


@pytest.mark.parametrize("name", ["x" * 255, "é" * 127, "😀" * 63])
def test_a_candidate_fits_a_file_name_and_stays_valid_text(name: str) -> None:
    for candidate in islice(names(f"d/{name}", endings(Side.PATH1, Policy())), 12):
        last = candidate.removeprefix("d/")

        assert len(last.encode()) <= 255
        assert last.startswith(name[:50])
        assert ".conflict" in last
