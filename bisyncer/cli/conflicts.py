"""Commands about conflicts: list them, look at one, settle them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from enum import StrEnum
from fnmatch import fnmatchcase
from itertools import groupby
from typing import TYPE_CHECKING, Annotated

import typer

from bisyncer.cli.failure import most_serious, tell_error
from bisyncer.cli.inspect import MaybePair
from bisyncer.cli.opened import known_pair, opened_pair, opened_store
from bisyncer.cli.options import MAX_NUMBER, Asked, Grouped, Json, command, with_examples
from bisyncer.cli.table import entry_digest, entry_row, entry_text, print_json, print_rows, say
from bisyncer.config import setting
from bisyncer.config.config import Config
from bisyncer.errors import BisyncerError, UsageError
from bisyncer.model import Entry, Side
from bisyncer.report.words import instant, shown_key, shown_line, shown_size, survival

if TYPE_CHECKING:
    from bisyncer.engine.text_diff import TextDiff
    from bisyncer.state.records import Conflict
    from bisyncer.state.store import Store

app = typer.Typer(
    help=with_examples(
        "The conflicts that a person has not settled.",
        (
            "bisyncer conflicts list",
            "bisyncer conflicts show 3",
            "bisyncer conflicts resolve 3 --keep path1",
        ),
    ),
    no_args_is_help=True,
)


Glob = Annotated[
    str | None,
    typer.Option(metavar="GLOB", help="Of keys that fit: * stands for any text, with '/' too."),
]


class Keep(StrEnum):
    """Which version stays."""

    PATH1 = "path1"
    PATH2 = "path2"
    BOTH = "both"
    NEWER = "newer"
    OLDER = "older"
    LARGER = "larger"
    SMALLER = "smaller"


@app.command("list")
@command(
    examples=(
        "bisyncer conflicts list",
        "bisyncer conflicts list cms --glob 'reports/*' --json",
    )
)
def list_conflicts(
    asked: Asked,
    pair: MaybePair = None,
    *,
    glob: Glob = None,
    settled: Annotated[bool, typer.Option("--settled", help="Those that were settled too.")] = False,
    as_json: Json = False,
) -> int:
    """List the conflicts that wait."""
    config = asked.load()
    with opened_store(config) as store:
        every = store.conflicts.told(known_pair(pair, config, store), state=None if settled else "open")
    found = [conflict for conflict in every if _fits(conflict, glob)]
    if as_json:
        print_json(map(_row, found))
        return 0
    headers = ("id", "pair", "key", "detected", "path1", "path2", "keeps the name", "other version", "state")
    print_rows(headers, map(_cells, found), none="There are no conflicts.")
    return 0


@app.command("show", cls=Grouped)
@command(*setting.PAIR, examples=("bisyncer conflicts show 3",))
def show_conflict(
    asked: Asked,
    number: Annotated[
        int,
        typer.Argument(
            metavar="ID", min=1, max=MAX_NUMBER, help="The number of a conflict.", show_default=False
        ),
    ],
    *,
    as_json: Json = False,
) -> int:
    """Show one conflict: both versions, and how they differ.

    Where both are text, the lines that differ are told.
    """
    config = asked.load()
    with opened_store(config) as store:
        conflict = _conflict(store, number)
        told = as_json or conflict.state not in {"open", "replaced"} or conflict.kept_as is None
        diff = None if told else _diff(conflict, config, store)
    if as_json:
        print_json([_row(conflict)])
        return 0
    say(f"conflict  {conflict.id} of {conflict.pair}, {conflict.state}, found by run {conflict.run}")
    say(f"key       {shown_key(conflict.key)}")
    say(f"detected  {instant(conflict.detected_ns)}")
    print_rows((" " * len("settled "), "path1", "path2"), _side_by_side(conflict), none="")
    if (how := _how(conflict)) is not None:
        say(f"settled   {shown_line(how)}")
    elif conflict.state == "open":
        say(f"settle    bisyncer conflicts resolve {conflict.id} --keep path1|path2|both")
    if diff is not None:
        if diff.sentence is not None:
            say(f"diff      none: {shown_line(diff.sentence)}")
        for line in diff.lines:
            say("\t".join(map(shown_line, line.split("\t"))))
    return 0


def _how(conflict: Conflict) -> str | None:
    """How a conflict came to be settled, as far as there is more to tell than its state."""
    if conflict.state == "survived":
        return survival(conflict.winner)
    if conflict.state == "replaced":
        kept = "" if conflict.kept_as else "; the bucket has the version before"
        return f"{conflict.winner}'s version replaced that of {conflict.winner.other}{kept}"
    return conflict.resolution


def _diff(conflict: Conflict, config: Config, store: Store) -> TextDiff:
    """What differs between the versions; where they can't be read, all else is still told."""
    from bisyncer.engine.text_diff import TextDiff, text_diff  # noqa: PLC0415 -- see `opened`

    try:
        with opened_pair(config.job(conflict.pair), store, leased=False) as endpoints:
            return text_diff(conflict, endpoints)
    except BisyncerError as error:
        return TextDiff(sentence=str(error))


def _side_by_side(conflict: Conflict) -> list[tuple[str, ...]]:
    """What each side held when they met, a fact a line, and where that version is kept."""
    entries = (conflict.path1, conflict.path2)
    places = [conflict.key if side is conflict.winner else conflict.kept_as for side in Side]
    return [
        ("size", *("deleted" if entry is None else shown_size(entry.size) for entry in entries)),
        ("time", *map(_time, entries)),
        ("digest", *("-" if entry is None else entry_digest(entry) or "not known" for entry in entries)),
        ("kept at", *("-" if place is None else shown_key(place) for place in places)),
    ]


def _time(entry: Entry | None) -> str:
    if entry is None:
        return "-"
    return "not known" if entry.mtime_ns is None else instant(entry.mtime_ns)


@app.command("resolve", cls=Grouped)
@command(
    *setting.PAIR,
    examples=(
        "bisyncer conflicts resolve 3 --keep path1",
        "bisyncer conflicts resolve --all --pair cms --keep newer",
        "bisyncer conflicts resolve --glob 'reports/*.csv' --keep path2",
    ),
)
def resolve_conflicts(
    asked: Asked,
    numbers: Annotated[
        list[int] | None,
        typer.Argument(
            metavar="ID", min=1, max=MAX_NUMBER, help="The numbers of conflicts.", show_default=False
        ),
    ] = None,
    *,
    keep: Annotated[Keep, typer.Option(help="Which version stays at the name.")],
    every: Annotated[bool, typer.Option("--all", help="Every conflict that waits.")] = False,
    glob: Glob = None,
    pair: Annotated[
        str | None, typer.Option(metavar="PAIR", help="With --all or --glob: of this pair only.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Settle conflicts: keep one version, or both.

    Nothing is removed where either version is no longer what was shown. One that can't be settled doesn't
    stop the others, and the exit code is that of the worst. Exit 5 where a mount or the check file is gone.
    """
    many = every or glob is not None
    if many == bool(numbers):
        raise UsageError(
            "Name the conflicts to settle, or say --all or --glob. See `bisyncer conflicts list`."
        )
    if pair is not None and not many:
        raise UsageError("--pair goes with --all and --glob; a conflict's number says which pair it is of.")
    config = asked.load()
    codes: list[int] = []
    told: list[dict[str, object]] = []
    with opened_store(config) as store:
        if many:
            waiting = store.conflicts.told(known_pair(pair, config, store))
            found = [conflict for conflict in waiting if _fits(conflict, glob)]
        else:
            found = [_conflict(store, number) for number in dict.fromkeys(numbers or [])]
        for name, group in groupby(sorted(found, key=lambda each: each.pair), key=lambda each: each.pair):
            for conflict, code, sentence in _resolve(config, name, list(group), keep, asked, store):
                codes.append(code)
                told.append(_settled_row(conflict, code, sentence))
                if code == 0 and not asked.quiet and not as_json:
                    say(f"conflict {conflict.id}: {shown_line(sentence)}")
    if as_json:
        print_json(told)
    elif not told and not asked.quiet:
        say("There are no conflicts.")
    return most_serious(codes)


def _resolve(  # noqa: PLR0917 -- what to settle, how, and with what
    config: Config, pair: str, found: Sequence[Conflict], keep: Keep, asked: Asked, store: Store
) -> Iterator[tuple[Conflict, int, str]]:
    """Settle the conflicts of one pair, under one lease; one that can't be settled doesn't stop the others.

    Yields each with its exit code, and what was done or what is wrong.
    """
    from bisyncer.engine.resolve import resolving  # noqa: PLC0415 -- see `opened`

    with ExitStack() as stack:
        try:
            job = config.job(pair)
            endpoints = stack.enter_context(opened_pair(job, store))
            this = stack.enter_context(resolving(job, endpoints, store))
        except Exception as error:  # noqa: BLE001 -- told once for the pair; other pairs have their turn
            code = tell_error(error, verbose=asked.verbose, log_format=asked.log_format, pair=pair)
            yield from ((conflict, code, str(error)) for conflict in found)
            return
        for conflict in found:
            try:
                sentence = this.settle(conflict.id, keep)
            except Exception as error:  # noqa: BLE001 -- told in one line; the others have their turn
                code = tell_error(error, verbose=asked.verbose, log_format=asked.log_format)
                yield conflict, code, str(error)
            else:
                yield conflict, 0, sentence


def _fits(conflict: Conflict, glob: str | None) -> bool:
    return glob is None or fnmatchcase(conflict.key, glob)


def _conflict(store: Store, number: int) -> Conflict:
    found = store.conflicts.one(number)
    if found is None:
        raise UsageError(f"There is no conflict {number}. See `bisyncer conflicts list`.")
    return found


def _settled_row(conflict: Conflict, code: int, sentence: str) -> dict[str, object]:
    return {
        "id": conflict.id,
        "pair": conflict.pair,
        "key": conflict.key,
        "settled": code == 0,
        "sentence": sentence,
        "exit_code": code,
    }


def _row(conflict: Conflict) -> dict[str, object]:
    return {
        "id": conflict.id,
        "pair": conflict.pair,
        "key": conflict.key,
        "run": conflict.run,
        "detected": instant(conflict.detected_ns),
        "path1": entry_row(conflict.path1),
        "path2": entry_row(conflict.path2),
        "winner": conflict.winner,
        "kept_as": conflict.kept_as,
        "state": conflict.state,
    }


def _cells(conflict: Conflict) -> list[str]:
    return [
        str(conflict.id),
        conflict.pair,
        shown_key(conflict.key),
        instant(conflict.detected_ns),
        *("deleted" if entry is None else entry_text(entry) for entry in (conflict.path1, conflict.path2)),
        conflict.winner,
        "-" if conflict.kept_as is None else shown_key(conflict.kept_as),
        conflict.state,
    ]
