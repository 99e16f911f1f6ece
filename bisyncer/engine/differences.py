"""Both sides against each other, as they are now; nothing is changed, on either side or in the state."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from enum import StrEnum
from itertools import islice
from typing import NamedTuple

from bisyncer.core.bounds import outside
from bisyncer.core.compare import agreement, delta
from bisyncer.core.directories import merge_directories
from bisyncer.core.filters import Filters
from bisyncer.core.keys import folder_marker
from bisyncer.core.merge import merge
from bisyncer.endpoints.base import Endpoint, NameRules, Source
from bisyncer.engine.check import settled_agreement
from bisyncer.engine.deadline import Deadline
from bisyncer.engine.look import by_facts, look
from bisyncer.engine.marked import Marked
from bisyncer.engine.pairing import policy_for, recorded_pair, resilient
from bisyncer.engine.scan import Scan
from bisyncer.engine.shards import WHOLE
from bisyncer.engine.transfer import CHUNK
from bisyncer.errors import Changed, EndpointError, Interrupted
from bisyncer.job import ANY_VERSION, Evidence, Job, Policy
from bisyncer.model import Agreement, Delta, Entry, Item, Recorded, Side, Tally, Triple, Unreadable
from bisyncer.report.events import Silent
from bisyncer.state.store import Store

BATCH = 256  # keys that are looked into before the first of them is told


class Mark(StrEnum):
    """What is said of a key, as `rclone check --combined` does; path1 is its source, path2 its destination.

    https://rclone.org/commands/rclone_check/
    """

    EQUAL = "="
    NOT_ON_PATH1 = "-"
    NOT_ON_PATH2 = "+"
    DIFFERENT = "*"
    ERROR = "!"


class Found(NamedTuple):
    """A key and what is said of it; `sentence` tells an error."""

    mark: Mark
    key: str
    sentence: str | None = None


def differences(
    job: Job, endpoints: Mapping[Side, Endpoint], store: Store, until: Deadline, *, download: bool = False
) -> Generator[Found]:
    """Yield what is to be said of every key that either side holds, in order; then the unreadable places.

    Contents are told equal by the digests of both listings, or by those recorded when the sides last agreed
    where a side is as it was then; what that can't settle is read. With `download` every content is read, on
    both sides in lock step. Raises `ListingIncomplete`, `Interrupted`, or `UsageError` where a root can't be
    used or isn't the pair's.
    """
    pair = recorded_pair(job, endpoints, store)
    endpoints = resilient(endpoints, job, until)
    for endpoint in endpoints.values():
        endpoint.probe()
    filters, tally, reporter = Filters.of(job), Tally(), Silent()
    directories = policy_for(job, endpoints).create_empty_dirs
    marked = None if job.exclude_if_present is None else Marked(job.exclude_if_present)
    one, two = (Scan(endpoints[side], side, filters, tally, reporter, marked=marked) for side in Side)
    comparing = _Comparing(job, endpoints, until, download=download)
    # Of a pair that was never aligned nothing is known. A download, which may take days, believes no record,
    # and should not keep the state from being tidied so long.
    known = pair is not None and pair.aligned_ns is not None and not download
    ancestors = store.ancestors.recorded(pair.id) if pair is not None and known else _nothing()
    with (
        closing(ancestors) as recorded,
        closing(one.items(WHOLE[0])) as path1,
        closing(two.items(WHOLE[0])) as path2,
    ):
        joined = merge_directories if directories else merge
        for found in comparing.all(
            joined(recorded, path1, path2, recall=store.ancestors.recall), job.transfers
        ):
            if marked is not None and found.mark is not Mark.EQUAL:
                # What is listed before the mark of its directory is told from the rest by a look.
                marked.look([found.key], endpoints, job.transfers)
            if marked is None or not marked.has(found.key):
                yield found
    for problem in one.problems + two.problems:
        yield Found(Mark.ERROR, *problem)


class _Comparing:
    """Compares contents, whatever the pair's own `compare` says is enough for its runs."""

    def __init__(
        self, job: Job, endpoints: Mapping[Side, Endpoint], until: Deadline, *, download: bool
    ) -> None:
        self._endpoints = endpoints
        directories = job.policy.create_empty_dirs
        policy = Policy(create_empty_dirs=directories)
        self._policy = policy_for(replace(job, policy=policy), endpoints)
        self._bounds = job.policy.bounds
        self._until = until
        self._download = download
        # A pair that goes by size or time may have recorded keys whose contents nobody compared.
        self._believes_records = not job.policy.compare or Evidence.HASH in job.policy.compare

    def all(self, triples: Iterable[Triple], width: int) -> Iterator[Found]:
        """Judge every triple, in order; contents are read `width` at a time."""
        pool = ThreadPoolExecutor(width, thread_name_prefix="differences")
        source = iter(triples)
        try:
            while batch := list(islice(source, BATCH)):
                for found in [self._begin(triple, pool) for triple in batch]:
                    if isinstance(found, Future):
                        yield found.result()
                    elif found is not None:
                        yield found
                self._go_on()
        finally:
            pool.shutdown(cancel_futures=True)

    def _go_on(self) -> None:
        if self._until.is_set():
            raise Interrupted("Stopped before everything was compared; nothing was changed.")

    def _begin(self, triple: Triple, pool: ThreadPoolExecutor) -> Found | Future[Found] | None:
        """Judge one key at once where that needs no look; None where nothing is to be said of it."""
        if self._is_outside(triple):
            return None
        if (found := self._by_presence(triple)) is not None:
            return found
        one, two = triple.path1, triple.path2
        if not isinstance(one, Entry) or not isinstance(two, Entry):
            return None
        if one.size != two.size:
            return Found(Mark.DIFFERENT, triple.key)
        if self._download:
            return pool.submit(self._settle, triple)
        one, two = self._known(triple, Side.PATH1, one), self._known(triple, Side.PATH2, two)
        agreed = agreement(one, two, self._policy)
        if agreed is Agreement.UNKNOWN:
            return pool.submit(self._settle, triple._replace(path1=one, path2=two))
        return Found(Mark.EQUAL if agreed is Agreement.SAME else Mark.DIFFERENT, triple.key)

    def _is_outside(self, triple: Triple) -> bool:
        if self._bounds == ANY_VERSION:
            return False
        action = by_facts(triple, self._policy)
        return action is not None and outside(action, self._bounds, time.time_ns()) is not None

    def _by_presence(self, triple: Triple) -> Found | None:
        """What is to be said of a key that isn't an entry on both sides."""
        for side, item, other in (
            (Side.PATH1, triple.path1, triple.path2),
            (Side.PATH2, triple.path2, triple.path1),
        ):
            if isinstance(item, Unreadable):
                # A place that can't be read is told once, for all its keys.
                if not item.skipped or not isinstance(other, Entry):
                    return None
                sentence = (
                    f"{side}: {item.prefix} {item.sentence}, so this key can't be there too. Rename one."
                )
                return Found(Mark.ERROR, triple.key, sentence)
        if isinstance(triple.path1, Entry) and triple.path2 is None:
            return self._alone(triple.path1, Side.PATH1)
        if isinstance(triple.path2, Entry) and triple.path1 is None:
            return self._alone(triple.path2, Side.PATH2)
        return None

    def _alone(self, entry: Entry, side: Side) -> Found | None:
        names = self._endpoints[side.other].capabilities.names
        if (
            names is NameRules.TREE
            and folder_marker(entry.key, entry.size)
            and not self._policy.create_empty_dirs
        ):
            return None
        return Found(Mark.NOT_ON_PATH2 if side is Side.PATH1 else Mark.NOT_ON_PATH1, entry.key)

    def _known(self, triple: Triple, side: Side, entry: Entry) -> Entry:
        """The entry, with the digests that were recorded of it where it is what it was then."""
        old = None if triple.ancestor is None else triple.ancestor.side(side)
        if old is None or not self._believes_records:
            return entry
        if delta(old, entry, self._policy, side) is not Delta.UNCHANGED:
            return entry
        told = {digest.algorithm for digest in entry.digests}
        more = tuple(digest for digest in old.digests if digest.algorithm not in told)
        return entry._replace(digests=entry.digests + more)

    def _settle(self, triple: Triple) -> Found:
        """Look into one key that both sides hold; one that changes meanwhile is looked at once more."""
        try:
            try:
                return self._compared(triple)
            except Changed:
                again = look(triple.key, None, self._endpoints)
                if isinstance(again.path1, Entry) and isinstance(again.path2, Entry):
                    return self._compared(again)
                return self._by_presence(again) or _failed(again)
        except EndpointError as error:
            return Found(Mark.ERROR, triple.key, str(error))

    def _compared(self, triple: Triple) -> Found:
        self._go_on()
        one, two = triple.path1, triple.path2
        assert isinstance(one, Entry) and isinstance(two, Entry), triple
        if one.size != two.size:
            same = False
        elif self._download:
            same = self._same_bytes(one, two)
        else:
            entries = {Side.PATH1: one, Side.PATH2: two}
            same = settled_agreement(entries, self._endpoints, self._policy) is Agreement.SAME
        return Found(Mark.EQUAL if same else Mark.DIFFERENT, triple.key)

    def _same_bytes(self, one: Entry, two: Entry) -> bool:
        """Read both to their ends, also past a difference: only there does a store tell of a torn read."""
        with (
            self._endpoints[Side.PATH1].read(one.key, expect=one) as path1,
            self._endpoints[Side.PATH2].read(two.key, expect=two) as path2,
        ):
            same = True
            while True:
                self._go_on()
                left, right = _piece(path1), _piece(path2)
                same = same and left == right
                if not left and not right:
                    return same


def _failed(triple: Triple) -> Found:
    """What is to be said of a key that came and went, or can't be looked at any more."""
    places: list[Item | None] = [triple.path1, triple.path2]
    sentences = [place.sentence for place in places if isinstance(place, Unreadable)]
    return Found(Mark.ERROR, triple.key, "; ".join(sentences) or "was deleted while it was compared")


def _piece(source: Source) -> bytes:
    """The next `CHUNK` bytes; fewer only at the end. A source may give less than it was asked for."""
    first = source.read(CHUNK)
    if not first or len(first) == CHUNK:
        return first
    gathered = bytearray(first)
    while len(gathered) < CHUNK and (more := source.read(CHUNK - len(gathered))):
        gathered += more
    return bytes(gathered)


def _nothing() -> Generator[Recorded]:
    yield from ()
