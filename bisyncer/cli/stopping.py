"""Signals: the first lets what is in flight be finished and committed, the second ends the process."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from bisyncer.cli.failure import LogFormat, sentence_line
from bisyncer.model import RunOutcome, Summary

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_TOLD = "stopping: finishing what is in flight, then committing. A second signal ends it at once."


class Stop:
    """Set by the first signal; `signal` says which it was."""

    def __init__(self, log_format: LogFormat) -> None:
        self.event = threading.Event()
        self.signal: int | None = None
        self._log_format = log_format

    def hear(self, number: int, _frame: FrameType | None) -> None:
        """Take a signal."""
        if self.event.is_set():
            os._exit(128 + number)
        self.signal = number
        self.event.set()
        try:
            # Not through a stream, whose lock the interrupted code may hold.
            os.write(2, sentence_line(_TOLD, self._log_format, level="info").encode())
        except OSError:
            return

    def exit_code(self, summary: Summary) -> int:
        """The exit code of a run: an interrupted one tells which signal it was."""
        if summary.outcome is RunOutcome.INTERRUPTED and self.signal is not None:
            return 128 + self.signal
        return summary.exit_code


@contextmanager
def stopping(log_format: LogFormat) -> Iterator[Stop]:
    """Hear signals for as long as a run may go on; that one was heard is told in the format of the log."""
    stop = Stop(log_format)
    before = {number: signal.signal(number, stop.hear) for number in _SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
