"""One run, top to bottom: read this first."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Final

from bisyncer.core.conflict import replaces
from bisyncer.core.gates import Place, judge, strict
from bisyncer.endpoints.base import Endpoint, Probe
from bisyncer.endpoints.outline import Folder
from bisyncer.engine import preflight
from bisyncer.engine.commit import carry_out, purge_daily
from bisyncer.engine.deadline import Deadline
from bisyncer.engine.identity import GATE as IDENTITY
from bisyncer.engine.identity import Identity
from bisyncer.engine.kept_plan import KeptPlan
from bisyncer.engine.lanes import processes
from bisyncer.engine.marked import Marked
from bisyncer.engine.pairing import (
    bound_pair,
    guarded,
    policy_for,
    require_conditions,
    resilient,
    still_bound,
)
from bisyncer.engine.planning import check_content, find_renames, leave_alone, match_spellings, plan, take
from bisyncer.engine.run import REPORTED, Run, code_of
from bisyncer.engine.shards import about, can_be_cut, outlined
from bisyncer.engine.suffix import dated
from bisyncer.engine.trash import folder_of, opened_trash
from bisyncer.engine.uploads import abort_leftovers
from bisyncer.errors import Halt, Halted, Interrupted, Unfinished
from bisyncer.job import Job
from bisyncer.model import Action, Delta, RunOutcome, Side, Summary, Verdict
from bisyncer.report.events import PlanMade, Reporter, RunBegan, WouldAct
from bisyncer.state.lease import Lease
from bisyncer.state.store import Store

_AHEAD_NS: Final = 60_000_000_000  # by which a store's clock is believed rather than this host's
_SHOWN: Final = 500  # actions of a dry run of which is looked up at once what is recorded


def run(
    job: Job,
    endpoints: Mapping[Side, Endpoint],
    store: Store,
    reporter: Reporter,
    *,
    stop: threading.Event,
    now_ns: Callable[[], int] = time.time_ns,
    kept: KeptPlan | None = None,
    exit_code: Callable[[Summary], int] = code_of,
) -> Summary:
    """Bring both sides to agree once, and tell what was done; by the plan `kept`, where there is one.

    `exit_code` gives the code that is recorded and told, of a summary that has the one of its outcome.
    A halted, unfinished or interrupted run is a summary with that outcome. Raises `NeedsResync` where
    the pair was never aligned, `Leased` where another run holds it, `UsageError` where a root can't be
    used, `LeaseLost` where another run took the pair over; any other error is a failed run.
    """
    pair = bound_pair(job, endpoints, store)
    assert not (job.resync and job.scope.words), "a resync forgets the ancestors of a whole pair"
    if kept is not None:
        kept.refuse_other(pair, job.mode)
        # A person saw the plan, and which gates were closed: these are open for it, and no others.
        job = replace(job, limits=replace(job.limits, force=job.limits.force | kept.gates))
    until = Deadline(stop, job.max_duration_ns)
    expected = store.ancestors.count(pair.id) if job.scope.words is None else 0
    folders = () if expected else _folders(job, endpoints)
    keys = expected or about(folders)
    with processes(job, endpoints, store, pair, keys) as forked, Lease.take(store, pair) as lease:
        pair = still_bound(pair, job, endpoints, store)
        stores = guarded(resilient(endpoints, job, until), job.mode)
        this = Run(
            job, pair, stores, store, reporter, lease, until, now_ns,
            expected=expected, folders=folders, forked=forked, exit_code=exit_code,
        )  # fmt: skip
        try:
            _begin(this)
            if kept is None:
                plan(this)
                leave_alone(this)
                check_content(this)
                find_renames(this)
                match_spellings(this)
            else:
                take(this, kept)
                leave_alone(this)
            _gate(this)
            if not job.dry_run:
                carry_out(this)
                purge_daily(this)
        except Halted as error:
            return this.end(RunOutcome.HALTED, halts=error.halts)
        except Interrupted as error:
            if not until.passed:
                return this.end(RunOutcome.INTERRUPTED)
            return this.end(RunOutcome.INTERRUPTED, sentence=str(error), exit_code=Unfinished.exit_code)
        except Unfinished as error:
            return this.end(RunOutcome.INTERRUPTED, sentence=str(error), exit_code=error.exit_code)
        except BaseException as error:
            this.end(RunOutcome.FAILED, sentence=str(error), exit_code=getattr(error, "exit_code", None))
            raise
        return this.end(RunOutcome.UNFINISHED if this.problem_count else RunOutcome.SUCCESS)


def _folders(job: Job, endpoints: Mapping[Side, Endpoint]) -> Sequence[Folder]:
    """Where to cut the listings of a whole pair of which nothing is recorded."""
    cut = can_be_cut(endpoints.values(), directories=job.policy.create_empty_dirs)
    if job.scope.words is not None or not cut:
        return ()
    return outlined(endpoints.values())


def _begin(run: Run) -> None:
    run.started_ns = run.now_ns()
    scope = run.job.scope.words
    run.number = run.store.begin_run(
        run.pair,
        run.lease,
        dry_run=run.job.dry_run,
        resync=run.job.resync,
        scope=scope,
        started_ns=run.started_ns,
    )
    run.reporter.tell(
        RunBegan(
            run.pair.name,
            run.number,
            run.pair.path1,
            run.pair.path2,
            run.job.dry_run,
            run.job.resync,
            run.expected,
            run.job.mode,
            None if run.pair.mode is run.job.mode else run.pair.mode,
        )
    )
    run.policy = dated(policy_for(run.job, run.endpoints, run.pair), run.started_ns)
    run.marked = None if run.job.exclude_if_present is None else Marked(run.job.exclude_if_present)
    probes = run.probes = _probe(run)
    run.identity = Identity(run.pair, run.endpoints, run.store, run.job.mode.writes)
    found = preflight.halts(run.job, run.endpoints, probes) + tuple(run.identity.look())
    _close(run, found)
    folder = folder_of(_latest_ns(run), run.number)
    run.trash = opened_trash(run.job.trash, run.endpoints, probes, folder)
    run.keeping = frozenset(run.trash) | {side for side in Side if probes[side].versioned}
    if not run.job.dry_run:
        abort_leftovers(run.lease, run.endpoints, run.store)


def _latest_ns(run: Run) -> int:
    """When the run began, by the clock that is furthest ahead: this host's may have been set back.

    By that of an earlier run, and by that of a store.
    """
    ahead = [probe.skew_ns for probe in run.probes.values() if probe.skew_ns is not None]
    by_stores = [run.started_ns + skew_ns for skew_ns in ahead if skew_ns >= _AHEAD_NS]
    return max([run.store.runs.latest_start(run.pair, run.started_ns), *by_stores])


def _probe(run: Run) -> Mapping[Side, Probe]:
    """Look at both roots; one that the mode before didn't write, and this one does, is tried too."""
    tried = frozenset() if run.job.dry_run else run.job.mode.writes - run.pair.mode.writes
    probes = preflight.probed(run.endpoints, tried)
    if tried:
        known = dict(zip(Side, run.pair.conditions, strict=True))
        one, two = (probes[side].conditions if side in tried else known[side] for side in Side)
        run.pair = run.store.record_conditions(run.pair, (one, two))
        require_conditions(run.job, run.endpoints)
    return probes


def _close(run: Run, found: tuple[Halt, ...]) -> None:
    """Halt where a gate is closed; a dry run tells first what the run would do that opened it."""
    opened = run.job.limits.force | ({IDENTITY} if run.job.resync else set())
    run.closed = tuple(halt for halt in found if halt.gate not in opened)
    if run.closed and not run.job.dry_run:
        raise Halted(run.closed)


def _gate(run: Run) -> None:
    run.reporter.tell(PlanMade(run.tally))
    if run.job.dry_run:
        _show(run)
    halts = run.closed + judge(
        run.tally, run.job.limits, run.job.mode, _places(run), run.policy, resync=run.job.resync
    )
    if run.job.strict and run.problems:
        halts += (strict(run.problem_count, run.problems[0]),)
    if halts:
        raise Halted(halts)


def _places(run: Run) -> dict[Side, Place]:
    return {
        side: Place(
            endpoint.root,
            run.probes[side].free_bytes if side in run.job.mode.writes else None,
            run.probes[side].skew_ns,
            side in run.trash,
        )
        for side, endpoint in run.endpoints.items()
    }


def _may_be_recorded(action: Action) -> bool:
    return action.origin is not None or not {action.delta1, action.delta2} <= {Delta.ABSENT, Delta.NEW}


def _show(run: Run) -> None:
    actions = (planned.action for planned in run.store.actions.planned(run.number))
    told = (action for action in actions if action.verdict in REPORTED)
    while batch := list(islice(told, _SHOWN)):
        known = run.recorded([action.recorded_key for action in batch if _may_be_recorded(action)])
        for action in batch:
            replaced = replaces(action, run.policy, run.keeping)
            run.reporter.tell(WouldAct(action, replaced, known.get(action.recorded_key)))
            if action.verdict is Verdict.CONFLICT and not replaced:
                run.conflicts.append((None, action.key))
