"""Commands that only look: status, history, show and problems."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from bisyncer.cli.opened import known_pair, opened_store
from bisyncer.cli.options import MAX_NUMBER, Asked, Json, command
from bisyncer.cli.table import entry_row, print_json, print_rows, say
from bisyncer.config import setting
from bisyncer.config.config import Config
from bisyncer.errors import UsageError
from bisyncer.model import RunOutcome, survivor
from bisyncer.report.jsonl import REPORT_KEYS
from bisyncer.report.words import (
    instant,
    shown_duration,
    shown_key,
    shown_line,
    shown_root,
    survival,
    without_key,
)

if TYPE_CHECKING:
    from bisyncer.state.records import ActionRow, Run
    from bisyncer.state.store import Store

MaybePair = Annotated[str | None, typer.Argument(metavar="PAIR", help="One pair only.", show_default=False)]

_NOT_ENDED = "not ended"


@command(
    setting.STALE_AFTER,
    examples=(
        "bisyncer status",
        "bisyncer status cms --json",
    ),
)
def status(asked: Asked, pair: MaybePair = None, *, as_json: Json = False) -> int:
    """Tell how the pairs are; exit 1 if one is stale.

    Stale is a pair whose last good run is older than its `stale_after`. Otherwise it is `ok` where its last
    run was a success; else the state says how that run ended.
    """
    config = asked.load()
    with opened_store(config) as store:
        known_pair(pair, config, store)
        names = [pair] if pair else sorted({*config.pairs, *(each.name for each in store.pairs())})
        rows = [_status_row(name, config, store) for name in names]
    if asked.quiet:
        rows = [row for row in rows if _wants_a_look(row)]
    if as_json:
        print_json(rows)
    elif rows or not asked.quiet:
        headers = (
            "pair",
            "state",
            "last good run",
            "age",
            "stale after",
            "last run",
            "keys",
            "conflicts",
            "problems",
            "waiting",
            "mode",
        )
        print_rows(headers, map(_status_cells, rows), none="There is no pair yet: bisyncer init PATH1 PATH2.")
    return 1 if any(row["stale"] for row in rows) else 0


@command(
    examples=(
        "bisyncer history cms",
        "bisyncer history cms --limit 100 --json",
    )
)
def history(
    asked: Asked,
    pair: MaybePair = None,
    *,
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=MAX_NUMBER, help="How many runs.")] = 20,
    as_json: Json = False,
) -> int:
    """List the runs, newest first."""
    config = asked.load()
    with opened_store(config) as store:
        runs = store.runs.newest(known_pair(pair, config, store), limit)
    if as_json:
        print_json(map(_run_row, runs))
    else:
        headers = ("run", "pair", "started", "took", "outcome", "kind", "actions")
        print_rows(headers, map(_run_cells, runs), none="There was no run yet.")
    return 0


@command(examples=("bisyncer show 42",))
def show(
    asked: Asked,
    run: Annotated[
        int,
        typer.Argument(metavar="RUN", min=1, max=MAX_NUMBER, help="The number of a run.", show_default=False),
    ],
    *,
    as_json: Json = False,
) -> int:
    """List what one run did: which key, when and why."""
    config = asked.load()
    with opened_store(config) as store:
        found = store.runs.one(run)
        if found is None:
            raise UsageError(f"There is no run {run}. See `bisyncer history`.")
        actions = store.actions_of(run)
        if as_json:
            print_json(map(_action_row, actions))
            return 0
        cells = _run_cells(found)
        say(f"run {cells[0]} of {cells[1]}: {', '.join(cell for cell in cells[2:] if cell)}")
        for action in actions:
            say(_action_line(action))
        for problem in found.summary.get("problems", ()):
            say(f"problem {shown_key(problem['key'])}: {shown_line(problem['problem'])}")
        for halt in found.summary.get("halts", ()):
            say(f"halted by {halt['gate']}: {shown_line(halt['sentence'])}")
    return 0


@command(
    examples=(
        "bisyncer problems",
        "bisyncer problems cms --json",
    )
)
def problems(asked: Asked, pair: MaybePair = None, *, as_json: Json = False) -> int:
    """List the keys that could not be handled, and why.

    Each is tried again by every run.
    """
    config = asked.load()
    with opened_store(config) as store:
        found = store.problems.told(known_pair(pair, config, store))
    if as_json:
        print_json(
            {
                "pair": each.pair,
                "key": each.key,
                "problem": each.sentence,
                "since": instant(each.since_ns),
                "last": instant(each.last_ns),
                "tries": each.tries,
            }
            for each in found
        )
        return 0
    rows = (
        (
            each.pair,
            shown_key(each.key),
            instant(each.since_ns),
            str(each.tries),
            shown_line(without_key(each.sentence, each.key)),
        )
        for each in found
    )
    print_rows(("pair", "key", "since", "tries", "problem"), rows, none="There are no problems.")
    return 0


def _status_row(name: str, config: Config, store: Store) -> dict[str, object]:
    pair = store.pair(name)
    good = store.runs.last_good(pair.id) if pair else None
    last = store.runs.last(pair.id) if pair else None
    limit_ns = config.stale_after_ns(name)
    ended_ns = None if good is None else good.ended_ns or good.started_ns
    age_ns = None if ended_ns is None else max(time.time_ns() - ended_ns, 0)
    values = config.pairs.get(name)
    stale = limit_ns is not None and (age_ns is None or age_ns > limit_ns)
    aligned = pair is not None and pair.aligned_ns is not None
    return {
        "pair": name,
        "state": "stale" if stale else _state(last) if aligned and good else "not aligned",
        "mode": values[setting.MODE] if values else pair and pair.mode,
        "path1": shown_root(pair.path1) if pair else values and values[setting.PATH1],
        "path2": shown_root(pair.path2) if pair else values and values[setting.PATH2],
        "aligned": aligned,
        "last_good": None if ended_ns is None else instant(ended_ns),
        "age_s": None if age_ns is None else round(age_ns / 1e9, 1),
        "stale_after_s": None if limit_ns is None else limit_ns / 1e9,
        "stale": stale,
        "last_run": None
        if last is None
        else {"run": last.id, "outcome": last.outcome, "started": instant(last.started_ns)},
        "keys": store.ancestors.count(pair.id) if pair else 0,
        "conflicts": len(store.conflicts.told(name)),
        "problems": store.problems.count(pair.id) if pair else 0,
        "waiting": 0 if last is None else last.summary.get("waiting", 0),
    }


def _state(last: Run | None) -> str:
    """How a pair is that is aligned and in time: as its last whole run was, but for dry ones."""
    if last is None or last.outcome is RunOutcome.SUCCESS:
        return "ok"
    return _NOT_ENDED if last.outcome is None else last.outcome


def _wants_a_look(row: Mapping[str, object]) -> bool:
    """Whether a person should look at the pair; a run that is going on is no reason."""
    return bool(row["state"] not in {"ok", _NOT_ENDED} or row["conflicts"] or row["problems"])


def _status_cells(row: dict[str, object]) -> list[str]:
    last = row["last_run"]
    ended = "-" if not isinstance(last, dict) else f"{last['run']} {last['outcome'] or _NOT_ENDED}"
    return [
        str(row["pair"]),
        str(row["state"]),
        str(row["last_good"] or "never"),
        _span(row["age_s"]),
        _span(row["stale_after_s"]),
        ended,
        f"{row['keys']:,}",
        str(row["conflicts"]),
        str(row["problems"]),
        str(row["waiting"]),
        str(row["mode"] or "-"),
    ]


def _span(seconds: object) -> str:
    return shown_duration(round(seconds * 1e9)) if isinstance(seconds, int | float) else "-"


def _run_row(run: Run) -> dict[str, object]:
    """A run's report; of one that is going on or was killed, what is known."""
    return dict.fromkeys(REPORT_KEYS) | (dict(run.summary) if run.summary else _bare_row(run))


def _bare_row(run: Run) -> dict[str, object]:
    return {
        "pair": run.pair,
        "run": run.id,
        "outcome": run.outcome,
        "started": instant(run.started_ns),
        "dry_run": run.dry_run,
        "resync": run.resync,
        "scope": run.scope,
    }


def _run_cells(run: Run) -> list[str]:
    actions = run.summary.get("actions", {})
    counts = ", ".join(f"{name} {number:,}" for name, number in actions.items() if number)
    kinds = [word for word, said in (("dry run", run.dry_run), ("resync", run.resync)) if said]
    kinds += [] if run.scope is None else [shown_key(run.scope)]
    nothing = "nothing to do" if run.outcome is RunOutcome.SUCCESS else "nothing done"
    return [
        str(run.id),
        run.pair,
        instant(run.started_ns),
        # The end of a killed run is when the next one found it, which tells nothing about it.
        "-" if run.ended_ns is None or not run.summary else shown_duration(run.ended_ns - run.started_ns),
        run.outcome or _NOT_ENDED,
        ", ".join(kinds),
        counts or (nothing if run.summary else ""),
    ]


def _action_row(action: ActionRow) -> dict[str, object]:
    return {
        "key": action.key,
        "from": action.origin,
        "action": action.verdict,
        "state": action.state,
        "finished": None if action.finished_ns is None else instant(action.finished_ns),
        "winner": action.winner,
        "sentence": action.sentence or survival(survivor(action.verdict, action.delta1, action.delta2)),
        "path1": {"delta": action.delta1, **(entry_row(action.path1) or {})},
        "path2": {"delta": action.delta2, **(entry_row(action.path2) or {})},
    }


def _action_line(action: ActionRow) -> str:
    when = "" if action.finished_ns is None else f"{instant(action.finished_ns)} "
    sentence = action.sentence or survival(survivor(action.verdict, action.delta1, action.delta2))
    why = "" if sentence is None else f": {shown_line(sentence)}"
    key = shown_key(action.key) + (f" from {shown_key(action.origin)}" if action.origin is not None else "")
    line = f"{action.verdict} {key} ({action.delta1} / {action.delta2})"
    return f"{when}{action.state} {line}{why}"
