"""Conflicts whose loser is named after its side, or is replaced by the winner."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import product

import pytest

from bisyncer.engine.suffix import dated
from bisyncer.errors import Rejected, Transient, Unfinished
from bisyncer.job import Loser, Policy, Resolve, Retention
from bisyncer.model import Conditions, Entry, Item, Side, Unreadable
from tests.world import ONE, TWO, World, carried_out

TEN = {f"k{number}": "x" * (number + 1) for number in range(10)}
DELETE = Policy(conflict_loser=Loser.DELETE)
BOTH = {"written in one", "then in two"}


def collide(world: World) -> None:
    world.align(TEN)
    world.put(ONE, {"k0": "written in one"})
    world.put(TWO, {"k0": "then in two"})


def test_none_keeps_both_and_path1_stays_at_the_name(world: World) -> None:
    collide(world)

    world.run(policy=Policy(conflict_resolve=Resolve.NONE, conflict_loser=Loser.DELETE))

    expected = TEN | {"k0": "written in one", "k0.conflict1": "then in two"}
    assert world.held(ONE) == world.held(TWO) == expected
    assert [conflict.key for conflict in world.conflicts()] == ["k0"]
    assert world.plan() == []


@pytest.mark.parametrize(("resolve", "name"), [(Resolve.PATH2, "k0.path1"), (Resolve.PATH1, "k0.path2")])
def test_a_name_may_say_which_side_the_other_version_is_from(
    world: World, resolve: Resolve, name: str
) -> None:
    collide(world)
    policy = Policy(conflict_resolve=resolve, conflict_loser=Loser.PATHNAME, conflict_suffix=("path", "path"))

    world.run(policy=policy)

    assert world.held(ONE) == world.held(TWO)
    assert set(world.held(ONE)) - set(TEN) == {name}


def test_a_name_of_a_side_that_is_taken_gets_a_number(world: World) -> None:
    collide(world)
    world.put(TWO, {"k0.here": "somebody's own"})
    policy = Policy(conflict_loser=Loser.PATHNAME, conflict_suffix=("here", "there"))

    world.run(policy=policy)

    assert world.held(ONE)["k0.here"] == world.held(TWO)["k0.here"] == "somebody's own"
    assert world.held(ONE)["k0.here-2"] == world.held(TWO)["k0.here-2"] == "written in one"


def test_dates_in_a_suffix_are_those_of_the_instant_when_the_run_began() -> None:
    policy = Policy(conflict_suffix=("{DateOnly}-x", "{MacFriendlyTime} {MacFriendlyTime24}"))
    began = datetime(2026, 3, 4, 17, 6, 59, tzinfo=UTC)

    assert dated(policy, int(began.timestamp()) * 10**9).conflict_suffix == (
        "2026-03-04-x",
        "2026-03-04 0506PM 2026-03-04 1706",
    )


def test_the_date_of_the_run_stands_in_the_name(world: World) -> None:
    collide(world)

    world.run(policy=Policy(conflict_suffix=("{DateOnly}-", "{DateOnly}-")))

    [name] = set(world.held(ONE)) - set(TEN)
    assert re.fullmatch(r"k0\.[0-9]{4}-[0-9]{2}-[0-9]{2}-1", name)


def test_a_loser_that_is_to_be_deleted_is_in_the_trash_of_its_side(world: World) -> None:
    collide(world)

    summary = world.run(policy=DELETE)

    assert world.held(ONE) == world.held(TWO) == TEN | {"k0": "then in two"}
    assert list(world.trash(ONE).values()) == ["written in one"]
    assert world.trash(TWO) == {}
    assert carried_out(summary) == {"conflict": 1}
    assert summary.conflicts == ()
    assert world.conflicts() == []
    [conflict] = world.state.conflicts.told("p", state=None)
    assert (conflict.state, conflict.winner, conflict.run) == ("replaced", TWO, summary.run)
    assert [conflict.kept_as] == list(world.trash(ONE))
    assert (conflict.met(ONE).size, conflict.met(TWO).size) == (14, 11)
    assert world.plan(policy=DELETE) == []


def test_a_loser_that_no_trash_would_keep_is_kept_beside_the_winner(world: World) -> None:
    collide(world)

    world.run(policy=DELETE, trash=Retention(path1=False, path2=False))

    assert world.held(ONE) == world.held(TWO)
    assert set(world.held(ONE).values()) >= BOTH
    assert [conflict.key for conflict in world.conflicts()] == ["k0"]


def test_a_loser_whose_bucket_keeps_versions_needs_no_trash(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    collide(world)
    probe = world.endpoints[ONE].probe()
    versioned = replace(probe, versioned=True, conditions=Conditions(versions=True))
    monkeypatch.setattr(world.hooked[ONE], "probe", lambda *, scratch=False: versioned)

    world.run(policy=DELETE)

    assert world.held(ONE) == world.held(TWO) == TEN | {"k0": "then in two"}
    assert world.trash(ONE) == {}
    [conflict] = world.state.conflicts.told("p", state=None)
    assert (conflict.state, conflict.kept_as) == ("replaced", None)


def test_versions_between_which_the_rule_cannot_choose_are_both_kept(world: World) -> None:
    collide(world)
    world.put(ONE, {"k0": "as long one"})
    world.put(TWO, {"k0": "as long two"})

    world.run(policy=replace(DELETE, conflict_resolve=Resolve.LARGER))

    assert world.held(ONE)["k0"] == world.held(TWO)["k0"] == "as long one"
    assert world.held(ONE)["k0.conflict1"] == world.held(TWO)["k0.conflict1"] == "as long two"


@pytest.mark.parametrize("side", Side)
def test_a_writer_while_a_loser_is_replaced_keeps_its_version(world: World, side: Side) -> None:
    collide(world)
    once = iter([True])

    def interfere(method: str, key: str) -> None:
        if (method, key) == ("write", "k0") and next(once, False):
            world.put(side, {"k0": "a third one"})

    world.hooked[ONE].before = interfere
    for _ in range(3):
        world.run(policy=DELETE)

    everything = {*world.held(ONE).values(), *world.trash(ONE).values(), *world.trash(TWO).values()}
    assert world.held(ONE) == world.held(TWO)
    assert "a third one" in everything
    assert world.plan(policy=DELETE) == []


class Crash(BaseException):
    """The process is gone."""


@pytest.mark.parametrize(("when", "method"), list(product(("before", "after"), ("keep", "write"))))
def test_a_crash_while_a_loser_is_replaced_leaves_it_in_the_trash_or_in_its_place(
    world: World, when: str, method: str
) -> None:
    collide(world)

    def crash(name: str, _key: str) -> None:
        if name == method:
            raise Crash

    setattr(world.hooked[ONE], when, crash)
    with pytest.raises(Crash):
        world.run(policy=DELETE)
    world.reopen_state()
    setattr(world.hooked[ONE], when, lambda _method, _key: None)
    assert "written in one" in {*world.held(ONE).values(), *world.trash(ONE).values()}

    world.run(policy=DELETE)

    assert world.held(ONE) == world.held(TWO) == TEN | {"k0": "then in two"}
    assert set(world.trash(ONE).values()) == {"written in one"}
    assert world.plan(policy=DELETE) == []


def test_a_loser_that_cannot_be_kept_is_not_replaced(world: World) -> None:
    collide(world)

    def fail(method: str, _key: str) -> None:
        if method == "keep":
            raise Transient("the trash is not there for a while")

    world.hooked[ONE].before = fail
    summary = world.run(policy=DELETE)

    assert [problem.key for problem in summary.problems] == ["k0"]
    assert (world.held(ONE)["k0"], world.held(TWO)["k0"]) == ("written in one", "then in two")


def test_a_name_below_which_a_bucket_has_keys_is_passed_over_where_the_other_side_is_a_tree(
    world: World,
) -> None:
    collide(world)
    world.hooked[ONE].tree = True
    world.put(TWO, {"k0.conflict1/inside": "new"})

    world.run()

    assert world.held(ONE)["k0.conflict2"] == world.held(TWO)["k0.conflict2"] == "written in one"
    assert "k0.conflict1" not in world.held(ONE)


def test_a_store_that_refuses_every_name_is_a_problem_and_ends_the_search(world: World) -> None:
    collide(world)

    def refuse(method: str, key: str) -> None:
        if method == "stat" and ".conflict" in key:
            raise Rejected("no name is good enough")

    world.hooked[ONE].before = refuse
    summary = world.run()

    assert [problem.sentence for problem in summary.problems] == ["no name is good enough"]
    assert (world.held(ONE)["k0"], world.held(TWO)["k0"]) == ("written in one", "then in two")


@pytest.mark.parametrize("loser", Loser)
def test_conflicts_again_and_again_come_to_rest_each_time(world: World, loser: Loser) -> None:
    world.align(TEN)
    policy = Policy(conflict_loser=loser)
    for number in range(4):
        world.put(ONE, {"k0": f"one {number}"})
        world.put(TWO, {"k0": f"two {number}{number}"})
        world.run(policy=policy)
        assert world.plan(policy=policy) == []

    everything = {*world.held(ONE).values(), *world.trash(ONE).values(), *world.trash(TWO).values()}
    assert world.held(ONE) == world.held(TWO)
    assert {f"one {number}" for number in range(4)} <= everything
    assert len(world.held(ONE)) == len(TEN) + (0 if loser is Loser.DELETE else 4)


@pytest.mark.parametrize("side", Side)
def test_a_version_beside_that_is_named_after_its_side_lasts_while_it_is_resolved(
    world: World, side: Side
) -> None:
    collide(world)
    world.run(policy=Policy(conflict_loser=Loser.PATHNAME))
    (conflict,) = world.conflicts()
    assert conflict.beside == "k0.conflict1"

    def interfere(method: str, key: str) -> None:
        if method == "move" and key == conflict.beside:
            world.hooked[side].before = lambda _method, _key: None
            world.put(side, {key: "edited meanwhile"})

    world.hooked[side].before = interfere
    with pytest.raises(Unfinished):
        world.resolve(conflict.id, "path2")
    world.run()
    world.run()

    assert "edited meanwhile" in world.held(ONE).values()
    assert world.held(ONE) == world.held(TWO)


@pytest.mark.parametrize("how", ["unreadable", "excluded", "failing"])
def test_a_resync_that_did_not_see_the_other_version_leaves_its_conflict_open(
    world: World, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    collide(world)
    world.run()
    (conflict,) = world.conflicts()
    listed = world.hooked[TWO].scan

    def scan(low: str = "", high: str | None = None) -> Iterator[Item]:
        for item in listed(low, high):
            yield Unreadable(item[0], "permission denied.") if item[0] == conflict.beside else item

    def stat(key: str) -> Entry | None:
        if key == conflict.beside:
            raise Rejected("permission denied.")
        return looked(key)

    looked = world.hooked[TWO].stat
    if how == "unreadable":
        monkeypatch.setattr(world.hooked[TWO], "scan", scan)
        monkeypatch.setattr(world.hooked[TWO], "stat", stat)
    elif how == "failing":
        world.remove(TWO, conflict.beside)

        def refuse(method: str, key: str) -> None:
            if method == "write" and key == conflict.beside:
                raise Rejected("no space is left.")

        world.hooked[TWO].before = refuse
    world.run(resync=True, exclude=("*.conflict1",) if how == "excluded" else ())

    assert [each.id for each in world.conflicts()] == [conflict.id]
    monkeypatch.undo()
    world.hooked[TWO].before = lambda _method, _key: None
    world.run()
    assert [each.id for each in world.conflicts()] == [conflict.id]


def test_a_run_after_an_alignment_that_was_cut_short_settles_the_conflicts_whose_copies_are_gone(
    world: World,
) -> None:
    collide(world)
    world.run()
    (conflict,) = world.conflicts()
    for side in Side:
        world.remove(side, conflict.beside)
    world.put(ONE, {"new": "1"})
    world.hooked[TWO].before = lambda method, _key: world.stop.set() if method == "write" else None
    world.run(resync=True)
    world.stop.clear()
    world.hooked[TWO].before = lambda _method, _key: None
    assert len(world.conflicts()) == 1

    world.run()

    assert world.conflicts() == []
