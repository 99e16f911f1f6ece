"""How much is asked of one store at a time: fewer requests when it says that it is too much.

Additive increase, multiplicative decrease, as TCP has it: each answer adds a little, each "slow down" takes
half. https://www.rfc-editor.org/rfc/rfc5681
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final

from bisyncer.endpoints.backoff import ASKED_S
from bisyncer.errors import Transient

_SETTLE_S: Final = 1.0  # what fails together counts once
_LOOK_S: Final = 1.0  # a waiter looks this often whether it was told to stop

_mine = threading.local()  # whether this thread holds a turn, of whichever store


def always_in_turn() -> None:
    """Let this thread get all its turns at once, as it works for others that may hold one."""
    _mine.held = True


class Pace:
    """Turns at one store; `width` is the most that are taken at a time, `stopped` ends all waiting."""

    def __init__(
        self,
        width: int,
        *,
        stopped: Callable[[], bool],
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._width = float(width)
        self._limit = float(width)
        self._stopped = stopped
        self._now_s = now_s
        self._running = 0
        self._closed_until_s = 0.0
        self._slowed_s = -_SETTLE_S
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._waiting = 0

    def turn(self) -> Turn:
        """Wait for a turn, and hold it; what is raised inside tells how the store bears it.

        Who holds a turn already, of this store or of another, gets one at once: two that wait for each other
        with a turn in hand would wait for ever.
        """
        return Turn(self)

    def begin(self, *, nested: bool) -> None:
        """Wait for a turn and take it; at once where it is `nested` in another."""
        with self._lock:
            while not nested and (wait_s := self._wait_s()) > 0 and not self._stopped():
                self._waiting += 1
                try:
                    self._changed.wait(wait_s)
                finally:
                    self._waiting -= 1
            self._running += 1

    def end(self, error: BaseException | None) -> None:
        """Give the turn back; a turn without an error lets one more be taken in time."""
        if isinstance(error, Transient):
            self.bear(error)
        with self._lock:
            self._running -= 1
            if error is None and self._limit < self._width:
                self._limit = min(self._width, self._limit + 1 / self._limit)
            if self._waiting:
                self._changed.notify_all()

    @property
    def limit(self) -> float:
        """How many turns are taken at a time now."""
        with self._lock:
            return self._limit

    def _wait_s(self) -> float:
        if self._closed_until_s and (closed_s := self._closed_until_s - self._now_s()) > 0:
            return min(closed_s, _LOOK_S)
        return 0.0 if self._running < max(1, int(self._limit)) else _LOOK_S

    def bear(self, error: Transient) -> None:
        """Ask less of a store that said it was too much."""
        if not error.throttled:
            return
        with self._lock:
            now_s = self._now_s()
            if now_s - self._slowed_s >= _SETTLE_S:
                self._slowed_s = now_s
                self._limit = max(1.0, self._limit / 2)
            if error.retry_after_s is not None:
                asked_s = min(error.retry_after_s, ASKED_S)
                self._closed_until_s = max(self._closed_until_s, now_s + asked_s)


class Turn:
    """One turn at a store, held as long as the block runs; used once."""

    __slots__ = ("_nested", "_pace")

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._nested = False

    def __enter__(self) -> None:
        self._nested = getattr(_mine, "held", False)
        self._pace.begin(nested=self._nested)
        _mine.held = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _mine.held = self._nested
        self._pace.end(error)
