"""A run on its way: what its phases work with, and what they have counted so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from bisyncer.endpoints.base import Endpoint, Probe
from bisyncer.endpoints.outline import Folder
from bisyncer.engine.deadline import Deadline
from bisyncer.engine.identity import Identity
from bisyncer.engine.lanes import Processes
from bisyncer.engine.marked import Marked
from bisyncer.engine.trash import Trash
from bisyncer.errors import BisyncerError, Halt, Halted, Interrupted, Unfinished
from bisyncer.job import Job, Policy
from bisyncer.model import PROBLEMS_SHOWN, Ancestor, Problem, RunOutcome, Side, Summary, Tally, Verdict
from bisyncer.report.events import GatesClosed, Reporter, RunEnded
from bisyncer.report.jsonl import as_json
from bisyncer.state.lease import Lease
from bisyncer.state.records import Pair
from bisyncer.state.store import Store

REPORTED = tuple(v for v in Verdict if v not in {Verdict.NOTHING, Verdict.LEAVE, Verdict.CHECK})
EXIT_CODES = {
    RunOutcome.SUCCESS: 0,
    RunOutcome.FAILED: BisyncerError.exit_code,
    RunOutcome.UNFINISHED: Unfinished.exit_code,
    RunOutcome.HALTED: Halted.exit_code,
    RunOutcome.INTERRUPTED: Interrupted.exit_code,
}


def code_of(summary: Summary) -> int:
    """The exit code of the outcome."""
    return summary.exit_code


@dataclass
class Run:
    """What the phases of one run share."""

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
    keeping: frozenset[Side] = frozenset()  # sides that keep what is replaced or deleted there
    marked: Marked | None = None
    done: dict[Verdict, int] = field(default_factory=lambda: dict.fromkeys(Verdict, 0))
    size: dict[Side, int] = field(default_factory=lambda: dict.fromkeys(Side, 0))
    problems: list[Problem] = field(default_factory=list)  # the first PROBLEMS_SHOWN
    problem_count: int = 0
    conflicts: list[tuple[int | None, str]] = field(default_factory=list)
    survived: int = 0
    hides_recorded: bool = False  # a place that can't be read holds keys that are recorded
    closed: tuple[Halt, ...] = ()  # gates of which a dry run tells in the end
    identity: Identity = field(init=False)
    probes: Mapping[Side, Probe] = field(default_factory=dict)
    forked: Processes | None = None  # None: this process plans alone
    expected: int = 0  # keys, where the whole pair is looked at
    folders: Sequence[Folder] = ()  # where to cut the listings, if nothing is recorded
    exit_code: Callable[[Summary], int] = code_of
    # Sent by other processes.
    requests: dict[Side, Counter[str]] = field(default_factory=lambda: {side: Counter() for side in Side})

    def recorded(self, keys: Collection[str]) -> Mapping[str, Ancestor]:
        """The ancestors of some keys; a resync knows of none."""
        return {} if self.job.resync else self.store.ancestors.of(self.pair.id, keys)

    def go_on(self) -> None:
        """Raise `Unfinished` or `Interrupted` where no more work is to be taken up."""
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

    def hold(self, problems: Iterable[Problem]) -> None:
        """Record problems that the plan found."""
        held = list(problems)
        self.store.hold(self.number, held)
        for problem in held:
            self.count_problem(problem)

    def count_problems(self, count: int, first: Iterable[Problem]) -> None:
        """Count problems that are in the state already, of which these are the first."""
        self.problem_count += count
        self.problems += islice(first, max(0, PROBLEMS_SHOWN - len(self.problems)))

    def count_problem(self, problem: Problem) -> None:
        """Count a problem, and tell it in the report if it is among the first."""
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
        """Record how the run ended, and tell it."""
        if halts:
            self.reporter.tell(GatesClosed(halts))
        counts = self.tally.verdicts if self.job.dry_run else self.done
        summary = Summary(
            pair=self.pair.name,
            run=self.number,
            mode=self.job.mode,
            outcome=outcome,
            started_ns=self.started_ns,
            ended_ns=max(self.started_ns, self.now_ns()),  # the clock may have been set back
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
            requests={
                side: dict(Counter(endpoint.requests) + self.requests[side])
                for side, endpoint in self.endpoints.items()
            },
            sentence=sentence,
            skipped=self.tally.skipped,
            waiting=self.tally.waiting,
            ahead=self.tally.ahead,
            scope=self.job.scope.words,
            left=self.tally.verdicts[Verdict.LEAVE],
            survived=self.tally.survived if self.job.dry_run else self.survived,
        )
        summary = replace(summary, exit_code=self.exit_code(summary))
        self.store.end_run(self.number, outcome, as_json(summary))
        self.reporter.tell(RunEnded(summary))
        return summary
