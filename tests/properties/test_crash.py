"""Every crash point of a set of scenarios.

Each scenario is run once to count the calls that it makes to the stores and to the state. Then it is run
again for every one of them, and dies right before it, or right after it took effect. Whatever the point:
the next run needs no help, both sides end as they would have without the crash, nothing is planned after
that, and each version that stood before the first run is there or in the trash. A second crash at the same
point of the recovering run changes none of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from bisyncer.endpoints.base import Endpoint, Source
from bisyncer.endpoints.memory import MemoryEndpoint
from bisyncer.job import Policy, Resolve
from bisyncer.model import Entry, Side
from bisyncer.state.actions import Actions
from bisyncer.state.agreed import AgreedRows
from bisyncer.state.conflicts import Conflicts
from bisyncer.state.seals import Seals
from bisyncer.state.store import Store
from tests.world import ONE, TWO, World

BASE = {f"k{number}": "x" * (number + 1) for number in range(10)}


def nothing(_: World) -> None:
    """Both sides as they were."""


def new_files(world: World) -> None:
    world.put(ONE, {"n1": "new in one", "d/n2": "also"})
    world.put(TWO, {"n3": "new in two", "e/f/n4": "also there"})


def edits(world: World) -> None:
    world.put(ONE, {"k0": "edited in one"})
    world.put(TWO, {"k1": "edited in two"})


def deletions(world: World) -> None:
    world.remove(ONE, "k0", "k1")
    world.remove(TWO, "k2")


def both_deleted(world: World) -> None:
    world.remove(ONE, "k0")
    world.remove(TWO, "k0")


def same_edit(world: World) -> None:
    world.put(ONE, {"k0": "the same"})
    world.put(TWO, {"k0": "the same"})


def conflict(world: World) -> None:
    world.put(ONE, {"k0": "written in one"})
    world.put(TWO, {"k0": "then in two"})


def two_conflicts(world: World) -> None:
    conflict(world)
    world.put(TWO, {"k1": "written in two, first"})
    world.put(ONE, {"k1": "then in one"})


def new_against_new(world: World) -> None:
    world.put(ONE, {"n": "made in one"})
    world.put(TWO, {"n": "then made in two"})


def edit_against_delete(world: World) -> None:
    world.put(ONE, {"k0": "edited"})
    world.remove(TWO, "k0")
    world.remove(ONE, "k1")
    world.put(TWO, {"k1": "edited"})


def renames(world: World) -> None:
    for side, old, new in ((ONE, "k0", "r0"), (TWO, "k1", "d/r1")):
        world.rename(side, old, new)
    world.put(ONE, {"r2": BASE["k2"]})  # and one whose time is not that of what went away
    world.remove(ONE, "k2")


def touched(world: World) -> None:
    world.hooked[ONE].tree = True
    world.touch(ONE, "k0")
    world.put(ONE, {"k1": "yy"})
    world.touch(ONE, "k2")
    world.remove(TWO, "k2")


def everything(world: World) -> None:
    new_files(world)
    edits(world)
    world.remove(ONE, "k2")
    world.remove(TWO, "k3")
    world.put(ONE, {"k4": "written in one"})
    world.put(TWO, {"k4": "then in two"})


SCENARIOS: tuple[Callable[[World], None], ...] = (
    new_files,
    edits,
    deletions,
    both_deleted,
    same_edit,
    conflict,
    two_conflicts,
    new_against_new,
    edit_against_delete,
    renames,
    touched,
    everything,
)
STATE_CALLS = (
    (Store, "begin_run"),
    (Actions, "spool"),
    (Actions, "amend"),
    (AgreedRows, "spool"),
    (Store, "agree"),
    (Store, "begin_alignment"),
    (Seals, "note"),
    (Store, "record"),
    (Store, "settle"),
    (Store, "commit"),
    (Conflicts, "settle"),
    (Store, "record_mode"),
    (Store, "end_run"),
)


class Crash(BaseException):
    """The process is gone."""


class Forgetful(MemoryEndpoint):
    """A store that holds what was done to it in a cache, in order, until it is flushed."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._cached: list[tuple[dict[str, Any], dict[str, Any]]] = []

    def write(self, key: str, source: Source, *, expect: Entry | None) -> Entry:
        with self._noted():
            return super().write(key, source, expect=expect)

    def copy_from(self, source: Endpoint, key: str, *, entry: Entry, expect: Entry | None) -> Entry | None:
        with self._noted():
            return super().copy_from(source, key, entry=entry, expect=expect)

    def move(self, key: str, new_key: str, *, expect: Entry) -> Entry:
        with self._noted():
            return super().move(key, new_key, expect=expect)

    def delete(self, key: str, *, expect: Entry) -> None:
        with self._noted():
            super().delete(key, expect=expect)

    def flush(self) -> None:
        self._cached.clear()

    def cut_power(self, kept: int = 0) -> None:
        """Lose what is in the cache but for the first deeds, so many, which have reached the disk."""
        for before, after in reversed(self._cached[kept:]):
            for key in before.keys() | after.keys():
                if before.get(key) is not after.get(key):
                    self._restore(key, before.get(key))
        self._cached.clear()

    def _restore(self, key: str, held: Any) -> None:
        self._store._objects.pop(key, None)
        if held is not None:
            self._store._objects[key] = held

    @contextmanager
    def _noted(self) -> Iterator[None]:
        before = dict(self._store._objects)
        yield
        self._cached.append((before, dict(self._store._objects)))


class Points:
    """Counts the calls of a run, and crashes at the one that is asked for."""

    def __init__(self, crash_at: int | None = None) -> None:
        self.crash_at = crash_at
        self.passed = 0

    def step(self, *_: object) -> None:
        if self.crash_at is not None and self.passed >= self.crash_at:
            raise Crash  # also for all calls that other threads make later: the process is gone
        self.passed += 1


def run(world: World, points: Points, monkeypatch: pytest.MonkeyPatch, **changes: object) -> None:
    """Run with every call to the stores and the state counted; a crash opens the state anew."""

    def counted(room: type, name: str) -> Callable[..., Any]:
        original = getattr(room, name)

        def call(self: object, *words: object, **named: object) -> Any:
            points.step()
            result = original(self, *words, **named)
            points.step()
            return result

        return call

    with monkeypatch.context() as patched:
        for room, name in STATE_CALLS:
            patched.setattr(room, name, counted(room, name))
        for side in Side:
            world.hooked[side].before = points.step
            world.hooked[side].after = points.step
        try:
            world.run(transfers=1, **changes)
        except Crash:
            world.reopen_state()
    for side in Side:
        world.hooked[side].before = world.hooked[side].after = lambda _method, _key: None


@pytest.fixture
def worlds(tmp_path: Path) -> Iterator[Callable[[], World]]:
    made: list[World] = []

    def make() -> World:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(World(folder))
        return made[-1]

    yield make
    for world in made:
        world.close()


@pytest.fixture
def aligned(tmp_path: Path) -> Iterator[Callable[[], World]]:
    """Makes worlds whose sides were aligned; each closes the one before."""
    folders = (tmp_path / f"aligned{number}" for number in count())
    folder = next(folders)
    folder.mkdir()
    last = World(folder)
    last.align(BASE)
    saved = last.saved()

    def make() -> World:
        nonlocal last
        last.close()
        folder = next(folders)
        folder.mkdir()
        last = World.begun_at(saved, folder)
        return last

    yield make
    last.close()


def without_crash(
    aligned: Callable[[], World], change: Callable[[World], None]
) -> tuple[dict[str, str], int]:
    """The end of a scenario, and how many points it has."""
    world = aligned()
    change(world)
    points = Points()
    with pytest.MonkeyPatch.context() as patched:
        run(world, points, patched)
    assert world.held(ONE) == world.held(TWO)
    return world.held(ONE), points.passed


@pytest.mark.parametrize("change", SCENARIOS, ids=lambda change: change.__name__)
def test_a_crash_at_any_point_costs_nothing_but_the_next_run(
    change: Callable[[World], None], aligned: Callable[[], World], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, number = without_crash(aligned, change)
    assert number > 20
    met = {key for key in expected if f"{key}.conflict1" in expected}

    for point in range(number):
        world = aligned()
        change(world)
        stood = {*world.held(ONE).values(), *world.held(TWO).values()}
        run(world, Points(point), monkeypatch)
        run(world, Points(point), monkeypatch)
        world.run()

        assert world.held(ONE) == world.held(TWO) == expected, f"crash at {point} of {number}"
        told = [(conflict.key, conflict.beside) for conflict in world.conflicts()]
        assert sorted(told) == sorted((key, f"{key}.conflict1") for key in met), f"crash at {point}"
        trashed = {*world.trash(ONE).values(), *world.trash(TWO).values()}
        assert stood <= {*expected.values(), *trashed}, f"crash at {point} of {number}"
        assert world.plan() == [], f"crash at {point} of {number}"
        assert world.state.problems.told("p") == []


@pytest.mark.parametrize(
    "change", [renames, edit_against_delete, everything], ids=lambda change: change.__name__
)
def test_a_power_cut_at_any_point_that_takes_what_no_store_has_flushed_costs_nothing_but_the_next_run(
    change: Callable[[World], None], aligned: Callable[[], World], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, number = without_crash(aligned, change)

    for point in range(number + 1):
        world = aligned()
        change(world)
        sides = [Forgetful(world.hooked[side].root.removeprefix("memory://")) for side in Side]
        for side, store in zip(Side, sides, strict=True):
            world.hooked[side].inner = store
        stood = {*world.held(ONE).values(), *world.held(TWO).values()}
        run(world, Points(point), monkeypatch)
        for store in sides:
            store.cut_power(kept=point % 3)
        world.run()

        assert world.held(ONE) == world.held(TWO) == expected, f"cut at {point} of {number}"
        trashed = {*world.trash(ONE).values(), *world.trash(TWO).values()}
        assert stood <= {*expected.values(), *trashed}, f"cut at {point} of {number}"
        assert world.plan() == [], f"cut at {point} of {number}"


@pytest.mark.parametrize("resync_again", [False, True])
def test_a_crash_at_any_point_of_a_first_alignment_leaves_what_any_run_can_finish(
    worlds: Callable[[], World], monkeypatch: pytest.MonkeyPatch, resync_again: bool
) -> None:
    one = {"a": "only in one", "both": "the same", "d/c": "collides"}
    two = {"b": "only in two", "both": "the same", "d/c": "collides otherwise"}
    whole = worlds()
    whole.align(one, two)
    points = Points()
    counting = worlds()
    counting.put(ONE, one)
    counting.put(TWO, two)
    counting.init()
    run(counting, points, monkeypatch, resync=True)

    for point in range(points.passed):
        world = worlds()
        world.put(ONE, one)
        world.put(TWO, two)
        world.init()
        run(world, Points(point), monkeypatch, resync=True)
        pair = world.state.pair("p")
        assert pair is not None
        world.run(resync=resync_again or pair.aligned_ns is None)

        assert world.held(ONE) == world.held(TWO) == whole.held(ONE), f"crash at {point}"
        assert world.plan() == [], f"crash at {point}"


def test_a_crash_at_any_point_of_a_resync_that_replaces_losers_loses_no_version_and_deletes_nothing(
    worlds: Callable[[], World], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = {"a": "only in one", "d/c": "of one"}
    two = {"d/c": "of the two"}
    policy = Policy(resync_mode=Resolve.PATH1)

    def begun() -> World:
        world = worlds()
        world.put(ONE, one)
        world.put(TWO, two)
        world.init()
        return world

    counting, points = begun(), Points()
    run(counting, points, monkeypatch, resync=True, policy=policy)
    assert counting.held(ONE) == counting.held(TWO) == one

    for point in range(points.passed):
        world = begun()
        run(world, Points(point), monkeypatch, resync=True, policy=policy)
        pair = world.state.pair("p")
        assert pair is not None
        resync_again = point % 2 == 0 or pair.aligned_ns is None
        world.run(resync=resync_again, policy=policy)

        assert world.held(ONE) == world.held(TWO), f"crash at {point}"
        assert set(one) <= set(world.held(ONE)), f"crash at {point}"
        everything = {*world.held(ONE).values(), *world.trash(ONE).values(), *world.trash(TWO).values()}
        assert everything >= {*one.values(), *two.values()}, f"crash at {point}"
        assert world.plan() == [], f"crash at {point}"
        if resync_again:
            assert world.held(ONE) == one, f"crash at {point}"
