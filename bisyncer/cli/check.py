"""The command that compares both sides and changes nothing."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from bisyncer.cli.failure import most_serious
from bisyncer.cli.opened import opened_pair, opened_store
from bisyncer.cli.options import Asked, Json, command
from bisyncer.cli.stopping import stopping
from bisyncer.cli.table import say
from bisyncer.config import setting
from bisyncer.errors import BisyncerError, Unfinished
from bisyncer.model import Mode
from bisyncer.report.words import shown_count, shown_key, shown_line

if TYPE_CHECKING:
    from bisyncer.engine.differences import Found

_EQUAL, _NOT_ON_PATH1, _ERROR = "=", "-", "!"
_WORDS = {
    _EQUAL: "equal",
    _NOT_ON_PATH1: "missing on path1",
    "+": "missing on path2",
    "*": "different",
    _ERROR: "unknown",
}


@command(
    *setting.PAIR,
    examples=(
        "bisyncer check cms",
        "bisyncer check cms --quiet",
        "bisyncer check cms --download --json",
    ),
)
def check(
    asked: Asked,
    pair: Annotated[str, typer.Argument(metavar="PAIR", help="A pair of the config.", show_default=False)],
    *,
    download: Annotated[
        bool, typer.Option("--download", help="Read every content on both sides, and believe no digest.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Compare both sides, and change nothing.

    A line for each key: `=` equal, `-` missing on path1, `+` missing on path2, `*` different, `!` could not
    be told; then one line that counts them. Contents are told equal by digests, those of the listings and
    those that runs recorded; what they can't settle is read. In the mode copy `-` is what stays on
    path2, and no difference. With --json each line is an object, and the last one has the counts. Exit 1
    where something differs, else 3 where something could not be told.
    """
    from bisyncer.engine.deadline import Deadline  # noqa: PLC0415 -- see `opened`
    from bisyncer.engine.differences import differences  # noqa: PLC0415 -- see `opened`

    config = asked.load()
    job = config.job(pair)
    counts: Counter[str] = Counter()
    with (
        opened_store(config) as store,
        opened_pair(job, store, leased=False) as endpoints,
        stopping(asked.log_format) as stop,
    ):
        until = Deadline(stop.event, job.max_duration_ns)
        try:
            with closing(differences(job, endpoints, store, until, download=download)) as found:
                for each in found:
                    counts[each.mark] += 1
                    if each.mark != _EQUAL or not asked.quiet:
                        say(_row(each) if as_json else _line(each))
        except BisyncerError:
            if stop.signal is not None:
                return 128 + stop.signal
            raise
    stays = counts[_NOT_ON_PATH1] if job.mode is Mode.COPY else 0
    differs = counts.total() - counts[_EQUAL] - counts[_ERROR] - stays
    code = most_serious([1 if differs else 0, Unfinished.exit_code if counts[_ERROR] else 0])
    if as_json:
        named = {word.replace(" ", "-"): counts[mark] for mark, word in _WORDS.items()}
        say(json.dumps({"pair": pair, **named, "exit_code": code}))
    elif code or not asked.quiet:
        say(f"{pair}: {_summary(counts, differs)}")
    return code


def _summary(counts: Counter[str], differs: int) -> str:
    head = shown_count(differs, "difference") if differs else "no difference"
    told = (f"{counts[mark]:,} {word}" for mark, word in _WORDS.items() if counts[mark] or mark == _EQUAL)
    return f"{head}: {', '.join(told)}"


def _line(found: Found) -> str:
    why = "" if found.sentence is None else f": {shown_line(found.sentence)}"
    return f"{found.mark} {shown_key(found.key)}{why}"


def _row(found: Found) -> str:
    word = _WORDS[found.mark].replace(" ", "-")
    return json.dumps({"mark": found.mark, "finding": word, "key": found.key, "problem": found.sentence})
