"""One run, top to bottom: read this first."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import TypeVar

from bisyncer.core.bounds import left_alone
from bisyncer.core.filters import Filters
from bisyncer.core.gates import Place, judge, strict
from bisyncer.core.renames import Rename
from bisyncer.endpoints.base import Endpoint, Probe
from bisyncer.engine import preflight
from bisyncer.engine.apply import Worker, apply
from bisyncer.engine.check import check, recount
from bisyncer.engine.deadline import Deadline
from bisyncer.engine.emptied import Emptied
from bisyncer.engine.identity import GATE as IDENTITY
from bisyncer.engine.identity import Identity
from bisyncer.engine.kept_plan import KeptPlan, still_so
from bisyncer.engine.left_alone import LeftAlone
from bisyncer.engine.marked import Marked
from bisyncer.engine.pairing import bound_pair, guarded, policy_for, require_conditions, resilient
from bisyncer.engine.part import holds_any, pieces
from bisyncer.engine.plan import count, make_plan, uncount
from bisyncer.engine.renames import renames
from bisyncer.engine.scan import Scan
from bisyncer.engine.shards import Shard
from bisyncer.engine.spellings import Spellings
from bisyncer.engine.suffix import dated
from bisyncer.engine.trash import Trash, folder_of, opened_trash, purge
from bisyncer.engine.uploads import abort_leftovers
from bisyncer.errors import (
    BisyncerError,
    EndpointError,
    Gone,
    Halt,
    Halted,
    Interrupted,
    ListingIncomplete,
    Unfinished,
)
from bisyncer.job import Job, Policy
from bisyncer.model import (
    PROBLEMS_SHOWN,
    Action,
    Ancestor,
    Delta,
    Done,
    Mode,
    Outcome,
    Planned,
    Problem,
    RunOutcome,
    Side,
    Summary,
    Tally,
    Verdict,
    Waits,
)
from bisyncer.report.events import (
    Acted,
    Checked,
    GatesClosed,
    Phase,
    PhaseBegan,
    PlanMade,
    Reporter,
    RunBegan,
    RunEnded,
    WouldAct,
)
from bisyncer.report.jsonl import as_json
from bisyncer.state.lease import Lease
from bisyncer.state.records import Pair
from bisyncer.state.store import Store

SPOOLED = 1000  # actions written to the plan at once
COMMITTED = 500  # outcomes committed at once, at the most ...
COMMIT_EVERY_NS = 1_000_000_000  # ... and an outcome that comes later than this takes the batch along

_Row = TypeVar("_Row", Action, Planned)

DAY_NS = 86400 * 10**9

REPORTED = tuple(v for v in Verdict if v not in {Verdict.NOTHING, Verdict.LEAVE, Verdict.CHECK})
CHANGING = tuple(v for v in Verdict if v.side is not None or v in {Verdict.CONFLICT, Verdict.CHECK})
EXIT_CODES = {
    RunOutcome.SUCCESS: 0,
    RunOutcome.FAILED: BisyncerError.exit_code,
    RunOutcome.UNFINISHED: Unfinished.exit_code,
    RunOutcome.HALTED: Halted.exit_code,
    RunOutcome.INTERRUPTED: Interrupted.exit_code,
}


def run(
    job: Job,
    endpoints: Mapping[Side, Endpoint],
    store: Store,
    reporter: Reporter,
    *,
    stop: threading.Event,
    now_ns: Callable[[], int] = time.time_ns,
    kept: KeptPlan | None = None,
) -> Summary:
    """Bring both sides to agree once, and tell what was done; by the plan `kept`, where there is one.

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
    with Lease.take(store, pair) as lease:
        stores = guarded(resilient(endpoints, job, until), job.mode)
        this = _Run(job, pair, stores, store, reporter, lease, until, now_ns)
        try:
            this.begin()
            if kept is None:
                this.plan()
                this.leave_alone()
                this.check()
                this.find_renames()
                this.match_spellings()
            else:
                this.take(kept)
                this.leave_alone()
            this.gate()
            if not job.dry_run:
                this.apply()
                this.purge()
        except Halted as error:
            return this.end(RunOutcome.HALTED, halts=error.halts)
        except Interrupted as error:
            if not until.passed:
                return this.end(RunOutcome.INTERRUPTED)
            return this.end(RunOutcome.INTERRUPTED, sentence=str(error), exit_code=Unfinished.exit_code)
        except Unfinished as error:
            return this.end(RunOutcome.UNFINISHED, sentence=str(error))
        except BaseException as error:
            this.end(RunOutcome.FAILED, sentence=str(error), exit_code=getattr(error, "exit_code", None))
            raise
        return this.end(RunOutcome.UNFINISHED if this.problem_count else RunOutcome.SUCCESS)


@dataclass
class _Run:
    """A run on its way: what it works with, and what it has counted so far."""

    job: Job
    pair: Pair
    endpoints: Mapping[Side, Endpoint]
    store: Store
    reporter: Reporter
    lease: Lease
    stop: Deadline
    now_ns: Callable[[], int]
    number: int = 0
    started_ns: int = 0
    tally: Tally = field(default_factory=Tally)
    policy: Policy = field(default_factory=Policy)
    trash: Mapping[Side, Trash] = field(default_factory=dict)
    versioned: frozenset[Side] = frozenset()
    marked: Marked | None = None
    done: dict[Verdict, int] = field(default_factory=lambda: dict.fromkeys(Verdict, 0))
    size: dict[Side, int] = field(default_factory=lambda: dict.fromkeys(Side, 0))
    problems: list[Problem] = field(default_factory=list)  # the first PROBLEMS_SHOWN
    problem_count: int = 0
    conflicts: list[tuple[int, str]] = field(default_factory=list)
    survived: int = 0
    closed: tuple[Halt, ...] = ()  # gates of which a dry run tells in the end
    identity: Identity = field(init=False)
    probes: Mapping[Side, Probe] = field(default_factory=dict)

    def begin(self) -> None:
        self.started_ns = self.now_ns()
        scope = self.job.scope.words
        self.number = self.store.begin_run(
            self.pair, dry_run=self.job.dry_run, resync=self.job.resync, scope=scope
        )
        expected = self.store.count_ancestors(self.pair.id) if scope is None else 0
        self.reporter.tell(
            RunBegan(
                self.pair.name,
                self.number,
                self.pair.path1,
                self.pair.path2,
                self.job.dry_run,
                self.job.resync,
                expected,
                self.job.mode,
                None if self.pair.mode is self.job.mode else self.pair.mode,
            )
        )
        self.policy = dated(policy_for(self.job, self.endpoints, self.pair), self.started_ns)
        self.marked = None if self.job.exclude_if_present is None else Marked(self.job.exclude_if_present)
        probes = self.probes = self.probe()
        self.identity = Identity(self.pair, self.endpoints, self.store, self.job.mode.writes)
        found = preflight.halts(self.job, self.endpoints, probes) + tuple(self.identity.look())
        self._close(found)
        folder = folder_of(self.started_ns, self.number)
        self.trash = opened_trash(self.job.trash, self.endpoints, probes, folder)
        self.versioned = frozenset(side for side in Side if probes[side].versioned)
        if not self.job.dry_run:
            abort_leftovers(self.pair.id, self.endpoints, self.store)

    def probe(self) -> Mapping[Side, Probe]:
        """Look at both roots; one that the mode before didn't write, and this one does, is tried too."""
        tried = frozenset() if self.job.dry_run else self.job.mode.writes - self.pair.mode.writes
        probes = preflight.probed(self.endpoints, tried)
        if tried:
            one, two = (probes[side].conditions for side in Side)
            self.pair = self.store.record_conditions(self.pair, (one, two))
            require_conditions(self.job, self.endpoints)
        return probes

    def _close(self, found: tuple[Halt, ...]) -> None:
        """Halt where a gate is closed; a dry run tells first what the run would do that opened it."""
        opened = self.job.limits.force | ({IDENTITY} if self.job.resync else set())
        self.closed = tuple(halt for halt in found if halt.gate not in opened)
        if self.closed and not self.job.dry_run:
            raise Halted(self.closed)

    def plan(self) -> None:
        self.reporter.tell(PhaseBegan(Phase.SCAN))
        filters = Filters.of(self.job)
        listed = {Side.PATH1: filters, Side.PATH2: Filters() if self.job.delete_excluded else filters}
        marked, judging = self.marked, LeftAlone(self.policy.bounds, self.marked, self.now_ns, self.tally)
        directories = self.policy.create_empty_dirs
        scans = {
            side: Scan(
                self.endpoints[side],
                side,
                listed[side],
                self.tally,
                self.reporter,
                directories=directories,
                marked=marked,
            )
            for side in Side
        }
        parts = pieces(
            self.job.scope,
            scans,
            self.endpoints,
            filters,
            ancestors=self._ancestors,
            recorded=self._recorded,
            width=self.job.transfers,
        )
        self._hold(self.job.scope.refused)
        try:
            for streams in parts:
                with (
                    closing(streams.ancestors) as ancestors,
                    closing(streams.path1) as path1,
                    closing(streams.path2) as path2,
                ):
                    actions = make_plan(
                        ancestors,
                        path1,
                        path2,
                        policy=self.policy,
                        endpoints=self.endpoints,
                        excluded=filters.excluded,
                        tally=self.tally,
                        left_alone=judging,
                    )
                    for batch in _batches(actions, SPOOLED):
                        self._go_on()
                        held = [a for a in batch if a.verdict is Verdict.HOLD]
                        self._hold(Problem(a.key, a.reason) for a in held if a.reason is not None)
                        self.store.spool(self.number, [a for a in batch if a.verdict is not Verdict.HOLD])
            if self.job.scope.keys:
                self._weigh()
        except ListingIncomplete as error:
            raise Halted((Halt("listing-incomplete", str(error)),)) from error
        places = scans[Side.PATH1].problems + scans[Side.PATH2].problems
        self._hold(place for place in places if marked is None or not marked.has(place.key))

    def leave_alone(self) -> None:
        """Take out of the plan what lies in a marked directory, and was planned before its mark was seen."""
        if self.marked is None:
            return
        for batch in _batches(self.store.planned(self.number), SPOOLED):
            if self.job.scope.words is not None:  # nobody listed what lies above
                self.marked.look((each.action.key for each in batch), self.endpoints, self.job.transfers)
            elif not self.marked:
                return
            dropped: list[Planned] = []
            forgotten: list[Planned] = []
            for planned in batch:
                action = planned.action
                why = self.marked.why(action.key)
                if why is None or action.verdict is Verdict.FORGET:
                    continue
                uncount(action, self.tally)
                if (judged := left_alone(action, why)) is None:
                    dropped.append(planned)
                else:
                    count(judged, self.tally)
                    forgotten.append(planned._replace(action=judged))
            self.store.amend(self.number, forgotten, dropped)

    def take(self, kept: KeptPlan) -> None:
        """Take up the actions of a kept plan; what moved since is left alone, and is a problem."""
        self.reporter.tell(PhaseBegan(Phase.CHECK, kept.total))
        looked = 0
        batches = still_so(kept.actions(), self.endpoints, self.policy, self.job.transfers)
        with closing(batches):
            for batch in batches:
                self._go_on()
                self._hold(Problem(action.key, moved) for action, moved in batch if moved is not None)
                actions = [action for action, moved in batch if moved is None]
                for action in actions:
                    self.tally.changed[Side.PATH1] += action.delta1 is Delta.CHANGED
                    self.tally.changed[Side.PATH2] += action.delta2 is Delta.CHANGED
                    count(action, self.tally)
                self.store.spool(self.number, actions)
                looked += len(batch)
                self.reporter.tell(Checked(looked))
        self._weigh()

    def _weigh(self) -> None:
        """Give the gates the measure of the whole pair, where only some keys were looked at.

        A side of which something seems deleted must hold another key: one that was unmounted holds none.
        """
        self.tally.ancestors = self.store.count_ancestors(self.pair.id)
        deletes = {Side.PATH1: Verdict.DELETE_FROM_PATH2, Side.PATH2: Verdict.DELETE_FROM_PATH1}
        filters, apart = Filters.of(self.job), Tally()
        try:
            for side in Side:
                if self.tally.scanned[side] and not self.tally.verdicts[deletes[side]]:
                    continue
                scan = Scan(self.endpoints[side], side, filters, apart, self.reporter)
                self.tally.scanned[side] = max(self.tally.scanned[side], 1) if holds_any(scan) else 0
        except ListingIncomplete as error:
            raise Halted((Halt("listing-incomplete", str(error)),)) from error

    def _ancestors(self, shard: Shard) -> Generator[Ancestor]:
        if not self.job.resync:  # a resync is the same table, read with no ancestors
            yield from self.store.ancestors(self.pair.id, shard.low, shard.high)

    def check(self) -> None:
        unsettled = self.tally.verdicts[Verdict.CHECK] + self.tally.verdicts[Verdict.CONFLICT]
        if unsettled:
            self.reporter.tell(PhaseBegan(Phase.CHECK, unsettled))
        checked = 0
        rows = self.store.planned(self.number, Verdict.CHECK, Verdict.CONFLICT)
        with closing(check(rows, self._recorded, self.endpoints, self.policy, self.job.transfers)) as batches:
            for batch in batches:
                self._go_on()
                for before, after in batch:
                    recount(before.action, after.action, self.tally)
                settled = [after for _, after in batch]
                self.store.amend(self.number, settled)
                reasons = ((after.action.key, after.action.reason) for after in settled)
                self._hold(Problem(key, reason) for key, reason in reasons if reason is not None)
                checked += len(batch)
                self.reporter.tell(Checked(checked))

    def match_spellings(self) -> None:
        spellings = Spellings(self.endpoints, self.policy, self.job.transfers)
        if not spellings.may_meet(self.tally):
            return
        rows, at = partial(self.store.planned, self.number), partial(self.store.planned_at, self.number)
        with closing(spellings.settle(rows, at, self._recorded)) as batches:
            for settled in batches:
                self._go_on()
                for before, after in settled.held:
                    recount(before.action, after.action, self.tally)
                self.store.amend(self.number, [after for _, after in settled.held])
                held = (after.action for _, after in settled.held)
                self._hold(Problem(action.key, action.reason) for action in held if action.reason is not None)
                self._replan(settled.renamed)

    def find_renames(self) -> None:
        if not self.policy.track_renames:
            return
        by_size = partial(self.store.planned_by_size, self.number)
        waiting: list[Rename] = []
        groups = renames(by_size, self._recorded, self.endpoints, self.job.transfers, self.stop.is_set)
        with closing(groups):
            for group in groups:
                self._go_on()
                waiting += group
                if len(waiting) >= SPOOLED:
                    self._replan(waiting)
                    waiting = []
        self._replan(waiting)

    def _replan(self, found: Sequence[Rename]) -> None:
        self.store.amend(
            self.number, [each.moved for each in found], dropped=[each.deleted for each in found]
        )
        for each in found:
            count(each.deleted.action, self.tally, -1)
            count(each.copied.action, self.tally, -1)
            count(each.moved.action, self.tally)

    def _recorded(self, keys: Collection[str]) -> Mapping[str, Ancestor]:
        return {} if self.job.resync else self.store.ancestors_of(self.pair.id, keys)

    def gate(self) -> None:
        self.reporter.tell(PlanMade(self.tally))
        if self.job.dry_run:
            self.show()
        halts = self.closed + judge(self.tally, self.job.limits, self.job.mode, self._places(), self.policy)
        if self.job.strict and self.problems:
            halts += (strict(self.problem_count, self.problems[0]),)
        if halts:
            raise Halted(halts)

    def _places(self) -> dict[Side, Place]:
        return {
            side: Place(
                endpoint.root,
                self.probes[side].free_bytes if side in self.job.mode.writes else None,
                self.probes[side].skew_ns,
                side in self.trash,
            )
            for side, endpoint in self.endpoints.items()
        }

    def show(self) -> None:
        for planned in self.store.planned(self.number):
            if planned.action.verdict in REPORTED:
                self.reporter.tell(WouldAct(planned.action))

    def apply(self) -> None:
        if self.job.resync:
            # What only path2 has a mirror deletes from the first run on after an alignment that is whole.
            mode = Mode.COPY if self.job.mode is Mode.MIRROR else self.job.mode
            self.pair = self.store.begin_alignment(self.pair, self.lease, mode)
        changes = any(self.tally.verdicts[verdict] for verdict in CHANGING)
        if changes or self.job.resync or self.identity.broken:
            self._seal()
        total = sum(self.tally.verdicts[verdict] for verdict in REPORTED if verdict is not Verdict.HOLD)
        self.reporter.tell(PhaseBegan(Phase.APPLY, total, sum(self.tally.size.values())))
        worker = Worker(
            self.endpoints,
            self.policy,
            self.job.transfers,
            self._recorded,
            self.lease,
            self.stop,
            self.trash,
            self.versioned,
            emptied=self._emptied(),
            now_ns=self.now_ns,
        )
        outcomes = apply(self._rows, worker)
        waiting: list[Outcome] = []
        committed_ns = self.now_ns()
        try:
            with closing(outcomes):
                for outcome in outcomes:
                    self._hear(outcome)
                    waiting.append(outcome)
                    # A conflict at once: were it lost, no later run could tell that a person should look.
                    conflict = isinstance(outcome, Done) and outcome.kept is not None and outcome.kept.loser
                    late = self.now_ns() - committed_ns > COMMIT_EVERY_NS
                    if conflict or late or len(waiting) >= COMMITTED:
                        self._commit(waiting)
                        waiting, committed_ns = [], self.now_ns()
        except Gone:
            self._commit(waiting)
            raise
        self._commit(waiting)
        self._go_on()
        if self.job.resync:
            self.store.settle_conflicts(self.pair, self.lease)
        if self.pair.mode is not self.job.mode and self.job.scope.words is None:
            self.pair = self.store.record_mode(self.pair, self.job.mode, self.lease)
        if changes:
            # A copy of a side that somebody took meanwhile is older than its seal from now on.
            with suppress(Halted):  # the next run tells
                self._seal()

    def _seal(self) -> None:
        self.identity.seal(self.lease, self.now_ns(), self.stop.wait)

    def _hear(self, outcome: Outcome) -> None:
        # A stamp that moved without its content is noted in the state, and is no news.
        if outcome.planned.action.verdict not in {Verdict.NOTHING, Verdict.LEAVE}:
            self.reporter.tell(Acted(outcome))
        if self.job.strict and not isinstance(outcome, Done):
            self.stop.give_up()

    def _emptied(self) -> Emptied | None:
        if not self.job.remove_empty_dirs:
            return None
        return Emptied(self.endpoints, markers=self.policy.create_empty_dirs)

    def _rows(self, *verdicts: Verdict) -> Iterator[Planned]:
        """The rows that still wait; those of a kept plan as if looked at again: they are all there is."""
        rows = self.store.planned(self.number, *verdicts)
        return rows if self.job.scope.plan is None else (row._replace(again=True) for row in rows)

    def purge(self) -> None:
        """Once a day, delete for good what has been in the trash for long enough.

        A trash that can't be listed or a version that can't be deleted waits for the next day.
        """
        keep_ns = self.job.trash.keep_ns
        last = self.store.last_good_run(self.pair.id)
        if keep_ns is None or (last is not None and last.started_ns // DAY_NS == self.started_ns // DAY_NS):
            return
        for side in Side:
            if side not in self.job.mode.writes:
                continue
            with suppress(EndpointError):
                self.lease.assert_held()
                purge(self.endpoints[side], self.started_ns - keep_ns, self.job.transfers, self.stop.is_set)

    def _commit(self, outcomes: Sequence[Outcome]) -> None:
        # The state may never claim more than the stores would still have after a power cut.
        for endpoint in self.endpoints.values():
            endpoint.flush()
        self.store.amend(self.number, [o.planned for o in outcomes if o.planned.again])
        self.conflicts += self.store.commit(self.number, outcomes, self.lease)
        for outcome in outcomes:
            if isinstance(outcome, Waits):
                self.tally.waiting += 1
                continue
            if not isinstance(outcome, Done):
                self._count_problem(outcome.problem)
                continue
            verdict = outcome.planned.action.verdict
            self.done[verdict] += 1
            self.survived += outcome.planned.action.survivor is not None
            if verdict.side is not None:
                self.size[verdict.side] += outcome.size

    def _go_on(self) -> None:
        if self.stop.given_up:
            raise Unfinished(
                "Stopped at the first problem, since strict is set. What was done is committed; the next run "
                "goes on."
            )
        if self.stop.passed:
            raise Interrupted(
                "The time of this run (max_duration) is over. What was done is committed; the next goes on."
            )
        if self.stop.is_set():
            raise Interrupted("Stopped by a signal; what was done is committed. Run again to go on.")

    def _hold(self, problems: Iterable[Problem]) -> None:
        held = list(problems)
        self.store.hold(self.number, held)
        for problem in held:
            self._count_problem(problem)

    def _count_problem(self, problem: Problem) -> None:
        self.problem_count += 1
        if len(self.problems) < PROBLEMS_SHOWN:
            self.problems.append(problem)

    def end(
        self,
        outcome: RunOutcome,
        *,
        halts: tuple[Halt, ...] = (),
        sentence: str | None = None,
        exit_code: int | None = None,
    ) -> Summary:
        if halts:
            self.reporter.tell(GatesClosed(halts))
        counts = self.tally.verdicts if self.job.dry_run else self.done
        summary = Summary(
            pair=self.pair.name,
            run=self.number,
            mode=self.job.mode,
            outcome=outcome,
            started_ns=self.started_ns,
            ended_ns=self.now_ns(),
            dry_run=self.job.dry_run,
            resync=self.job.resync,
            path1=self.pair.path1,
            path2=self.pair.path2,
            scanned=dict(self.tally.scanned),
            actions={v.value: counts[v] for v in REPORTED} | {"hold": self.tally.verdicts[Verdict.HOLD]},
            size=dict(self.tally.size if self.job.dry_run else self.size),
            unchanged=self.tally.unchanged,
            problems=tuple(self.problems),
            problem_count=self.problem_count,
            conflicts=tuple(self.conflicts),
            halts=halts,
            exit_code=EXIT_CODES[outcome] if exit_code is None else exit_code,
            requests={side: dict(endpoint.requests) for side, endpoint in self.endpoints.items()},
            sentence=sentence,
            skipped=self.tally.skipped,
            waiting=self.tally.waiting,
            ahead=self.tally.ahead,
            scope=self.job.scope.words,
            left=self.tally.verdicts[Verdict.LEAVE],
            survived=self.tally.survived if self.job.dry_run else self.survived,
        )
        self.store.end_run(self.number, outcome, as_json(summary))
        self.reporter.tell(RunEnded(summary))
        return summary


def _batches(rows: Iterator[_Row], length: int) -> Iterator[list[_Row]]:
    while batch := list(islice(rows, length)):
        yield batch
