"""A resync in which one side's version replaces the other's."""

from __future__ import annotations

import pytest

from bisyncer.job import Loser, Policy, Resolve, Retention
from bisyncer.model import Side
from tests.world import ONE, TWO, World, carried_out

ONES = {"same": "the same", "only one": "1", "both": "longer, of one"}
TWOS = {"same": "the same", "only two": "2", "both": "of the two"}
UNION = {**ONES, **TWOS}


@pytest.fixture
def met(world: World) -> World:
    """Two sides that hold one key differently; path2's version is the newer."""
    world.put(ONE, ONES)
    world.put(TWO, TWOS)
    world.init()
    return world


@pytest.mark.parametrize(
    ("mode", "wins"),
    [
        (Resolve.NEWER, TWO),
        (Resolve.OLDER, ONE),
        (Resolve.LARGER, ONE),
        (Resolve.SMALLER, TWO),
        (Resolve.PATH1, ONE),
        (Resolve.PATH2, TWO),
    ],
)
def test_the_version_that_the_mode_names_replaces_the_other_which_is_in_the_trash(
    met: World, mode: Resolve, wins: Side
) -> None:
    held = {ONE: ONES["both"], TWO: TWOS["both"]}

    summary = met.run(resync=True, policy=Policy(resync_mode=mode))

    assert met.held(ONE) == met.held(TWO) == UNION | {"both": held[wins]}
    assert list(met.trash(wins.other).values()) == [held[wins.other]]
    assert met.trash(wins) == {}
    assert carried_out(summary) == {"copy-to-path1": 1, "copy-to-path2": 1, "record": 1, "conflict": 1}
    assert met.conflicts() == []
    assert met.plan() == []


def test_none_goes_by_the_rules_for_conflicts(met: World) -> None:
    met.run(resync=True, policy=Policy(conflict_resolve=Resolve.PATH1, resync_mode=Resolve.NONE))

    both = {"both": ONES["both"], "both.conflict1": TWOS["both"]}
    assert met.held(ONE) == met.held(TWO) == UNION | both
    assert [conflict.key for conflict in met.conflicts()] == ["both"]


def test_where_the_mode_cannot_tell_both_versions_are_kept(met: World) -> None:
    met.put(ONE, {"both": "as long 1"})
    met.put(TWO, {"both": "as long 2"})

    met.run(resync=True, policy=Policy(resync_mode=Resolve.LARGER))

    both = {"both": "as long 1", "both.conflict1": "as long 2"}
    assert met.held(ONE) == met.held(TWO) == UNION | both


def test_where_there_is_no_trash_the_other_version_is_kept_beside_under_the_name_of_its_side(
    met: World,
) -> None:
    policy = Policy(
        conflict_loser=Loser.PATHNAME, conflict_suffix=("path", "path"), resync_mode=Resolve.PATH1
    )

    met.run(resync=True, policy=policy, trash=Retention(path1=False, path2=False))

    both = {"both": ONES["both"], "both.path2": TWOS["both"]}
    assert met.held(ONE) == met.held(TWO) == UNION | both


def test_a_run_that_is_no_resync_knows_no_resync_mode(met: World) -> None:
    policy = Policy(resync_mode=Resolve.PATH1)
    met.run(resync=True, policy=policy)
    met.put(ONE, {"both": "edited in one"})
    met.put(TWO, {"both": "then in two"})

    met.run(policy=policy)

    assert met.held(ONE)["both"] == met.held(TWO)["both"] == "then in two"
    assert met.held(ONE)["both.conflict1"] == met.held(TWO)["both.conflict1"] == "edited in one"


def test_a_later_resync_brings_back_what_one_side_deleted_and_deletes_nothing(met: World) -> None:
    policy = Policy(resync_mode=Resolve.NEWER)
    met.run(resync=True, policy=policy)
    met.remove(ONE, "same")
    met.put(TWO, {"both": "edited since"})

    met.run(resync=True, policy=policy)

    assert met.held(ONE) == met.held(TWO) == UNION | {"both": "edited since"}
