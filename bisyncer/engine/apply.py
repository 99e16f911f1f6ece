"""The worker pool: actions become outcomes.

Conflicts first, then what only the state must learn, then copies, and deletes last, so that a run cut
short has removed nothing that it hadn't replaced. Workers act on stores and return outcomes; they never
write state and never print.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from bisyncer.endpoints.base import Endpoint
from bisyncer.engine.keep import keep_both
from bisyncer.engine.transfer import agreed, transfer
from bisyncer.errors import Changed, EndpointError, Transient
from bisyncer.model import (
    Ancestor,
    Done,
    Failed,
    Job,
    Outcome,
    Planned,
    Problem,
    Raced,
    Side,
    Verdict,
)
from bisyncer.state.lease import Lease
from bisyncer.state.store import Pair, Store

ATTEMPTS = 4
BACKOFF_S = 0.25  # before the second attempt; doubled for each further one, with full jitter

_T = TypeVar("_T")

_ON_STORES = (
    (Verdict.CONFLICT,),
    (Verdict.COPY_TO_PATH1, Verdict.COPY_TO_PATH2),
    (Verdict.DELETE_FROM_PATH1, Verdict.DELETE_FROM_PATH2),
)
_IN_STATE = (Verdict.NOTHING, Verdict.RECORD, Verdict.FORGET)


def apply(  # noqa: PLR0917 -- the parts of a run, in the order in which every phase takes them
    run: int,
    pair: Pair,
    job: Job,
    endpoints: Mapping[Side, Endpoint],
    store: Store,
    lease: Lease,
    stop: threading.Event,
) -> Generator[Outcome]:
    """Carry out the plan and yield each outcome as it comes; stops taking up work once `stop` is set.

    Raises `LeaseLost`, after what was in flight has ended.
    """
    for planned in store.planned(run, *_IN_STATE):
        if stop.is_set():
            return
        yield Done(planned, _settled(planned))
    worker = _Worker(pair, job, endpoints, store, lease, stop)
    with ThreadPoolExecutor(job.transfers, thread_name_prefix="apply") as pool:
        for verdicts in _ON_STORES:
            yield from _pooled(pool, job.transfers, worker.perform, store.planned(run, *verdicts), stop)


def _settled(planned: Planned) -> Ancestor | None:
    """The ancestor of a key whose stores are left as they are: both hold it, or neither does."""
    action = planned.action
    if action.path1 is None or action.path2 is None:
        return None
    return agreed(action.key, action.path1, action.path2)


def _pooled(
    pool: ThreadPoolExecutor,
    width: int,
    perform: Callable[[Planned], Outcome],
    plan: Iterator[Planned],
    stop: threading.Event,
) -> Iterator[Outcome]:
    """Run `perform` on all of `plan`, never more than twice `width` handed out; in order of completion."""
    running: set[Future[Outcome]] = set()
    try:
        while True:
            if not stop.is_set():
                running.update(
                    pool.submit(perform, planned) for planned in islice(plan, 2 * width - len(running))
                )
            if not running:
                return
            ended, running = wait(running, return_when=FIRST_COMPLETED)
            for future in ended:
                yield future.result()
    finally:
        for future in running:
            future.cancel()


@dataclass(frozen=True, slots=True)
class _Worker:
    """Performs one action at a time on each thread of the pool."""

    _pair: Pair
    _job: Job
    _endpoints: Mapping[Side, Endpoint]
    _store: Store
    _lease: Lease
    _stop: threading.Event

    def perform(self, planned: Planned) -> Outcome:
        """Do what the action says; what the stores won't do becomes an outcome, not an error."""
        key = planned.action.key
        try:
            return self._persist(lambda: self._once(planned))
        except Changed as error:
            sentence = f"changed while the run was under way, and is looked at again next run: {error}"
            return Raced(planned, Problem(key, sentence))
        except EndpointError as error:
            return Failed(planned, Problem(key, str(error)))

    def _persist(self, deed: Callable[[], _T]) -> _T:
        for attempt in range(1, ATTEMPTS + 1):
            self._lease.assert_held()
            try:
                return deed()
            except Transient:
                if attempt == ATTEMPTS or self._stop.is_set():
                    raise
                spread = random.uniform(0, 1)  # noqa: S311 -- jitter, not a secret
                self._stop.wait(BACKOFF_S * 2 ** (attempt - 1) * spread)
        raise AssertionError("the last attempt either returned or raised")

    def _once(self, planned: Planned) -> Outcome:
        verdict = planned.action.verdict
        if verdict is Verdict.CONFLICT:
            return keep_both(
                planned,
                self._endpoints,
                suffix=self._job.policy.conflict_suffix,
                recorded=lambda name: name in self._store.ancestors_of(self._pair.id, [name]),
            )
        if verdict in {Verdict.COPY_TO_PATH1, Verdict.COPY_TO_PATH2}:
            return self._copy(planned)
        return self._delete(planned)

    def _copy(self, planned: Planned) -> Done:
        action = planned.action
        to_side = _written(action.verdict)
        entry = action.entry(to_side.other)
        assert entry is not None, f"{action.verdict} of {action.key!r} has nothing to copy"
        landed = transfer(
            self._endpoints[to_side.other],
            entry,
            self._endpoints[to_side],
            action.key,
            expect=action.entry(to_side),
        )
        both = {to_side: landed.target, to_side.other: landed.source}
        return Done(planned, agreed(action.key, both[Side.PATH1], both[Side.PATH2]), size=entry.size)

    def _delete(self, planned: Planned) -> Done:
        action = planned.action
        from_side = _written(action.verdict)
        entry = action.entry(from_side)
        assert entry is not None, f"{action.verdict} of {action.key!r} has nothing to delete"
        # A listing may have missed a key; one look confirms that it is gone before the other side follows.
        if self._endpoints[from_side.other].stat(action.key) is not None:
            raise Changed(f"{self._endpoints[from_side.other].root}: {action.key!r} is there again.")
        self._endpoints[from_side].delete(action.key, expect=entry)
        return Done(planned, None)


def _written(verdict: Verdict) -> Side:
    side = verdict.side
    assert side is not None, f"{verdict} writes no side"
    return side
