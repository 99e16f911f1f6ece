"""List both sides at once: each listing is read ahead on a thread, then filtered and counted.

What waits between the threads is bounded, so memory doesn't follow the length of a listing.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import chain
from queue import Empty, Queue
from typing import Final

from bisyncer.core.filters import Filters
from bisyncer.core.reserved import START, is_reserved
from bisyncer.core.trash import LAST_FOLDER, LOW, read_name
from bisyncer.endpoints.base import Endpoint
from bisyncer.engine.marked import Marked
from bisyncer.engine.shards import Shard
from bisyncer.errors import EndpointError, ListingIncomplete
from bisyncer.model import OCCUPIED, TRASH, Entry, Item, Problem, Side, Tally, Unreadable
from bisyncer.report.events import ProblemFound, Reporter, Scanned, SkippedPlace

BATCH: Final = 500  # items that change threads at once
AHEAD: Final = 8  # batches that may wait
TOLD_EVERY: Final = 1000  # keys between two words of progress

_Batch = list[Item] | BaseException | None  # None: the listing is whole


class Scan:
    """One side's listing as the plan reads it: without excluded keys, counted, problems set aside."""

    def __init__(
        self,
        endpoint: Endpoint,
        side: Side,
        filters: Filters,
        tally: Tally,
        reporter: Reporter,
        *,
        directories: bool = False,
        marked: Marked | None = None,
    ) -> None:
        """With `directories`, those of a tree are listed; the occupied ones are no keys, and don't count."""
        self._endpoint = endpoint
        self._side = side
        self._filters = filters
        self._tally = tally
        self._reporter = reporter
        self._directories = directories
        self._marked = marked
        self.problems: list[Problem] = []  # places that could not be read
        self._noted: set[str] = set()  # a place may reach into several shards

    def items(self, shard: Shard) -> Generator[Item]:
        """Yield the items of a shard in order; raises `ListingIncomplete`."""
        with _read_ahead(self._endpoint, shard) as batches:
            items = self.counted(chain.from_iterable(batches))
            yield from self._without_occupied(items) if self._directories else items

    def counted(self, items: Iterable[Item]) -> Generator[Item]:
        """Yield the items that are in, counted; problems are set aside."""
        scanned = self._tally.scanned
        marked = self._marked
        excluded = self._filters.excluded if self._filters.any else None
        for item in items:
            if isinstance(item, Unreadable):
                if not self._filters.hidden(item.prefix):
                    self._note(item)
                    yield item
                continue
            if marked is not None:
                marked.see(item.key)
            if excluded is not None and excluded(item.key):
                continue
            scanned[self._side] += 1
            if scanned[self._side] % TOLD_EVERY == 0:
                self._reporter.tell(Scanned(self._side, scanned[self._side]))
            yield item
        self._reporter.tell(Scanned(self._side, scanned[self._side]))

    def _without_occupied(self, items: Iterable[Item]) -> Iterator[Item]:
        """The items as they are, of which the occupied directories are taken out of the count again."""
        for item in items:
            self._tally.scanned[self._side] -= isinstance(item, Entry) and item.stamp == OCCUPIED
            yield item

    def _note(self, place: Unreadable) -> None:
        if place.prefix in self._noted:
            return
        self._noted.add(place.prefix)
        problem = Problem(place.prefix, f"{self._side}: {place.sentence}")
        if place.skipped:
            self._tally.skipped += 1
            self._reporter.tell(SkippedPlace(self._side, problem))
            return
        self._reporter.tell(ProblemFound(self._side, problem))
        self.problems.append(problem)


@contextmanager
def _read_ahead(endpoint: Endpoint, shard: Shard) -> Iterator[Iterator[list[Item]]]:
    """List on a thread; leaving early stops the thread before this returns."""
    batches: Queue[_Batch] = Queue(maxsize=AHEAD)
    left = threading.Event()

    def list_all() -> None:
        end: BaseException | None = None
        try:
            with closing(_without_trash(endpoint, shard.low, shard.high)) as items:
                batch: list[Item] = []
                for item in items:
                    batch.append(item)
                    if len(batch) == BATCH:
                        batches.put(batch)
                        batch = []
                        if left.is_set():
                            return
                batches.put(batch)
        except BaseException as error:  # noqa: BLE001 -- raised again on the reader's thread
            end = error
        batches.put(end)

    thread = threading.Thread(target=list_all, name=f"scan {endpoint.root}", daemon=True)
    thread.start()
    try:
        yield _taken(batches)
    finally:
        left.set()
        while thread.is_alive():
            try:  # a full queue would keep the thread from seeing that its reader left
                batches.get(timeout=0.05)
            except Empty:
                continue
        thread.join()


def _without_trash(endpoint: Endpoint, low: str, high: str | None) -> Generator[Item]:
    """The listing without what runs have put into the trash; what else is there is told, and not synced.

    What a bucket has in its trash isn't listed: at its first name the listing goes on behind it.
    """
    skips = endpoint.capabilities.ordered_listing
    with closing(_closable(endpoint.scan(low, high))) as items:
        for item in items:
            if START not in item[0]:
                yield item
            elif item[0] == TRASH:
                yield Unreadable(TRASH, "has the name of bisyncer's trash, and is not synced. Rename it.")
            elif not is_reserved(item[0]):
                yield item
            elif not item[0].startswith(LOW):
                continue  # a seal, or of a pair whose root lies inside this one
            elif read_name(item[0]) is None:
                yield Unreadable(item[0], "lies in bisyncer's trash, and is not synced. Move it elsewhere.")
            elif skips and low < LAST_FOLDER:
                break
        else:
            return
    if high is None or high > LAST_FOLDER:
        yield from _without_trash(endpoint, LAST_FOLDER, high)


def _closable(items: Iterator[Item]) -> Generator[Item]:
    yield from items  # a generator, which can be closed, around what may be any iterator


def _taken(batches: Queue[_Batch]) -> Iterator[list[Item]]:
    while True:
        batch = batches.get()
        if batch is None:
            return
        if isinstance(batch, ListingIncomplete):
            raise batch
        if isinstance(batch, EndpointError):
            raise ListingIncomplete(str(batch)) from batch
        if isinstance(batch, BaseException):
            raise batch
        yield batch
