from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import count

import pytest

from bisyncer.endpoints.body import PART_SIZE, Parts, content_type, whole
from bisyncer.endpoints.counts import Requests
from bisyncer.endpoints.pace import Pace
from bisyncer.errors import Changed, Rejected, Transient
from tests.endpoints.contract import BytesSource

SMALL = 1 << 10  # bytes of a part, so that many fit into memory


@pytest.fixture
def requests() -> Requests:
    return Requests()


@pytest.fixture
def parts(requests: Requests) -> Iterator[Parts]:
    made = Parts("test", requests)
    yield made
    made.close()


def test_parts_come_back_in_order_however_they_end(parts: Parts) -> None:
    last_is_sent = threading.Event()

    def part(number: int, data: bytes) -> tuple[int, int]:
        if number == 3:
            last_is_sent.set()
        assert last_is_sent.wait(30)
        return number, len(data)

    sent = parts.send(BytesSource(b"x" * (2 * SMALL + 1)), SMALL, part)

    assert sent == [(1, SMALL), (2, SMALL), (3, 1)]


def test_a_part_that_fails_for_now_is_sent_again_and_no_other(parts: Parts) -> None:
    attempts: list[int] = []

    def part(number: int, _: bytes) -> int:
        attempts.append(number)
        if number == 2 and attempts.count(2) < 3:
            raise Transient("busy", throttled=True, retry_after_s=0.0)
        return number

    assert parts.send(BytesSource(b"x" * (3 * SMALL)), SMALL, part) == [1, 2, 3]
    assert sorted(attempts) == [1, 2, 2, 2, 3]


def test_a_part_that_fails_for_good_ends_those_that_wait(parts: Parts) -> None:
    waiting = threading.Event()
    attempts: list[int] = []

    def part(number: int, _: bytes) -> int:
        attempts.append(number)
        if number == 1:
            waiting.set()
            raise Transient("busy", retry_after_s=300.0)
        assert waiting.wait(30)
        raise Rejected("never")

    with pytest.raises(Rejected, match="never"):
        parts.send(BytesSource(b"x" * (2 * SMALL)), SMALL, part)

    assert attempts.count(1) == 1


def test_a_source_that_changes_ends_those_that_wait(parts: Parts) -> None:
    def part(_number: int, _data: bytes) -> int:
        raise Transient("busy", retry_after_s=300.0)

    with pytest.raises(Changed):
        parts.send(BytesSource(b"x" * (2 * SMALL), breaks_at=SMALL), SMALL, part)


def test_a_part_that_goes_on_failing_is_given_up(parts: Parts) -> None:
    def part(_number: int, _data: bytes) -> int:
        raise Transient("busy", retry_after_s=0.0)

    with pytest.raises(Transient, match="busy"):
        parts.send(BytesSource(b"x" * SMALL), SMALL, part)


def test_after_a_slow_down_fewer_parts_are_sent_at_a_time(parts: Parts, requests: Requests) -> None:
    lock, running, most = threading.Lock(), 0, 0
    together = threading.Barrier(4)
    decided = threading.Event()  # a fifth part waits, or goes

    def waits() -> bool:
        decided.set()
        return False

    def part(number: int, _: bytes) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
            if running > 4:
                decided.set()
        together.wait(30)
        assert decided.wait(30)
        with lock:
            running -= 1
        return number

    requests.pace = pace = Pace(32, stopped=waits)
    pace.failed(throttled=True, retry_after_s=None)

    assert parts.send(BytesSource(b"x" * (8 * SMALL)), SMALL, part) == [*range(1, 9)]
    assert most == 4


@pytest.mark.parametrize("transfers", [1, 16])
def test_parts_are_asked_one_by_one_of_a_store_that_goes_on_saying_slow_down(transfers: int) -> None:
    seconds = count(0.0, 2.0)
    pace = Pace(2 * transfers, now_s=lambda: next(seconds))
    for _ in range(5):
        pace.failed(throttled=True, retry_after_s=None)
    assert (int(pace.limit), int(pace.parts.limit)) == (1, 1)

    for _ in range(40):
        with pace.parts.turn():
            pass
    assert (int(pace.limit), int(pace.parts.limit)) == (1, 8)


def test_the_pace_hears_of_each_part_that_is_too_much(parts: Parts, requests: Requests) -> None:
    attempts: list[int] = []

    def part(number: int, _: bytes) -> int:
        attempts.append(number)
        if attempts.count(number) == 1:
            raise Transient("slow down", throttled=number < 3, retry_after_s=0.0)
        return number

    requests.pace = pace = Pace(32)
    parts.send(BytesSource(b"x" * (3 * SMALL)), SMALL, part)

    assert pace.failures == {"transient": 3, "throttled": 2}
    assert pace.limit < 17


@pytest.mark.parametrize("closed_s", [None, 300.0])
def test_a_part_that_waits_for_its_turn_is_not_sent_after_another_one_failed_for_good(
    parts: Parts, requests: Requests, closed_s: float | None
) -> None:
    waiting = threading.Event()
    attempts: list[int] = []

    def waits() -> bool:
        waiting.set()
        return False

    def part(number: int, _: bytes) -> int:
        attempts.append(number)
        pace.failed(throttled=True, retry_after_s=closed_s)
        assert waiting.wait(30)
        raise Rejected("never")

    requests.pace = pace = Pace(8, stopped=waits)
    pace.parts.limit = 1.0

    with pytest.raises(Rejected, match="never"):
        parts.send(BytesSource(b"x" * (3 * SMALL)), SMALL, part)
    assert len(attempts) == 1


def test_a_run_that_is_to_stop_does_not_wait_until_a_part_may_be_sent_again(
    parts: Parts, requests: Requests
) -> None:
    def part(_number: int, _data: bytes) -> int:
        raise Transient("slow down", throttled=True, retry_after_s=300.0)

    requests.pace = Pace(8, stopped=lambda: True)

    with pytest.raises(Transient, match="slow down"):
        parts.send(BytesSource(b"x" * SMALL), SMALL, part)


def test_memory_is_bounded_and_given_back(parts: Parts) -> None:
    lock = threading.Lock()
    held, most = 0, 0

    def part(number: int, data: bytes) -> int:
        nonlocal held, most
        with lock:
            held += len(data)
            most = max(most, held)
        try:
            if number == 12:
                raise Rejected("never")
            return number
        finally:
            with lock:
                held -= len(data)

    data = b"x" * (12 * PART_SIZE)
    for _ in range(2):
        with pytest.raises(Rejected):
            parts.send(BytesSource(data), PART_SIZE, part)

    assert 0 < most <= 64 << 20


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("a.html", "text/html"),
        ("d.png/a.html", "text/html"),
        ("d.html/a", "application/octet-stream"),
        ("a.html/", "application/octet-stream"),
        (".html", "application/octet-stream"),
        ("..html", "application/octet-stream"),
        (".a.html", "text/html"),
        ("a.2026.html", "text/html"),
        ("a.tar.gz", "application/x-tar"),
        ("data:a.html", "text/html"),
        ("", "application/octet-stream"),
    ],
)
def test_the_end_of_a_name_tells_its_media_type(key: str, kind: str) -> None:
    assert content_type(key) == kind


class _OnePiece(BytesSource):
    """A source that remembers what was asked of it and what it gave."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content, longest=len(content))
        self.gave: list[bytes] = []

    def read(self, size: int = -1, /) -> bytes:
        self.gave.append(super().read(size))
        return self.gave[-1]


def test_a_body_that_comes_in_one_piece_is_held_once(parts: Parts) -> None:
    source = _OnePiece(b"x" * (3 << 20))

    assert whole(source) is source.gave[0]

    source = _OnePiece(b"x" * (2 * PART_SIZE))
    sent = parts.send(source, PART_SIZE, lambda _number, data: data)

    assert all(part is piece for part, piece in zip(sent, source.gave, strict=False))
