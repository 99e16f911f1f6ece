"""An endpoint around an endpoint, which bears what passes: failures, throttling, cut listings and bodies.

It repeats what does no harm: looks; a listing, from after its last key on; a body, from its last byte on.
Writes, deletions, copies and moves are repeated by the engine, which asks the lease before each of them and
opens the source anew. All that is done for a key waits for its turn, and there are fewer turns when a store
asks for that.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import AbstractContextManager, ExitStack, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from bisyncer.endpoints import ranges
from bisyncer.endpoints.backoff import ATTEMPTS, pause_s, persist
from bisyncer.endpoints.backup_dir import beneath
from bisyncer.endpoints.bandwidth import Bandwidth, Limited
from bisyncer.endpoints.base import Capabilities, Endpoint, NameRules, Probe, Source, Twin, Upload
from bisyncer.endpoints.outline import Folder
from bisyncer.endpoints.pace import Pace
from bisyncer.endpoints.ranges import InRanges, Range, held
from bisyncer.endpoints.readonly import ReadOnlyEndpoint
from bisyncer.errors import ListingIncomplete, NoRanges, Transient
from bisyncer.model import Entry, Item

_NEXT = "\x01"  # the least that a key after another one ends with, since no key has a NUL

T = TypeVar("T")


class ResilientEndpoint:
    """`inner`, asked at a pace it bears; `wait` takes seconds, and says whether the run is to stop.

    `bandwidth` holds for bodies that come from a bucket or go to one.
    """

    def __init__(
        self, inner: Endpoint, pace: Pace, wait: Callable[[float], bool], bandwidth: Bandwidth | None = None
    ) -> None:
        self._inner = inner
        self.heed(pace)
        self._wait = wait
        self._is_bucket = inner.capabilities.names is NameRules.BUCKET
        self._bandwidth = bandwidth if self._is_bucket else None
        self._alone = threading.Lock()  # of the body that comes in ranges
        self._gives_ranges = True  # until the store shows that it doesn't

    @property
    def root(self) -> str:
        """The root of the endpoint inside."""
        return self._inner.root

    @property
    def capabilities(self) -> Capabilities:
        """What the store inside can promise."""
        return self._inner.capabilities

    @property
    def requests(self) -> Mapping[str, int]:
        """Requests by kind; `transient` failed in a way that may pass, `throttled` were too many."""
        return {**self._inner.requests, **self._pace.failures}

    def heed(self, pace: Pace) -> None:
        """Ask at this pace in place of the one before."""
        self._pace = pace
        self._inner.heed(pace)

    def refusal(self, key: str) -> str | None:
        """Why the store inside can never hold `key`."""
        return self._inner.refusal(key)

    def overlaps(self, other: Endpoint) -> bool:
        """Whether one of the two roots is, or lies inside, the other."""
        return self._inner.overlaps(_inside(other))

    def probe(self, *, scratch: bool = False) -> Probe:
        """Asked once: a store that doesn't answer is told at once."""
        return self._inner.probe(scratch=scratch)

    def scan(self, low: str = "", high: str | None = None) -> Iterator[Item]:
        """Yield what the store inside lists; where that breaks off, it goes on after the last key."""
        attempt = 0
        while True:
            try:
                for item in self._inner.scan(low, high):
                    yield item
                    low = item[0] + _NEXT
                    attempt = 0
            except Transient as error:
                self._pace.bear(error)
                attempt += 1
                if attempt == ATTEMPTS or self._wait(pause_s(attempt, error)):
                    raise ListingIncomplete(str(error)) from error
            else:
                return

    def outline(self) -> Sequence[Folder]:
        """The folders of the store inside."""
        return self._inner.outline()

    def stat(self, key: str) -> Entry | None:
        """The entry of `key` as it is now."""
        return persist(lambda: self._once(lambda: self._inner.stat(key)), wait=self._wait)

    def read(
        self, key: str, *, expect: Entry, start: int = 0, stop: int | None = None
    ) -> AbstractContextManager[Source]:
        """Open `key` for reading; where the body breaks off, it goes on after the last byte.

        A large one is read in ranges, of which one that breaks off is fetched again, unless another one is
        already, or a limit is to keep the line even. A store that gives no ranges is asked for whole bodies;
        one that breaks off there raises `Transient`, and is to be read anew.
        """

        def fetched(start: int, stop: int, is_over: Callable[[], bool]) -> Range:
            def fetch() -> Range:
                if is_over():
                    raise CancelledError
                with self._inner.read(key, expect=expect, start=start, stop=stop) as source:
                    return held(source)

            return persist(lambda: self._once(fetch), wait=self._wait)

        def open_at(start: int) -> tuple[AbstractContextManager[Source], Source]:
            def opened() -> tuple[AbstractContextManager[Source], Source]:
                context = self._inner.read(key, expect=expect, start=start, stop=stop)
                return context, context.__enter__()

            return persist(lambda: self._once(opened), wait=self._wait)

        stream = _Resumed(open_at, start, self._goes_on, self._bandwidth)
        in_ranges = self._is_bucket and self._gives_ranges and self._bandwidth is None and stop is None
        if in_ranges and expect.size - start > ranges.SIZE and self._alone.acquire(blocking=False):
            ranged = InRanges(fetched, start, expect.size, lambda: int(self._pace.limit), self._alone)
            return _in_ranges(ranged, stream)
        return stream

    def read_many(self, expect: Sequence[Entry]) -> Generator[bytes | None]:
        """What the store inside has at hand; it takes no request, so no turn either."""
        return self._inner.read_many(expect)

    def write(self, key: str, source: Source, *, expect: Entry | None) -> Entry:
        """Write all of `source`, once."""
        limited = source if self._bandwidth is None else Limited(source, self._bandwidth)
        return self._once(lambda: self._inner.write(key, limited, expect=expect))

    def copy_from(self, source: Endpoint, key: str, *, entry: Entry, expect: Entry | None) -> Entry | None:
        """Copy inside the store, once."""
        inside = _inside(source)
        try:
            return self._once(lambda: self._inner.copy_from(inside, key, entry=entry, expect=expect))
        except Transient as error:
            self._pace.slow(error)  # part of it is asked of the source's store, whose pace has heard of it
            raise

    def move(self, key: str, new_key: str, *, expect: Entry) -> Entry:
        """Move inside the store, once."""
        return self._once(lambda: self._inner.move(key, new_key, expect=expect))

    def keep(self, key: str, new_key: str, *, expect: Entry) -> Twin:
        """Give a second name, once."""
        return self._once(lambda: self._inner.keep(key, new_key, expect=expect))

    def delete(self, key: str, *, expect: Entry) -> None:
        """Delete, once."""
        self._once(lambda: self._inner.delete(key, expect=expect))

    def delete_many(self, expect: Sequence[Entry]) -> frozenset[str]:
        """Delete many, once."""
        return self._once(lambda: self._inner.delete_many(expect))

    def abort(self, upload: Upload) -> None:
        """Take back what a killed run left."""
        persist(lambda: self._once(lambda: self._inner.abort(upload)), wait=self._wait)

    def flush(self) -> None:
        """Return when all that was written would outlast a power cut."""
        self._inner.flush()

    def close(self) -> None:
        """Close the endpoint inside."""
        self._inner.close()

    def _once(self, deed: Callable[[], T]) -> T:
        try:
            with self._pace.turn():
                return deed()
        except NoRanges:
            self._gives_ranges = False
            raise

    def _goes_on(self, attempt: int, error: Transient) -> bool:
        self._pace.bear(error)
        return attempt < ATTEMPTS and not self._wait(pause_s(attempt, error))


@contextmanager
def _in_ranges(ranged: InRanges, stream: _Resumed) -> Iterator[Source]:
    """The body in ranges, or as one stream where the store doesn't give the first range."""
    with ExitStack() as opened:
        try:
            source = opened.enter_context(ranged)
        except NoRanges:
            source = opened.enter_context(stream)
        yield source


class _Resumed:
    """A body that is opened again from its last byte on where it breaks off."""

    entry: Entry
    metadata: Mapping[str, str]
    _source: Source

    def __init__(
        self,
        open_at: Callable[[int], tuple[AbstractContextManager[Source], Source]],
        start: int,
        goes_on: Callable[[int, Transient], bool],
        bandwidth: Bandwidth | None,
    ) -> None:
        self._open_at = open_at
        self._goes_on = goes_on
        self._bandwidth = bandwidth
        self._at = start
        self._opened: AbstractContextManager[Source] | None = None

    def __enter__(self) -> Source:
        self._open()
        self.entry = self._source.entry
        self.metadata = self._source.metadata
        return self if self._bandwidth is None else Limited(self, self._bandwidth)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        opened, self._opened = self._opened, None
        return None if opened is None else opened.__exit__(kind, error, trace)

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes; raises `Transient` where it breaks off at one place for good."""
        attempt = 0
        while True:
            attempt += 1
            try:
                return self._piece(size)
            except Transient as error:
                if not self._goes_on(attempt, error):
                    raise
            self.__exit__(None, None, None)
            self._continue()

    def _open(self) -> None:
        self._opened, self._source = self._open_at(self._at)

    def _continue(self) -> None:
        try:
            self._open()
        except NoRanges as error:
            # From its start on it can be read; no request has failed, of which a pace would hear.
            raise Transient(str(error), heard=True) from None

    def _piece(self, size: int) -> bytes:
        piece = self._source.read(size)
        self._at += len(piece)
        return piece


def _inside(endpoint: Endpoint) -> Endpoint:
    """The store's own endpoint, which another of its kind knows."""
    if isinstance(endpoint, ReadOnlyEndpoint):
        endpoint = endpoint.inner
    if isinstance(endpoint, ResilientEndpoint):
        endpoint = endpoint._inner  # noqa: SLF001 -- of the same class
    return beneath(endpoint)


if TYPE_CHECKING:
    _: type[Endpoint] = ResilientEndpoint
