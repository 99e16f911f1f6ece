"""A run for programs: its report as one JSON object, and its events as log lines of JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Final, TextIO

from bisyncer.model import Action, Done, Side, Summary, Waits
from bisyncer.report.events import (
    Acted,
    Checked,
    Event,
    GatesClosed,
    PhaseBegan,
    PlanMade,
    ProblemFound,
    RunBegan,
    RunEnded,
    Scanned,
    Settled,
    SkippedPlace,
    WouldAct,
)
from bisyncer.report.words import instant, shown_root, survival

ACTIONS: Final = (
    "copy-to-path1",
    "copy-to-path2",
    "move-on-path1",
    "move-on-path2",
    "delete-from-path1",
    "delete-from-path2",
    "record",
    "forget",
    "conflict",
    "hold",
)

REPORT_KEYS: Final = (
    "pair",
    "run",
    "mode",
    "outcome",
    "started",
    "duration_s",
    "dry_run",
    "resync",
    "path1",
    "path2",
    "scanned",
    "actions",
    "bytes",
    "requests",
    "unchanged",
    "problems",
    "conflicts",
    "halts",
    "exit_code",
    "skipped",
    "scope",
    "left",
    "waiting",
    "ahead",
    "survived",
    "sentence",
    "problem_count",
)

_STEP_S: Final = 10.0  # counts of a long phase are logged this often


def as_json(summary: Summary) -> dict[str, object]:
    """The report of a run; the order of the keys is part of the contract."""
    return {
        "pair": summary.pair,
        "run": summary.run or None,  # a run that never began has no number
        "mode": summary.mode,
        "outcome": summary.outcome,
        "started": instant(summary.started_ns),
        "duration_s": round((summary.ended_ns - summary.started_ns) / 1e9, 3),
        "dry_run": summary.dry_run,
        "resync": summary.resync,
        "path1": shown_root(summary.path1),
        "path2": shown_root(summary.path2),
        "scanned": {side.value: summary.scanned.get(side, 0) for side in Side},
        "actions": {name: summary.actions.get(name, 0) for name in ACTIONS},
        "bytes": {f"to_{side}": summary.size.get(side, 0) for side in Side},
        "requests": {side.value: dict(summary.requests.get(side, {})) for side in Side},
        "unchanged": summary.unchanged,
        "problems": [{"key": problem.key, "problem": problem.sentence} for problem in summary.problems],
        "conflicts": [{"id": number, "key": key} for number, key in summary.conflicts],
        "halts": [{"gate": halt.gate, "sentence": halt.sentence} for halt in summary.halts],
        "exit_code": summary.exit_code,
        "skipped": summary.skipped,
        "scope": summary.scope,
        "left": summary.left,
        "waiting": summary.waiting,
        "ahead": summary.ahead,
        "survived": summary.survived,
        "sentence": summary.sentence,
        "problem_count": summary.problem_count,
    }


def line(value: Mapping[str, object]) -> str:
    """One JSON object on one line; pure ASCII, so that no key can speak to a terminal."""
    return json.dumps(value)


def sentence_line(level: str, sentence: str, pair: str | None, more: Mapping[str, object]) -> str:
    """What isn't an event of a run, as the log has it, with the end of the line."""
    about = {"pair": pair} if pair else {}
    row = {"time": instant(time.time_ns()), "level": level, "event": level, "sentence": sentence}
    return line({**row, **about, **more}) + "\n"


def action_row(action: Action) -> dict[str, object]:
    """An action as the logs and `plan --json` have it."""
    row: dict[str, object] = {
        "action": action.verdict,
        "key": action.key,
        "path1": action.delta1,
        "path2": action.delta2,
    }
    if action.origin is not None:
        row["from"] = action.origin.key
    if (reason := action.reason or survival(action.survivor)) is not None:
        row["reason"] = reason
    return row


def _acted_row(action: Action, size: int = 0) -> dict[str, object]:
    return {"event": "acted", **action_row(action), "bytes": size}


class JsonLog:
    """A Reporter: each event is one JSON object a line, with its time and name."""

    def __init__(
        self,
        stream: TextIO,
        *,
        quiet: bool = False,
        verbose: bool = False,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._stream = stream
        self._quiet = quiet
        self._verbose = verbose
        self._now_ns = now_ns
        self._pair = ""
        self._counted_ns = 0

    def tell(self, event: Event) -> None:
        """Write the event; a stream that is gone or full doesn't stop a run."""
        written = self._row(event)
        if written is None:
            return
        level, row = written
        if (self._quiet and level == "info") or (level == "debug" and not self._verbose):
            return
        self.say(level, row)

    def say(self, level: str, row: Mapping[str, object]) -> None:
        """Write one line."""
        head = {
            "time": instant(self._now_ns()),
            "level": level,
            **({"pair": self._pair} if self._pair else {}),
        }
        try:
            self._stream.write(line(head | dict(row)) + "\n")
            self._stream.flush()
        except (OSError, ValueError):  # ValueError: closed
            return

    def _row(self, event: Event) -> tuple[str, dict[str, object]] | None:  # noqa: C901, PLR0912 -- one case an event
        match event:
            case RunBegan():
                self._pair = event.pair
                return "info", {
                    "event": "run-began",
                    "run": event.run,
                    "path1": shown_root(event.path1),
                    "path2": shown_root(event.path2),
                    "dry_run": event.dry_run,
                    "resync": event.resync,
                    "mode": event.mode,
                    "mode_before": event.was or event.mode,
                }
            case PhaseBegan():
                self._counted_ns = self._now_ns()
                return "info", {
                    "event": "phase-began",
                    "phase": event.phase,
                    "total": event.total,
                    "bytes": event.size,
                }
            case Scanned():
                return self._counted({"event": "scanned", "side": event.side, "keys": event.keys})
            case Checked():
                return self._counted({"event": "checked", "keys": event.keys})
            case WouldAct():
                return "info", {"event": "would-act", **action_row(event.action)}
            case Acted():
                return self._acted(event)
            case Settled():
                for action in () if self._quiet else event.actions:
                    self.say("info", _acted_row(action))
                return None
            case ProblemFound():
                return "warning", {
                    "event": "problem",
                    "side": event.side,
                    "key": event.problem.key,
                    "problem": event.problem.sentence,
                }
            case SkippedPlace():
                return "debug", {
                    "event": "skipped",
                    "side": event.side,
                    "key": event.problem.key,
                    "reason": event.problem.sentence,
                }
            case GatesClosed():
                halts = [{"gate": halt.gate, "sentence": halt.sentence} for halt in event.halts]
                return "error", {"event": "halted", "halts": halts}
            case PlanMade():
                return "info", {
                    "event": "plan-made",
                    "unchanged": event.tally.unchanged,
                    "actions": {
                        verdict.value: count for verdict, count in event.tally.verdicts.items() if count
                    },
                }
            case RunEnded():
                return "info", {"event": "run-ended", **as_json(event.summary)}

    def _counted(self, row: dict[str, object]) -> tuple[str, dict[str, object]] | None:
        if self._now_ns() - self._counted_ns < _STEP_S * 1e9:
            return None
        self._counted_ns = self._now_ns()
        return "info", row

    def _acted(self, event: Acted) -> tuple[str, dict[str, object]]:
        outcome = event.outcome
        if isinstance(outcome, Done):
            kept = outcome.kept
            row = _acted_row(outcome.planned.action, outcome.size)
            if kept is not None:
                place = outcome.trashed if kept.loser is None else kept.loser.key
                row |= {"winner": kept.winner, "kept_as": place}
            return "info", row
        action = action_row(outcome.planned.action)
        word = type(outcome).__name__.lower()
        if isinstance(outcome, Waits):
            return "debug", {"event": word, **action}
        return "warning", {"event": word, **action, "problem": outcome.problem.sentence}
