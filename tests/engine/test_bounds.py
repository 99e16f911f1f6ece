"""What is out of bounds, too young or in a marked directory is left alone on both sides."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bisyncer.core.bounds import outside, waits
from bisyncer.engine.explain import explain
from bisyncer.errors import NoFile, Rejected
from bisyncer.job import Bounds, Policy, Scope
from bisyncer.model import Action, Delta, Entry, Item, Mode, RunOutcome, Side, Summary, Unreadable, Verdict
from tests.pair import paired
from tests.places import BUCKETS, Places, Tree
from tests.world import ONE, TWO, World, carried_out

HOUR_NS = 3600 * 10**9
YOUNG = Policy(bounds=Bounds(min_age_ns=HOUR_NS))
SMALL = Policy(bounds=Bounds(max_size=3))
FRESH = Policy(bounds=Bounds(max_age_ns=HOUR_NS))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


def put(world: World, side: Side, key: str, text: str, age_ns: int = 0) -> None:
    world.stores[side].put(key, text.encode(), mtime_ns=time.time_ns() - age_ns)


def align(world: World, *keys: str) -> None:
    """Plant old keys on both sides, and make the first alignment."""
    for side in Side:
        for key in keys:
            put(world, side, key, "old", 9 * HOUR_NS)
    world.init()
    world.run(resync=True)


def quiet(summary: Summary) -> bool:
    """Whether nothing was done and nothing is wrong."""
    return not carried_out(summary) and (summary.exit_code, summary.problem_count) == (0, 0)


# What is young waits.


def test_a_young_version_waits_quietly_and_is_done_by_a_later_run(world: World) -> None:
    align(world, "a", "b")
    put(world, ONE, "new", "1")
    put(world, TWO, "a", "2", HOUR_NS - 10**9 * 60)

    summary = world.run(policy=YOUNG)

    assert quiet(summary)
    assert summary.waiting == 2
    assert world.state.problems.told("p") == []
    assert carried_out(world.run()) == {"copy-to-path1": 1, "copy-to-path2": 1}
    assert world.held(ONE) == world.held(TWO) == {"a": "2", "b": "old", "new": "1"}


def test_an_old_version_waits_for_nothing(world: World) -> None:
    align(world, "a")
    put(world, ONE, "a", "1", HOUR_NS + 10**9)

    assert carried_out(world.run(policy=YOUNG)) == {"copy-to-path2": 1}


def test_a_key_waits_whole_while_the_other_side_has_an_old_edit_or_a_deletion(world: World) -> None:
    align(world, "a", "b")
    put(world, ONE, "a", "1")
    put(world, TWO, "a", "2", 2 * HOUR_NS)
    put(world, ONE, "b", "3")
    world.remove(TWO, "b")

    summary = world.run(policy=YOUNG)

    assert quiet(summary)
    assert summary.waiting == 2
    assert (world.held(ONE), world.held(TWO)) == ({"a": "1", "b": "3"}, {"a": "2"})
    assert carried_out(world.run()) == {"conflict": 1, "copy-to-path2": 1}


def test_a_deletion_waits_for_nothing_however_young_the_version_is_that_did_not_change(world: World) -> None:
    align(world, "a", "b")
    put(world, ONE, "a", "1")
    world.run()
    world.remove(ONE, "a")

    assert carried_out(world.run(policy=YOUNG)) == {"delete-from-path2": 1}


def test_a_time_far_ahead_holds_no_key_and_is_told(world: World) -> None:
    align(world, "a")
    put(world, ONE, "a", "1", -2 * HOUR_NS)
    put(world, ONE, "b", "2", -HOUR_NS // 2)

    summary = world.run(policy=YOUNG)

    assert carried_out(summary) == {"copy-to-path2": 1}
    assert (summary.ahead, summary.waiting) == (1, 1)
    assert world.held(TWO) == {"a": "1"}


def test_a_file_that_grows_while_it_is_copied_waits_and_is_no_problem_with_min_age(world: World) -> None:
    align(world, "a")
    put(world, ONE, "log", "1", 2 * HOUR_NS)
    lines = ["1"]

    def append(method: str, key: str) -> None:
        if method == "read" and key == "log":
            lines.append("x")
            put(world, ONE, "log", "".join(lines))

    world.hooked[ONE].before = append
    summary = world.run(policy=YOUNG)

    assert quiet(summary)
    assert summary.waiting == 1
    assert "log" not in world.held(TWO)

    summary = world.run()
    assert (summary.exit_code, summary.problem_count) == (3, 1)  # somebody should know of it
    world.hooked[ONE].before = lambda _method, _key: None
    world.run()
    assert world.held(TWO)["log"] == "".join(lines)
    assert world.state.problems.told("p") == []


def test_a_file_that_is_edited_once_while_it_is_copied_is_young_again_and_waits(world: World) -> None:
    align(world, "a")
    put(world, ONE, "a", "1", 2 * HOUR_NS)
    edits = [2 * HOUR_NS, 0]  # how long ago, by their times

    def edit(method: str, key: str) -> None:
        if method == "read" and edits:
            put(world, ONE, key, f"edit {len(edits)}", edits.pop(0))

    world.hooked[ONE].before = edit
    for waiting in (1, 0):
        summary = world.run(policy=YOUNG)
        assert quiet(summary)
        assert summary.waiting == 1
        assert world.held(TWO) == {"a": "old"}
        put(world, ONE, "a", "2", 2 * HOUR_NS)
        edits[:] = [0] if waiting else []
    assert carried_out(world.run(policy=YOUNG)) == {"copy-to-path2": 1}


def test_a_file_that_outgrows_its_bounds_while_it_is_copied_is_left_alone(world: World) -> None:
    align(world, "a")
    put(world, ONE, "b", "1")

    def grow(method: str, key: str) -> None:
        if method == "read" and key == "b":
            put(world, ONE, key, "x" * 100)

    world.hooked[ONE].before = grow
    bounded = Policy(bounds=Bounds(max_size=50))
    assert quiet(world.run(policy=bounded))
    assert quiet(world.run(policy=bounded))
    assert world.held(TWO) == {"a": "old"}


def test_a_strict_run_goes_on_where_a_key_only_waits(world: World) -> None:
    align(world, "a")
    put(world, ONE, "b", "1", 2 * HOUR_NS)
    put(world, ONE, "c", "1", 2 * HOUR_NS)

    def edit(method: str, key: str) -> None:
        if method == "read" and key == "b":
            put(world, ONE, key, "edited")

    world.hooked[ONE].before = edit
    summary = world.run(policy=YOUNG, strict=True, transfers=1)

    assert (summary.outcome, summary.waiting) == (RunOutcome.SUCCESS, 1)
    assert world.held(TWO) == {"a": "old", "c": "1"}


def test_gates_weigh_what_is_done_against_the_keys_that_do_not_wait(world: World) -> None:
    keys = [f"k{number:02}" for number in range(24)]
    align(world, *keys)
    for number, key in enumerate(keys):
        put(world, ONE, key, "new", 2 * HOUR_NS * (number % 2))

    assert [halt.gate for halt in world.run(policy=YOUNG).halts] == ["all-changed"]


def test_sizes_and_ages_are_not_asked_of_directories() -> None:
    directory = Entry("d/", 0, time.time_ns(), "s")
    action = Action("d/", Verdict.COPY_TO_PATH2, Delta.NEW, Delta.ABSENT, None, directory, None)
    bounds = Bounds(min_size=1, min_age_ns=HOUR_NS, max_age_ns=2 * HOUR_NS)

    assert outside(action, bounds, time.time_ns() + 9 * HOUR_NS) is None
    assert waits(action, bounds, time.time_ns()) is None


def test_a_run_in_which_all_changed_and_waits_halts_at_no_gate(world: World) -> None:
    keys = [f"k{number}" for number in range(12)]
    align(world, *keys)
    for key in keys:
        put(world, ONE, key, "new")

    assert world.run(policy=YOUNG).waiting == 12

    for key in keys:
        put(world, ONE, key, "old enough", 2 * HOUR_NS)
    assert [halt.gate for halt in world.run(policy=YOUNG).halts] == ["all-changed"]


def test_a_first_alignment_leaves_what_is_young_for_later(world: World) -> None:
    put(world, ONE, "a", "1")
    put(world, TWO, "b", "2", 2 * HOUR_NS)
    world.init()

    summary = world.run(resync=True, policy=YOUNG)

    assert (carried_out(summary), summary.waiting) == ({"copy-to-path1": 1}, 1)
    assert carried_out(world.run()) == {"copy-to-path2": 1}


# What is out of bounds is left alone.


@pytest.mark.parametrize("bounds", [Bounds(max_size=3), Bounds(min_size=5)])
def test_a_version_of_another_size_is_left_alone_on_both_sides(world: World, bounds: Bounds) -> None:
    align(world, "a", "b", "c")
    put(world, ONE, "a", "1234")
    put(world, TWO, "b", "1234")
    put(world, ONE, "new", "1234")
    world.remove(TWO, "a")

    summary = world.run(policy=Policy(bounds=bounds))

    assert carried_out(summary) == {"forget": 1}
    assert world.held(ONE) == {"a": "1234", "b": "old", "c": "old", "new": "1234"}
    assert world.held(TWO) == {"b": "1234", "c": "old"}
    assert carried_out(world.run()) == {"copy-to-path1": 1, "copy-to-path2": 2}


def test_a_deletion_of_a_key_out_of_bounds_is_never_followed_and_taken_in_again_it_is_copied(
    world: World,
) -> None:
    align(world, "a", "b")
    for side in Side:
        put(world, side, "large", "12345", 9 * HOUR_NS)
    world.run()
    world.remove(ONE, "large")

    assert carried_out(world.run(policy=SMALL)) == {"forget": 1}
    assert world.held(TWO)["large"] == "12345"
    assert quiet(world.run(policy=SMALL))

    assert carried_out(world.run()) == {"copy-to-path1": 1}
    assert world.held(ONE)["large"] == "12345"


def test_a_deletion_of_a_key_out_of_bounds_is_never_followed_in_the_next_mode_either(world: World) -> None:
    for side in Side:
        put(world, side, "large", "12345", 9 * HOUR_NS)
    align(world, "a")
    world.run(mode=Mode.DUAL_COPY)
    world.remove(ONE, "large")

    world.run(mode=Mode.DUAL_COPY, policy=SMALL)
    world.run(policy=SMALL)

    assert carried_out(world.run()) == {"copy-to-path1": 1}
    assert world.held(ONE)["large"] == "12345"


def test_a_fresh_version_replaces_an_old_one_and_an_old_new_key_is_left_alone(world: World) -> None:
    align(world, "a", "b")
    put(world, ONE, "a", "1")
    put(world, TWO, "archive", "2", 3 * HOUR_NS)
    world.remove(TWO, "b")

    assert carried_out(world.run(policy=FRESH)) == {"copy-to-path2": 1, "forget": 1}
    assert (world.held(ONE), world.held(TWO)) == ({"a": "1", "b": "old"}, {"a": "1", "archive": "2"})


# Marked directories.


def test_a_directory_that_holds_the_file_on_either_side_is_left_alone_on_both(world: World) -> None:
    align(world, "d/!first", "d/z", "e/f/z", "d-x", "top")
    put(world, TWO, "d/.nosync", "")
    put(world, ONE, "e/f/.nosync", "")
    for key in ("d/!first", "d/sub/new", "e/f/z", "e/new", "d-x"):
        put(world, ONE, key, "new")
    world.remove(TWO, "d/z")

    summary = world.run(exclude_if_present=".nosync")

    assert carried_out(summary) == {"copy-to-path2": 2, "forget": 1}
    assert world.held(TWO) == {
        "d/!first": "old",
        "d/.nosync": "",
        "e/f/z": "old",
        "e/new": "new",
        "d-x": "new",
        "top": "old",
    }
    assert world.held(ONE)["d/z"] == "old"
    assert quiet(world.run(exclude_if_present=".nosync"))

    world.remove(TWO, "d/.nosync")
    world.remove(ONE, "e/f/.nosync")
    world.run()
    assert world.held(ONE) == world.held(TWO)
    assert world.held(TWO)["d/z"] == "old"


def test_what_is_deleted_on_both_sides_of_a_marked_directory_is_forgotten(world: World) -> None:
    align(world, "d/!", "d/z", "e")
    put(world, ONE, "d/.nosync", "")
    for side in Side:
        world.remove(side, "d/!", "d/z")

    assert carried_out(world.run(exclude_if_present=".nosync")) == {"forget": 2}


def test_deletions_in_a_marked_directory_close_no_gate(world: World) -> None:
    keys = [f"d/!{number:02}" for number in range(12)]  # each is listed before the mark
    align(world, *keys, "e")
    world.remove(ONE, *keys)
    put(world, TWO, "d/.nosync", "")

    assert carried_out(world.run(exclude_if_present=".nosync")) == {"forget": 12}
    assert sorted(world.held(TWO)) == [*keys, "d/.nosync", "e"]
    assert quiet(world.run(exclude_if_present=".nosync"))


def test_a_mirror_leaves_what_only_path2_has_in_a_marked_directory(world: World) -> None:
    align(world, "a")
    put(world, TWO, "d/.nosync", "")
    put(world, TWO, "d/x", "1")

    for _ in range(2):
        assert quiet(world.run(exclude_if_present=".nosync", mode=Mode.MIRROR))
    assert "d/x" in world.held(TWO)


def test_a_place_that_can_not_be_read_in_a_marked_directory_is_no_problem(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    align(world, "d/.nosync", "d/in/a", "e/in/a")
    inner = world.hooked[ONE].inner

    def closed(low: str = "", high: str | None = None) -> list[Item]:
        found = (item for item in inner.scan(low, high) if "/in/" not in item[0])
        return sorted([*found, Unreadable("d/in/", "closed"), Unreadable("e/in/", "closed")])

    monkeypatch.setattr(world.hooked[ONE], "scan", closed)
    summary = world.run(exclude_if_present=".nosync")

    assert [problem.key for problem in summary.problems] == ["e/in/"]


def test_what_is_no_file_under_that_name_marks_no_directory(world: World) -> None:
    align(world, "a")
    put(world, ONE, "d/new", "1")

    def refuse(method: str, key: str) -> None:
        if method == "stat" and key == "d/.nosync":
            raise NoFile(key, "is a symbolic link; links are not followed")

    world.hooked[ONE].before = refuse
    summary = world.run(exclude_if_present=".nosync", scope=Scope(prefix="d"))

    assert carried_out(summary) == {"copy-to-path2": 1}


@pytest.mark.parametrize("scope", [Scope(prefix="d/sub"), Scope(keys=("d/sub/new", "other"))])
def test_a_run_of_a_part_looks_for_the_file_above_what_it_plans(world: World, scope: Scope) -> None:
    align(world, "a")
    put(world, TWO, "d/.nosync", "")
    put(world, ONE, "d/sub/new", "1")
    put(world, ONE, "other", "1")

    world.run(exclude_if_present=".nosync", scope=scope)

    assert "d/sub/new" not in world.held(TWO)


def test_the_file_in_the_root_leaves_all_alone_and_an_excluded_one_still_counts(world: World) -> None:
    align(world, "a")
    put(world, ONE, ".nosync", "")
    put(world, ONE, "a", "1")

    assert quiet(world.run(exclude_if_present=".nosync", exclude=(".nosync",)))


def test_without_the_setting_no_directory_is_looked_at(world: World) -> None:
    align(world, "d/a")
    put(world, ONE, "d/a", "1")
    looked: list[str] = []
    world.hooked[TWO].before = lambda method, key: looked.append(key) if method == "stat" else None

    world.run(scope=Scope(prefix="d"))
    assert [key for key in looked if ".nosync" in key] == []


def test_a_place_that_can_not_be_looked_at_is_no_place_without_the_file(world: World) -> None:
    align(world, "d/a")
    put(world, ONE, "d/a", "1")

    def refuse(method: str, key: str) -> None:
        if method == "stat" and key == "d/.nosync":
            raise Rejected("403")

    world.hooked[TWO].before = refuse
    with pytest.raises(Rejected, match="403"):
        world.run(exclude_if_present=".nosync", scope=Scope(prefix="d"))
    assert world.held(TWO) == {"d/a": "old"}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"policy": YOUNG}, "path1: it was written less than min_age ago, and waits for a later run"),
        ({"policy": SMALL}, "path1: its 5 bytes are more than max_size"),
        ({"exclude_if_present": ".nosync"}, "there is d/.nosync"),
        ({"include": ("e",)}, "since no pattern of include has it"),
    ],
)
def test_why_a_key_is_left_alone_is_explained(
    world: World, changes: dict[str, object], sentence: str
) -> None:
    align(world, "d/a")
    put(world, TWO, "d/.nosync", "")
    put(world, ONE, "d/a", "12345")
    job = replace(world.job, **changes)  # type: ignore[arg-type]

    assert sentence in explain(job, world.endpoints, world.state, "d/a").sentence


def test_entries_without_a_time_are_of_no_age(world: World) -> None:
    action = Action("a", Verdict.COPY_TO_PATH2, Delta.NEW, Delta.ABSENT, None, Entry("a", 1, None, "s"), None)
    assert waits(action, YOUNG.bounds, time.time_ns()) is None


@pytest.mark.parametrize("kind", BUCKETS)
def test_an_object_is_as_old_as_its_upload_and_one_that_did_not_change_holds_no_edit(
    kind: str, places: Places, tmp_path: Path
) -> None:
    tree, bucket = places("tree"), places(kind)
    assert isinstance(tree, Tree)

    def write(key: str, data: bytes) -> None:
        tree.plant(key, data)
        os.utime(tree.folder / key, (1_600_000_000, 1_600_000_000 + len(data)))

    write("a", b"old")
    with paired(tmp_path, tree, bucket, policy=YOUNG) as pair:
        assert carried_out(pair.align()) == {"copy-to-path2": 1}
        bucket.plant("uploaded", b"1")
        write("a", b"edited")

        summary = pair.run()

        assert (carried_out(summary), summary.waiting) == ({"copy-to-path2": 1}, 1)
        assert carried_out(pair.run(policy=Policy())) == {"copy-to-path1": 1}
