"""The phases that change something: apply and commit."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from functools import partial
from math import ceil

from bisyncer.core.filters import Filters
from bisyncer.endpoints.body import PART_SIZE
from bisyncer.engine.apply import apply
from bisyncer.engine.emptied import Emptied
from bisyncer.engine.look import look_at
from bisyncer.engine.moving import Moving
from bisyncer.engine.room import Room
from bisyncer.engine.run import REPORTED, Run
from bisyncer.engine.trash import purge
from bisyncer.engine.untold import record_untold
from bisyncer.engine.worker import Worker
from bisyncer.errors import EndpointError, Gone, Halted
from bisyncer.model import COPIES, DELETES, Delta, Done, Mode, Outcome, Planned, Side, Verdict, Waits
from bisyncer.report.events import Acted, Phase, PhaseBegan, Settled

COMMITTED = 500  # outcomes committed at once, at the most ...
COMMIT_EVERY_S = 1.0  # ... and what was done waits not much longer than this

LARGE = PART_SIZE  # bytes of a body that goes before others ...
MOST_LARGE = 1000  # ... of which so many are known at a time: a plan of any length takes as little memory

LOOKS = 100  # at versions of conflicts of which nothing is recorded, in a run that is no alignment

DAY_NS = 86400 * 10**9

CHANGING = tuple(v for v in Verdict if v.side is not None or v in {Verdict.CONFLICT, Verdict.CHECK})


def carry_out(run: Run) -> None:
    """Do what is planned, and commit what came of each key, whatever becomes of the others."""
    if run.job.resync:
        # What only path2 has a mirror deletes from the first run on after an alignment that is whole.
        mode = Mode.COPY if run.job.mode is Mode.MIRROR else run.job.mode
        run.pair = run.store.begin_alignment(run.pair, run.lease, mode)
    changes = any(run.tally.verdicts[verdict] for verdict in CHANGING)
    if changes or run.job.resync or run.identity.broken:
        _seal(run)
    total = sum(run.tally.verdicts[verdict] for verdict in REPORTED if verdict is not Verdict.HOLD)
    moving = Moving()
    run.reporter.tell(PhaseBegan(Phase.APPLY, total, sum(run.tally.size.values()), moving.moved))
    worker = Worker(
        run.endpoints,
        run.policy,
        run.job.transfers,
        Room(),
        run.recorded,
        run.lease,
        run.stop,
        run.trash,
        run.keeping,
        emptied=_emptied(run),
        at_once=_at_once(run),
        now_ns=run.now_ns,
        moving=moving,
    )
    outcomes = apply(partial(_rows, run), worker, partial(_settle, run))
    waiting: list[Outcome] = []
    committed_s = time.monotonic()
    try:
        with closing(outcomes):
            for ended in outcomes:
                for outcome in ended:
                    moving.end(outcome.planned.action.key)
                    _tell(run, outcome)
                waiting += ended
                # A conflict at once: were it lost, no later run could tell that a person should look.
                late = time.monotonic() - committed_s > COMMIT_EVERY_S
                if waiting and (any(map(_is_conflict, ended)) or late or len(waiting) >= COMMITTED):
                    _commit(run, waiting)
                    waiting, committed_s = [], time.monotonic()
    except Gone:
        _commit(run, waiting)
        raise
    _commit(run, waiting)
    run.go_on()
    if run.job.scope.words is None:
        record_untold(run)
        _settle_conflicts(run)
    # What a side lost where it couldn't be read, a mode that deletes would take for deleted.
    if run.pair.mode is not run.job.mode and run.job.scope.words is None and not run.hides_recorded:
        run.pair = run.store.record_mode(run.pair, run.job.mode, run.lease)
    if changes:
        # A copy of a side that somebody took meanwhile is older than its seal from now on.
        with suppress(Halted):  # the next run tells
            _seal(run)


def _settle_conflicts(run: Run) -> None:
    """Settle the open conflicts of whose other version nothing is recorded, where neither side has it.

    That nothing is recorded says little: it may not have been looked at, or an alignment was cut short.
    """
    excluded = Filters.of(run.job).excluded
    found = run.store.conflicts.unrecorded(run.pair, None if run.job.resync else LOOKS)
    gone: list[int] = []
    for number, key in found:
        run.go_on()
        if not excluded(key) and all(look_at(run.endpoints[side], key) is None for side in Side):
            gone.append(number)
    if gone:
        run.store.conflicts.settle(run.pair, gone, run.lease)


def purge_daily(run: Run) -> None:
    """Once a day, delete for good what has been in the trash for long enough.

    How long is told by when the last good run began, and by the clocks of the stores: one of this host's that
    has jumped ahead takes nothing along. A trash that can't be listed or a version that can't be deleted
    waits for the next day.
    """
    keep_ns = run.job.trash.keep_ns
    last = run.store.runs.last_good(run.pair.id)
    if keep_ns is None or last is None or last.started_ns // DAY_NS == run.started_ns // DAY_NS:
        return
    by_stores = [run.started_ns + (probe.skew_ns or 0) for probe in run.probes.values()]
    before_ns = min(last.started_ns, run.started_ns, *by_stores) - keep_ns
    for side in Side:
        if side not in run.job.mode.writes:
            continue
        with suppress(EndpointError):
            run.lease.assert_held()
            purge(run.endpoints[side], before_ns, run.job.transfers, run.stop.is_set)


def _lost(run: Run, outcomes: Sequence[Outcome]) -> list[str]:
    """Keys that a side lost and that a first run in a mode couldn't bring back.

    Without a record they are new to the next run, which would else take them for deleted.
    """
    if run.policy.mode is run.job.mode:
        return []
    found = (outcome.planned.action for outcome in outcomes if not isinstance(outcome, Done))
    lost = {Delta.DELETED, Delta.UNREADABLE}
    return [action.key for action in found if not lost.isdisjoint((action.delta1, action.delta2))]


def _seal(run: Run) -> None:
    run.identity.seal(run.lease, run.now_ns(), run.stop.wait)


def _is_conflict(outcome: Outcome) -> bool:
    return isinstance(outcome, Done) and outcome.kept is not None and outcome.kept.loser is not None


def _tell(run: Run, outcome: Outcome) -> None:
    # A stamp that moved without its content is noted in the state, and is no news.
    if outcome.planned.action.verdict not in {Verdict.NOTHING, Verdict.LEAVE}:
        run.reporter.tell(Acted(outcome))
    if run.job.strict and not isinstance(outcome, Done | Waits):
        run.stop.give_up()


def _emptied(run: Run) -> Emptied | None:
    if not run.job.remove_empty_dirs:
        return None
    return Emptied(run.endpoints, markers=run.policy.create_empty_dirs)


def _at_once(run: Run) -> dict[Verdict, int]:
    """How many deletions a thread takes up: as many as go in one request, if all threads get some.

    What goes to the trash is moved there one by one.
    """
    return {
        verdict: min(
            run.endpoints[side].capabilities.deletes_at_once,
            max(1, ceil(run.tally.verdicts[verdict] / run.job.transfers)),
        )
        for side, verdict in DELETES.items()
        if side not in run.trash
    }


def _rows(run: Run, *verdicts: Verdict) -> Iterator[Planned]:
    """The rows that still wait; those of a kept plan as if looked at again: they are all there is."""
    if not any(run.tally.verdicts[verdict] for verdict in verdicts):
        return iter(())  # most plans have few kinds of actions
    rows = run.store.actions.planned(run.number, *verdicts)
    if set(verdicts) & set(COPIES.values()) and sum(run.tally.size.values()) >= LARGE:
        rows = _largest_first(run, rows)
    return rows if run.job.scope.plan is None else (row._replace(again=True) for row in rows)


def _largest_first(run: Run, rows: Iterator[Planned]) -> Iterator[Planned]:
    """Begin with large bodies, so that no huge one is under way alone when all others have ended."""
    largest = run.store.actions.largest(run.number, LARGE, MOST_LARGE)
    begun = {planned.seq for planned in largest}
    yield from largest
    yield from (planned for planned in rows if planned.seq not in begun)


def _settle(run: Run) -> None:
    """Commit what only the state must learn, unless the run is to stop."""
    for span in run.store.agreed.spans(run.number):
        if run.stop.is_set():
            return
        _flush(run)
        agreed = run.store.record(run.number, span, run.lease)
        run.done[Verdict.RECORD] += len(agreed)
        if agreed:
            run.reporter.tell(Settled(len(agreed), agreed))
    for span in run.store.actions.spans(run.number):
        if run.stop.is_set():
            return
        _flush(run)
        settled = run.store.settle(run.number, span, run.lease)
        for verdict, count in settled.counts().items():
            run.done[verdict] += count
        if told := settled.of(REPORTED):
            run.reporter.tell(Settled(len(told), told))


def _flush(run: Run) -> None:
    # The state may never claim more than the stores would still have after a power cut.
    for endpoint in run.endpoints.values():
        endpoint.flush()


def _commit(run: Run, outcomes: Sequence[Outcome]) -> None:
    _flush(run)
    run.store.actions.amend(run.number, [o.planned for o in outcomes if o.planned.again])
    run.conflicts += run.store.commit(run.number, outcomes, run.lease, _lost(run, outcomes))
    for outcome in outcomes:
        if isinstance(outcome, Waits):
            run.tally.waiting += 1
            continue
        if not isinstance(outcome, Done):
            run.count_problem(outcome.problem)
            continue
        verdict = outcome.planned.action.verdict
        run.done[verdict] += 1
        run.survived += outcome.planned.action.survivor is not None
        if verdict.side is not None:
            run.size[verdict.side] += outcome.size
