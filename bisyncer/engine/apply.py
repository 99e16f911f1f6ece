"""The worker pool: actions become outcomes.

Conflicts first, then what only the state must learn, then moves and copies, and deletes last, so that a run
cut short has removed nothing that it hadn't replaced.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from itertools import chain, islice
from queue import Empty, SimpleQueue
from typing import Final

from bisyncer.engine.worker import Ended, Task, Worker
from bisyncer.errors import Gone
from bisyncer.model import COPIES, DELETES, MOVES, Failed, Outcome, Planned, Verdict

WAKE_S: Final = 1.0

_ON_STORES = (
    (Verdict.CHECK,),  # what is still to be checked moved while it was
    tuple(MOVES.values()),
    tuple(COPIES.values()),
    tuple(DELETES.values()),
)


def apply(
    plan: Callable[..., Iterator[Planned]], worker: Worker, settle: Callable[[], None]
) -> Generator[Sequence[Outcome]]:
    """Carry out a plan and yield outcomes as they come; takes up no more work once told to stop.

    Where none comes for `WAKE_S`, it yields an empty batch: so what ended before can be committed while a
    large body is under way.

    `plan` gives the rows that still wait, of the verdicts that it is called with, in order. `settle` sees to
    what only the state must learn, when its turn has come.
    Raises `LeaseLost`, or `Gone` where a store answers no more, after what was in flight has ended.
    """
    with (
        ThreadPoolExecutor(worker.width, thread_name_prefix="apply") as pool,
        ThreadPoolExecutor(worker.width, thread_name_prefix="sweep") as sweeping,
    ):
        # First of all, since a conflict may take up the copy that an earlier attempt left, which is only
        # told from a user's own file as long as it isn't recorded.
        yield from _pooled(pool, worker, _tasks(plan(Verdict.CONFLICT)))
        settle()
        for verdicts in _ON_STORES:
            for outcomes in _pooled(pool, worker, _tasks(plan(*verdicts), worker.at_once)):
                yield outcomes
                worker.note(outcomes, sweeping)
        worker.sweep(sweeping)


def _tasks(rows: Iterator[Planned], at_once: Mapping[Verdict, int] | None = None) -> Iterator[Task]:
    """Tasks of one row each, but for deletions of which the store takes more in one request."""
    begun: dict[Verdict, list[Planned]] = {}
    for planned in rows:
        verdict = planned.action.verdict
        number = at_once.get(verdict, 1) if at_once else 1
        if number == 1:
            yield Task((planned,))
            continue
        run = begun.setdefault(verdict, [])
        run.append(planned)
        if len(run) == number:
            yield Task(begun.pop(verdict))
    yield from map(Task, begun.values())


def _pooled(pool: ThreadPoolExecutor, worker: Worker, tasks: Iterator[Task]) -> Iterator[Sequence[Outcome]]:
    """Perform all tasks, never more than twice the width handed out; in order of completion.

    Failures that may pass wait until it is known whether a store is gone, which is told once and not for each
    key that was in flight: these wait for the next run.
    """
    handed = _Handed(pool, worker)
    left: deque[Planned] = deque()
    failed: list[Outcome] = []  # in a row, each after several attempts
    gone: str | None = None
    try:
        while True:
            if gone is None and not worker.stop.is_set():
                alone = (Task((left.popleft(),), left=True) for _ in range(len(left)))
                for task in islice(chain(alone, tasks), 2 * worker.width - handed.running):
                    handed.hand(task)
            if not handed.running:
                return
            outcomes, more = handed.ended()
            left += more
            failed += [outcome for outcome in outcomes if _passes(outcome)]
            others = [outcome for outcome in outcomes if not _passes(outcome)]
            # So many in a row, or all that there was: it may be the store.
            if failed and not others and gone is None and (len(failed) >= worker.width or not handed.running):
                # After a stop nothing is tried again, so one failure says nothing of the store.
                gone = None if worker.stop.is_set() else worker.gone()
                if gone is None:
                    yield failed
                    failed = []
            if others and gone is None:
                others = [*failed, *others]
                failed = []
            yield others
            # What was in flight has been yielded by then, and is committed.
            if gone is not None and not handed.running:
                raise Gone(
                    f"{gone} What was done before is committed, and {len(failed) + len(left)} keys that were "
                    "on their way wait for the next run."
                )
    finally:
        handed.close()


class _Handed:
    """The tasks that threads of a pool are performing, or will next.

    The threads take them from one queue and put outcomes into another: a future for each costs a key more
    than all the rest that is done for it here.
    """

    def __init__(self, pool: Executor, worker: Worker) -> None:
        self._pool = pool
        self._worker = worker
        self._threads = 0
        self._waiting: SimpleQueue[Task | None] = SimpleQueue()
        self._ended: SimpleQueue[Ended | BaseException] = SimpleQueue()
        self.running = 0  # handed out, and not given back by `ended`

    def hand(self, task: Task) -> None:
        """Let a thread perform it."""
        if self._threads < self._worker.width:
            self._threads += 1
            self._pool.submit(self._perform)
        self.running += 1
        self._waiting.put(task)

    def ended(self) -> Ended:
        """What came of all tasks that have ended, after a while of none; raises what an action raised."""
        found: list[Ended | BaseException] = []
        with suppress(Empty):
            found.append(self._ended.get(timeout=WAKE_S))
        found += [self._ended.get() for _ in range(self._ended.qsize())]
        self.running -= len(found)
        outcomes: list[Outcome] = []
        left: list[Planned] = []
        for each in found:
            if isinstance(each, BaseException):
                raise each
            outcomes += each.outcomes
            left += each.left
        return Ended(outcomes, left)

    def close(self) -> None:
        """Take back what no thread has taken up, and let the threads go."""
        with suppress(Empty):
            while True:
                self._waiting.get_nowait()
        for _ in range(self._threads):
            self._waiting.put(None)

    def _perform(self) -> None:
        while (task := self._waiting.get()) is not None:
            try:
                # What was handed out, and not begun, waits for the next run.
                stops = self._worker.stop.is_set()
                self._ended.put(Ended([], []) if stops else self._worker.carry_out(task))
            except BaseException as error:  # noqa: BLE001 -- raised by `ended`
                self._ended.put(error)


def _passes(outcome: Outcome) -> bool:
    return isinstance(outcome, Failed) and outcome.passing
