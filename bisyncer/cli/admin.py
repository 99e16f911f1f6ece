"""Commands about the state database: its schema, its health, copies of it, and what is in it."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bisyncer.cli.opened import opened_store
from bisyncer.cli.options import Asked, Json, command, with_examples
from bisyncer.cli.table import say
from bisyncer.config.urls import without_password
from bisyncer.errors import Interrupted, StateUnusable, UsageError
from bisyncer.model import Ancestor, Side
from bisyncer.report.words import shown_count, shown_line

if TYPE_CHECKING:
    from bisyncer.state.records import Pair
    from bisyncer.state.store import Store

app = typer.Typer(
    help=with_examples(
        "The state database.",
        (
            "bisyncer state verify",
            "bisyncer state backup /var/backups/bisyncer.db",
            "bisyncer state forget old-pair",
        ),
    ),
    no_args_is_help=True,
)

Yes = Annotated[bool, typer.Option("--yes", help="Don't ask; needed where there is no terminal.")]
StatePair = Annotated[str, typer.Argument(metavar="PAIR", help="A pair of the state.", show_default=False)]


class Format(StrEnum):
    """How ancestors are written."""

    JSONL = "jsonl"
    CSV = "csv"


@app.command("upgrade")
@command(examples=("bisyncer state upgrade",))
def upgrade_state(asked: Asked, *, as_json: Json = False) -> int:
    """Bring the state database to the newest schema.

    It is made where there is none, and an SQLite file is copied before.
    """
    from bisyncer.state.migrate import upgrade  # noqa: PLC0415 -- see `opened`

    url = asked.load().state
    done = upgrade(url)
    if as_json:
        row = {
            "state": without_password(url),
            "before": done.before,
            "after": done.after,
            "backup": None if done.backup is None else str(done.backup),
        }
        say(json.dumps(row))
        return 0
    if asked.quiet:
        return 0
    if done.before == done.after:
        say(f"{without_password(url)} is at the newest schema, {done.after}.")
    else:
        say(f"{without_password(url)} went from {done.before or 'nothing'} to schema {done.after}.")
    if done.backup is not None:
        say(f"It was copied to {done.backup} before.")
    return 0


@app.command("verify")
@command(examples=("bisyncer state verify", "bisyncer state verify --json"))
def verify_state(asked: Asked, *, as_json: Json = False) -> int:
    """Read all of the state, and tell what is broken.

    The file's own checks, the rows that others refer to, each ancestor with its order and digests, each run,
    action, conflict and problem. Exit 2 where something is broken, with what to do about it.
    """
    from bisyncer.state.database import CURE  # noqa: PLC0415 -- see `opened`
    from bisyncer.state.verify import verify  # noqa: PLC0415 -- see `opened`

    config = asked.load()
    with opened_store(config) as store:
        found = verify(store)
    where = without_password(config.state)
    if as_json:
        broken = list(found.broken)
        say(json.dumps({"state": where, "ok": not broken, "rows": found.rows, "broken": broken}))
    elif found.broken:
        for told in found.broken:
            say(f"broken: {shown_line(told)}")
        say(CURE)
    elif not asked.quiet:
        say(f"{where} is ok; rows: " + ", ".join(f"{table} {rows:,}" for table, rows in found.rows.items()))
    return StateUnusable.exit_code if found.broken else 0


@app.command("backup")
@command(examples=("bisyncer state backup /var/backups/bisyncer.db",))
def back_up_state(
    asked: Asked,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file to be made.", show_default=False)],
    *,
    as_json: Json = False,
) -> int:
    """Copy the state to one file, also while runs go on.

    The file is an SQLite database, of a state in PostgreSQL too, and `state restore` reads it into either.
    """
    from bisyncer.state.backup import back_up  # noqa: PLC0415 -- see `opened`

    config = asked.load()
    with opened_store(config) as store:
        back_up(store, file)
        pairs = [pair.name for pair in store.pairs()]
    if as_json:
        row = {"state": without_password(config.state), "backup": str(file), "pairs": pairs}
        say(json.dumps(row))
    elif not asked.quiet:
        say(f"{without_password(config.state)} was copied to {file}: {shown_count(len(pairs), 'pair')}.")
    return 0


@app.command("restore")
@command(
    examples=(
        "bisyncer state restore /var/backups/bisyncer.db",
        "bisyncer state restore /var/backups/bisyncer.db --keep-ancestors --yes",
    )
)
def restore_state(
    asked: Asked,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="What `state backup` made.", show_default=False)
    ],
    *,
    keep_ancestors: Annotated[
        bool,
        typer.Option(
            "--keep-ancestors",
            help="Go on from what the backup says that the sides held. Only where no run was made since.",
        ),
    ] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> int:
    """Put a backup in the place of the state.

    The backup is verified before, the present state is copied beside, and no pair may be held by a run. An
    old state says of keys that they agreed which were changed since, and a run would follow the wrong side.
    So every pair then waits for `init PAIR --resync`, which deletes nothing; the history and the conflicts
    are there at once.
    """
    from bisyncer.state.backup import restore  # noqa: PLC0415 -- see `opened`

    if not os.access(file, os.R_OK) or not file.is_file():
        raise UsageError(
            f"There is no backup {file} that can be read. Name a file that `bisyncer state backup` has made."
        )
    config = asked.load()
    _confirm(f"Put {file} in the place of the state {without_password(config.state)}?", yes=yes)
    with opened_store(config) as store:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        beside = file if store.database.postgresql else Path(store.database.place)
        replaced = beside.with_name(f"{beside.name}.replaced-{stamp}")
        found = restore(store, file, replaced=replaced, keep_ancestors=keep_ancestors)
    if as_json:
        row = {"state": without_password(config.state), "backup": str(file), "pairs": list(found.pairs)}
        say(json.dumps(row | {"replaced": str(found.replaced), "aligned": keep_ancestors}))
        return 0
    if asked.quiet:
        return 0
    say(f"{file} is the state now: {', '.join(found.pairs) or 'no pair'}.")
    say(f"What was there before is in {found.replaced}.")
    if found.pairs and not keep_ancestors:
        say("Next, for each pair: bisyncer init PAIR --resync. Until then no run is made of it.")
    return 0


@app.command("forget")
@command(examples=("bisyncer state forget old-pair", "bisyncer state forget old-pair --yes"))
def forget_pair(asked: Asked, pair: StatePair, *, yes: Yes = False, as_json: Json = False) -> int:
    """Drop a pair, with all that is known of it.

    What its sides held, its runs, conflicts and problems go; both sides and the config are left as they are.
    """
    from bisyncer.state.lease import Lease  # noqa: PLC0415 -- see `opened`

    config = asked.load()
    with opened_store(config) as store:
        known = _known(store, pair)
        keys = shown_count(store.ancestors.count(known.id), "key")
        waiting = shown_count(len(store.conflicts.told(pair)), "conflict")
        _confirm(
            f"Forget pair {pair} ({keys}, {waiting} open)? {known.path1} and {known.path2} are left alone.",
            yes=yes,
        )
        with Lease.take(store, known) as lease:
            store.forget_pair(known, lease)
    if as_json:
        say(json.dumps({"pair": pair, "forgotten": True, "in_config": pair in config.pairs}))
    elif not asked.quiet:
        still = f" It is still in {config.path}." if pair in config.pairs else ""
        say(f"{pair} is forgotten.{still}")
    return 0


@app.command("export")
@command(examples=("bisyncer state export cms", "bisyncer state export cms --format csv"))
def export_ancestors(
    asked: Asked,
    pair: StatePair,
    *,
    form: Annotated[Format, typer.Option("--format", help="JSON objects, or rows under a head.")] = (
        Format.JSONL
    ),
    as_json: Json = False,
) -> int:
    """Print what both sides held when they last agreed, a line a key.

    --json is --format jsonl. In order of key; sizes in bytes, times in nanoseconds since 1970.
    """
    if as_json and form is not Format.JSONL:
        raise UsageError("--json and --format csv exclude each other. Leave one out.")
    with opened_store(asked.load()) as store:
        known = _known(store, pair)
        with closing(store.ancestors.all(known.id)) as ancestors:
            for line in _EXPORTS[form](ancestors):
                say(line)
    return 0


def _known(store: Store, name: str) -> Pair:
    pair = store.pair(name)
    if pair is None:
        names = ", ".join(each.name for each in store.pairs()) or "none"
        raise UsageError(f"The state has no pair '{name}' (there: {names}). Name one of these.")
    return pair


def _confirm(question: str, *, yes: bool) -> None:
    """Raise `UsageError` unless a person says yes, or said so before."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"{question} There is no terminal to ask on: say --yes. Nothing was changed.")
    try:
        agreed = typer.confirm(shown_line(question), err=True)
    except typer.Abort:  # Ctrl-C, or the end of the input
        raise Interrupted("interrupted. Nothing was changed.") from None
    if not agreed:
        raise UsageError("Nothing was changed.")


def _json_lines(ancestors: Iterable[Ancestor]) -> Iterable[str]:
    for each in ancestors:
        sides = {
            side.value: {"size": entry.size, "mtime_ns": entry.mtime_ns, "stamp": entry.stamp}
            for side, entry in ((side, each.side(side)) for side in Side)
        }
        yield json.dumps({"key": each.key, **sides, "digests": dict(each.path1.digests)})


def _csv_lines(ancestors: Iterable[Ancestor]) -> Iterable[str]:
    sides = [f"{side}_{fact}" for side in Side for fact in ("size", "mtime_ns", "stamp")]
    yield ",".join(["key", *sides, "sha256", "md5"])
    for each in ancestors:
        facts = [fact for side in Side for fact in each.side(side)[1:4]]
        digests: dict[str, str] = dict(each.path1.digests)
        written = io.StringIO()
        csv.writer(written, lineterminator="").writerow(
            [each.key, *facts, digests.get("sha256"), digests.get("md5")]
        )
        yield written.getvalue()


_EXPORTS: Mapping[Format, Callable[[Iterable[Ancestor]], Iterable[str]]] = {
    Format.JSONL: _json_lines,
    Format.CSV: _csv_lines,
}
