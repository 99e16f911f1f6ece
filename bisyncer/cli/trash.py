"""Commands about the trash: list what is in it, take a version out again, delete what is old."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated

import typer

from bisyncer.cli.failure import tell_sentence
from bisyncer.cli.opened import opened_pair, opened_store
from bisyncer.cli.options import Asked, Grouped, Json, command, with_examples
from bisyncer.cli.table import entry_row, print_json, print_rows, say
from bisyncer.config import parser, setting
from bisyncer.core.filters import Filters
from bisyncer.core.trash import Trashed
from bisyncer.endpoints.base import Endpoint
from bisyncer.errors import UsageError
from bisyncer.job import Job
from bisyncer.model import Entry, Side
from bisyncer.report.words import shown_count, shown_key, shown_line, shown_size

if TYPE_CHECKING:
    from bisyncer.engine.trash import Purged

app = typer.Typer(
    help=with_examples(
        "Versions that runs replaced or deleted.",
        (
            "bisyncer trash list cms",
            "bisyncer trash restore cms reports/q3.pdf",
            "bisyncer trash purge cms --older-than 7d",
        ),
    ),
    no_args_is_help=True,
)

Pair = Annotated[str, typer.Argument(metavar="PAIR", help="A pair of the config.", show_default=False)]
OneSide = Annotated[Side | None, typer.Option("--side", help="The trash of this side only.")]


@app.command("list", cls=Grouped)
@command(
    *setting.PAIR,
    examples=(
        "bisyncer trash list cms",
        "bisyncer trash list cms 'reports/*'",
        "bisyncer trash list cms --json",
    ),
)
def list_trash(
    asked: Asked,
    pair: Pair,
    key: Annotated[
        str | None,
        typer.Argument(
            metavar="KEY",
            help="A key, or a glob of keys: * stands for any text, with '/' too.",
            show_default=False,
        ),
    ] = None,
    *,
    side: OneSide = None,
    as_json: Json = False,
) -> int:
    """List what is in the trash, by side, oldest first.

    A run is shown by its number, a conflict that a person resolved as c and its number.
    """
    config = asked.load()
    job = config.job(pair)
    strange: dict[Side, list[str]] = {each: [] for each in Side}
    with opened_store(config) as store, opened_pair(job, store, leased=False) as endpoints:
        found = _versions(job, endpoints, side, strange)
        chosen = ((where, each, entry) for where, each, entry in found if key is None or _is_meant(each, key))
        if as_json:
            print_json(_row(*each) for each in chosen)
        else:
            headers = ("side", "run", "removed", "key", "size")
            print_rows(headers, (_cells(*each) for each in chosen), none=_none(pair, key))
    for where, places in strange.items():
        if places:
            tell_sentence(
                f"{where}: {shown_count(len(places), 'name')} in the trash can't be read, or no run put them "
                f"there; they are left alone. The first: {shown_line(places[0])}",
                log_format=asked.log_format,
                pair=pair,
                level="warning",
            )
    return 0


@app.command("restore", cls=Grouped)
@command(
    *setting.PAIR,
    examples=(
        "bisyncer trash restore cms reports/q3.pdf",
        "bisyncer trash restore cms reports/q3.pdf --run 42 --as reports/q3-old.pdf",
    ),
)
def restore_version(
    asked: Asked,
    pair: Pair,
    key: Annotated[
        str, typer.Argument(metavar="KEY", help="The key that was replaced or deleted.", show_default=False)
    ],
    *,
    side: OneSide = None,
    run: Annotated[
        str | None, typer.Option("--run", metavar="N", help="The version that this run put there.")
    ] = None,
    new_key: Annotated[
        str | None, typer.Option("--as", metavar="NEW_KEY", help="The key to restore it to.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Move the newest version of a key back.

    Where its key is taken, it goes beside it, as KEY.restored1. The next run syncs it to the other side.
    """
    from bisyncer.engine.restore import Wanted, restore  # noqa: PLC0415 -- see `opened`

    config = asked.load()
    job = config.job(pair)
    with opened_store(config) as store, opened_pair(job, store) as endpoints:
        restored = restore(job, endpoints, store, Wanted(key, side, run, new_key))
    if as_json:
        print_json(
            [
                {
                    "side": restored.side,
                    "name": restored.trashed.name,
                    "key": restored.key,
                    **_by(restored.trashed),
                }
            ]
        )
    elif not asked.quiet:
        beside = "" if restored.key in {key, new_key} else f", since {shown_key(key)} is taken"
        say(
            f"restored {shown_key(restored.key)} on {restored.side}{beside}: the version that "
            f"{_who(restored.trashed)} removed. {_what_next(job, restored.key)}"
        )
    return 0


@app.command("purge", cls=Grouped)
@command(
    *setting.PAIR,
    examples=("bisyncer trash purge cms --older-than 7d", "bisyncer trash purge cms --all"),
)
def purge_versions(
    asked: Asked,
    pair: Pair,
    *,
    older_than: Annotated[
        str | None,
        typer.Option(
            "--older-than", metavar="DURATION", help="What is older than this; else than trash's keep."
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All that runs have put there.")] = False,
    as_json: Json = False,
) -> int:
    """Delete what is old from the trash, for good.

    Runs do so by themselves, once a day. What no run has put there is left alone. Exit 1 where a store didn't
    let go of some, and 5 where a root isn't the place that it should be.
    """
    from bisyncer.engine.restore import purge_trash  # noqa: PLC0415 -- see `opened`

    config = asked.load()
    job = config.job(pair)
    before_ns = None if every and older_than is None else _before_ns(older_than, job, every=every)
    with opened_store(config) as store, opened_pair(job, store) as endpoints:
        purged = purge_trash(job, endpoints, store, before_ns=before_ns)
    if as_json:
        print_json({"side": side, **each._asdict()} for side, each in purged.items())
    elif not asked.quiet:
        for side, each in purged.items():
            say(_purged_line(side, each))
    return 1 if any(each.failed for each in purged.values()) else 0


def _before_ns(older_than: str | None, job: Job, *, every: bool) -> int:
    if every:
        raise UsageError("purge takes --older-than or --all, not both.")
    keep_ns = job.trash.keep_ns
    if older_than is not None:
        try:
            keep_ns = parser.duration_ns(older_than)
        except parser.Unfit as error:
            raise UsageError(f"--older-than: {error}.") from error
    if keep_ns is None:
        raise UsageError("trash has keep=forever, so nothing is old. Say --older-than DURATION, or --all.")
    return time.time_ns() - keep_ns


def _versions(
    job: Job, endpoints: Mapping[Side, Endpoint], only: Side | None, strange: Mapping[Side, list[str]]
) -> Iterator[tuple[Side, Trashed, Entry]]:
    """What runs have put into each trash; the names of all the rest go to `strange`."""
    from bisyncer.engine.pairing import resilient  # noqa: PLC0415 -- see `opened`
    from bisyncer.engine.trash import versions  # noqa: PLC0415 -- see `opened`

    for side, endpoint in resilient(endpoints, job).items():
        if only not in {None, side}:
            continue
        for trashed, item in versions(endpoint):
            if trashed is None or not isinstance(item, Entry):
                strange[side].append(item[0])
            else:
                yield side, trashed, item


def _is_meant(trashed: Trashed, key: str) -> bool:
    return trashed.is_of(key) or fnmatchcase(trashed.key, key)


def _what_next(job: Job, key: str) -> str:
    return (
        "It is excluded, so no run syncs it." if Filters.of(job).excluded(key) else "The next run syncs it."
    )


def _none(pair: str, key: str | None) -> str:
    if key is None:
        return f"The trash of {pair} is empty."
    return f"No version of {shown_key(key)} is in the trash of {pair}."


def _removed(trashed: Trashed) -> str:
    """When the run began that removed a version, as instants are written elsewhere."""
    told = trashed.instant
    return f"{told[:4]}-{told[4:6]}-{told[6:11]}:{told[11:13]}:{told[13:]}"


def _by(trashed: Trashed) -> dict[str, int | None]:
    number = int(trashed.by.removeprefix("c"))
    resolved = trashed.by.startswith("c")
    return {"run": None if resolved else number, "conflict": number if resolved else None}


def _who(trashed: Trashed) -> str:
    named = "the resolution of conflict " if trashed.by.startswith("c") else "run "
    return f"{named}{trashed.by.removeprefix('c')} of {_removed(trashed)}"


def _row(side: Side, trashed: Trashed, entry: Entry) -> dict[str, object]:
    told = entry_row(entry) or {}
    return {
        "side": side,
        **_by(trashed),
        "removed": _removed(trashed),
        "key": trashed.key,
        "size": told["size"],
        "mtime": told["mtime"],
        "name": trashed.name,
    }


def _cells(side: Side, trashed: Trashed, entry: Entry) -> list[str]:
    return [side, trashed.by, _removed(trashed), shown_key(trashed.key), shown_size(entry.size)]


def _purged_line(side: Side, purged: Purged) -> str:
    failed = f"; the store didn't let go of {purged.failed:,} more: run again" if purged.failed else ""
    if not purged.versions:
        return f"{side}: nothing to purge{failed}"
    return (
        f"{side}: purged {shown_count(purged.versions, 'version')}, {shown_size(purged.size)} freed{failed}"
    )
