"""How fast a pair is here: plan a run, list each side, send scratch objects to path2, and judge it all.

The plan comes first: it takes the lease, and what it reads has not just been read for the listings.
What is sent goes into the trash in path2's own root, which nobody syncs, and is deleted right after. Of a
bench that was killed the rest goes when the trash's time is over; with a `backup_dir2` it stays.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from enum import StrEnum
from functools import partial
from typing import Final, NamedTuple, TypeVar

from bisyncer.core.trash import LOW
from bisyncer.endpoints.backoff import persist
from bisyncer.endpoints.base import Endpoint
from bisyncer.engine import session
from bisyncer.engine.deadline import Deadline
from bisyncer.engine.pairing import open_pair, resilient
from bisyncer.engine.scan import without_trash
from bisyncer.engine.trash import folder_of
from bisyncer.errors import EndpointError, Interrupted
from bisyncer.job import Job
from bisyncer.model import Entry, RunOutcome, Side, Summary
from bisyncer.report.events import Reporter
from bisyncer.state.store import Store

LARGE_BYTES: Final = 64 << 20
SMALL_BYTES: Final = 10 << 10
SMALL_FILES: Final = 400
ENOUGH: Final = 0.5  # of the time that a run may take: up to there is room for changes, and for growth

_CUT: Final = {RunOutcome.HALTED, RunOutcome.INTERRUPTED}  # how long such a run took tells nothing
_STOPPED: Final = "Stopped by a signal; no key was changed."
_Name = TypeVar("_Name")


class Judgement(StrEnum):
    """Whether a run of the pair fits into the time that it may take."""

    SUFFICIENT = "sufficient"  # at most half of it
    MONITOR = "monitor"  # at most all of it
    ESCALATE = "escalate"


class Figures(NamedTuple):
    """What was measured. Times are wall seconds; a megabyte is 10**6 bytes."""

    keys: Mapping[Side, int]  # as a run counts them
    walk_time_s: float  # the listing of path1
    list_time_s: float  # the listing of path2
    reconcile_s: float  # both listings at once, joined, compared and planned
    upload_mbps: float  # megabytes a second of one large object
    small_files_per_s: float  # of 10 KiB, by as many workers as a run has
    failed: int  # requests that failed in a way that may pass, meanwhile: each pause for one was timed too
    sla_s: float
    verdict: Judgement


def bench(
    job: Job,
    endpoints: Mapping[Side, Endpoint],
    store: Store,
    reporter: Reporter,
    *,
    sla_s: float,
    stop: threading.Event,
) -> Figures | Summary:
    """Measure a pair that was aligned, which changes no key.

    Where the run that is planned doesn't come to its end, its summary is all that comes of it. Raises as a
    run does, and `EndpointError`.
    """
    planning_s: dict[str, float] = {}
    with _timed(planning_s, "all"):
        summary = session.run(replace(job, dry_run=True), endpoints, store, reporter, stop=stop)
    if summary.outcome in _CUT:
        return summary
    until = Deadline(stop, None)
    times_s: dict[Side, float] = {}
    listed = resilient(endpoints, job, until)
    for side, endpoint in listed.items():
        with _timed(times_s, side):
            _list(endpoint, until)
    folder = f"{LOW}{folder_of(summary.started_ns, summary.run)}/bench-"
    with _path2(job, endpoints, store) as path2:
        to = resilient({Side.PATH2: path2}, job, until)[Side.PATH2]
        large_s = _sent(to, folder + "large", 1, LARGE_BYTES, 1, until=until)
        small_s = _sent(to, folder + "small", SMALL_FILES, SMALL_BYTES, job.transfers, until=until)
    reconcile_s = planning_s["all"]
    counts = (*summary.requests.values(), *(end.requests for end in (*listed.values(), to)))
    return Figures(
        keys=summary.scanned,
        walk_time_s=times_s[Side.PATH1],
        list_time_s=times_s[Side.PATH2],
        reconcile_s=reconcile_s,
        upload_mbps=LARGE_BYTES / 1e6 / large_s,
        small_files_per_s=SMALL_FILES / small_s,
        failed=sum(count.get("transient", 0) for count in counts),
        sla_s=sla_s,
        verdict=judged(reconcile_s, sla_s),
    )


def judged(reconcile_s: float, sla_s: float) -> Judgement:
    """Whether a run that has nothing to send fits into the time that it may take."""
    if reconcile_s <= ENOUGH * sla_s:
        return Judgement.SUFFICIENT
    return Judgement.MONITOR if reconcile_s <= sla_s else Judgement.ESCALATE


def _list(endpoint: Endpoint, until: Deadline) -> None:
    with closing(without_trash(endpoint)) as batches:
        for _ in batches:
            if until.is_set():
                raise Interrupted(_STOPPED)


@contextmanager
def _path2(job: Job, endpoints: Mapping[Side, Endpoint], store: Store) -> Iterator[Endpoint]:
    """path2 with its trash in its own root; in another place it is that place that would be measured."""
    if job.backup_dir2 is None:
        yield endpoints[Side.PATH2]
        return
    opened = open_pair(replace(job, backup_dir1=None, backup_dir2=None), store, leased=False)
    try:
        yield opened[Side.PATH2]
    finally:
        for endpoint in opened.values():
            endpoint.close()


def _sent(to: Endpoint, name: str, number: int, size: int, width: int, *, until: Deadline) -> float:
    """Write so many objects and delete them; returns how many seconds the writing took.

    Raises `Interrupted` where it is told to stop; what was written by then is deleted too.
    """
    written: list[Entry] = []

    def send(each: int) -> None:
        if until.is_set():
            raise Interrupted(_STOPPED)
        key = f"{name}-{each}"
        written.append(persist(lambda: to.write(key, _Random(size, until), expect=None), wait=until.wait))

    def remove(entry: Entry) -> None:
        with suppress(EndpointError):  # what stays is scratch, and no key
            persist(lambda: to.delete(entry.key, expect=entry), wait=until.wait)

    took: dict[str, float] = {}
    threads = partial(ThreadPoolExecutor, width, thread_name_prefix="bench")
    try:
        with _timed(took, "all"):
            with threads() as pool:
                list(pool.map(send, range(number)))
            to.flush()
    finally:
        with threads() as pool:  # another one: what was on its way when one failed has been written by now
            list(pool.map(remove, written))
    return took["all"]


@contextmanager
def _timed(into: dict[_Name, float], name: _Name) -> Iterator[None]:
    began_s = time.perf_counter()
    yield
    into[name] = time.perf_counter() - began_s


class _Random:
    """A source of bytes that can't be packed, and end where it is told to stop: a large body takes long."""

    def __init__(self, size: int, until: Deadline) -> None:
        self.entry = Entry("", size, None, "")
        self.metadata: Mapping[str, str] = {}
        self._block = os.urandom(min(size, 1 << 20))
        self._left = size
        self._until = until

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes; raises `Interrupted`, with which nothing of it is published."""
        if self._until.is_set():
            raise Interrupted(_STOPPED)
        length = min(len(self._block), self._left, size if size >= 0 else self._left)
        self._left -= length
        return self._block[:length]
