"""Large bodies fetched in ranges, some ahead of who reads: one connection is often slower than the line."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Final, NamedTuple

from bisyncer.endpoints.base import Source
from bisyncer.endpoints.body import PART_SIZE
from bisyncer.endpoints.pace import always_in_turn
from bisyncer.errors import NoRanges, Transient
from bisyncer.model import Entry

# SeaweedFS takes twice as much CPU time for ranges of half that size as for one stream.
SIZE: Final = 2 * PART_SIZE  # bytes; a body that is no larger comes in one stream

_MOST: Final = 4  # that are under way or wait to be read, beside the one that is read


class Range(NamedTuple):
    """A range of a body in memory, and what its store said of the whole."""

    entry: Entry
    metadata: Mapping[str, str]
    pieces: deque[bytes]


Fetch = Callable[[int, int, Callable[[], bool]], Range]  # start, stop, and whether nobody waits any more


def held(source: Source) -> Range:
    """All that `source` gives, in the pieces in which it gives it."""
    return Range(source.entry, source.metadata, deque(iter(lambda: source.read(PART_SIZE), b"")))


class InRanges:
    """A body of `size` bytes from byte `start` on, in order, of which some ranges are fetched ahead.

    `fetch` tries again by itself. All ranges are of the version that it expects, so what is read is that
    version. `most` is how many the store bears at a time. `alone` is held and given back at the end: of one
    endpoint one body at a time comes in ranges, which bounds their memory. Others beside it come in a stream
    each, and are connections enough.
    """

    entry: Entry
    metadata: Mapping[str, str]

    def __init__(
        self, fetch: Fetch, start: int, size: int, most: Callable[[], int], alone: threading.Lock
    ) -> None:
        self._fetch = fetch
        self._at = start
        self._size = size
        self._most = most
        self._alone = alone
        self._over = threading.Event()
        # Who reads may hold a turn at another store, whose holders may wait for one at this.
        self._threads = ThreadPoolExecutor(_MOST, "ranges", initializer=always_in_turn)
        self._coming: deque[Future[Range]] = deque()
        self._pieces: deque[bytes] = deque()
        self._piece = memoryview(b"")

    def __enter__(self) -> Source:
        try:
            self.entry, self.metadata, self._pieces = self._next()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give up what was fetched ahead; what is under way ends by itself."""
        self._over.set()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._alone.release()

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes; raises what `fetch` does, and `Transient` for a range that isn't given.

        Other ranges were, so the body is to be read anew, and not to be given up.
        """
        if size < 0:
            return b"".join(iter(lambda: self.read(SIZE), b""))
        while not self._piece:
            if not self._pieces:
                if self._at == self._size and not self._coming:
                    return b""
                try:
                    self._pieces = self._next()[2]
                except NoRanges as error:
                    raise Transient(str(error), heard=True) from None  # no request has failed
            self._piece = memoryview(self._pieces.popleft())
        given, self._piece = self._piece[:size], self._piece[size:]
        return bytes(given)

    def _next(self) -> Range:
        """The range that follows, once the one before was read."""
        most = max(1, min(_MOST, self._most()))
        while self._at < self._size and len(self._coming) < most:
            start, self._at = self._at, min(self._at + SIZE, self._size)
            self._coming.append(self._threads.submit(self._fetch, start, self._at, self._over.is_set))
        return self._coming.popleft().result()
