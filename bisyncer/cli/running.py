"""One run of one pair, with its voices: the answer on stdout, the log or the progress on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from bisyncer.cli.failure import AnswerLost, LogFormat, tell_error, tell_sentence
from bisyncer.cli.opened import opened_pair
from bisyncer.cli.options import Asked
from bisyncer.cli.stopping import Stop
from bisyncer.cli.table import say
from bisyncer.endpoints.base import Endpoint
from bisyncer.errors import BisyncerError, ConflictsRemain, Leased, NeedsResync
from bisyncer.job import Job
from bisyncer.model import Action, RunOutcome, Side, Summary
from bisyncer.report.events import Event, Reporter, RunEnded, WouldAct
from bisyncer.report.words import shown_count

if TYPE_CHECKING:
    from bisyncer.engine.kept_plan import KeptPlan
    from bisyncer.state.store import Store


class Kept:
    """A Reporter that remembers the summary, the plan if it is wanted, and what became of the answer."""

    def __init__(self, *, with_plan: bool) -> None:
        self.summary: Summary | None = None
        self.actions: list[Action] = []
        self.with_plan = with_plan
        self.lost: AnswerLost | None = None

    def tell(self, event: Event) -> None:
        """Keep what is kept."""
        if isinstance(event, RunEnded):
            self.summary = event.summary
        elif self.with_plan and isinstance(event, WouldAct):
            self.actions.append(event.action)

    def write(self, line: str) -> None:
        """Write a line of the answer; nobody there to read it and no room for it stop no run."""
        try:
            say(line)
        except BrokenPipeError:
            return
        except AnswerLost as error:
            self.lost = error


def run_pair(
    job: Job,
    store: Store,
    asked: Asked,
    stop: Stop,
    *,
    as_json: bool,
    with_plan: bool = False,
    fail_on_conflict: bool = False,
    hears: Reporter | None = None,
    plan: KeptPlan | None = None,
) -> int:
    """Run one pair, or a plan of it that was kept; `hears` is told what goes on too.

    Whatever fails is told, and is the exit code: other pairs have their turn.
    """
    kept = Kept(with_plan=with_plan and as_json)
    began_ns = time.time_ns()
    try:
        with opened_pair(job, store) as endpoints:
            code = _run_opened(
                job,
                endpoints,
                store,
                asked,
                stop,
                as_json=as_json,
                kept=kept,
                fail_on_conflict=fail_on_conflict,
                hears=hears,
                plan=plan,
            )
    except Exception as error:  # noqa: BLE001 -- a bug in one pair may not keep the others from running
        code = tell_error(error, verbose=asked.verbose, log_format=asked.log_format, pair=job.pair)
        if as_json:
            _print_report(
                replace(kept.summary or _unbegun(job, store, error, began_ns), exit_code=code), kept
            )
    if kept.lost is not None:
        lost = tell_error(kept.lost, verbose=False, log_format=asked.log_format, pair=job.pair)
        return code or lost
    return code


def _run_opened(
    job: Job,
    endpoints: Mapping[Side, Endpoint],
    store: Store,
    asked: Asked,
    stop: Stop,
    *,
    as_json: bool,
    kept: Kept,
    fail_on_conflict: bool,
    hears: Reporter | None,
    plan: KeptPlan | None,
) -> int:
    """Run one pair whose roots are open; raises what the run raises."""
    from bisyncer.engine import session  # noqa: PLC0415 -- see `opened`

    wait = would = 0

    def exit_code(summary: Summary) -> int:
        nonlocal wait, would
        code = stop.exit_code(summary)
        if code == 0 and fail_on_conflict:
            wait = len(store.conflicts.told(job.pair))
            would = len(summary.conflicts) if summary.dry_run else 0
        return ConflictsRemain.exit_code if wait or would else code

    with ExitStack() as stack:
        reporter = _reporter(asked, kept, stack, hears, as_json=as_json)
        summary = session.run(
            job, endpoints, store, reporter, stop=stop.event, kept=plan, exit_code=exit_code
        )
    if wait or would:
        tell_sentence(_waiting(wait, would, job.pair), log_format=asked.log_format, pair=job.pair)
    if as_json:
        _print_report(kept.summary or summary, kept)
    return summary.exit_code


def _waiting(wait: int, would: int, pair: str) -> str:
    """How many conflicts wait for a person, and where they are; or how many would after a dry run."""
    if would:
        return f"{shown_count(wait + would, 'conflict')} would wait for a person."
    told = f"{shown_count(wait, 'conflict')} {'waits' if wait == 1 else 'wait'}"
    return f"{told}: bisyncer conflicts list {pair}"


def opened_log(
    asked: Asked, stack: ExitStack, write: Callable[[str], None]
) -> tuple[Reporter, Callable[[str], None]]:
    """The log or the progress on stderr, and what writes a line of the answer beside it: `write`, or it."""
    if asked.log_format is LogFormat.JSON:
        from bisyncer.report.jsonl import JsonLog  # noqa: PLC0415 -- see `opened`

        return JsonLog(sys.stderr, quiet=asked.quiet, verbose=asked.verbose), write
    if sys.stderr.isatty() and not asked.quiet:
        from bisyncer.report.bars import Bars  # noqa: PLC0415 -- rich, for terminals alone

        bars = stack.enter_context(closing(Bars(sys.stderr, verbose=asked.verbose)))
        return bars, bars.print if sys.stdout.isatty() else write
    from bisyncer.report.progress import Ticks  # noqa: PLC0415 -- see `opened`

    return stack.enter_context(closing(Ticks(sys.stderr, quiet=asked.quiet, verbose=asked.verbose))), write


def _reporter(
    asked: Asked, kept: Kept, stack: ExitStack, hears: Reporter | None, *, as_json: bool
) -> Reporter:
    """The voices of a run: the answer on stdout, and the log or the progress on stderr."""
    from bisyncer.report.console import Answer, Several  # noqa: PLC0415 -- see `opened`

    log, write = opened_log(asked, stack, kept.write)
    answer = () if as_json else (Answer(write, quiet=asked.quiet),)
    return Several(log, *answer, kept, *(() if hears is None else (hears,)))


def _print_report(summary: Summary, kept: Kept) -> None:
    from bisyncer.report.jsonl import action_row, as_json, line  # noqa: PLC0415 -- see `opened`

    plan = {"plan": [action_row(action) for action in kept.actions]} if kept.with_plan else {}
    kept.write(line(as_json(summary) | plan))


def _unbegun(job: Job, store: Store, error: Exception, began_ns: int) -> Summary:
    """The report of a run that never began; its roots are as they are recorded, where they are."""
    known = None
    with suppress(BisyncerError):  # the state may be what failed
        known = store.pair(job.pair)
    outcome = RunOutcome.FAILED
    if isinstance(error, Leased):
        outcome = RunOutcome.LEASED
    elif isinstance(error, NeedsResync):
        outcome = RunOutcome.NEEDS_RESYNC
    return Summary(
        pair=job.pair,
        run=0,
        mode=job.mode,
        outcome=outcome,
        started_ns=began_ns,
        ended_ns=time.time_ns(),
        dry_run=job.dry_run,
        resync=job.resync,
        path1=known.path1 if known else job.path1,
        path2=known.path2 if known else job.path2,
        scanned={},
        actions={},
        size={},
        unchanged=0,
        problems=(),
        problem_count=0,
        conflicts=(),
        halts=(),
        exit_code=1,
        sentence=str(error),
    )
