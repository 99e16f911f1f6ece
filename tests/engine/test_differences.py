"""Both sides against each other, changing nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from bisyncer.engine.deadline import Deadline
from bisyncer.engine.differences import BATCH, differences
from bisyncer.errors import Interrupted, ListingIncomplete, Rejected, Transient, UsageError
from bisyncer.job import Bounds, Evidence, Policy
from bisyncer.model import Item, Side, Unreadable
from tests.world import ONE, TWO, World

TEN = {f"k{number}": "x" * (number + 1) for number in range(10)}


def told(world: World, *, download: bool = False, **changes: object) -> list[str]:
    job = replace(world.job, **changes)  # type: ignore[arg-type]
    until = Deadline(world.stop, None)
    found = differences(job, world.endpoints, world.state, until, download=download)
    return [f"{each.mark} {each.key}" + (f": {each.sentence}" if each.sentence else "") for each in found]


def reads(world: World) -> list[str]:
    read: list[str] = []
    for side in Side:
        world.hooked[side].before = lambda method, key, side=side: (  # type: ignore[misc]
            read.append(f"{side} {key}") if method == "read" else None
        )
    return read


@pytest.mark.parametrize("download", [False, True])
def test_every_key_has_one_mark_as_rclone_check_gives_it(world: World, download: bool) -> None:
    world.align({"same": "1", "other": "22", "longer": "333", "only1": "4", "only2": "5"})
    world.put(ONE, {"other": "XX", "longer": "4444"})
    world.remove(TWO, "only1")
    world.remove(ONE, "only2")

    assert told(world, download=download) == ["* longer", "+ only1", "- only2", "* other", "= same"]


def test_keys_whose_sides_are_as_they_were_recorded_are_not_read(world: World) -> None:
    world.align(TEN)
    read = reads(world)

    assert told(world) == [f"= {key}" for key in TEN]
    assert read == []


def test_only_what_was_rewritten_since_is_read(world: World) -> None:
    world.align(TEN)
    world.touch(ONE, "k3")
    read = reads(world)

    assert told(world) == [f"= {key}" for key in TEN]
    assert read == ["path1 k3"]


def test_a_download_reads_all_of_both_sides_and_believes_no_record(world: World) -> None:
    world.align(TEN)
    read = reads(world)

    assert told(world, download=True) == [f"= {key}" for key in TEN]
    assert sorted(read) == [f"{side} {key}" for side in Side for key in TEN]


def test_rot_that_no_stamp_tells_is_found_by_a_download_alone(world: World) -> None:
    world.align(TEN)
    found = world.stores[TWO]._objects["k3"]
    world.stores[TWO]._objects["k3"] = found._replace(data=b"xxRx")

    assert "= k3" in told(world)
    assert "* k3" in told(world, download=True)


def test_large_contents_are_compared_to_their_ends(world: World) -> None:
    large = "y" * (5 << 19)  # two pieces and a half
    world.align({"last": large, "same": large})
    world.put(TWO, {"last": large[:-1] + "z"})

    assert told(world, download=True) == ["* last", "= same"]


def test_records_of_a_pair_that_goes_by_size_are_not_believed(world: World) -> None:
    by_size = Policy(compare=frozenset({Evidence.SIZE}))
    world.put(ONE, {"k": "one"})
    world.put(TWO, {"k": "two"})
    world.init()
    world.run(resync=True, policy=by_size)

    assert told(world, policy=by_size) == ["* k"]


def test_a_pair_that_was_never_recorded_is_compared_all_the_same(world: World) -> None:
    world.put(ONE, {"a": "1", "b": "2"})
    world.put(TWO, {"a": "1"})

    assert told(world) == ["= a", "+ b"]


def test_nothing_is_changed_and_no_run_is_recorded(world: World) -> None:
    world.align(TEN)
    world.put(ONE, {"k0": "edited"})
    before = world.held(ONE), world.held(TWO), world.state.runs.newest()

    told(world)

    assert (world.held(ONE), world.held(TWO), world.state.runs.newest()) == before


def test_excluded_keys_and_markers_of_folders_are_left_out_as_a_run_leaves_them(world: World) -> None:
    world.hooked[ONE].tree = True
    world.align({"a": "1"})
    world.put(TWO, {"d/": "", "t.tmp": "2"})
    world.put(ONE, {"u.tmp": "3"})

    assert told(world, exclude=("*.tmp",)) == ["= a"]


def test_what_is_out_of_bounds_or_in_a_marked_directory_is_left_out(world: World) -> None:
    world.align({"a": "1", "d/!": "1", "d/z": "1", "e": "12345"})
    world.put(ONE, {"d/!": "2", "d/z": "2", "e": "123456", "f": "2"})
    world.put(TWO, {"d/.nosync": ""})

    bounds = Bounds(max_size=4)
    assert told(world, exclude_if_present=".nosync", policy=Policy(bounds=bounds)) == ["= a", "+ f"]


def test_a_key_that_fails_is_an_error_and_the_others_are_told(world: World) -> None:
    world.align(TEN)
    world.put(ONE, {"k2": "abc", "k3": "abcd"})

    def fail(method: str, key: str) -> None:
        if (method, key) == ("read", "k2"):
            raise Rejected("k2: no leave.")

    world.hooked[ONE].before = fail

    marks = told(world)
    assert marks[2:4] == ["! k2: k2: no leave.", "* k3"]
    assert len(marks) == 10


def test_a_place_that_cannot_be_read_is_told_once_and_nothing_below_it_is_missing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.align({"a": "1", "d/x": "2", "d/y": "3", "z": "4"})
    inner = world.hooked[ONE].inner

    def scan(low: str = "", high: str | None = None) -> list[Item]:
        items: list[Item] = [item for item in inner_scan(low, high) if not item[0].startswith("d/")]
        return sorted([*items, Unreadable("d/", "permission denied.")], key=lambda item: item[0])

    inner_scan: Callable[..., list[Item]] = inner.scan  # type: ignore[assignment]
    monkeypatch.setattr(inner, "scan", scan)

    assert told(world) == ["= a", "= z", "! d/: path1: permission denied."]


def test_a_key_that_changes_while_it_is_compared_is_looked_at_again(world: World) -> None:
    world.align(TEN)
    world.put(ONE, {"k3": "same"})
    once = iter([True])

    def edit(method: str, key: str) -> None:
        if (method, key) == ("read", "k3") and next(once, None):
            world.stores[ONE].put("k3", b"newer")

    world.hooked[ONE].before = edit

    assert "* k3" in told(world)


def test_a_listing_that_breaks_off_tells_of_no_key_that_it_is_missing(world: World) -> None:
    world.align(TEN)

    def fail(method: str, key: str) -> None:
        if method == "scan" and key == "k5":
            raise ListingIncomplete("gone in the middle")

    world.hooked[TWO].before = fail

    with pytest.raises(ListingIncomplete, match="gone in the middle"):
        told(world)


def test_a_pair_of_other_roots_is_refused(world: World) -> None:
    world.align(TEN)
    swapped = {ONE: world.endpoints[TWO], TWO: world.endpoints[ONE]}
    with pytest.raises(UsageError, match="are swapped"):
        list(differences(world.job, swapped, world.state, Deadline(threading.Event(), None)))


def test_a_signal_ends_it(world: World) -> None:
    world.align({f"k{number:04}": "x" for number in range(2 * BATCH)})
    found = differences(world.job, world.endpoints, world.state, Deadline(world.stop, None))
    next(found)
    world.stop.set()
    with pytest.raises(Interrupted):
        list(found)


def test_what_fails_for_a_while_is_asked_again(world: World) -> None:
    world.align(TEN)
    world.put(ONE, {"k3": "abcd"})
    once = iter([True])

    def fail(method: str, key: str) -> None:
        if (method, key) == ("read", "k3") and next(once, None):
            raise Transient("busy")

    world.hooked[ONE].before = fail

    assert "* k3" in told(world)
