"""The answer of a run as lines: each action once, then the problems, then one line about the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from bisyncer.errors import ConflictsRemain
from bisyncer.model import Action, Done, Mode, Outcome, RunOutcome, Side, Summary, Verdict
from bisyncer.report.events import Acted, Event, Reporter, RunBegan, RunEnded, Settled, WouldAct
from bisyncer.report.jsonl import ACTIONS
from bisyncer.report.words import (
    shown_count,
    shown_duration,
    shown_key,
    shown_line,
    shown_size,
    survival,
    without_key,
)

Write = Callable[[str], None]

_COPIES = {"copy-to-path1": Side.PATH1, "copy-to-path2": Side.PATH2}


def action_line(action: Action) -> str:
    """An action as text: its verdict, its key, and the reason that it has, or else what each side did."""
    key = shown_key(action.key)
    if action.origin is not None:
        key = f"{key} from {shown_key(action.origin.key)}"
    if (
        action.reason is not None
    ):  # what is left out was hidden from the plan: its deltas aren't what happened
        return f"{action.verdict} {key}: {shown_line(action.reason)}"
    line = f"{action.verdict} {key} ({action.delta1} / {action.delta2})"
    survived = survival(action.survivor)
    return line if survived is None else f"{line}: {survived}"


def would_line(would: WouldAct) -> str:
    """An action of a dry run."""
    action = would.action
    line = action_line(action)
    if action.verdict is Verdict.CONFLICT and action.winner is not None:
        loser = action.winner.other
        kept = (
            "be replaced, and kept in the trash or by its bucket" if would.replaces else "be kept beside it"
        )
        return f"{line}: {action.winner} would keep the name, {loser}'s version would {kept}"
    return line


def outcome_line(outcome: Outcome) -> str | None:
    """An action that was done; None for one that wasn't, since the problems tell it."""
    if not isinstance(outcome, Done):
        return None
    line = action_line(outcome.planned.action)
    kept = outcome.kept
    if kept is None:
        return line
    place = f"is {shown_key(kept.loser.key)}" if kept.loser else f"went to {_kept_by(outcome)}"
    return f"{line}: {kept.winner} keeps the name, {kept.winner.other}'s version {place}"


def _kept_by(outcome: Done) -> str:
    return "the versions of its bucket" if outcome.trashed is None else shown_key(outcome.trashed)


def mode_line(began: RunBegan) -> str | None:
    """That the mode is another than that of the last run, and what follows; None where it is the same."""
    if began.was is None:
        return None
    line = f"{began.pair}: its mode is {began.mode} from now on, and was {began.was}"
    return line if began.mode is began.mode.without_deletions else f"{line}; this run deletes nothing"


def summary_line(summary: Summary) -> str:
    """A whole run on one line."""
    kinds = [word for word, said in (("dry run", summary.dry_run), ("resync", summary.resync)) if said]
    kinds += [] if summary.scope is None else [shown_key(summary.scope)]
    head = f"{summary.pair}: {summary.outcome}" + (f" ({', '.join(kinds)})" if kinds else "")
    head = f"{head} in {shown_duration(summary.ended_ns - summary.started_ns)}"
    if summary.halts:
        closed = ", ".join(dict.fromkeys(halt.gate for halt in summary.halts))
        would = ", ".join(_counted(summary)) if summary.dry_run else ""
        planned = f"; planned: {would}" if would else ""
        return f"{head}: nothing was changed; closed: {closed}{planned}"
    nothing = "nothing to do" if summary.outcome is RunOutcome.SUCCESS else "nothing done"
    parts = [", ".join(_counted(summary)) or nothing, f"{summary.unchanged:,} unchanged"]
    parts += _met(summary)
    if failed := sum(counts.get("transient", 0) for counts in summary.requests.values()):
        throttled = sum(counts.get("throttled", 0) for counts in summary.requests.values())
        too_many = f", {throttled:,} for being too many" if throttled else ""
        parts.append(f"{shown_count(failed, 'request')} failed for a while{too_many}")
    if summary.outcome in {RunOutcome.INTERRUPTED, RunOutcome.UNFINISHED} and summary.sentence:
        parts.append(summary.sentence)
    if summary.left:
        then = ", and deleted by the next run" if summary.mode is Mode.MIRROR else ", and left there"
        parts.append(f"{summary.left:,} on path2 only{then}")
    if summary.waiting:
        parts.append(f"{summary.waiting:,} waiting until min_age")
    if summary.ahead:
        parts.append(f"{summary.ahead:,} with a time to come, which min_age can't judge")
    if summary.skipped:
        parts.append(f"{summary.skipped:,} skipped: --verbose names them")
    return f"{head}: {'; '.join(parts)}"


def _met(summary: Summary) -> Iterable[str]:
    """What a run met that somebody may want to look at."""
    if summary.problem_count:
        yield shown_count(summary.problem_count, "problem")
    listed = f"bisyncer conflicts list {summary.pair}"
    if summary.conflicts and not summary.dry_run:
        yield f"{shown_count(len(summary.conflicts), 'new conflict')}: {listed}"
    if summary.survived:
        where = "" if summary.dry_run else f": {listed} --settled"
        yield f"{shown_count(summary.survived, 'edit')} survived a deletion{where}"


def problem_lines(summary: Summary) -> Iterable[str]:
    """The problems of a run, and where the rest is where there are many."""
    for problem in summary.problems:
        yield f"problem {shown_key(problem.key)}: {shown_line(without_key(problem.sentence, problem.key))}"
    more = summary.problem_count - len(summary.problems)
    if more > 0:
        yield f"and {shown_count(more, 'more problem')}: bisyncer problems {summary.pair}"


class Answer:
    """A Reporter: what a run did, for the standard output. Quiet: only what somebody should look at."""

    def __init__(self, write: Write, *, quiet: bool = False) -> None:
        self._write = write
        self._quiet = quiet

    def tell(self, event: Event) -> None:
        """Say it at once where it is an action, and at the end all the rest."""
        if isinstance(event, Acted):
            if not self._quiet:
                self._line(outcome_line(event.outcome))
        elif isinstance(event, Settled):
            if event.count and not self._quiet:  # one write for all: a million keys may come this way
                self._write("\n".join(map(action_line, event.actions)))
        elif isinstance(event, WouldAct):
            self._line(would_line(event))
        elif isinstance(event, RunBegan):
            self._line(mode_line(event))
        elif isinstance(event, RunEnded):
            for line in problem_lines(event.summary):
                self._write(line)
            ended_well = event.summary.exit_code in {0, ConflictsRemain.exit_code}
            wanted = not ended_well or event.summary.conflicts or not self._quiet
            if wanted and not _never_came_far(event.summary):
                self._write(summary_line(event.summary))

    def _line(self, line: str | None) -> None:
        if line is not None and not self._quiet:
            self._write(line)


class Several:
    """A Reporter that hands each event to others, in their order."""

    def __init__(self, *reporters: Reporter) -> None:
        self._reporters = reporters

    def tell(self, event: Event) -> None:
        """Pass it on."""
        for reporter in self._reporters:
            reporter.tell(event)


def _never_came_far(summary: Summary) -> bool:
    """Whether the error, which is told on its own, is all that there is to tell."""
    return summary.outcome is RunOutcome.FAILED and not any(summary.scanned.values())


def _counted(summary: Summary) -> Iterable[str]:
    for name in ACTIONS:
        count = summary.actions.get(name, 0)
        if count:
            side = _COPIES.get(name)
            size = f" ({shown_size(summary.size.get(side, 0))})" if side else ""
            yield f"{name} {count:,}{size}"
