"""How far a run has come, for the standard error: a line every 10 seconds, where there is no terminal."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TextIO

from bisyncer.model import Done, Side
from bisyncer.report.events import (
    Acted,
    Checked,
    Event,
    GatesClosed,
    Moved,
    Phase,
    PhaseBegan,
    RunBegan,
    RunEnded,
    Scanned,
    Settled,
    SkippedPlace,
)
from bisyncer.report.words import shown_duration, shown_key, shown_line, shown_root, shown_size

STEP_S: Final = 10.0


def notice(event: Event, pair: str, *, verbose: bool) -> str | None:
    """What an event says in a line of its own, whatever shows the progress; None for most."""
    if isinstance(event, GatesClosed):
        lines = [
            f"bisyncer: {pair}: halted by {halt.gate}: {shown_line(halt.sentence)}" for halt in event.halts
        ]
        return "\n".join(lines)
    if isinstance(event, SkippedPlace) and verbose:
        return f"{pair}: skipped {shown_key(event.problem.key)}: {shown_line(event.problem.sentence)}"
    if isinstance(event, RunBegan) and verbose:
        roots = " and ".join(shown_line(shown_root(root)) for root in (event.path1, event.path2))
        return f"{pair}: run {event.run}: {roots}"
    if isinstance(event, PhaseBegan) and verbose:
        return f"{pair}: {event.phase}" + ("" if event.total is None else f": {event.total:,}")
    return None


class Forgiving:
    """A stream whose end is gone loses what is written to it, and stops no run."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, or lose it."""
        with suppress(OSError, ValueError):  # ValueError: closed
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush what there is to flush."""
        with suppress(OSError, ValueError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Pace:
    """The numbers of the phase that is going on."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.pair = ""
        self.phase: Phase | None = None
        self.keys: dict[Side, int] = {}
        self.done = 0
        self.size = 0
        self._expected = 0
        self._total: int | None = None
        self._total_size = 0
        self._moved: Callable[[], Moved] = Moved
        self._began_s = 0.0

    def tell(self, event: Event) -> None:
        """Count the event."""
        match event:
            case RunBegan():
                self.pair, self._expected = event.pair, event.expected
            case PhaseBegan():
                self.phase, self._began_s = event.phase, self._clock()
                self.keys, self.done, self.size = dict.fromkeys(Side, 0), 0, 0
                self._total, self._total_size, self._moved = event.total, event.size, event.moved
            case Scanned():
                self.keys[event.side] = event.keys
            case Checked():
                self.done = event.keys
            case Acted():
                self.done += 1
                self.size += event.outcome.size if isinstance(event.outcome, Done) else 0
            case Settled():
                self.done += event.count
            case RunEnded():
                self.phase = None
            case _:
                return

    def line(self) -> str | None:
        """The phase in one line, with its rate and the time left; None between phases."""
        if self.phase is None:
            return None
        elapsed_s = max(self._clock() - self._began_s, 0.001)
        if self.phase is Phase.SCAN:
            done, total, noun = sum(self.keys.values()), 2 * self._expected or None, "keys"
            of = f" of about {self._expected:,}" if self._expected else ""
            counts = ", ".join(f"{side} {self.keys.get(side, 0):,}{of} keys" for side in Side)
        else:
            done, total, noun = self.done, self._total, "keys" if self.phase is Phase.CHECK else "actions"
            counts = f"{done:,}" + ("" if total is None else f" of {total:,}") + f" {noun}"
        parts = [counts, f"{done / elapsed_s:,.0f} {noun}/s"]
        share = done / total if total else 0.0
        if self._total_size:
            bodies, moved = self._moved()
            size = self.size + moved
            parts.append(f"{shown_size(size)} of {shown_size(self._total_size)}")
            parts.append(f"{shown_size(round(size / elapsed_s))}/s")
            # Of an action that has begun, its bytes say how far it is.
            share = min((done + bodies) / total if total else 0.0, size / self._total_size)
        if 0 < share < 1:
            parts.append(f"about {shown_duration(round(elapsed_s * (1 - share) / share * 1e9))} left")
        return f"{self.pair}: {self.phase}: {', '.join(parts)}"


class Ticks:
    """A Reporter for logs: one line every 10 seconds of a long phase, from a thread of its own.

    The thread is there for the silence: while one large object is sent, no event comes by.
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        quiet: bool = False,
        verbose: bool = False,
        step_s: float = STEP_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = Forgiving(stream)
        self._quiet = quiet
        self._verbose = verbose
        self._step_s = step_s
        self._pace = Pace(clock)
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def tell(self, event: Event) -> None:
        """Count the event; begin and end ticking with the run."""
        with self._lock:
            self._pace.tell(event)
            line = notice(event, self._pace.pair, verbose=self._verbose)
        if line is not None:
            self._say(line)
        if isinstance(event, RunBegan) and not self._quiet:
            self._begin()
        elif isinstance(event, RunEnded):
            self.close()

    def close(self) -> None:
        """End the thread."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _begin(self) -> None:
        self.close()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._tick, args=(self._over,), name="progress", daemon=True)
        self._thread.start()

    def _tick(self, over: threading.Event) -> None:
        while not over.wait(self._step_s):
            with self._lock:
                line = self._pace.line()
            if line is not None:
                self._say(line)

    def _say(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()
