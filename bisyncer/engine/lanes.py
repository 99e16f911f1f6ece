"""The shards of a pair, several at once: on threads to wait for stores, in processes to use every CPU."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from math import ceil
from typing import Final, NamedTuple, TypeVar

from bisyncer.endpoints.base import Endpoint
from bisyncer.engine.alike import Alike
from bisyncer.engine.counting import Counting, InWork
from bisyncer.engine.forked import ForkedExecutor
from bisyncer.engine.marked import Marked
from bisyncer.engine.pairing import guarded, open_pair, resilient
from bisyncer.engine.planner import Draft, Planner
from bisyncer.engine.shards import KEYS, Shard, can_be_cut
from bisyncer.errors import UsageError
from bisyncer.job import Job, Policy
from bisyncer.model import Side, Verdict
from bisyncer.report.events import Event, Reporter, Scanned
from bisyncer.state.records import Pair
from bisyncer.state.store import Store

LANES: Final = 4  # shards that one process has in work, of which most wait for a store
MOST: Final = 4  # processes, whatever the number of CPUs: each takes memory of its own
LOOK_EVERY_S: Final = 0.2  # for a stop

_T = TypeVar("_T")
_R = TypeVar("_R")
_M_MMAP_THRESHOLD: Final = -3  # mallopt(3)

Piece = tuple[int, Shard]  # the number of a shard, in order of key


class Order(NamedTuple):
    """What a process needs to know of a run to plan its shards; the job it has been born with."""

    policy: Policy
    pair_id: int
    run: int


class Found(NamedTuple):
    """What some shards came to; a draft of None: that one failed.

    `marks` are directories that are left alone, and `requests` those sent by another process.
    """

    drafts: Sequence[Draft | None]
    told: Sequence[Event] = ()
    marks: frozenset[str] = frozenset()
    requests: Mapping[Side, Mapping[str, int]] = {}


class Processes(NamedTuple):
    """So many processes that plan shards of one pair."""

    pool: Executor
    number: int
    in_work: InWork


@contextmanager
def processes(
    job: Job, endpoints: Mapping[Side, Endpoint], store: Store, pair: Pair, keys: int
) -> Iterator[Processes | None]:
    """Give as many processes as a scan of so many keys is worth; None: this one will do.

    Call it before there are threads.
    """
    whole = job.scope.words is None and can_be_cut(
        endpoints.values(), directories=job.policy.create_empty_dirs
    )
    shared = not any(endpoint.capabilities.one_process for endpoint in endpoints.values())
    able = shared and sys.platform == "linux" and threading.active_count() == 1
    number = min(how_many(keys), job.shards or MOST) if whole and able else 1
    if number < 2:
        yield None
        return
    # No connection may be open on both sides of a fork: https://www.sqlite.org/howtocorrupt.html, 2.6
    store.database.close()
    in_work = InWork()
    try:
        pool = ForkedExecutor(number, partial(_be_born, job, (pair.path1, pair.path2), store, in_work))
    except OSError:  # no memory for them, or no more processes are allowed
        yield None
        return
    with pool:
        yield Processes(pool, number, in_work)


def how_many(keys: int) -> int:
    """The number of processes for so many keys: one for each CPU, as long as each has enough to do."""
    return min(len(os.sched_getaffinity(0)), MOST, keys // (LANES * KEYS))


def plan_shards(
    planner: Planner, shards: Sequence[Shard], reporter: Reporter, forked: Processes | None
) -> Iterator[Found]:
    """Plan all shards, and yield what each came to, in any order. One that fails is planned once more, here.

    Raises what the second attempt raises, and what `planner.go_on` does.
    """
    if len(shards) == 1:
        yield Found([planner.shard(0, shards[0], reporter, ahead=True)])
        return
    counting = Counting(reporter, forked.in_work if forked else None)
    pieces = list(enumerate(shards))
    lanes: defaultdict[int, Reporter] = defaultdict(counting.lane)  # of the shards that haven't ended

    def whole(piece: Piece, draft: Draft | None) -> Draft:
        draft = draft or _again(planner, lanes[piece[0]], piece)
        lanes.pop(piece[0], None)
        return draft

    if forked is None:

        def on_thread(piece: Piece) -> Draft | None:
            return _on_lane(planner, lanes[piece[0]], piece)

        with ThreadPoolExecutor(LANES, thread_name_prefix="shard") as threads:
            for piece, draft in _carried_out(threads, on_thread, pieces, LANES, planner.go_on):
                yield Found([whole(piece, draft)])
        return
    length = min(LANES, ceil(len(pieces) / (4 * forked.number)))
    groups = [pieces[at : at + length] for at in range(0, len(pieces), length)]
    in_process = partial(_in_process, Order(planner.policy, planner.pair_id, planner.run))
    width = 2 * forked.number  # what each does next waits for it, while the run itself may plan a shard

    def go_on() -> None:
        counting.look()
        planner.go_on()

    for group, found in _carried_out(forked.pool, in_process, groups, width, go_on):
        made = found or Found([None] * len(group))
        for event in made.told:
            counting.tell(event)
        for (number, _), draft in zip(group, made.drafts, strict=True):
            counting.end(number, draft.tally.scanned if draft else {})
        yield made._replace(drafts=list(map(whole, group, made.drafts)))


def _carried_out(
    pool: Executor, deed: Callable[[_T], _R], work: Iterable[_T], width: int, go_on: Callable[[], None]
) -> Iterator[tuple[_T, _R | None]]:
    """Yield what became of each piece of work, as it comes; None where its process is gone, or it failed."""
    waiting = deque(work)
    running: dict[Future[_R], _T] = {}
    while waiting or running:
        go_on()
        while waiting and len(running) < width:
            each = waiting.popleft()
            try:
                running[pool.submit(deed, each)] = each
            except BrokenExecutor:
                yield each, None
        for future in wait(running, LOOK_EVERY_S, FIRST_COMPLETED).done:
            each = running.pop(future)
            try:
                result: _R | None = future.result()
            except Exception:  # noqa: BLE001 -- the second attempt tells
                result = None
            yield each, result


def _on_lane(planner: Planner, reporter: Reporter, piece: Piece) -> Draft | None:
    """Plan a shard on a thread; None where that fails."""
    try:
        return planner.shard(*piece, reporter, ahead=False)
    except Exception:  # noqa: BLE001 -- the second attempt tells
        return None


def _again(planner: Planner, reporter: Reporter, piece: Piece) -> Draft:
    """Plan a shard that has failed once more."""
    planner.go_on()  # a stop ends lanes too, and what it ended is no failure
    planner.store.drop_piece(planner.run, piece[0])
    return planner.shard(*piece, reporter, ahead=True)


# In a process of its own.


class _Born(NamedTuple):
    """What a process is born with, and keeps."""

    job: Job
    endpoints: Mapping[Side, Endpoint]
    store: Store
    in_work: InWork
    planners: dict[int, Planner]  # by run


_born: Final[list[_Born]] = []  # one, in a process of its own


def _be_born(job: Job, roots: tuple[str, str], store: Store, in_work: InWork) -> None:
    libc = ctypes.CDLL(None)
    # glibc raises this by itself with each large block that is freed, and then keeps what pages took.
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, 128 << 10)
    endpoints = guarded(resilient(open_pair(job, store), job), job.mode)
    if tuple(endpoint.root for endpoint in endpoints.values()) != roots:
        raise UsageError("The roots aren't those of the pair.")  # which the run itself plans then
    _born.append(_Born(job, endpoints, store, in_work, {}))


def _in_process(order: Order, group: Sequence[Piece]) -> Found:
    (born,) = _born
    planner = born.planners.get(order.run)
    if planner is None:
        marked = None if born.job.exclude_if_present is None else Marked(born.job.exclude_if_present)
        planner = born.planners[order.run] = Planner(
            born.job, order.policy, order.pair_id, order.run, born.endpoints, born.store, marked,
            Alike(order.policy, born.endpoints), time.time_ns, _go_on,
        )  # fmt: skip
    lanes = [_Told(partial(born.in_work.put, number)) for number, _ in group]
    before = {side: Counter(endpoint.requests) for side, endpoint in born.endpoints.items()}
    with ThreadPoolExecutor(len(group), thread_name_prefix="shard") as threads:
        drafts = list(threads.map(partial(_on_lane, planner), lanes, group))
    # What the run records of these shards it can't sync: the files were read or listed by this process.
    if not born.job.dry_run and any(draft.tally.verdicts[Verdict.RECORD] for draft in drafts if draft):
        for endpoint in born.endpoints.values():
            endpoint.flush()
    told = [event for lane, draft in zip(lanes, drafts, strict=True) if draft for event in lane.events]
    requests = {side: Counter(endpoint.requests) - before[side] for side, endpoint in born.endpoints.items()}
    return Found(drafts, told, planner.marked.folders if planner.marked else frozenset(), requests)


def _go_on() -> None:
    """The run looks for a stop, and ends this process then."""


class _Told:
    """A Reporter that keeps what the parent is to tell, which sees meanwhile how many keys are listed."""

    def __init__(self, put: Callable[[Side, int], None]) -> None:
        self.events: list[Event] = []
        self._put = put

    def tell(self, event: Event) -> None:
        if isinstance(event, Scanned):
            self._put(event.side, event.keys)
        else:
            self.events.append(event)
