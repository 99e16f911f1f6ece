"""The trash of each side: what a run replaces or deletes goes there, by a move or a second name in the store.

A version is in the trash before another one takes its place, so a crash at any point leaves it there or where
it was. What can't be kept isn't replaced and isn't deleted either.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import NamedTuple

from bisyncer.core.compare import by_digest
from bisyncer.core.trash import HIGH, LOW, Trashed, names, older, read_name
from bisyncer.endpoints.base import Endpoint, NameRules, Probe, Twin
from bisyncer.engine.scan import closable
from bisyncer.engine.transfer import content
from bisyncer.errors import Changed, EndpointError, Rejected
from bisyncer.job import Retention
from bisyncer.model import Agreement, Entry, Item, Side

_BATCH = 256  # versions purged between two questions whether to stop, or ...
_REQUESTS = 4  # ... as many as so many requests delete, where one deletes many


class Trash:
    """The trash of one side, as one run fills it; `folder` is the run's own."""

    def __init__(self, endpoint: Endpoint, folder: str) -> None:
        self._endpoint = endpoint
        self._folder = folder

    def take(self, entry: Entry) -> str:
        """Move the version `entry` into the trash, and return its name there; raises as a deletion does."""
        for name in self._names(entry):
            try:
                self._endpoint.move(entry.key, name, expect=entry)
            except Rejected:
                twin = self.keep(entry)  # to another place: what can't be moved may be copied
            except Changed:
                if (there := self._held(name, entry)) is None:
                    continue
                twin = Twin(entry, there, found=True)
            else:
                return name
            return self._delete(twin)
        raise AssertionError("the names never end")

    def _delete(self, twin: Twin) -> str:
        """Delete a version that has a second name, which is returned; where that is refused, take it back."""
        try:
            self._endpoint.delete(twin.entry.key, expect=twin.entry)
        except Rejected:  # as it is in every run, each of which would leave a copy more
            self.take_back(twin)
            raise
        return twin.copy.key

    def keep(self, entry: Entry) -> Twin:
        """Keep the version `entry`, which is about to be replaced."""
        for name in self._names(entry):
            try:
                return self._endpoint.keep(entry.key, name, expect=entry)
            except Changed:
                if (there := self._held(name, entry)) is not None:
                    return Twin(entry, there, found=True)
        raise AssertionError("the names never end")

    def take_back(self, twin: Twin) -> None:
        """Delete the second name of a version that was not replaced, if it is still at the first.

        Not one that was found: the attempt that made it may yet replace the version.
        """
        if twin.found:
            return
        with suppress(EndpointError):  # what stays is only a second copy, and goes when its time is over
            with self._endpoint.read(twin.entry.key, expect=twin.entry):
                pass
            self._endpoint.delete(twin.copy.key, expect=twin.copy)

    def _names(self, entry: Entry) -> Iterator[str]:
        return names(self._folder, entry.key, lambda name: self._endpoint.refusal(name) is None)

    def _held(self, name: str, entry: Entry) -> Entry | None:
        """What has the name, if it is that very version, as an attempt that failed half-way leaves it.

        Raises `Changed` where nothing has the name: then it is the key that isn't as expected.
        """
        there = self._endpoint.stat(name)
        if there is None:
            raise Changed(f"{entry.key}: changed before it was kept in the trash. Run again.")
        if there.size != entry.size:
            return None
        agreement = by_digest(there.digests, entry.digests)
        if agreement is Agreement.UNKNOWN:
            agreement = by_digest(
                content(self._endpoint, there).digests, content(self._endpoint, entry).digests
            )
        if agreement is not Agreement.SAME:
            return None
        self._endpoint.flush()  # the attempt that made it may have been cut short before it did
        return there


def opened_trash(
    wanted: Retention, endpoints: Mapping[Side, Endpoint], probes: Mapping[Side, Probe], folder: str
) -> dict[Side, Trash]:
    """The trash of each side that keeps what is replaced and deleted there."""
    return {
        side: Trash(endpoint, folder)
        for side, endpoint in endpoints.items()
        if keeps(wanted, side, endpoint, probes[side])
    }


def keeps(wanted: Retention, side: Side, endpoint: Endpoint, probe: Probe) -> bool:
    """Whether a side has a trash: as asked for, else where nothing else keeps its versions."""
    asked = wanted.side(side)
    if asked is not None:
        return asked
    return endpoint.capabilities.names is NameRules.TREE or not probe.versioned


def folder_of(started_ns: int, by: int | str) -> str:
    """The folder of a run that began then; `by` is its number, or a conflict's after a `c`."""
    return f"{stamp(started_ns)}-{by}"


def stamp(time_ns: int) -> str:
    """An instant as names in the trash have it, to the second."""
    return datetime.fromtimestamp(time_ns // 10**9, UTC).strftime("%Y%m%dT%H%M%SZ")


class Purged(NamedTuple):
    """What was deleted from a trash for good."""

    versions: int = 0
    size: int = 0
    failed: int = 0  # of which the store did not let go; they are tried again the next time


def versions(endpoint: Endpoint, low: str = LOW, high: str = HIGH) -> Generator[tuple[Trashed | None, Item]]:
    """Yield what lies in the trash of a side, oldest first; None for what no run has put there."""
    with closing(closable(endpoint.scan(low, high))) as items:
        for item in items:
            yield read_name(item[0]) if isinstance(item, Entry) else None, item


def purge(
    endpoint: Endpoint, before_ns: int | None, width: int, stopped: Callable[[], bool] = lambda: False
) -> Purged:
    """Delete for good what runs that began before an instant have put into the trash, and nothing else.

    None: what all runs have put there. `width` requests at a time, each deletion on condition that it is of
    what was listed. Raises `ListingIncomplete`.
    """
    at_once = endpoint.capabilities.deletes_at_once
    taken = _REQUESTS * at_once if at_once > 1 else _BATCH
    number = size = failed = 0
    low, high = (LOW, HIGH) if before_ns is None else older(stamp(before_ns))
    with (
        closing(versions(endpoint, low, high)) as found,
        ThreadPoolExecutor(width, thread_name_prefix="purge") as pool,
    ):
        ours = (item for trashed, item in found if trashed is not None and isinstance(item, Entry))
        while not stopped() and (batch := list(islice(ours, taken))):
            pieces = [batch[at : at + at_once] for at in range(0, len(batch), at_once)] if at_once > 1 else []
            gone = {key for keys in pool.map(partial(_deleted, endpoint), pieces) for key in keys}
            left = [entry for entry in batch if entry.key not in gone]
            gone |= {key for key in pool.map(partial(_deleted_alone, endpoint), left) if key is not None}
            number += len(gone)
            size += sum(entry.size for entry in batch if entry.key in gone)
            failed += len(batch) - len(gone)
    return Purged(number, size, failed)


def _deleted(endpoint: Endpoint, entries: Sequence[Entry]) -> frozenset[str]:
    """Delete versions in one request; return the keys of which it is known that they are gone."""
    try:
        return endpoint.delete_many(entries)
    except EndpointError:
        return frozenset()


def _deleted_alone(endpoint: Endpoint, entry: Entry) -> str | None:
    """Delete a version; return its key if nothing is there any more."""
    try:
        with suppress(Changed):  # it is gone, or another version: a look tells
            endpoint.delete(entry.key, expect=entry)
            return entry.key
        return entry.key if endpoint.stat(entry.key) is None else None
    except EndpointError:
        return None
