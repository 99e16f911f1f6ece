"""An error as one line on the standard error, and the exit code that goes with it."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterable, Mapping
from contextlib import suppress
from enum import StrEnum

from bisyncer.errors import BisyncerError
from bisyncer.report.words import shown_line


class LogFormat(StrEnum):
    """How the log on the standard error is written."""

    TEXT = "text"
    JSON = "json"


_NOTHING: Mapping[str, str] = {}

# The codes of several pairs, most serious first; what stands first is the code of the whole command.
_SERIOUS = (143, 130, 1, 2, 7, 5, 3, 4, 6)


class AnswerLost(BisyncerError):
    """The standard output takes no more."""

    def __init__(self, error: OSError) -> None:
        super().__init__(
            f"The answer can't be written to the standard output: {error.strerror}. "
            "What was done is done; make room, and ask again."
        )


def silence_answer() -> None:
    """Let what is still buffered for the standard output go nowhere, so that it doesn't raise at exit."""
    with suppress(OSError, ValueError):  # ValueError: it has no number
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def most_serious(codes: Iterable[int]) -> int:
    """The exit code of a command that did several things."""
    seen = set(codes)
    return next((code for code in _SERIOUS if code in seen), max(seen, default=0))


def tell_error(error: Exception, *, verbose: bool, log_format: LogFormat, pair: str | None = None) -> int:
    """Say what happened; return the exit code."""
    if isinstance(error, BrokenPipeError):
        return 0  # whoever read the answer has read enough
    if isinstance(error, AnswerLost):
        silence_answer()
    known = isinstance(error, BisyncerError)
    sentence = str(error)
    if not known:
        sentence = (
            f"internal error: {type(error).__name__}: {error} "
            "(this is a bug; run with --verbose for the traceback)"
        )
    more = {}
    if verbose and not known:
        if log_format is LogFormat.JSON:
            more = {"traceback": "".join(traceback.format_exception(error))}
        else:
            traceback.print_exception(error, file=sys.stderr)
    tell_sentence(sentence, log_format=log_format, pair=pair, more=more)
    return error.exit_code if isinstance(error, BisyncerError) else 1


def tell_sentence(
    sentence: str,
    *,
    log_format: LogFormat = LogFormat.TEXT,
    pair: str | None = None,
    level: str = "error",
    more: Mapping[str, str] = _NOTHING,
) -> None:
    """Write one line to the log; `more` are keys of its object, where it is JSON."""
    try:
        sys.stderr.write(sentence_line(sentence, log_format, pair=pair, level=level, more=more))
        sys.stderr.flush()
    except (OSError, ValueError):  # nobody listens, or it is closed; the exit code still tells
        return


def sentence_line(
    sentence: str,
    log_format: LogFormat,
    *,
    pair: str | None = None,
    level: str = "error",
    more: Mapping[str, str] = _NOTHING,
) -> str:
    """A line of the log, with its end."""
    if log_format is LogFormat.JSON:
        from bisyncer.report import jsonl  # noqa: PLC0415 -- only when asked for

        return jsonl.sentence_line(level, sentence, pair, more)
    about = f"{pair}: " if pair and not sentence.startswith(f"Pair '{pair}'") else ""
    word = f"{level}: " if level == "warning" else ""
    return f"bisyncer: {word}{about}{shown_line(sentence)}\n"
