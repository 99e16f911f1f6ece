"""Memory doesn't follow the number of keys."""

from __future__ import annotations

import tracemalloc
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bisyncer.engine import session
from bisyncer.engine.deadline import Deadline
from bisyncer.engine.differences import Mark, differences
from bisyncer.model import Algorithm, Digest, Entry, Item, RunOutcome, Side
from bisyncer.report.events import Silent
from bisyncer.state.backup import back_up
from bisyncer.state.verify import verify
from tests.world import World

SHARED = (Digest(Algorithm.MD5, "0" * 32),)


def key(at: int) -> str:
    return f"folder{at // 100:06}/file{at % 100:02}"


def entries(numbers: range) -> Iterator[Entry]:
    for at in numbers:
        yield Entry(key(at), 10, 0, f"stamp{at}", SHARED)


def peak(folder: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """The most memory, in bytes, that an alignment, a run, a check, a backup and a verification hold."""
    folder.mkdir()
    world = World(folder)
    world.init()

    def scan(low: str = "", high: str | None = None) -> Iterator[Item]:
        begin = bisect_left(range(number), low, key=key)
        return entries(range(begin, number if high is None else bisect_left(range(number), high, key=key)))

    for side in Side:
        monkeypatch.setattr(world.hooked[side], "scan", scan)
    tracemalloc.start()
    try:
        for resync in (True, False):
            job = replace(world.job, resync=resync)
            summary = session.run(job, world.endpoints, world.state, Silent(), stop=world.stop)
            assert summary.outcome is RunOutcome.SUCCESS
        assert summary.unchanged == number
        found = differences(world.job, world.endpoints, world.state, Deadline(world.stop, None))
        assert sum(each.mark is Mark.EQUAL for each in found) == number
        back_up(world.state, folder / "backup.db")
        assert verify(world.state).broken == ()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        world.close()


def test_three_times_the_keys_take_no_more_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    peak(tmp_path / "warm", 100, monkeypatch)
    monkeypatch.setattr("bisyncer.engine.planning.KEYS", 500)  # each lane has one in work, in both
    few = peak(tmp_path / "few", 5_000, monkeypatch)
    many = peak(tmp_path / "many", 15_000, monkeypatch)

    assert many < 1.2 * few + 300_000
