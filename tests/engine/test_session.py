"""A run, end to end, over stores in memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import pytest

from bisyncer.endpoints.base import Probe
from bisyncer.errors import (
    Changed,
    Gone,
    Leased,
    LeaseLost,
    ListingIncomplete,
    NeedsResync,
    Rejected,
    Transient,
    UsageError,
)
from bisyncer.job import Limits, Retention
from bisyncer.model import COPIES, Item, Outcome, Planned, RunOutcome, Side, Unreadable, Verdict
from bisyncer.report.events import PhaseBegan, RunBegan, RunEnded
from bisyncer.state.actions import Actions
from bisyncer.state.lease import Lease
from bisyncer.state.records import Pair
from bisyncer.state.store import Store
from tests.world import ONE, TWO, World, carried_out

TEN = {f"k{number}": "x" * (number + 1) for number in range(10)}


def test_a_first_alignment_copies_what_either_side_lacks_and_deletes_nothing(world: World) -> None:
    summary = world.align({"a": "1", "both": "same"}, {"b": "22", "both": "same"})

    assert world.held(ONE) == world.held(TWO) == {"a": "1", "b": "22", "both": "same"}
    assert carried_out(summary) == {"copy-to-path1": 1, "copy-to-path2": 1, "record": 1}
    assert (summary.outcome, summary.exit_code) == (RunOutcome.SUCCESS, 0)


def test_a_run_right_after_plans_nothing(world: World) -> None:
    world.align({"a": "1", "d/b": "22"}, {"c": "333"})

    assert world.plan() == []
    summary = world.run()
    assert carried_out(summary) == {}
    assert summary.unchanged == 3


def test_every_kind_of_change_reaches_the_other_side(world: World) -> None:
    world.align(TEN)
    world.put(ONE, {"k0": "edited", "new1": "n1"})
    world.put(TWO, {"k1": "edited too", "new2": "n22"})
    world.remove(ONE, "k2")
    world.remove(TWO, "k3")
    world.remove(ONE, "k4")
    world.remove(TWO, "k4")

    assert world.plan() == [
        "copy-to-path2 k0 (changed / unchanged)",
        "copy-to-path1 k1 (unchanged / changed)",
        "delete-from-path2 k2 (deleted / unchanged)",
        "delete-from-path1 k3 (unchanged / deleted)",
        "forget k4 (deleted / deleted)",
        "copy-to-path2 new1 (new / absent)",
        "copy-to-path1 new2 (absent / new)",
    ]
    summary = world.run()

    expected = {key: text for key, text in TEN.items() if key not in {"k2", "k3", "k4"}} | {
        "k0": "edited",
        "k1": "edited too",
        "new1": "n1",
        "new2": "n22",
    }
    assert world.held(ONE) == world.held(TWO) == expected
    assert carried_out(summary) == {
        "copy-to-path1": 2,
        "copy-to-path2": 2,
        "delete-from-path1": 1,
        "delete-from-path2": 1,
        "forget": 1,
    }
    assert summary.size == {ONE: 13, TWO: 8}
    assert world.plan() == []


def test_a_dry_run_has_the_numbers_of_the_run_that_follows_and_touches_nothing(world: World) -> None:
    world.align(TEN)
    world.put(ONE, {"k0": "edited"})
    world.put(TWO, {"k0": "edited otherwise", "new": "n"})
    world.remove(TWO, "k5")
    before = world.held(ONE), world.held(TWO)

    dry = world.run(dry_run=True)
    assert (world.held(ONE), world.held(TWO)) == before

    real = world.run()
    assert carried_out(dry) == carried_out(real)
    assert dry.dry_run
    assert not real.dry_run


@pytest.mark.parametrize(("edited", "deleted"), [(ONE, TWO), (TWO, ONE)])
def test_an_edit_survives_a_deletion_on_the_other_side(world: World, edited: Side, deleted: Side) -> None:
    world.align(TEN)
    world.put(edited, {"k0": "edited"})
    world.remove(deleted, "k0")

    world.run()

    assert world.held(ONE)["k0"] == world.held(TWO)["k0"] == "edited"


def test_the_same_change_made_on_both_sides_is_recorded_and_nothing_is_moved(world: World) -> None:
    world.align(TEN)
    world.put(ONE, {"k0": "same edit"})
    world.put(TWO, {"k0": "same edit"})

    assert carried_out(world.run()) == {"record": 1}
    assert world.plan() == []


def test_a_pair_that_was_never_aligned_needs_a_resync_and_nothing_is_touched(world: World) -> None:
    world.put(ONE, {"a": "1"})
    with pytest.raises(NeedsResync, match="init p --resync"):
        world.run()

    world.init()
    with pytest.raises(NeedsResync):
        world.run()
    assert world.held(TWO) == {}


def test_a_resync_of_an_aligned_pair_deletes_nothing_and_keeps_both_versions(world: World) -> None:
    world.align(TEN)
    world.remove(ONE, "k1")
    world.put(TWO, {"k2": "edited in two"})

    world.run(resync=True)

    for side in Side:
        assert world.held(side)["k1"] == TEN["k1"]
        assert {world.held(side)["k2"], world.held(side)["k2.conflict1"]} == {TEN["k2"], "edited in two"}
    assert world.plan() == []


def test_other_roots_under_a_known_name_are_refused(world: World) -> None:
    world.align({"a": "1"})

    swapped = {ONE: world.endpoints[TWO], TWO: world.endpoints[ONE]}
    world.endpoints = swapped
    with pytest.raises(UsageError, match="swapped"):
        world.run()


def test_a_halted_run_changes_nothing_and_the_next_run_simply_works(world: World) -> None:
    world.align(TEN)
    world.remove(ONE, *[f"k{number}" for number in range(6)])
    world.put(TWO, {"new": "n"})
    before = world.held(ONE), world.held(TWO)

    summary = world.run()

    assert (summary.outcome, summary.exit_code) == (RunOutcome.HALTED, 5)
    assert [halt.gate for halt in summary.halts] == ["max-delete"]
    assert (world.held(ONE), world.held(TWO)) == before
    assert carried_out(summary) == {}

    forced = world.run(limits=Limits(force=frozenset({"max-delete"})))
    assert forced.outcome is RunOutcome.SUCCESS
    assert world.held(ONE) == world.held(TWO)


def test_an_emptied_side_halts_and_deletes_nothing(world: World) -> None:
    world.align(TEN)
    world.remove(TWO, *TEN)

    summary = world.run()

    assert {halt.gate for halt in summary.halts} == {"emptied", "max-delete"}
    assert world.held(ONE) == TEN


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("fails_at", range(11))
def test_a_listing_that_breaks_at_any_place_changes_nothing(world: World, side: Side, fails_at: int) -> None:
    world.align(TEN)
    world.remove(side.other, "k0", "k9")
    world.put(side.other, {"k5": "edited"})
    before = world.held(ONE), world.held(TWO)
    listed = [0]

    def break_off(method: str, _key: str) -> None:
        if method == "scan":
            listed[0] += 1
            if listed[0] > fails_at:
                raise ListingIncomplete("page 3 did not come")

    world.hooked[side].before = break_off
    summary = world.run()

    assert summary.outcome is RunOutcome.HALTED
    assert [halt.gate for halt in summary.halts] == ["listing-incomplete"]
    assert (world.held(ONE), world.held(TWO)) == before

    world.hooked[side].before = lambda _method, _key: None
    assert world.run().outcome is RunOutcome.SUCCESS
    assert world.held(ONE) == world.held(TWO)


@pytest.mark.parametrize("side", Side)
def test_what_cannot_be_read_is_held_and_everything_else_goes_on(
    world: World, side: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.align({"d/a": "1", "d/b": "22", "e": "333", "f": "4444"} | TEN)
    world.put(side.other, {"d/a": "edited", "e": "edited", "d/new": "n"})
    world.remove(side.other, "d/b", "f")
    inner = world.hooked[side].inner

    def without_d(low: str = "", high: str | None = None) -> list[Item]:
        items: list[Item] = [item for item in inner.scan(low, high) if not item[0].startswith("d/")]
        return sorted([*items, Unreadable("d/", "can't be listed: input/output error")], key=lambda i: i[0])

    with monkeypatch.context() as patched:
        patched.setattr(world.hooked[side], "scan", without_d)
        summary = world.run()

    assert (summary.outcome, summary.exit_code) == (RunOutcome.UNFINISHED, 3)
    assert summary.actions["hold"] == 3
    assert [problem.key for problem in summary.problems] == ["d/"]
    assert world.held(side)["d/a"] == "1"
    assert world.held(side)["d/b"] == "22"
    assert world.held(side)["e"] == "edited"
    assert "f" not in world.held(side)

    assert world.run().outcome is RunOutcome.SUCCESS
    assert world.held(ONE) == world.held(TWO)
    assert world.state.problems.told("p") == []


def test_a_skipped_place_is_no_problem_unless_it_stands_in_a_keys_way(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.align(TEN)
    link = Unreadable("link", "is a symbolic link", skipped=True)
    monkeypatch.setattr(
        world.hooked[ONE], "scan", lambda low, high: [*world.hooked[ONE].inner.scan(low, high), link]
    )
    quiet = world.run()
    assert (quiet.outcome, quiet.skipped) == (RunOutcome.SUCCESS, 1)

    world.put(TWO, {"link": "text", "link/below": "text"})
    summary = world.run()

    assert summary.outcome is RunOutcome.UNFINISHED
    assert [problem.key for problem in summary.problems] == ["link", "link/below"]
    assert "symbolic link" in summary.problems[0].sentence
    assert world.held(TWO)["link"] == "text"


@pytest.mark.parametrize("error", [Rejected("not here"), Transient("try again")])
def test_one_bad_key_never_stops_the_others_nor_the_next_run(world: World, error: Exception) -> None:
    world.align(TEN)
    world.put(ONE, {f"k{number}": "edited" * (number + 1) for number in range(5)})

    def refuse(method: str, key: str) -> None:
        if (method, key) == ("write", "k2"):
            raise error

    world.hooked[TWO].before = refuse
    for tries in (1, 2, 3):
        summary = world.run()

        assert summary.exit_code == 3
        assert [problem.key for problem in summary.problems] == ["k2"]
        assert world.held(TWO) == world.held(ONE) | {"k2": TEN["k2"]}
        (trouble,) = world.state.problems.told("p")
        assert (trouble.key, trouble.tries) == ("k2", tries)

    world.hooked[TWO].before = lambda _method, _key: None
    assert world.run().exit_code == 0
    assert world.held(ONE) == world.held(TWO)
    assert world.state.problems.told("p") == []


def test_a_store_that_is_gone_ends_the_run_soon_and_the_next_one_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.align({})
    world.put(ONE, {f"n{number:03}": "x" * (number + 1) for number in range(300)})
    written: list[str] = []

    def vanish(method: str, key: str) -> None:
        if method == "write":
            written.append(key)
            if len(set(written)) > 50:
                raise Transient("connection refused")

    def no_answer(*, scratch: bool = False) -> Probe:
        if len(set(written)) > 50:
            raise Transient("connection refused")
        return world.hooked[TWO].inner.probe(scratch=scratch)

    world.hooked[TWO].before = vanish
    monkeypatch.setattr(world.hooked[TWO], "probe", no_answer)
    with pytest.raises(Gone, match="connection refused"):
        world.run()

    assert len(set(written)) < 100
    (last,) = world.state.runs.newest("p", limit=1)
    assert last.outcome is RunOutcome.FAILED
    written.clear()
    world.hooked[TWO].before = lambda _method, _key: None
    done = len(world.held(TWO))
    # Nothing that was done is done again, or even looked at: it was committed.
    assert carried_out(world.run()) == {"copy-to-path2": 300 - done}
    assert world.held(ONE) == world.held(TWO)


def test_a_pair_that_a_restore_replaced_while_its_lease_was_waited_for_is_left_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.align(TEN)
    world.remove(ONE, "k0")
    take = Lease.take

    def restored_meanwhile(store: Store, pair: Pair) -> Lease:
        lease = take(store, pair)
        with store.database.write() as connection:
            connection.exec_driver_sql("UPDATE pair SET owner = 'another'")
        return lease

    monkeypatch.setattr(Lease, "take", restored_meanwhile)
    with pytest.raises(UsageError, match="was replaced in the state meanwhile"):
        world.run()

    assert world.held(TWO) == TEN


def test_a_file_that_is_gone_before_it_is_copied_is_not_told_as_copied(world: World) -> None:
    world.align(TEN)
    world.put(ONE, {"temporary": "x"})

    def remove(method: str, key: str) -> None:
        if (method, key) in {("write", "temporary"), ("copy_from", "temporary")}:
            world.hooked[TWO].before = lambda _method, _key: None
            world.remove(ONE, "temporary")

    world.hooked[TWO].before = remove
    summary = world.run()

    assert summary.outcome is RunOutcome.SUCCESS
    assert carried_out(summary) == {"forget": 1}
    assert [action.key for action in world.state.actions_of(summary.run)] == []
    assert world.held(TWO) == TEN


def test_many_bad_keys_in_a_row_never_keep_the_others_from_their_turn(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.align({"y": "base", "z": "base"})
    world.put(ONE, {f"bad{number:03}": "x" for number in range(60)} | {"y": "changed"})
    world.remove(TWO, "z")

    def fail(method: str, key: str) -> None:
        if method == "write" and key.startswith("bad"):
            raise Transient("input/output error")

    world.hooked[TWO].before = fail
    summary = world.run()

    assert summary.outcome is RunOutcome.UNFINISHED
    assert summary.problem_count == 60
    assert world.held(TWO)["y"] == "changed"
    assert "z" not in world.held(ONE)


def test_a_failure_that_passes_is_tried_again_within_the_run(world: World) -> None:
    world.align(TEN)
    world.put(ONE, {"k2": "edited"})
    failures = iter([Transient("busy"), Transient("busy")])

    def stumble(method: str, _key: str) -> None:
        if method == "write" and (failure := next(failures, None)):
            raise failure

    world.hooked[TWO].before = stumble

    assert world.run().exit_code == 0
    assert world.held(TWO)["k2"] == "edited"


def once(world: World, side: Side, method: str, text: str) -> None:
    """Somebody writes k0 on `side`, right before the first call of `method` there."""
    waiting = [text]

    def interfere(called: str, key: str) -> None:
        if (called, key) == (method, "k0") and waiting:
            world.put(side, {"k0": waiting.pop()})

    world.hooked[side].before = interfere


def test_a_writer_between_scan_and_apply_keeps_its_edit_beside_the_one_that_was_coming(world: World) -> None:
    world.align(TEN)
    world.put(ONE, {"k0": "edited in one"})
    once(world, TWO, "write", "written meanwhile")

    summary = world.run()

    assert summary.outcome is RunOutcome.SUCCESS
    assert carried_out(summary) == {"conflict": 1}
    assert world.held(ONE) == world.held(TWO)
    assert {world.held(ONE)["k0"], world.held(ONE)["k0.conflict1"]} == {"edited in one", "written meanwhile"}
    assert [row.verdict for row in world.state.actions_of(summary.run)] == ["conflict"]
    assert world.plan() == []


@pytest.mark.parametrize(("method", "trash"), [("move", True), ("delete", False)])
def test_a_writer_right_before_a_deletion_keeps_its_edit_and_it_comes_back(
    world: World, method: str, trash: bool
) -> None:
    world.align(TEN)
    world.remove(ONE, "k0")
    once(world, TWO, method, "written meanwhile")

    summary = world.run(trash=Retention(trash, trash))

    assert carried_out(summary) == {"copy-to-path1": 1}
    assert world.held(ONE)["k0"] == world.held(TWO)["k0"] == "written meanwhile"


def test_a_writer_of_what_is_about_to_be_read_has_its_newest_version_sent(world: World) -> None:
    world.align(TEN)
    world.put(ONE, {"k0": "edited in one"})
    once(world, ONE, "read", "edited again")

    summary = world.run()

    assert summary.outcome is RunOutcome.SUCCESS
    assert world.held(ONE)["k0"] == world.held(TWO)["k0"] == "edited again"


def test_a_key_that_keeps_changing_is_left_for_the_next_run_and_nothing_of_it_is_lost(world: World) -> None:
    world.align(TEN)
    world.put(ONE, {"k0": "edited in one"})
    number = iter(range(100))

    def rewrite(side: Side, method: str, key: str) -> None:
        if (method, key) == ("write", "k0"):
            world.put(side, {"k0": f"version {next(number)}"})

    for side in Side:
        world.hooked[side].before = partial(rewrite, side)
    summary = world.run()

    assert (summary.outcome, summary.exit_code) == (RunOutcome.UNFINISHED, 3)
    assert "keeps changing" in summary.problems[0].sentence
    assert "edited in one" in world.held(ONE).values()


def test_a_file_that_comes_and_goes_during_a_run_is_no_problem(world: World) -> None:
    world.align(TEN)
    world.put(ONE, {"passing": "by"})
    world.hooked[ONE].before = lambda method, key: (
        world.remove(ONE, "passing") if (method, key) == ("read", "passing") else None
    )

    assert world.run().outcome is RunOutcome.SUCCESS
    assert "passing" not in world.held(TWO)
    assert world.state.problems.told("p") == []


def test_a_deletion_that_no_gate_has_counted_waits_for_the_next_run(world: World) -> None:
    world.align(TEN)
    world.put(ONE, {"k0": "edited in one"})
    world.hooked[ONE].before = lambda method, key: (
        world.remove(ONE, "k0") if (method, key) == ("read", "k0") else None
    )

    assert world.run().outcome is RunOutcome.UNFINISHED
    assert world.held(TWO)["k0"] == TEN["k0"]

    world.hooked[ONE].before = lambda _method, _key: None
    assert carried_out(world.run()) == {"delete-from-path2": 1}


def test_a_key_that_a_listing_missed_is_not_deleted_on_the_other_side(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.align(TEN)
    inner = world.hooked[ONE].inner
    monkeypatch.setattr(
        world.hooked[ONE],
        "scan",
        lambda low, high: [item for item in inner.scan(low, high) if item[0] != "k4"],
    )

    summary = world.run()

    assert summary.outcome is RunOutcome.SUCCESS
    assert world.held(TWO) == TEN
    assert len(world.held(ONE)) == 10


def test_the_first_signal_finishes_what_is_in_flight_and_commits_it(world: World) -> None:
    world.align({})
    world.put(ONE, {f"n{number:03}": "x" * (number + 1) for number in range(100)})
    world.hooked[TWO].after = lambda method, _key: world.stop.set() if method == "write" else None

    summary = world.run()

    assert (summary.outcome, summary.exit_code) == (RunOutcome.INTERRUPTED, 130)
    done = len(world.held(TWO))
    assert 0 < done < 100
    assert summary.actions["copy-to-path2"] == done

    world.stop.clear()
    world.hooked[TWO].after = lambda _method, _key: None
    after = world.run()
    assert carried_out(after) == {"copy-to-path2": 100 - done}
    assert world.held(ONE) == world.held(TWO)


def test_a_signal_while_scanning_changes_nothing(world: World) -> None:
    world.align({})
    world.put(ONE, TEN)
    world.stop.set()

    summary = world.run()

    assert summary.outcome is RunOutcome.INTERRUPTED
    assert world.held(TWO) == {}


def test_a_pair_that_another_run_holds_is_left_alone(world: World) -> None:
    world.align(TEN)
    pair = world.state.pair("p")
    assert pair is not None

    with Lease.take(world.state, pair), pytest.raises(Leased):
        world.run()


def test_a_run_whose_lease_was_taken_over_writes_nothing_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.align({})
    world.put(ONE, TEN)

    def lost(_lease: Lease) -> None:
        raise LeaseLost("another run took the pair over")

    monkeypatch.setattr(Lease, "assert_held", lost)
    with pytest.raises(LeaseLost):
        world.run()
    assert world.held(TWO) == {}


def test_excluded_keys_leave_the_record_and_neither_side_is_touched(world: World) -> None:
    world.align(TEN | {"a.tmp": "t"})
    world.remove(ONE, "a.tmp")

    summary = world.run(exclude=("*.tmp",))

    assert world.held(TWO)["a.tmp"] == "t"
    assert carried_out(summary) == {"forget": 1}

    world.run()
    assert world.held(ONE)["a.tmp"] == "t"


def test_a_missing_check_file_halts_before_anything_is_listed(world: World) -> None:
    world.align(TEN)
    world.put(ONE, {"k0": "edited"})

    summary = world.run(check_file=".here")

    assert [halt.gate for halt in summary.halts] == ["check-file", "check-file"]
    assert world.held(TWO) == TEN

    world.put(ONE, {".here": ""})
    world.put(TWO, {".here": ""})
    assert world.run(check_file=".here").outcome is RunOutcome.SUCCESS


def test_a_run_tells_its_phases_in_order_and_its_end(world: World) -> None:
    world.align(TEN)
    world.put(ONE, {"k0": "12345"})
    world.put(TWO, {"k0": "54321"})
    world.heard.events.clear()

    summary = world.run()

    assert isinstance(world.heard.events[0], RunBegan)
    phases = [event.phase.value for event in world.heard.events if isinstance(event, PhaseBegan)]
    assert phases == ["scan", "check", "apply"]
    assert world.heard.events[-1] == RunEnded(summary)


def test_a_bug_ends_the_run_as_failed_and_the_pair_stays_usable(world: World) -> None:
    world.align(TEN)
    world.put(ONE, {"k0": "edited"})

    def burst(method: str, _key: str) -> None:
        if method == "write":
            raise ZeroDivisionError

    world.hooked[TWO].before = burst
    with pytest.raises(ZeroDivisionError):
        world.run()
    (last,) = world.state.runs.newest("p", limit=1)
    assert last.outcome is RunOutcome.FAILED

    world.hooked[TWO].before = lambda _method, _key: None
    assert world.run().outcome is RunOutcome.SUCCESS


def test_changed_is_never_shown_as_a_failure_of_the_store(world: World) -> None:
    world.align(TEN)
    world.put(ONE, {"k0": "edited"})

    def moved(method: str, _key: str) -> None:
        if method == "write":
            raise Changed("k0 is not what was listed.")

    world.hooked[TWO].before = moved
    summary = world.run()

    assert "looked at again next run" in summary.problems[0].sentence
    assert world.held(TWO)["k0"] == TEN["k0"]


HOSTILE = ("dir/text", "a//b", "/lead", "..", "a/./b", "x" * 256)


def test_names_that_a_tree_cannot_hold_are_problems_and_everything_else_goes_on(world: World) -> None:
    world.hooked[ONE].tree = True
    world.align(TEN)
    world.put(TWO, {key: key for key in HOSTILE} | {"trail/": "text", "folder/": ""})

    assert world.plan() == ["copy-to-path1 dir/text (absent / new)"]
    summary = world.run()

    assert summary.outcome is RunOutcome.UNFINISHED
    assert {problem.key for problem in summary.problems} == {*HOSTILE[1:], "trail/"}
    assert world.held(ONE) == TEN | {"dir/text": "dir/text"}
    assert "folder/" in world.held(TWO)


def test_a_run_asks_its_state_for_no_kind_of_action_that_its_plan_has_not(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.align({"k": "1", "l": "2"})
    world.put(ONE, {"k": "edited"})
    asked: set[Verdict] = set()
    planned = Actions.planned

    def noted(self: Actions, run: int, *verdicts: Verdict) -> Iterator[Planned]:
        asked.update(verdicts)
        return planned(self, run, *verdicts)

    monkeypatch.setattr(Actions, "planned", noted)
    monkeypatch.setattr(Actions, "planned_by_size", lambda *_: pytest.fail("nothing was deleted"))
    monkeypatch.setattr(Actions, "largest", lambda *_: pytest.fail("nothing is large"))

    assert carried_out(world.run()) == {"copy-to-path2": 1}
    assert asked == set(COPIES.values())


def test_what_has_ended_is_committed_while_a_large_body_is_under_way(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.align({})
    world.put(ONE, {"large": "l" * 9, "small": "s"})
    committed = threading.Event()
    original = world.state.commit

    def commit(run: int, outcomes: Sequence[Outcome], *more: Any) -> Any:
        told = original(run, outcomes, *more)
        if any(outcome.planned.action.key == "small" for outcome in outcomes):
            committed.set()
        return told

    monkeypatch.setattr(world.state, "commit", commit)
    met: list[bool] = []

    def wait_for_the_small_one(method: str, key: str) -> None:
        if (method, key) == ("write", "large"):
            met.append(committed.wait(30))

    world.hooked[TWO].before = wait_for_the_small_one
    world.run()

    assert met == [True]


def test_what_a_stop_cut_short_says_nothing_of_the_store(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.align({})
    world.put(ONE, {f"k{number}": "text" for number in range(8)})
    inner = world.hooked[TWO].inner

    def fail(method: str, _key: str) -> None:
        if method == "write":
            world.stop.set()
            monkeypatch.setattr(inner, "probe", away)
            raise Transient("the last of a pause that a stop cut short")

    def away(**_: object) -> Probe:
        raise Transient("away")

    world.hooked[TWO].before = fail

    assert world.run().outcome is RunOutcome.INTERRUPTED
