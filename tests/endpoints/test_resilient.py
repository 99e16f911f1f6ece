"""What passes is borne: by looks, listings and bodies that go on, and by asking for less."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from bisyncer.endpoints import memory
from bisyncer.endpoints.backoff import ATTEMPTS, pause_s
from bisyncer.endpoints.base import Endpoint, Source
from bisyncer.endpoints.memory import MemoryEndpoint
from bisyncer.endpoints.pace import Pace
from bisyncer.endpoints.resilient import ResilientEndpoint
from bisyncer.errors import Changed, EndpointError, ListingIncomplete, Transient
from bisyncer.model import Entry, Item
from tests.endpoints.contract import Behind, BucketContract, BytesSource, keys, now, put, whole
from tests.endpoints.test_memory import MemoryBehind


class Failing(MemoryEndpoint):
    """A store in memory that fails where a test says, each time by taking one off a list."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.failures: dict[str, list[EndpointError | None]] = {}
        self.scans: list[str] = []
        self.starts: list[int] = []
        self.stops: list[int | None] = []

    def _fail(self, what: str) -> None:
        waiting = self.failures.get(what, [])
        if waiting and (failure := waiting.pop(0)) is not None:
            raise failure

    def stat(self, key: str) -> Entry | None:
        self._fail("stat")
        return super().stat(key)

    def scan(self, low: str = "", high: str | None = None) -> Iterator[Entry]:
        self.scans.append(low)
        for entry in super().scan(low, high):
            self._fail("scan")
            yield entry

    @contextmanager
    def read(self, key: str, *, expect: Entry, start: int = 0, stop: int | None = None) -> Iterator[Source]:
        self._fail("open")
        self.starts.append(start)
        self.stops.append(stop)
        with super().read(key, expect=expect, start=start, stop=stop) as source:
            yield _Breaking(source, self)

    def write(self, key: str, source: Source, *, expect: Entry | None) -> Entry:
        self._fail("write")
        return super().write(key, source, expect=expect)


class _Breaking:
    def __init__(self, source: Source, store: Failing) -> None:
        self.entry, self.metadata = source.entry, source.metadata
        self._source = source
        self._store = store

    def read(self, size: int = -1, /) -> bytes:
        self._store._fail("read")
        return self._source.read(size)


class Waits:
    """Takes no time; says that the run goes on, as long as it is to."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.stopped = False

    def __call__(self, seconds: float) -> bool:
        self.seconds.append(seconds)
        return self.stopped


@pytest.fixture
def inner() -> Iterator[Failing]:
    yield Failing("resilient")
    memory.discard("resilient")


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def endpoint(inner: Failing, waits: Waits) -> ResilientEndpoint:
    return ResilientEndpoint(inner, Pace(8, stopped=lambda: False), waits)


class TestResilient(BucketContract):
    @pytest.fixture
    def endpoint(self, inner: Failing, waits: Waits) -> Endpoint:
        return ResilientEndpoint(inner, Pace(8, stopped=lambda: False), waits)

    @pytest.fixture
    def behind(self, inner: Failing) -> Behind:
        return MemoryBehind("resilient")


def test_a_look_that_fails_is_repeated_and_counted(endpoint: ResilientEndpoint, inner: Failing) -> None:
    put(endpoint, "k", b"1")
    inner.failures["stat"] = [Transient("busy"), Transient("slow down", throttled=True)]

    assert now(endpoint, "k").size == 1
    assert endpoint.requests == {"transient": 2, "throttled": 1}


def test_a_look_that_keeps_failing_is_given_up(endpoint: ResilientEndpoint, inner: Failing) -> None:
    inner.failures["stat"] = [Transient("busy")] * ATTEMPTS

    with pytest.raises(Transient, match="busy"):
        endpoint.stat("k")
    assert inner.failures["stat"] == []


def test_a_run_that_is_to_stop_repeats_nothing(
    endpoint: ResilientEndpoint, inner: Failing, waits: Waits
) -> None:
    waits.stopped = True
    inner.failures["stat"] = [Transient("busy"), Transient("busy")]

    with pytest.raises(Transient):
        endpoint.stat("k")
    assert len(inner.failures["stat"]) == 1


def test_a_listing_that_breaks_off_goes_on_after_its_last_key(
    endpoint: ResilientEndpoint, inner: Failing
) -> None:
    names = [f"k{number}" for number in range(6)]
    for name in names:
        put(endpoint, name, b"1")
    inner.failures["scan"] = [None, None, Transient("cut"), Transient("cut"), None, Transient("cut")]

    assert keys(endpoint) == names
    assert inner.scans == ["", "k1\x01", "k1\x01", "k2\x01"]


def test_a_listing_that_breaks_off_at_one_place_for_good_is_incomplete(
    endpoint: ResilientEndpoint, inner: Failing
) -> None:
    put(endpoint, "a", b"1")
    put(endpoint, "b", b"1")
    inner.failures["scan"] = [None, *[Transient("cut")] * ATTEMPTS]
    seen: list[Item] = []

    with pytest.raises(ListingIncomplete, match="cut"):
        seen.extend(endpoint.scan())
    assert len(inner.scans) == ATTEMPTS


def test_a_body_that_breaks_off_goes_on_after_its_last_byte(
    endpoint: ResilientEndpoint, inner: Failing
) -> None:
    entry = put(endpoint, "k", b"0123456789" * 3)
    inner.failures["read"] = [None, None, Transient("cut"), Transient("cut"), None, Transient("cut")]

    assert whole(endpoint, "k", entry) == b"0123456789" * 3
    assert inner.starts == [0, 14, 14, 21]


def test_a_body_whose_version_is_gone_when_it_breaks_off_is_not_joined_with_another(
    endpoint: ResilientEndpoint, inner: Failing
) -> None:
    entry = put(endpoint, "k", b"0123456789")
    inner.failures["read"] = [None, Transient("cut")]

    with endpoint.read("k", expect=entry) as source:
        assert source.read(5) == b"01234"
        memory.store("resilient").put("k", b"9876543210")
        with pytest.raises(Changed):
            source.read(5)


def test_a_body_that_breaks_off_as_it_is_too_much_slows_its_store_down(inner: Failing, waits: Waits) -> None:
    pace = Pace(8)
    endpoint = ResilientEndpoint(inner, pace, waits)
    entry = put(endpoint, "k", b"0123456789")
    inner.failures["read"] = [None, Transient("slow down", throttled=True)]

    assert whole(endpoint, "k", entry) == b"0123456789"
    assert endpoint.requests == {"transient": 1, "throttled": 1}
    assert pace.limit < 6


def test_a_failure_of_the_source_is_not_taken_for_one_of_the_store_that_is_written(
    inner: Failing, waits: Waits
) -> None:
    source, target = (
        ResilientEndpoint(store, Pace(8), waits) for store in (inner, MemoryEndpoint("resilient-target"))
    )
    entry = put(source, "k", b"0123456789")
    inner.failures["read"] = [Transient("slow down", throttled=True) for _ in range(ATTEMPTS)]

    with pytest.raises(Transient), source.read("k", expect=entry) as body:
        target.write("k", body, expect=None)

    assert source.requests == {"transient": ATTEMPTS, "throttled": ATTEMPTS}
    assert target.requests == {}
    memory.discard("resilient-target")


def test_a_write_is_sent_once(endpoint: ResilientEndpoint, inner: Failing) -> None:
    inner.failures["write"] = [Transient("unclear")]

    with pytest.raises(Transient):
        endpoint.write("k", BytesSource(b"1"), expect=None)
    assert keys(endpoint) == []
    assert endpoint.requests["transient"] == 1


def test_the_pause_is_at_least_what_the_store_asks_for() -> None:
    assert all(0 <= pause_s(attempt, Transient("busy")) <= 20 for attempt in range(1, 20))
    assert 7 <= pause_s(1, Transient("slow down", throttled=True, retry_after_s=7)) <= 7.25
    assert pause_s(1, Transient("go away", retry_after_s=1e9)) <= 301


class Clock:
    def __init__(self) -> None:
        self.s = 100.0

    def __call__(self) -> float:
        return self.s


def throttle(pace: Pace, retry_after_s: float | None = None) -> None:
    with pytest.raises(Transient), pace.turn():
        raise Transient("slow down", throttled=True, retry_after_s=retry_after_s)


def test_a_store_that_says_slow_down_is_asked_half_as_much_and_slowly_more_again() -> None:
    clock = Clock()
    pace = Pace(16, stopped=lambda: False, now_s=clock)
    throttle(pace)
    throttle(pace)  # at the same instant: one burst counts once
    assert pace.limit == 8
    for _ in range(10):
        clock.s += 1
        throttle(pace)
    assert pace.limit == 1
    for _ in range(200):
        with pace.turn():
            pass
    assert pace.limit == 16


def test_what_else_is_asked_side_by_side_is_as_much_of_its_most_as_turns_are_and_slowed_with_them() -> None:
    clock = Clock()
    pace = Pace(16, now_s=clock)
    throttle(pace)
    with pace.share(8) as share:
        assert share.limit == 4
        for limit in (2, 1, 1):
            clock.s += 1
            throttle(pace)
            assert share.limit == limit
        with share.turn():
            pass
        assert (share.limit, pace.limit) == (2, 1)
    clock.s += 1
    throttle(pace)
    assert share.limit == 2  # it has ended


def test_a_copy_that_the_store_of_its_source_finds_too_much_slows_copies_down(waits: Waits) -> None:
    heard = Pace(8)

    class Copying(MemoryEndpoint):
        def copy_from(
            self, source: Endpoint, key: str, *, entry: Entry, expect: Entry | None
        ) -> Entry | None:
            error = Transient("slow down", throttled=True)
            heard.bear(error)
            raise error

    pace = Pace(8)
    target = ResilientEndpoint(Copying("resilient-target"), pace, waits)
    entry = put(target, "k", b"1")
    with pytest.raises(Transient):
        target.copy_from(target, "l", entry=entry, expect=None)

    assert (pace.limit, target.requests) == (4, {})
    memory.discard("resilient-target")


def test_other_failures_slow_nothing_down() -> None:
    pace = Pace(16, stopped=lambda: False)
    with pytest.raises(Transient), pace.turn():
        raise Transient("connection reset")
    assert pace.limit == 16


def test_no_more_than_the_limit_are_under_way_at_once() -> None:
    pace = Pace(3, stopped=lambda: False)
    lock, running, most = threading.Lock(), [0], [0]
    together = threading.Barrier(3)

    def ask(_: int) -> None:
        with pace.turn():
            with lock:
                running[0] += 1
                most[0] = max(most[0], running[0])
            together.wait(timeout=60)
            with lock:
                running[0] -= 1

    with ThreadPoolExecutor(9) as pool:
        list(pool.map(ask, range(9)))

    assert most[0] == 3


def test_a_store_that_names_a_time_is_left_alone_until_then() -> None:
    clock = Clock()
    waited: list[float] = []
    pace = Pace(16, stopped=lambda: bool(waited), now_s=clock)
    throttle(pace, retry_after_s=30)

    assert pace._wait_s(pace._turns) > 0
    clock.s += 29
    assert pace._wait_s(pace._turns) == 1
    clock.s += 1
    assert pace._wait_s(pace._turns) == 0


def test_who_holds_a_turn_gets_another_at_once(endpoint: ResilientEndpoint) -> None:
    one, two = Pace(1, stopped=lambda: False), Pace(1, stopped=lambda: False)
    together = threading.Barrier(2)

    def cross(first: Pace, second: Pace) -> None:
        with first.turn():
            together.wait(timeout=60)
            with second.turn(), first.turn():
                pass

    with ThreadPoolExecutor(2) as pool:
        crossing = [pool.submit(cross, one, two), pool.submit(cross, two, one)]
        for each in crossing:
            each.result(timeout=60)


def test_no_store_is_left_alone_for_longer_than_five_minutes() -> None:
    clock = Clock()
    pace = Pace(16, stopped=lambda: False, now_s=clock)
    throttle(pace, retry_after_s=86_400)

    clock.s += 300
    assert pace._wait_s(pace._turns) == 0


def test_a_pause_is_as_long_as_it_is_said_to_be_or_ends_when_all_is_to_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("bisyncer.endpoints.pace.time.sleep", slept.append)

    assert not Pace(8).wait(2.5)
    assert slept == [1, 1, 0.5]
    assert Pace(8, stopped=lambda: len(slept) == 5).wait(300)
    assert len(slept) == 5


def test_whoever_is_to_stop_waits_for_no_turn() -> None:
    pace = Pace(1, stopped=lambda: True)
    throttle(pace, retry_after_s=1e6)
    with pace.turn(), pace.turn():
        pass
