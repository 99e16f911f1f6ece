"""A bandwidth limit, by its timetable."""

from __future__ import annotations

import time

import pytest

from bisyncer.endpoints import memory
from bisyncer.endpoints.bandwidth import Bandwidth, limit_at
from bisyncer.endpoints.memory import MemoryEndpoint
from bisyncer.endpoints.pace import Pace
from bisyncer.endpoints.resilient import ResilientEndpoint
from bisyncer.job import Limit
from tests.endpoints.contract import put, whole

OFFICE = (Limit(None, 8 * 60, 1000), Limit(None, 20 * 60, None))
WEEK = (Limit(0, 0, 512), Limit(4, 23 * 60 + 59, 10_000), Limit(5, 10 * 60, 1_000), Limit(6, 20 * 60, None))


@pytest.mark.parametrize(
    ("timetable", "weekday", "minute", "allowed"),
    [
        ((), 0, 0, None),
        ((Limit(None, 0, 7),), 3, 1000, 7),
        (OFFICE, 2, 8 * 60 - 1, None),
        (OFFICE, 2, 8 * 60, 1000),
        (OFFICE, 2, 20 * 60 - 1, 1000),
        (OFFICE, 2, 20 * 60, None),
        (WEEK, 0, 0, 512),
        (WEEK, 4, 23 * 60 + 58, 512),
        (WEEK, 4, 23 * 60 + 59, 10_000),
        (WEEK, 5, 9 * 60, 10_000),
        (WEEK, 6, 0, 1_000),
        (WEEK, 6, 23 * 60, None),
    ],
)
def test_the_last_line_that_began_is_what_counts(
    timetable: tuple[Limit, ...], weekday: int, minute: int, allowed: int | None
) -> None:
    assert limit_at(timetable, weekday, minute) == allowed


class Clock:
    """A clock that only waiting moves."""

    def __init__(self) -> None:
        self.s = 1000.0

    def wait(self, seconds: float) -> bool:
        self.s += seconds
        return False

    def now_s(self) -> float:
        return self.s

    def local_time(self) -> time.struct_time:
        return time.struct_time((2026, 11, 25, 9, 0, 0, 2, 329, 0))


@pytest.fixture
def clock() -> Clock:
    return Clock()


def limited(clock: Clock, rate: int | None) -> Bandwidth:
    return Bandwidth((Limit(None, 0, rate),), clock.wait, now_s=clock.now_s, local_time=clock.local_time)


def test_bytes_take_their_time(clock: Clock) -> None:
    bandwidth = limited(clock, 1000)
    for _ in range(11):
        bandwidth.take(500)

    assert clock.s == 1005


def test_where_there_is_no_limit_nothing_waits(clock: Clock) -> None:
    limited(clock, None).take(10**12)

    assert clock.s == 1000


def test_what_comes_from_a_bucket_and_goes_to_one_is_limited(clock: Clock) -> None:
    inner = MemoryEndpoint("limited")
    endpoint = ResilientEndpoint(inner, Pace(8, stopped=lambda: False), clock.wait, limited(clock, 100_000))
    data = b"0123456789" * 30_000

    entry = put(endpoint, "k", data)
    sent_s = clock.s - 1000
    assert whole(endpoint, "k", entry) == data
    received_s = clock.s - 1000 - sent_s
    memory.discard("limited")

    # The first piece goes at once, so each way takes a little less than 3 s.
    assert 2 < sent_s < 3.1
    assert 2 < received_s < 3.1
