"""How many keys a scan has come to, added up over its shards, whichever process lists them."""

from __future__ import annotations

import mmap
import threading
from collections import Counter
from collections.abc import Mapping
from typing import Final

from bisyncer.model import Side
from bisyncer.report.events import Event, Reporter, Scanned

_SIDES: Final = tuple(Side)
_SHARDS: Final = 4096  # of forty million keys; others share numbers with these, and progress is less exact


class InWork:
    """Keys listed of the shards that processes have in work, in memory that these share once they are forked.

    Each number is written by the lane that has the shard, and at the end by the run.
    """

    def __init__(self) -> None:
        self._keys = memoryview(mmap.mmap(-1, 8 * len(_SIDES) * _SHARDS)).cast("Q")

    def put(self, shard: int, side: Side, keys: int) -> None:
        """The listing of a shard has come to so many keys."""
        self._keys[_SIDES.index(side) * _SHARDS + shard % _SHARDS] = keys

    def end(self, shard: int) -> None:
        """A shard isn't in work any more, whatever came of it."""
        for side in _SIDES:
            self.put(shard, side, 0)

    def keys(self, side: Side) -> int:
        """The keys of a side that are listed of all of them."""
        begin = _SIDES.index(side) * _SHARDS
        return sum(self._keys[begin : begin + _SHARDS])


class Counting:
    """Adds up for a Reporter what is scanned on several lanes; safe between threads.

    `in_work` has what processes have listed of shards that haven't ended.
    """

    def __init__(self, reporter: Reporter, in_work: InWork | None = None) -> None:
        self._reporter = reporter
        self._in_work = in_work
        self._lock = threading.Lock()
        self._scanned: Counter[Side] = Counter()
        self._told: Counter[Side] = Counter()

    def lane(self) -> Reporter:
        """The reporter of one shard."""
        return _Lane(self)

    def add(self, scanned: Mapping[Side, int]) -> None:
        """So many more keys of each side have been listed."""
        with self._lock:
            self._scanned.update(scanned)
            self._tell()

    def end(self, shard: int, scanned: Mapping[Side, int]) -> None:
        """A process has ended a shard, in which it has listed so many keys; none where it failed."""
        with self._lock:
            if self._in_work is not None:
                self._in_work.end(shard)
            self._scanned.update(scanned)
            self._tell()

    def look(self) -> None:
        """Tell how far processes have come meanwhile."""
        with self._lock:
            self._tell()

    def tell(self, event: Event) -> None:
        """Pass on an event."""
        with self._lock:
            self._reporter.tell(event)

    def _tell(self) -> None:
        for side in Side:
            keys = self._scanned[side] + (0 if self._in_work is None else self._in_work.keys(side))
            if keys > self._told[side]:  # a shard that failed is listed once more
                self._told[side] = keys
                self._reporter.tell(Scanned(side, keys))


class _Lane:
    """The reporter of one shard: the keys that it tells of are added to those of the others.

    What a second attempt at the shard finds as the first one did is told once.
    """

    def __init__(self, counting: Counting) -> None:
        self._counting = counting
        self._scanned: Counter[Side] = Counter()
        self._told: set[Event] = set()

    def tell(self, event: Event) -> None:
        if isinstance(event, Scanned):
            more = event.keys - self._scanned[event.side]
            if more > 0:
                self._scanned[event.side] = event.keys
                self._counting.add({event.side: more})
        elif event not in self._told:
            self._told.add(event)
            self._counting.tell(event)
