"""Mirror, copy and dual-copy; what a first run leaves; and a mode that is changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bisyncer.endpoints.base import Probe
from bisyncer.engine.explain import explain
from bisyncer.engine.kept_plan import KeptPlan
from bisyncer.engine.pairing import guarded
from bisyncer.errors import Changed, Rejected, UsageError
from bisyncer.job import Bounds
from bisyncer.model import Entry, Item, Mode, RunOutcome, Side, Unreadable, Verdict
from bisyncer.report.events import RunBegan
from tests.engine.test_kept_plan import apply, keep
from tests.pair import paired
from tests.places import Tree
from tests.world import ONE, TWO, World, carried_out

TEN = {f"k{number}": "x" * (number + 1) for number in range(10)}


@pytest.fixture
def mirror(world: World) -> World:
    return in_mode(world, Mode.MIRROR)


def in_mode(world: World, mode: Mode) -> World:
    world.job = replace(world.job, mode=mode)
    return world


def test_a_mirror_deletes_what_only_path2_has_from_the_second_run_on_and_keeps_it(mirror: World) -> None:
    first = mirror.align({"a": "1"}, {"a": "1", "b": "2", "c": "3"})
    assert (first.left, mirror.held(TWO)) == (2, {"a": "1", "b": "2", "c": "3"})

    second = mirror.run()

    assert carried_out(second) == {"delete-from-path2": 2}
    assert (second.left, second.mode) == (0, Mode.MIRROR)
    assert mirror.held(TWO) == mirror.held(ONE) == {"a": "1"}
    assert sorted(mirror.trash(TWO).values()) == ["2", "3"]
    assert mirror.plan() == []


def test_a_mirror_deletes_what_its_tree_could_never_hold(
    mirror: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooked = mirror.hooked[ONE]
    hooked.tree = True
    stat = hooked.stat

    def as_a_tree_does(key: str) -> Entry | None:
        if "//" in key:
            raise Rejected(f"{key}: is no name of a file")
        return stat(key)

    monkeypatch.setattr(hooked, "stat", as_a_tree_does)
    mirror.align(TEN)
    mirror.put(TWO, {"a//b": "of a bucket alone"})

    summary = mirror.run()

    assert (summary.exit_code, carried_out(summary)) == (0, {"delete-from-path2": 1})
    mirror.put(TWO, {"a//b": "once more"})
    file = keep(mirror)
    assert (apply(mirror, file).exit_code, mirror.held(TWO)) == (0, TEN)


def test_what_a_mirror_would_delete_is_counted_before_anything_is_done(mirror: World) -> None:
    mirror.align({}, TEN)

    halted = mirror.run()

    assert [halt.gate for halt in halted.halts] == ["max-delete"]
    assert "10 of 10 keys would be deleted from path2" in halted.halts[0].sentence
    assert mirror.held(TWO) == TEN


def test_a_mirror_puts_back_what_path2_changed_and_lost(mirror: World) -> None:
    mirror.align({"a": "1", "b": "2", "d": "4"})
    mirror.put(TWO, {"a": "edited", "c": "new"})
    mirror.put(ONE, {"d": "one's"})
    mirror.put(TWO, {"d": "the other's"})
    mirror.remove(TWO, "b")

    assert carried_out(mirror.run()) == {"copy-to-path2": 3, "delete-from-path2": 1}

    assert mirror.held(TWO) == {"a": "1", "b": "2", "d": "one's"}
    assert sorted(mirror.trash(TWO).values()) == ["edited", "new", "the other's"]
    assert mirror.trash(ONE) == {}


def test_an_emptied_path2_of_a_mirror_is_filled_again_and_an_emptied_path1_halts(mirror: World) -> None:
    mirror.align(TEN)
    mirror.remove(TWO, *TEN)
    assert carried_out(mirror.run()) == {"copy-to-path2": 10}

    mirror.remove(ONE, *TEN)

    assert [halt.gate for halt in mirror.run().halts] == ["emptied", "max-delete"]


def test_a_rename_on_path1_of_a_mirror_is_a_move_on_path2(mirror: World) -> None:
    mirror.align({"a": "1"})
    mirror.rename(ONE, "a", "b")

    assert carried_out(mirror.run()) == {"move-on-path2": 1}
    assert mirror.held(TWO) == {"b": "1"}


def test_a_renamed_key_that_path2_changed_is_not_moved_but_kept_and_copied(mirror: World) -> None:
    mirror.align({"a": "1"})
    mirror.rename(ONE, "a", "b")
    mirror.put(TWO, {"a": "2"})

    assert carried_out(mirror.run()) == {"copy-to-path2": 1, "delete-from-path2": 1}
    assert mirror.held(TWO) == {"b": "1"}
    assert list(mirror.trash(TWO).values()) == ["2"]


def test_a_rename_on_path1_of_a_copy_is_a_copy_and_the_old_name_stays(world: World) -> None:
    in_mode(world, Mode.COPY).align({"a": "1"})
    world.rename(ONE, "a", "b")

    assert carried_out(world.run()) == {"copy-to-path2": 1, "forget": 1}
    assert world.held(TWO) == {"a": "1", "b": "1"}


def test_the_marker_of_a_folder_stays_where_path1_is_a_tree(mirror: World) -> None:
    mirror.hooked[ONE].tree = True
    mirror.align({"d/a": "1"})
    mirror.put(TWO, {"d/": "", "e/": "no marker"})

    assert carried_out(mirror.run()) == {"delete-from-path2": 1}
    assert mirror.held(TWO) == {"d/": "", "d/a": "1"}


def test_a_copy_forgets_what_path1_deleted_and_tells_what_stays(world: World) -> None:
    in_mode(world, Mode.COPY).align({"a": "1", "b": "2"})
    world.remove(ONE, "a")
    world.put(TWO, {"b": "edited"})

    assert carried_out(world.run()) == {"copy-to-path2": 1, "forget": 1}
    again = world.run()

    assert (carried_out(again), again.left, again.unchanged) == ({}, 1, 1)
    assert world.held(TWO) == {"a": "1", "b": "2"}
    assert list(world.trash(TWO).values()) == ["edited"]


def test_a_key_that_moves_to_path2_while_it_is_copied_is_left_there(world: World) -> None:
    in_mode(world, Mode.COPY).align({"a": "1"})
    world.put(ONE, {"b": "2"})

    def swap(method: str, key: str) -> None:
        if (method, key) == ("read", "b"):
            world.hooked[ONE].before = lambda _method, _key: None
            world.remove(ONE, "b")
            world.put(TWO, {"b": "3"})

    world.hooked[ONE].before = swap
    summary = world.run()

    assert (summary.problem_count, carried_out(summary)) == (0, {})
    assert world.held(TWO) == {"a": "1", "b": "3"}
    assert list(world.state.actions_of(summary.run)) == []


def test_a_dual_copy_brings_back_what_was_deleted_and_keeps_both_versions_of_a_conflict(world: World) -> None:
    in_mode(world, Mode.DUAL_COPY).align({"a": "1", "b": "2", "c": "3", "gone": "0"})
    world.remove(ONE, "a", "gone")
    world.remove(TWO, "b", "gone")
    world.put(ONE, {"c": "one's", "new1": "4"})
    world.put(TWO, {"c": "the other's", "new2": "5"})

    assert carried_out(world.run()) == {"copy-to-path1": 2, "copy-to-path2": 2, "conflict": 1, "forget": 1}

    assert world.held(ONE) == world.held(TWO)
    assert sorted(world.held(ONE).values()) == ["1", "2", "4", "5", "one's", "the other's"]
    assert world.plan() == []


@pytest.mark.parametrize("mode", [Mode.MIRROR, Mode.COPY])
def test_no_run_init_or_look_changes_anything_in_path1_of_a_tree(tmp_path: Path, mode: Mode) -> None:
    one, two = Tree(tmp_path / "one"), Tree(tmp_path / "two")
    one.plant("d/a", b"1")
    two.plant("d/b", b"2")
    before = list(places(one.folder))

    with paired(tmp_path, one, two, mode=mode) as pair:
        pair.align()
        two.plant("d/a", b"edited")
        pair.settle()

    assert list(places(one.folder)) == before


def places(folder: Path) -> Iterator[tuple[str, int, int]]:
    """Every place below a folder, and what a write of it or in it would move."""
    for path in sorted([folder, *folder.rglob("*")]):
        seen = path.stat()
        yield str(path), seen.st_mtime_ns, seen.st_ctime_ns


def test_a_run_in_another_mode_than_the_last_deletes_nothing_and_says_so(world: World) -> None:
    in_mode(world, Mode.COPY).align({"a": "1", "b": "2"})
    world.remove(ONE, "a")
    world.run()
    in_mode(world, Mode.MIRROR)

    began = len(world.heard.events)
    first = world.run()
    second = world.run()

    told = [event for event in world.heard.events[began:] if isinstance(event, RunBegan)]
    assert [(event.mode, event.was) for event in told] == [(Mode.MIRROR, Mode.COPY), (Mode.MIRROR, None)]
    assert (carried_out(first), first.left) == ({}, 1)
    assert carried_out(second) == {"delete-from-path2": 1}


def test_what_path2_of_a_mirror_lost_is_not_taken_for_deleted_when_the_mode_becomes_bisync(
    mirror: World,
) -> None:
    mirror.align({"a": "1", "b": "2"})
    mirror.remove(TWO, "a")
    in_mode(mirror, Mode.BISYNC)

    assert carried_out(mirror.run()) == {"copy-to-path2": 1}
    mirror.remove(TWO, "b")
    assert carried_out(mirror.run()) == {"delete-from-path1": 1}


@pytest.mark.parametrize("what", ["refused", "changing", "hidden", "linked", "young"])
def test_what_a_first_run_in_a_mode_could_not_make_good_is_not_taken_for_deleted_by_the_second(
    mirror: World, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror.align({"a": "1", "b": "2", "d/c": "3"})
    in_mode(mirror, Mode.BISYNC)

    def refuse(method: str, key: str) -> None:
        if method == "write" and key == "a":
            raise Rejected("no space is left") if what == "refused" else Changed("it changed")

    place, gone = Unreadable("d/", "permission denied."), "d/c"
    if what == "linked":
        place, gone = Unreadable("a", "is a symbolic link", skipped=True), "a"

    def scan(low: str = "", high: str | None = None) -> Iterator[Item]:
        items = [item for item in listed(low, high) if not item[0].startswith(place.prefix)]
        return iter(sorted([*items, place], key=lambda item: item[0]))

    listed = mirror.hooked[TWO].scan
    if what in {"hidden", "linked"}:
        monkeypatch.setattr(mirror.hooked[TWO], "scan", scan)
    elif what == "young":
        mirror.job = replace(mirror.job, policy=replace(mirror.job.policy, bounds=Bounds(min_age_ns=10**15)))
        mirror.touch(ONE, "a")
        mirror.remove(TWO, gone := "a")
    else:
        mirror.hooked[TWO].before = refuse
        mirror.remove(TWO, gone := "a")
    mirror.run()

    if what not in {"hidden", "linked"}:  # what lasts keeps no other deletion from being followed
        mirror.remove(ONE, "b")
        mirror.run()
        assert (mirror.held(ONE), mirror.held(TWO)) == ({"a": "1", "d/c": "3"}, {"d/c": "3"})
    monkeypatch.undo()
    mirror.hooked[TWO].before = lambda _method, _key: None
    mirror.job = replace(mirror.job, policy=replace(mirror.job.policy, bounds=Bounds()))
    if what in {"hidden", "linked"}:
        mirror.remove(TWO, gone)
    assert carried_out(mirror.run()) == {"copy-to-path2": 1}
    mirror.remove(TWO, gone)
    assert carried_out(mirror.run()) == {"delete-from-path1": 1}


@pytest.mark.parametrize("changes", [{"dry_run": True}, {"stopped": True}])
def test_a_first_run_in_a_mode_that_is_dry_or_cut_short_is_none(
    world: World, changes: dict[str, bool]
) -> None:
    world.align({"a": "1"})
    world.put(TWO, {"new": "2"})
    in_mode(world, Mode.MIRROR)

    if "stopped" in changes:
        world.hooked[TWO].before = lambda _method, _key: world.stop.set()
        assert world.run().outcome is RunOutcome.INTERRUPTED
        world.stop.clear()
        world.hooked[TWO].before = lambda _method, _key: None
    else:
        world.run(**changes)

    assert (carried_out(world.run()), world.held(TWO)) == ({}, {"a": "1", "new": "2"})
    assert carried_out(world.run()) == {"delete-from-path2": 1}


def test_an_alignment_of_a_mirror_that_was_cut_short_is_followed_by_one_that_deletes_nothing(
    mirror: World,
) -> None:
    mirror.put(ONE, {"a": "1"})
    mirror.put(TWO, {"b": "2"})
    mirror.init()
    mirror.hooked[TWO].before = lambda method, _key: mirror.stop.set() if method == "write" else None
    assert mirror.run(resync=True).outcome is RunOutcome.INTERRUPTED
    mirror.stop.clear()
    mirror.hooked[TWO].before = lambda _method, _key: None

    assert mirror.run().left == 1
    assert carried_out(mirror.run()) == {"delete-from-path2": 1}


def test_a_change_of_the_mode_records_nothing_of_a_side_that_it_did_not_try(
    mirror: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror.align({"a": "1"})
    before = mirror.state.pair("p")
    probe = mirror.hooked[TWO].inner.probe()
    less = replace(probe, conditions=probe.conditions._replace(copy=not probe.conditions.copy))
    monkeypatch.setattr(mirror.hooked[TWO], "probe", lambda **_: less)

    in_mode(mirror, Mode.BISYNC).run()

    after = mirror.state.pair("p")
    assert before is not None
    assert after is not None
    assert after.mode is Mode.BISYNC
    assert after.conditions[1] == before.conditions[1]


def test_path1_is_tried_before_a_mode_writes_it_for_the_first_time(
    mirror: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[Side] = []

    def watch(side: Side, probe: Callable[..., Probe]) -> Callable[..., Probe]:
        def watched(*, scratch: bool = False) -> Probe:
            if scratch:
                tried.append(side)
            return probe(scratch=scratch)

        return watched

    for side, hooked in mirror.hooked.items():
        monkeypatch.setattr(hooked.inner, "probe", watch(side, hooked.inner.probe))
    mirror.align({"a": "1"})
    assert tried == [TWO]

    mirror.run(mode=Mode.BISYNC, dry_run=True)
    assert tried == [TWO]
    mirror.run(mode=Mode.BISYNC)
    mirror.run(mode=Mode.BISYNC)

    assert tried == [TWO, ONE]


def test_the_daily_purge_leaves_the_trash_of_a_path1_that_is_only_read(world: World) -> None:
    world.align({"a": "1", "b": "2"})
    for side in Side:
        world.put(side, {".bisyncer-trash/20200101T000000Z-1/old": "0"})
    in_mode(world, Mode.MIRROR).state.end_run(1, RunOutcome.FAILED, {})  # so that no good run was today

    with world.state.database.write() as connection:
        connection.exec_driver_sql("UPDATE run SET started_ns = started_ns - 172800000000000")
    world.run()

    assert (len(world.trash(ONE)), len(world.trash(TWO))) == (1, 0)


@pytest.mark.parametrize("mode", [Mode.MIRROR, Mode.COPY])
def test_a_conflict_of_an_earlier_mode_is_not_settled_by_writing_path1(world: World, mode: Mode) -> None:
    world.align({"a": "0"})
    world.put(ONE, {"a": "1"})
    world.put(TWO, {"a": "2"})
    world.run()
    (conflict,) = world.conflicts()
    in_mode(world, mode)

    with pytest.raises(UsageError, match="never writes path1"):
        world.resolve(conflict.id, "path1")
    world.resolve(conflict.id, "both")

    assert world.conflicts() == []


def test_a_side_that_is_only_read_refuses_whatever_is_decided(mirror: World) -> None:
    mirror.align({"a": "1"})
    stores = guarded(mirror.endpoints, Mode.MIRROR)
    entry = stores[ONE].stat("a")
    assert entry is not None and stores[TWO] is mirror.endpoints[TWO]

    for deed in (
        lambda: stores[ONE].delete("a", expect=entry),
        lambda: stores[ONE].move("a", "b", expect=entry),
        lambda: stores[ONE].keep("a", "b", expect=entry),
        lambda: stores[ONE].copy_from(stores[TWO], "b", entry=entry, expect=None),
    ):
        with pytest.raises(Rejected, match="only reads it"):
            deed()
    with stores[ONE].read("a", expect=entry) as source, pytest.raises(Rejected):
        stores[ONE].write("b", source, expect=None)

    assert mirror.held(ONE) == {"a": "1"}


# What the filters leave out.


def excluding(world: World) -> World:
    world.job = replace(world.job, exclude=("*.tmp",), delete_excluded=True)
    return world


def test_delete_excluded_deletes_from_path2_to_the_trash_and_leaves_path1(mirror: World) -> None:
    mirror.align({"a": "1", "b.tmp": "2"})
    mirror.put(ONE, {"c.tmp": "3"})
    mirror.put(TWO, {"d.tmp": "4"})
    excluding(mirror)

    assert carried_out(mirror.run()) == {"delete-from-path2": 2}

    assert mirror.held(ONE) == {"a": "1", "b.tmp": "2", "c.tmp": "3"}
    assert mirror.held(TWO) == {"a": "1"}
    assert sorted(mirror.trash(TWO).values()) == ["2", "4"]
    assert mirror.plan() == []


def test_delete_excluded_is_counted_by_the_gate(mirror: World) -> None:
    mirror.align(TEN)
    mirror.job = replace(mirror.job, exclude=("*",), delete_excluded=True)

    assert "max-delete" in [halt.gate for halt in mirror.run().halts]
    assert mirror.held(TWO) == TEN


def test_an_excluded_key_that_is_written_meanwhile_is_not_replaced_by_what_path1_has(mirror: World) -> None:
    mirror.align({"a": "1", "b.tmp": "2"})
    excluding(mirror)

    def edit(method: str, key: str) -> None:
        if (method, key) == ("move", "b.tmp"):
            mirror.hooked[TWO].before = lambda _method, _key: None
            mirror.put(TWO, {"b.tmp": "edited"})

    mirror.hooked[TWO].before = edit
    assert mirror.run().problem_count == 1

    assert mirror.held(TWO) == {"a": "1", "b.tmp": "edited"}
    assert carried_out(mirror.run()) == {"delete-from-path2": 1}


def test_a_kept_plan_deletes_what_is_excluded_though_path1_has_it(mirror: World) -> None:
    mirror.align({"a": "1", "b.tmp": "2"})
    file = keep(excluding(mirror))

    assert carried_out(apply(mirror, file)) == {"delete-from-path2": 1}
    assert (mirror.held(ONE), mirror.held(TWO)) == ({"a": "1", "b.tmp": "2"}, {"a": "1"})


def test_explain_says_what_a_mode_does_about_a_key(mirror: World) -> None:
    mirror.align({"a": "1", "b.tmp": "2"})
    mirror.put(TWO, {"new": "3"})

    def told(key: str) -> tuple[Verdict | None, str]:
        found = explain(mirror.job, mirror.endpoints, mirror.state, key)
        return found.verdict, found.sentence

    assert told("new") == (
        Verdict.DELETE_FROM_PATH2,
        "path1 hasn't got it; it is deleted from path2, to the trash",
    )
    in_mode(mirror, Mode.COPY)
    assert told("new")[0] is Verdict.LEAVE
    excluding(in_mode(mirror, Mode.MIRROR))
    assert told("b.tmp")[0] is Verdict.DELETE_FROM_PATH2


# Kept plans.


def test_a_plan_for_another_mode_is_refused(world: World) -> None:
    world.align({"a": "1"})
    file = keep(world)

    with pytest.raises(UsageError, match=r"is a plan for the mode bisync, and that of pair 'p' is mirror\."):
        apply(in_mode(world, Mode.MIRROR), file)


def test_a_plan_with_deletions_is_refused_where_the_next_run_is_the_first_in_its_mode(mirror: World) -> None:
    mirror.align({"a": "1"})
    mirror.put(TWO, {"new": "2"})
    file = keep(mirror)
    mirror.run(mode=Mode.COPY)

    with pytest.raises(UsageError, match="the first run in the mode mirror deletes nothing"):
        apply(mirror, file)
    assert KeptPlan.read(keep(mirror)).first
    assert mirror.held(TWO) == {"a": "1", "new": "2"}


def test_a_plan_of_a_first_run_may_be_applied_and_is_not_that_run(world: World) -> None:
    world.align({"a": "1"})
    world.put(ONE, {"a": "2"})
    world.put(TWO, {"new": "3"})
    file = keep(in_mode(world, Mode.MIRROR))

    assert carried_out(apply(world, file)) == {"copy-to-path2": 1}
    assert world.run().left == 1
