from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from queue import SimpleQueue

import pytest

from bisyncer.endpoints.memory import discard, store
from bisyncer.endpoints.pace import Pace
from bisyncer.endpoints.ranges import SIZE, Fetch, InRanges, Range
from bisyncer.endpoints.resilient import ResilientEndpoint
from bisyncer.errors import Changed, NoRanges, Transient
from bisyncer.model import Entry
from tests.endpoints.contract import put
from tests.endpoints.test_resilient import Failing, Waits

MOST = 4  # ranges that are fetched ahead
MANY = 20
ENTRY = Entry("k", MANY * SIZE, 0, "v1")
LARGER = bytes(range(256)) * (2 * SIZE // 256) + b"end"


@pytest.fixture
def inner() -> Iterator[Failing]:
    yield Failing("ranges")
    discard("ranges")


def resilient(inner: Failing, width: int = 8) -> ResilientEndpoint:
    return ResilientEndpoint(inner, Pace(width, stopped=lambda: False), Waits())


def reading(fetch: Fetch, most: int = MOST) -> InRanges:
    alone = threading.Lock()
    assert alone.acquire(blocking=False)
    return InRanges(fetch, 0, ENTRY.size, lambda: most, alone)


def number(start: int, _stop: int, _is_over: Callable[[], bool]) -> Range:
    """A range that says which one it is; its size is nothing that matters here."""
    return Range(ENTRY, {}, deque([b"%02d" % (start // SIZE)]))


ALL = b"".join(b"%02d" % at for at in range(MANY))


def test_a_large_body_comes_in_ranges_and_any_other_in_one_stream(inner: Failing) -> None:
    endpoint = resilient(inner)
    for data, starts in (
        (LARGER, [0, SIZE, 2 * SIZE]),
        (LARGER[:SIZE], [0]),
    ):
        entry = put(inner, "k", data, inner.stat("k"))
        inner.starts.clear()
        with endpoint.read("k", expect=entry) as source:
            assert source.entry == entry
            assert source.read() == data
        assert sorted(inner.starts) == starts


def test_a_body_that_is_continued_comes_in_ranges_from_there_on(inner: Failing) -> None:
    entry = put(inner, "k", b"x" + LARGER)

    with resilient(inner).read("k", expect=entry, start=1) as source:
        assert source.read() == LARGER


def test_a_range_that_fails_is_fetched_again_and_no_other(inner: Failing) -> None:
    entry = put(inner, "k", LARGER)
    inner.failures["open"] = [None, Transient("cut"), Transient("cut")]
    endpoint = resilient(inner)

    with endpoint.read("k", expect=entry) as source:
        assert source.read() == LARGER
    assert sorted(inner.starts) == [0, SIZE, 2 * SIZE]
    assert endpoint.requests["transient"] == 2


def test_a_range_that_breaks_off_is_fetched_again_whole(inner: Failing) -> None:
    entry = put(inner, "k", LARGER)
    inner.failures["read"] = [Transient("cut")]

    with resilient(inner).read("k", expect=entry) as source:
        assert source.read() == LARGER
    assert len(inner.starts) == 4


def test_a_range_that_goes_on_failing_fails_the_body(inner: Failing) -> None:
    entry = put(inner, "k", LARGER)
    inner.failures["open"] = [None] + [Transient("gone")] * 99

    with pytest.raises(Transient, match="gone"), resilient(inner).read("k", expect=entry) as source:
        source.read()


def test_a_body_of_which_a_later_range_is_not_given_is_read_anew_in_one_stream(inner: Failing) -> None:
    entry = put(inner, "k", LARGER)
    inner.failures["open"] = [None, NoRanges("whole")]
    endpoint = resilient(inner, width=1)

    with endpoint.read("k", expect=entry) as source:
        assert source.read(1) == LARGER[:1]
        with pytest.raises(Transient, match="whole"):
            source.read()
    inner.starts.clear()
    with endpoint.read("k", expect=entry) as source:
        assert source.read() == LARGER
    assert (inner.starts, inner.stops[-1]) == ([0], None)


def test_a_body_that_changes_between_two_ranges_has_no_end(inner: Failing) -> None:
    entry = put(inner, "k", LARGER)

    with resilient(inner, width=1).read("k", expect=entry) as source:
        assert source.read(1) == LARGER[:1]
        store("ranges").put("k", bytes(len(LARGER)))
        with pytest.raises(Changed):
            source.read()


def test_a_body_that_changed_before_its_first_range_is_not_opened(inner: Failing) -> None:
    entry = put(inner, "k", LARGER)
    store("ranges").put("k", bytes(len(LARGER)))

    with pytest.raises(Changed), resilient(inner).read("k", expect=entry):
        pass


@pytest.mark.parametrize("most", [0, 1, 3, MOST])
def test_ranges_come_in_order_however_many_are_fetched_ahead(most: int) -> None:
    with reading(number, most) as source:
        assert source.read() == ALL
        assert source.read(1) == b""


def test_no_more_are_fetched_ahead_than_there_is_memory_for() -> None:
    fetched: SimpleQueue[int] = SimpleQueue()

    def fetch(start: int, stop: int, is_over: Callable[[], bool]) -> Range:
        fetched.put(start)
        return number(start, stop, is_over)

    with reading(fetch, most=99) as source:
        first = [fetched.get(timeout=30) for _ in range(MOST)]
        assert sorted(first) == [at * SIZE for at in range(MOST)]
        assert fetched.empty()
        assert source.read(2) + source.read(2) == b"0001"
        assert fetched.get(timeout=30) == MOST * SIZE
        assert fetched.empty()


def test_of_one_endpoint_one_body_at_a_time_comes_in_ranges(inner: Failing) -> None:
    entry = put(inner, "k", LARGER)
    endpoint = resilient(inner)

    with endpoint.read("k", expect=entry) as first:
        with endpoint.read("k", expect=entry) as second:
            assert second.read() == LARGER
        assert first.read() == LARGER
    assert inner.stops.count(None) == 1
    with endpoint.read("k", expect=entry) as third:
        assert third.read() == LARGER
    assert inner.stops.count(None) == 1


def test_a_body_that_could_not_be_opened_keeps_no_other_from_coming_in_ranges(inner: Failing) -> None:
    stale = put(inner, "k", LARGER)
    entry = put(inner, "k", LARGER, stale)
    endpoint = resilient(inner)

    with pytest.raises(Changed), endpoint.read("k", expect=stale):
        pass
    with endpoint.read("k", expect=entry) as source:
        assert source.read() == LARGER
    assert None not in inner.stops


def test_what_nobody_waits_for_any_more_is_not_tried_again() -> None:
    told: SimpleQueue[bool] = SimpleQueue()
    go_on = threading.Event()

    def fetch(start: int, stop: int, is_over: Callable[[], bool]) -> Range:
        if start:
            go_on.wait(30)
            told.put(is_over())
        return number(start, stop, is_over)

    with reading(fetch) as source:
        source.read(1)
    go_on.set()
    assert all(told.get(timeout=30) for _ in range(MOST - 1))
