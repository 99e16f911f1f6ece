"""Deletions of a run that go in one request, on stores in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from bisyncer.endpoints.memory import MemoryEndpoint
from bisyncer.errors import Rejected, Transient
from bisyncer.job import Limits, Retention
from bisyncer.model import Entry, RunOutcome, Side
from tests.world import ONE, TWO, World, carried_out

KEYS = {f"k{number:02}": f"text {number}" for number in range(40)}


class Batches:
    """How many deletions were asked for at once, and what befalls a request of many."""

    def __init__(self, world: World, side: Side) -> None:
        self.sizes: list[int] = []
        self.befalls: Callable[[Sequence[Entry]], object] = lambda _entries: None
        inner = world.hooked[side].inner
        self.original = inner.delete_many
        inner.delete_many = self  # type: ignore[method-assign]

    def __call__(self, expect: Sequence[Entry]) -> frozenset[str]:
        self.sizes.append(len(expect))
        self.befalls(expect)
        return self.original(expect)


@pytest.fixture
def world(world: World) -> World:
    """A pair without a trash, in step, of which path1 has lost all but one key."""
    world.job = replace(
        world.job, trash=Retention(path1=False, path2=False), limits=Limits(max_delete_percent=None)
    )
    world.align({**KEYS, "z": "stays"})
    world.remove(ONE, *KEYS)
    return world


def calls_of(world: World, side: Side) -> Counter[str]:
    """The calls that one side hears, by method, as they come."""
    heard: Counter[str] = Counter()
    world.hooked[side].before = lambda method, _key: heard.update([method])
    return heard


def test_each_thread_takes_up_its_share_of_the_deletions(world: World) -> None:
    batches = Batches(world, TWO)

    assert carried_out(world.run()) == {"delete-from-path2": 40}

    assert batches.sizes == [10, 10, 10, 10]
    assert world.held(TWO) == {"z": "stays"}


def test_a_store_that_deletes_one_at_a_time_is_asked_for_one_at_a_time(world: World) -> None:
    batches = Batches(world, TWO)
    inner = world.hooked[TWO].inner
    assert isinstance(inner, MemoryEndpoint)
    inner.capabilities = replace(inner.capabilities, deletes_at_once=1)

    assert carried_out(world.run()) == {"delete-from-path2": 40}

    assert batches.sizes == []


def test_what_goes_to_the_trash_is_moved_there_one_by_one(world: World) -> None:
    batches = Batches(world, TWO)

    assert carried_out(world.run(trash=Retention())) == {"delete-from-path2": 40}

    assert batches.sizes == []
    assert len(world.trash(TWO)) == 40


def test_a_key_that_is_there_again_on_the_other_side_is_not_deleted(world: World) -> None:
    def put_back(method: str, key: str) -> None:
        if (method, key) == ("stat", "k03"):
            world.put(ONE, {"k03": "there again"})

    world.hooked[ONE].before = put_back
    world.run()
    world.hooked[ONE].before = lambda _method, _key: None
    world.run()

    assert world.held(ONE) == world.held(TWO) == {"k03": "there again", "z": "stays"}


def test_a_version_that_was_written_meanwhile_stays_and_the_others_go(world: World) -> None:
    Batches(world, TWO).befalls = lambda entries: world.put(TWO, {entries[0].key: "somebody's"})

    world.run()
    world.run()

    assert sorted(world.held(TWO).values()) == ["somebody's"] * 4 + ["stays"]
    assert world.held(ONE) == world.held(TWO)


@pytest.mark.parametrize("error", [Transient("busy"), Rejected("no such request")])
def test_where_a_request_of_many_fails_each_is_deleted_alone(world: World, error: Exception) -> None:
    def fail(_entries: Sequence[Entry]) -> None:
        raise error

    Batches(world, TWO).befalls = fail
    calls = calls_of(world, TWO)

    summary = world.run()

    assert carried_out(summary) == {"delete-from-path2": 40}
    assert not summary.problem_count
    assert calls["delete"] >= 40
    assert world.held(TWO) == {"z": "stays"}


def test_a_request_of_many_whose_answer_is_lost_is_settled_by_looking(world: World) -> None:
    batches = Batches(world, TWO)

    def lose(entries: Sequence[Entry]) -> None:
        batches.original(entries)
        raise Transient("the answer was lost")

    batches.befalls = lose
    summary = world.run(strict=True)

    assert carried_out(summary) == {"delete-from-path2": 40}
    assert not summary.problem_count
    assert world.held(TWO) == {"z": "stays"}


def test_a_run_that_is_told_to_stop_sends_no_request_of_many(world: World) -> None:
    batches = Batches(world, TWO)

    def stop(method: str, key: str) -> None:
        if method == "stat" and key in KEYS:
            world.stop.set()

    world.hooked[ONE].before = stop
    assert world.run().outcome is RunOutcome.INTERRUPTED
    world.stop.clear()
    world.hooked[ONE].before = lambda _method, _key: None

    assert batches.sizes == []
    assert world.held(TWO) == {**KEYS, "z": "stays"}
    assert carried_out(world.run()) == {"delete-from-path2": 40}
