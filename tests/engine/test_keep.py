"""Conflicts: both versions are kept, on both sides, whatever happens on the way."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from queue import SimpleQueue
from typing import Any

import pytest

from bisyncer.engine import apply, session
from bisyncer.engine.worker import Ended
from bisyncer.errors import Rejected, Transient
from bisyncer.job import Policy, Resolve
from bisyncer.model import Algorithm, Outcome, RunOutcome, Side
from bisyncer.state.store import Store
from tests.world import ONE, TWO, World, carried_out

TEN = {f"k{number}": "x" * (number + 1) for number in range(10)}


class Crash(BaseException):
    """The process is gone."""


def collide(world: World, one: str = "written in one", two: str = "then in two") -> None:
    world.put(ONE, {"k0": one})
    world.put(TWO, {"k0": two})


def test_the_newer_keeps_the_name_and_the_other_is_beside_it_on_both_sides(world: World) -> None:
    world.align(TEN)
    collide(world)

    summary = world.run()

    expected = TEN | {"k0": "then in two", "k0.conflict1": "written in one"}
    assert world.held(ONE) == world.held(TWO) == expected
    assert carried_out(summary) == {"conflict": 1}
    assert [key for _, key in summary.conflicts] == ["k0"]
    assert summary.outcome is RunOutcome.SUCCESS
    assert world.plan() == []


@pytest.mark.parametrize(
    ("resolve", "kept"),
    [
        (Resolve.NEWER, "then in two"),
        (Resolve.OLDER, "written in one"),
        (Resolve.LARGER, "written in one"),
        (Resolve.SMALLER, "then in two"),
        (Resolve.PATH1, "written in one"),
        (Resolve.PATH2, "then in two"),
    ],
)
def test_the_policy_says_who_keeps_the_name_and_nobody_is_lost(
    world: World, resolve: Resolve, kept: str
) -> None:
    world.align(TEN)
    collide(world)

    world.run(policy=Policy(conflict_resolve=resolve))

    assert world.held(ONE)["k0"] == kept
    assert {world.held(TWO)["k0"], world.held(TWO)["k0.conflict1"]} == {"written in one", "then in two"}


def test_a_conflict_is_recorded_with_what_each_side_held(world: World) -> None:
    world.align(TEN)
    collide(world)
    summary = world.run()

    (conflict,) = world.conflicts()

    assert (conflict.key, conflict.kept_as, conflict.winner) == ("k0", "k0.conflict1", TWO)
    assert (conflict.met(ONE).size, conflict.met(TWO).size) == (14, 11)
    assert (conflict.run, conflict.state) == (summary.run, "open")
    digests = [dict(met.digests)[Algorithm.SHA256][:8] for met in (conflict.met(ONE), conflict.met(TWO))]
    assert digests == [sha256(text.encode()).hexdigest()[:8] for text in ("written in one", "then in two")]


def test_a_name_that_is_taken_on_either_side_or_was_recorded_is_passed_over(world: World) -> None:
    world.align(TEN | {"k0.conflict1": "was here", "k0.conflict4": "recorded"})
    collide(world)
    world.put(ONE, {"k0.conflict2": "only in one"})
    world.put(TWO, {"k0.conflict3": "only in two"})
    world.remove(ONE, "k0.conflict4")
    world.remove(TWO, "k0.conflict4")

    world.run()

    assert world.held(ONE) == world.held(TWO)
    assert world.held(ONE)["k0.conflict1"] == "was here"
    assert world.held(ONE)["k0.conflict2"] == "only in one"
    assert world.held(ONE)["k0.conflict3"] == "only in two"
    assert world.held(ONE)["k0.conflict5"] == "written in one"


def test_conflict_copies_do_not_conflict_again_by_themselves(world: World) -> None:
    world.align(TEN)
    for number in range(5):
        collide(world, f"one {number}", f"two {number}{number}")
        world.run()
        assert world.plan() == []

    assert len(world.held(ONE)) == len(TEN) + 5
    assert world.held(ONE) == world.held(TWO)


# path1's version is put beside the name there and on path2, and then path2's takes the name.
@pytest.mark.parametrize(("side", "nth"), [(ONE, 1), (ONE, 2), (TWO, 1)])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_crash_at_any_write_of_a_conflict_loses_nothing_and_leaves_no_further_copy(
    world: World, side: Side, when: str, nth: int
) -> None:
    world.align(TEN)
    collide(world)
    left = [nth]

    def crash(method: str, _key: str) -> None:
        if method in {"write", "copy_from"}:
            left[0] -= 1
            if left[0] == 0:
                raise Crash

    setattr(world.hooked[side], when, crash)
    with pytest.raises(Crash):
        world.run()
    world.reopen_state()
    setattr(world.hooked[side], when, lambda _method, _key: None)

    world.run()

    expected = TEN | {"k0": "then in two", "k0.conflict1": "written in one"}
    world.run()
    assert world.held(ONE) == world.held(TWO) == expected
    assert world.plan() == []


@pytest.mark.parametrize("side", Side)
def test_a_writer_during_a_conflict_keeps_its_version_too(world: World, side: Side) -> None:
    world.align(TEN)
    collide(world)
    once = iter([True])

    def interfere(method: str, key: str) -> None:
        if (method, key) == ("write", "k0") and next(once, False):
            world.put(side, {"k0": "a third one"})

    world.hooked[ONE].before = interfere
    for _ in range(3):
        world.run()

    kept = set(world.held(ONE).values())
    assert world.held(ONE) == world.held(TWO)
    # 'then in two' was visible where it was written over on path2: that is its own writer's business.
    assert kept >= {"a third one", "written in one"} | ({"then in two"} if side is ONE else set())


def test_a_conflict_that_a_store_refuses_is_a_problem_and_both_versions_stay(world: World) -> None:
    world.align(TEN)
    collide(world)

    def refuse(method: str, key: str) -> None:
        if method == "write" and key.startswith("k0"):
            raise Rejected("no space left")

    world.hooked[TWO].before = refuse
    summary = world.run()

    assert [problem.key for problem in summary.problems] == ["k0"]
    assert (world.held(ONE)["k0"], world.held(TWO)["k0"]) == ("written in one", "then in two")


@pytest.mark.parametrize("method", ["write", "read"])
def test_a_conflict_that_is_refused_in_every_run_leaves_no_copies(world: World, method: str) -> None:
    world.align(TEN)
    collide(world)
    before = world.held(ONE), world.held(TWO)
    refusing = {"write": ONE, "read": TWO}[method]

    def refuse(called: str, key: str) -> None:
        if (called, key) == (method, "k0"):
            raise Rejected("held by a lease")

    world.hooked[refusing].before = refuse
    for _ in range(4):
        assert world.run().outcome is RunOutcome.UNFINISHED
        assert (world.held(ONE), world.held(TWO)) == before

    world.hooked[refusing].before = lambda _method, _key: None
    world.run()
    assert [conflict.kept_as for conflict in world.conflicts()] == ["k0.conflict1"]
    assert (
        world.held(ONE) == world.held(TWO) == {**TEN, "k0": "then in two", "k0.conflict1": "written in one"}
    )


def test_a_copy_that_one_side_refuses_is_not_left_on_the_other(world: World) -> None:
    world.align(TEN)
    collide(world)
    before = world.held(ONE), world.held(TWO)

    def refuse(called: str, key: str) -> None:
        if called in {"write", "copy_from"} and key.startswith("k0.conflict"):
            raise Rejected("is longer than this store takes")

    world.hooked[TWO].before = refuse
    for _ in range(3):
        assert world.run().outcome is RunOutcome.UNFINISHED

    assert (world.held(ONE), world.held(TWO)) == before


def test_deleting_the_other_version_by_hand_settles_the_conflict(world: World) -> None:
    world.align(TEN)
    collide(world)
    world.run()

    world.remove(TWO, "k0.conflict1")
    world.run()

    assert world.conflicts() == []
    assert "k0.conflict1" not in world.held(ONE)


def test_a_conflict_of_a_run_that_died_on_another_day_is_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.align(TEN)
    collide(world)

    def yesterday_ns() -> int:
        return time.time_ns() - 24 * 3600 * 10**9

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    world.job = replace(world.job, policy=replace(world.job.policy, conflict_suffix=("of-{DateOnly}",) * 2))
    with monkeypatch.context() as patched:
        patched.setattr(world.state, "commit", die)
        patched.setattr(world.state, "now_ns", yesterday_ns)
        with pytest.raises(KeyboardInterrupt):
            session.run(
                world.job, world.endpoints, world.state, world.heard, stop=world.stop, now_ns=yesterday_ns
            )

    world.run()

    (conflict,) = world.conflicts()
    assert conflict.kept_as is not None
    assert conflict.kept_as in world.held(ONE)


def test_a_conflict_whose_last_answer_was_lost_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.align(TEN)
    collide(world)

    def lose_the_answer(method: str, key: str) -> None:
        if (method, key) == ("write", "k0"):
            world.hooked[ONE].after = lambda _method, _key: None
            raise Transient("connection reset")

    world.hooked[ONE].after = lose_the_answer
    world.run()

    (conflict,) = world.conflicts()
    assert conflict.kept_as == "k0.conflict1"
    assert world.held(ONE) == world.held(TWO)
    assert world.held(ONE) == {**TEN, "k0": "then in two", "k0.conflict1": "written in one"}
    world.resolve(conflict.id, "path1")
    assert world.held(ONE) == {**TEN, "k0": "written in one"}


def test_a_filter_that_leaves_the_other_version_out_settles_nothing(world: World) -> None:
    world.align(TEN)
    collide(world)
    world.run()

    world.run(exclude=("*.conflict*",))
    world.run(exclude=("*.conflict*",))

    assert [conflict.key for conflict in world.conflicts()] == ["k0"]
    assert world.held(ONE)["k0.conflict1"] == world.held(TWO)["k0.conflict1"] == "written in one"


def test_two_conflicts_never_share_one_copy_however_alike(world: World) -> None:
    one, two = "x" * 250 + "1", "x" * 250 + "2"
    world.align({one: "base", two: "base"})
    world.put(ONE, {one: "the same loser", two: "the same loser"})
    world.put(TWO, {one: "winner", two: "another winner"})

    world.run()

    first, second = world.conflicts()
    assert first.kept_as != second.kept_as
    assert world.held(ONE)[first.beside] == world.held(ONE)[second.beside] == "the same loser"


def test_a_resync_settles_a_conflict_whose_other_version_is_gone_and_no_other(world: World) -> None:
    world.align(TEN)
    collide(world)
    world.put(ONE, {"k1": "written in one"})
    world.put(TWO, {"k1": "then in two"})
    world.run()
    for side in (ONE, TWO):
        world.remove(side, "k0.conflict1")

    world.run(resync=True)

    assert [conflict.key for conflict in world.conflicts()] == ["k1"]


def test_a_conflict_is_committed_at_once_and_with_it_those_that_ended_meanwhile(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.align(TEN)
    four = [f"k{number}" for number in range(4)]
    world.put(ONE, dict.fromkeys(four, "written in one"))
    world.put(TWO, dict.fromkeys(four, "then in two"))
    first_is_committed, all_have_ended = threading.Event(), threading.Event()
    ended: list[object] = []
    commits: list[list[str]] = []

    def hold_others(method: str, key: str) -> None:
        if method == "write" and key.startswith(tuple(four[1:])):
            assert first_is_committed.wait(60)

    class Queue(SimpleQueue[Any]):
        def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
            super().put(item, block, timeout)
            if isinstance(item, Ended):
                ended.append(item)
                if len(ended) == len(four):
                    all_have_ended.set()

    real = Store.commit

    def commit(store: Store, run: int, outcomes: Sequence[Outcome], *others: Any) -> Any:
        if outcomes:
            commits.append(sorted(outcome.planned.action.key for outcome in outcomes))
            first_is_committed.set()
            assert all_have_ended.wait(60)
        return real(store, run, outcomes, *others)

    for side in Side:
        world.hooked[side].before = hold_others
    monkeypatch.setattr(apply, "SimpleQueue", Queue)
    monkeypatch.setattr(Store, "commit", commit)

    assert carried_out(world.run()) == {"conflict": 4}
    assert commits == [["k0"], ["k1", "k2", "k3"]]
