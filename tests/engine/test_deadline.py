"""A run that takes up no more work once its time is over."""

from __future__ import annotations

import threading

import pytest

from bisyncer.engine import session
from bisyncer.engine.deadline import Deadline
from bisyncer.model import RunOutcome
from tests.world import ONE, TWO, World


class Clock:
    s = 50.0

    def now_s(self) -> float:
        return self.s


def test_without_a_duration_only_a_word_stops() -> None:
    stop = threading.Event()
    until = Deadline(stop, None)
    assert not until.is_set()
    stop.set()
    assert until.is_set()
    assert not until.passed
    assert until.wait(1e9)


def test_the_time_is_over_when_it_is() -> None:
    clock = Clock()
    until = Deadline(threading.Event(), 2_000_000_000, now_s=clock.now_s)
    assert not until.is_set()
    clock.s += 2
    assert until.passed
    assert until.is_set()
    assert until.wait(1e9)


def test_a_run_whose_time_is_over_keeps_what_was_done_and_the_next_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.align({"a": "1"})
    world.put(ONE, {f"k{number:02}": "new" for number in range(40)})
    written = []

    def take_long(method: str, key: str) -> None:
        if method == "write":
            written.append(key)
            if len(written) == 8:
                world.hooked[TWO].before = lambda _method, _key: None
                over.set()

    over = threading.Event()
    world.hooked[TWO].before = take_long

    class Timed(Deadline):
        """A deadline that passes when a test says so."""

        @property
        def passed(self) -> bool:
            return over.is_set()

        def is_set(self) -> bool:
            return over.is_set()

    with monkeypatch.context() as patched:
        patched.setattr(session, "Deadline", Timed)
        summary = world.run()

    assert (summary.outcome, summary.exit_code) == (RunOutcome.INTERRUPTED, 3)
    assert summary.sentence is not None
    assert "max_duration" in summary.sentence
    assert 8 <= len(world.held(TWO)) < 41
    assert world.run().outcome is RunOutcome.SUCCESS
    assert world.held(ONE) == world.held(TWO)


@pytest.mark.parametrize("shard", [1000, 100])
def test_a_stop_is_heard_in_the_middle_of_a_listing_of_unchanged_keys(
    world: World, monkeypatch: pytest.MonkeyPatch, shard: int
) -> None:
    monkeypatch.setattr("bisyncer.engine.planning.KEYS", shard)
    monkeypatch.setattr("bisyncer.engine.scan.BATCH", 5)
    world.align({f"k{number:03}": "1" for number in range(400)})
    listed: list[str] = []

    def stop_soon(method: str, key: str) -> None:
        if method == "scan":
            listed.append(key)
            if len(listed) == 20:
                world.stop.set()

    world.hooked[TWO].before = stop_soon

    summary = world.run()

    assert summary.outcome is RunOutcome.INTERRUPTED
    assert 20 <= len(listed) < 200


def test_what_was_handed_out_and_not_begun_is_not_begun_after_a_stop(world: World) -> None:
    world.align({})
    world.put(ONE, {f"k{number:02}": "new" for number in range(40)})
    begun: list[str] = []

    def stop_at_once(method: str, key: str) -> None:
        if method in {"write", "copy_from"}:
            begun.append(key)
            world.stop.set()

    world.hooked[TWO].before = stop_at_once

    assert world.run(transfers=1).outcome is RunOutcome.INTERRUPTED
    assert len(set(begun)) == 1


def test_no_content_is_read_any_more_after_a_stop(world: World) -> None:
    world.align({})
    for side in (ONE, TWO):
        world.put(side, {f"k{number:02}": f"{number:02} of {side}" for number in range(40)})
    read: list[str] = []

    def stop_at_once(method: str, key: str) -> None:
        if method == "read":
            read.append(key)
            world.stop.set()

    world.hooked[TWO].before = stop_at_once

    assert world.run(transfers=1).outcome is RunOutcome.INTERRUPTED
    assert len(set(read)) <= 1
