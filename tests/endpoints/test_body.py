from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from bisyncer.endpoints.body import PART_SIZE, Parts, content_type, whole
from bisyncer.errors import Changed, Rejected, Transient
from tests.endpoints.contract import BytesSource

SMALL = 1 << 10  # bytes of a part, so that many fit into memory


@pytest.fixture
def parts() -> Iterator[Parts]:
    made = Parts("test")
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
