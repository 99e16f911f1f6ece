"""A renamed key is moved on the other side, not sent again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bisyncer.core.reserved import is_reserved
from bisyncer.errors import Blocked, Rejected
from bisyncer.job import Limits
from bisyncer.model import Entry, RunOutcome, Side
from tests.world import ONE, TWO, World, carried_out

TWENTY = {f"dir/k{number:02}": "x" * (number + 1) for number in range(20)}


def calls(world: World, side: Side) -> list[str]:
    """The methods that are called on a side from now on, but for looks and listings."""
    seen: list[str] = []

    def note(method: str, _key: str) -> None:
        if method not in {"scan", "stat"}:
            seen.append(method)

    world.hooked[side].before = note
    return seen


def rename_all(world: World, side: Side) -> None:
    for key in TWENTY:
        world.rename(side, key, key.replace("dir/", "renamed/"))


@pytest.mark.parametrize("side", Side)
def test_a_renamed_directory_is_moves_and_no_copy(world: World, side: Side) -> None:
    world.align(TWENTY)
    rename_all(world, side)
    seen = calls(world, side.other)

    summary = world.run()

    assert summary.outcome is RunOutcome.SUCCESS
    assert carried_out(summary) == {f"move-on-{side.other}": 20}
    assert summary.size == {ONE: 0, TWO: 0}
    assert set(seen) == {"move"}
    assert (
        world.held(ONE)
        == world.held(TWO)
        == {key.replace("dir/", "renamed/"): text for key, text in TWENTY.items()}
    )
    assert world.plan() == []


def test_of_a_large_directory_that_was_renamed_each_file_is_read_once_and_no_other(world: World) -> None:
    """A tree's listing tells no digest, and an inode isn't believed."""
    world.hooked[ONE].tree = True
    equal_sizes = {f"dir/k{number:03}": f"{number:03}" for number in range(300)}
    world.align(equal_sizes | {f"stays/k{number:03}": f"-{number:02}" for number in range(100)})
    for key in equal_sizes:
        world.rename(ONE, key, key.replace("dir/", "renamed/"))
    read, done = calls(world, ONE), calls(world, TWO)

    summary = world.run(limits=Limits(max_delete_count=0))

    assert carried_out(summary) == {"move-on-path2": 300}
    assert (read, done) == (["read"] * 300, ["move"] * 300)
    assert world.held(ONE) == world.held(TWO)


def test_moves_are_no_deletions_to_the_gates(world: World) -> None:
    world.align(TWENTY)
    rename_all(world, ONE)

    assert world.run(limits=Limits(max_delete_count=0)).outcome is RunOutcome.SUCCESS


def test_a_dry_run_tells_the_moves_and_moves_nothing(world: World) -> None:
    world.align({"a": "text", "b": "more text"})
    world.rename(ONE, "a", "c")

    assert world.plan() == ["move-on-path2 c (new / absent)"]
    assert set(world.held(TWO)) == {"a", "b"}


def test_without_track_renames_it_is_a_copy_and_a_deletion(world: World) -> None:
    world.align(TWENTY)
    world.rename(ONE, "dir/k00", "k")

    summary = world.run(policy=replace(world.job.policy, track_renames=False))

    assert carried_out(summary) == {"copy-to-path2": 1, "delete-from-path2": 1}


def test_another_content_of_the_same_size_and_time_is_no_move(world: World) -> None:
    world.align({"a": "this", "b": "other"})
    found = world.stores[ONE].entry("a")
    assert found is not None
    world.stores[ONE].put("c", b"that", mtime_ns=found.mtime_ns)
    world.remove(ONE, "a")

    assert carried_out(world.run()) == {"copy-to-path2": 1, "delete-from-path2": 1}
    assert world.held(TWO) == {"b": "other", "c": "that"}


def test_what_was_edited_across_is_not_moved_and_not_lost(world: World) -> None:
    world.align({"a": "text", "b": "more text"})
    world.rename(ONE, "a", "c")
    world.hooked[TWO].before = lambda method, _key: (
        world.put(TWO, {"a": "edited meanwhile"}) if method == "move" else None
    )

    first = world.run()
    world.hooked[TWO].before = lambda _method, _key: None
    world.run()

    assert carried_out(first) == {"copy-to-path2": 1}
    assert world.held(ONE) == world.held(TWO) == {"a": "edited meanwhile", "b": "more text", "c": "text"}


def test_a_name_that_is_taken_across_in_the_last_moment_keeps_what_it_holds(world: World) -> None:
    world.align({"a": "text", "b": "more text"})
    world.rename(ONE, "a", "c")
    world.hooked[TWO].before = lambda method, _key: (
        world.put(TWO, {"c": "made meanwhile"}) if method == "move" else None
    )

    world.run()
    world.hooked[TWO].before = lambda _method, _key: None
    world.run()

    assert world.held(ONE) == world.held(TWO)
    assert set(world.held(ONE).values()) == {"text", "more text", "made meanwhile"}


def test_a_renamed_key_that_is_edited_in_the_last_moment_is_sent_by_the_next_run(world: World) -> None:
    world.align({"a": "text", "b": "more text"})
    world.rename(ONE, "a", "c")
    world.hooked[TWO].before = lambda method, _key: (
        world.put(ONE, {"c": "edited"}) if method == "move" else None
    )

    assert carried_out(world.run()) == {"move-on-path2": 1}
    world.hooked[TWO].before = lambda _method, _key: None
    assert carried_out(world.run()) == {"copy-to-path2": 1}
    assert world.held(ONE) == world.held(TWO) == {"b": "more text", "c": "edited"}


def test_a_key_that_is_there_again_under_its_old_name_is_not_moved(world: World) -> None:
    world.align({"a": "text", "b": "more text"})
    world.rename(ONE, "a", "c")
    back = iter([True])

    def make_again(method: str, key: str) -> None:
        if (method, key) == ("stat", "a") and next(back, False):
            world.put(ONE, {"a": "again"})

    world.hooked[ONE].before = make_again

    world.run()
    world.run()

    assert world.held(ONE) == world.held(TWO) == {"a": "again", "b": "more text", "c": "text"}


def test_what_a_store_can_not_move_is_copied_and_deleted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.align({"a": "text", "b": "more text"})
    world.rename(ONE, "a", "c")

    def refuse(method: str, _key: str) -> None:
        if method == "move":
            raise Rejected("lies on another file system")

    world.hooked[TWO].before = refuse

    assert carried_out(world.run()) == {"move-on-path2": 1}
    assert world.held(ONE) == world.held(TWO) == {"b": "more text", "c": "text"}
    assert world.plan() == []


def test_a_renamed_file_that_can_neither_be_moved_nor_copied_keeps_its_old_name(world: World) -> None:
    world.align({"a": "text", "b": "more text"})
    world.rename(ONE, "a", "c")

    def refuse(method: str, key: str) -> None:
        if method == "move" or (method == "write" and not is_reserved(key)):
            raise Rejected("no space is left")

    world.hooked[TWO].before = refuse

    assert [problem.key for problem in world.run().problems] == ["c"]
    assert world.held(TWO) == {"a": "text", "b": "more text"}
    assert world.trash(TWO) == {}


def test_a_renamed_file_that_can_not_be_read_keeps_its_old_name_across(world: World) -> None:
    world.align({"a": "text", "b": "more text"})
    world.rename(ONE, "a", "c")

    blocked: list[str] = []

    def block(method: str, key: str) -> None:
        if method in {"move", "copy_from", "write"} and not is_reserved(key):
            blocked.append(method)
            raise Blocked("a file is in the way")

    def archive(method: str, key: str) -> None:
        if method == "read" and key == "c" and blocked:
            raise Rejected("it is archived")

    world.hooked[TWO].before = block
    world.hooked[ONE].before = archive
    world.run()

    assert blocked[0] == "move"
    assert world.held(TWO) == {"a": "text", "b": "more text"}


def test_names_that_stand_in_each_others_way_come_to_rest(world: World) -> None:
    world.align({"a": "text of a", "d/b": "the text of d/b", "x": "one", "z": "two!"})
    world.rename(ONE, "a", "a/b")
    world.rename(ONE, "d/b", "d")
    world.rename(ONE, "x", "z/x")
    world.rename(ONE, "z", "x/z")

    def is_tree(method: str, key: str) -> None:
        """A tree holds no file below a file."""
        held = world.held(TWO)
        if method == "write" and any(
            key.startswith(f"{other}/") or other.startswith(f"{key}/") for other in held
        ):
            raise Blocked("a file is in the way")

    world.hooked[TWO].before = is_tree
    monkeypatched = world.hooked[TWO].move

    def move(key: str, new_key: str, *, expect: Entry) -> Entry:
        is_tree("write", new_key)
        return monkeypatched(key, new_key, expect=expect)

    world.hooked[TWO].move = move  # type: ignore[method-assign]
    for _ in range(3):
        world.run()

    assert world.plan() == []
    assert world.held(ONE) == world.held(TWO)


def test_a_rename_to_another_ending_is_sent_so_that_a_bucket_tells_its_type(world: World) -> None:
    world.align({"page.txt": "text", "b": "more text"})
    world.rename(ONE, "page.txt", "page.html")

    assert carried_out(world.run()) == {"copy-to-path2": 1, "delete-from-path2": 1}


def test_a_run_that_is_to_stop_reads_no_further_candidates(world: World) -> None:
    world.align({f"old{number}": f"text {number:03}" for number in range(40)})
    for number in range(40):
        found = world.stores[ONE].entry(f"old{number}")
        assert found is not None
        world.stores[ONE].put(f"new{number}", b"another!", mtime_ns=found.mtime_ns)
        world.remove(ONE, f"old{number}")
    read: list[str] = []

    def stop(method: str, key: str) -> None:
        if method == "read":
            read.append(key)
            world.stop.set()

    world.hooked[ONE].before = stop

    assert world.run().outcome is RunOutcome.INTERRUPTED
    assert len(read) <= world.job.transfers


def test_history_tells_where_a_moved_key_came_from(world: World) -> None:
    world.align({"a": "text", "b": "more text"})
    world.rename(ONE, "a", "c")

    (action,) = world.state.actions_of(world.run().run)

    assert (action.verdict, action.key, action.origin) == ("move-on-path2", "c", "a")


def test_a_resync_knows_no_renames(world: World) -> None:
    world.align({"a": "text", "b": "more text"})
    world.rename(ONE, "a", "c")

    world.run(resync=True)

    assert world.held(ONE) == world.held(TWO) == {"a": "text", "b": "more text", "c": "text"}
