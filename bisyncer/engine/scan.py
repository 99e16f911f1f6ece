"""List both sides at once: each listing is read ahead on a thread, then filtered and counted.

What waits between the threads is bounded, so memory doesn't follow the length of a listing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import islice
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
        go_on: Callable[[], None] = lambda: None,
    ) -> None:
        """With `directories`, those of a tree are listed; the occupied ones are no keys, and don't count.

        `go_on` is called with each batch, and raises where the listing is to stop.
        """
        self._endpoint = endpoint
        self._side = side
        self._filters = filters
        self._tally = tally
        self._reporter = reporter
        self._directories = directories
        self._marked = marked
        self._go_on = go_on
        self.problems: list[Problem] = []  # places that could not be read
        self.reaching: list[
            Unreadable
        ] = []  # from before a shard into it: these are neither told nor counted
        self._low = ""

    def items(self, shard: Shard, *, ahead: bool = True) -> Generator[Item]:
        """Yield the items of a shard in order; raises `ListingIncomplete`.

        With `ahead`, it is listed on a thread of its own, so that both sides are listed at once.
        """
        listed = _read_ahead if ahead else _read
        self._low = shard.low
        with listed(self._endpoint, shard) as batches:
            items = self.counted(batches)
            yield from self._without_occupied(items) if self._directories else items

    def counted(self, batches: Iterable[list[Item]]) -> Generator[Item]:
        """Yield the items that are in, counted; problems are set aside."""
        scanned, side = self._tally.scanned, self._side
        plain = self._marked is None and not self._filters.any
        for batch in batches:
            self._go_on()
            before = scanned[side]
            if plain and Unreadable not in set(map(type, batch)):
                scanned[side] += len(batch)
                yield from batch
            else:
                yield from self._chosen(batch)
            if scanned[side] // TOLD_EVERY > before // TOLD_EVERY:
                self._reporter.tell(Scanned(side, scanned[side]))
        self._reporter.tell(Scanned(side, scanned[side]))

    def _chosen(self, batch: Iterable[Item]) -> Iterator[Item]:
        marked = self._marked
        excluded = self._filters.excluded if self._filters.any else None
        for item in batch:
            if isinstance(item, Unreadable):
                if not self._filters.hidden(item.prefix):
                    self._note(item)
                    yield item
                continue
            if marked is not None:
                marked.see(item.key)
            if excluded is not None and excluded(item.key):
                continue
            self._tally.scanned[self._side] += 1
            yield item

    def _without_occupied(self, items: Iterable[Item]) -> Iterator[Item]:
        """The items as they are, of which the occupied directories are taken out of the count again."""
        for item in items:
            self._tally.scanned[self._side] -= isinstance(item, Entry) and item.stamp == OCCUPIED
            yield item

    def _note(self, place: Unreadable) -> None:
        if place.prefix < self._low:
            self.reaching.append(place)
        else:
            self.tell(place)

    def tell(self, place: Unreadable) -> None:
        """Tell and count a place."""
        problem = Problem(place.prefix, f"{self._side}: {place.sentence}")
        if place.skipped:
            self._tally.skipped += 1
            self._reporter.tell(SkippedPlace(self._side, problem))
            return
        self._reporter.tell(ProblemFound(self._side, problem))
        self.problems.append(problem)


@contextmanager
def _read(endpoint: Endpoint, shard: Shard) -> Iterator[Iterator[list[Item]]]:
    """List as the batches are asked for."""
    with closing(without_trash(endpoint, shard.low, shard.high)) as batches:
        yield _refused(batches)


@contextmanager
def _read_ahead(endpoint: Endpoint, shard: Shard) -> Iterator[Iterator[list[Item]]]:
    """List on a thread; leaving early stops the thread before this returns."""
    waiting: Queue[_Batch] = Queue(maxsize=AHEAD)
    left = threading.Event()

    def list_all() -> None:
        end: BaseException | None = None
        try:
            with closing(without_trash(endpoint, shard.low, shard.high)) as batches:
                for batch in batches:
                    waiting.put(batch)
                    if left.is_set():
                        return
        except BaseException as error:  # noqa: BLE001 -- raised again on the reader's thread
            end = error
        waiting.put(end)

    thread = threading.Thread(target=list_all, name=f"scan {endpoint.root}", daemon=True)
    thread.start()
    try:
        yield _refused(_taken(waiting))
    finally:
        left.set()
        while thread.is_alive():
            try:  # a full queue would keep the thread from seeing that its reader left
                waiting.get(timeout=0.05)
            except Empty:
                continue
        thread.join()


def without_trash(endpoint: Endpoint, low: str = "", high: str | None = None) -> Generator[list[Item]]:
    """The listing without what runs have put into the trash; what else is there is told, and not synced.

    What a bucket has in its trash isn't listed: at its first name the listing goes on behind it.
    """
    skips = endpoint.capabilities.ordered_listing and low < LAST_FOLDER
    with closing(closable(endpoint.scan(low, high))) as items:
        while batch := list(islice(items, BATCH)):
            # NUL is in no key, so that what is searched for isn't found across two.
            if START not in "\0".join([item[0] for item in batch]):
                yield batch
                continue
            kept, over = _without_reserved(batch, skips=skips)
            yield kept
            if over:
                break
        else:
            return
    if high is None or high > LAST_FOLDER:
        yield from without_trash(endpoint, LAST_FOLDER, high)


def _without_reserved(batch: Iterable[Item], *, skips: bool) -> tuple[list[Item], bool]:
    """What is to be synced of a batch, and whether the trash began, which is to be skipped."""
    kept: list[Item] = []
    for item in batch:
        if item[0] == TRASH:
            kept.append(Unreadable(TRASH, "has the name of bisyncer's trash, and is not synced. Rename it."))
        elif not is_reserved(item[0]):
            kept.append(item)
        elif not item[0].startswith(LOW):
            continue  # a seal, or of a pair whose root lies inside this one
        elif read_name(item[0]) is None:
            sentence = "lies in bisyncer's trash, and is not synced. Move it elsewhere."
            kept.append(Unreadable(item[0], sentence))
        elif skips:
            return kept, True
    return kept, False


def closable(items: Iterator[Item]) -> Generator[Item]:
    """A generator, which can be closed, around what may be any iterator."""
    yield from items


def _taken(waiting: Queue[_Batch]) -> Iterator[list[Item]]:
    while True:
        batch = waiting.get()
        if batch is None:
            return
        if isinstance(batch, BaseException):
            raise batch
        yield batch


def _refused(batches: Iterator[list[Item]]) -> Iterator[list[Item]]:
    """The batches of a listing that fails whole: whatever the store says of it, it is incomplete."""
    try:
        yield from batches
    except ListingIncomplete:
        raise
    except EndpointError as error:
        raise ListingIncomplete(str(error)) from error
