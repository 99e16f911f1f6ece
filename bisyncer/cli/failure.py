"""An error as one line on the standard error, and the exit code that goes with it."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterable
from enum import StrEnum

from bisyncer.errors import BisyncerError
from bisyncer.report.words import shown_line


class LogFormat(StrEnum):
    """How the log on the standard error is written."""

    TEXT = "text"
    JSON = "json"


# The codes of several pairs, most serious first; what stands first is the code of the whole command.
_SERIOUS = (143, 130, 1, 2, 7, 5, 3, 4, 6)


def most_serious(codes: Iterable[int]) -> int:
    """The exit code of a command that did several things."""
    seen = set(codes)
    return next((code for code in _SERIOUS if code in seen), max(seen, default=0))


def tell_error(error: Exception, *, verbose: bool, log_format: LogFormat, pair: str | None = None) -> int:
    """Say what happened; return the exit code."""
    if isinstance(error, BrokenPipeError):
        return 0  # whoever read the answer has read enough
    known = isinstance(error, BisyncerError)
    sentence = str(error)
    if not known:
        sentence = (
            f"internal error: {type(error).__name__}: {error} "
            "(this is a bug; run with --verbose for the traceback)"
        )
    if verbose and not known:
        traceback.print_exception(error, file=sys.stderr)
    tell_sentence(sentence, log_format=log_format, pair=pair)
    return error.exit_code if isinstance(error, BisyncerError) else 1


def tell_sentence(
    sentence: str, *, log_format: LogFormat = LogFormat.TEXT, pair: str | None = None, level: str = "error"
) -> None:
    """Write one line to the log."""
    if log_format is LogFormat.JSON:
        from bisyncer.report.jsonl import JsonLog  # noqa: PLC0415 -- only when asked for

        JsonLog(sys.stderr).say(
            level, {"event": level, "sentence": sentence, **({"pair": pair} if pair else {})}
        )
        return
    about = f"{pair}: " if pair else ""
    word = "" if level == "error" else f"{level}: "
    try:
        sys.stderr.write(f"bisyncer: {word}{about}{shown_line(sentence)}\n")
        sys.stderr.flush()
    except OSError:  # nobody listens; the exit code still tells
        return
