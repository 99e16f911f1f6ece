"""Rows on the standard output: aligned columns for people, one JSON array for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from unicodedata import combining, east_asian_width

from bisyncer.cli.failure import AnswerLost
from bisyncer.model import Entry
from bisyncer.report.words import instant, shown_size


def say(line: str) -> None:
    """Write one line of the answer; raises `AnswerLost` where the standard output takes no more."""
    try:
        sys.stdout.write(line + "\n")
    except BrokenPipeError:
        raise  # whoever read it has read enough
    except OSError as error:
        raise AnswerLost(error) from error


def print_rows(headers: Sequence[str], rows: Iterable[Sequence[str]], *, none: str) -> None:
    """Print columns under their headers; `none` is what to say where there is no row."""
    cells = [list(row) for row in rows]
    if not cells:
        say(none)
        return
    lines = [list(headers), *cells]
    widths = [max(_width(line[column]) for line in lines) for column in range(len(headers))]
    for line in lines:
        padded = (cell + " " * (width - _width(cell)) for cell, width in zip(line, widths, strict=True))
        say("  ".join(padded).rstrip())


def print_json(rows: Iterable[Mapping[str, object]]) -> None:
    """Print one JSON array, a row a line; rows are written as they come, so that many need no memory."""
    before = "["
    for row in rows:
        say(before + json.dumps(row))
        before = ","
    say("[]" if before == "[" else "]")


def entry_row(entry: Entry | None) -> dict[str, object] | None:
    """What one side held, for JSON."""
    if entry is None:
        return None
    mtime = None if entry.mtime_ns is None else instant(entry.mtime_ns)
    return {"size": entry.size, "mtime": mtime, "digest": entry_digest(entry)}


def entry_digest(entry: Entry) -> str | None:
    """The digest of what one side held, with its algorithm in front."""
    return f"{entry.digests[0].algorithm}:{entry.digests[0].value}" if entry.digests else None


def entry_text(entry: Entry | None) -> str:
    """What one side held, in words."""
    if entry is None:
        return "-"
    return f"{shown_size(entry.size)}, {'no time' if entry.mtime_ns is None else instant(entry.mtime_ns)}"


def _width(text: str) -> int:
    """How many columns of a terminal the text takes."""
    if text.isascii():
        return len(text)
    return sum(0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in text)
