"""How much is asked of one store at a time: fewer requests when it says that it is too much.

Additive increase, multiplicative decrease, as TCP has it: each answer adds a little, each "slow down" takes
half. https://www.rfc-editor.org/rfc/rfc5681
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from bisyncer.endpoints.backoff import ASKED_S
from bisyncer.errors import Transient

_SETTLE_S: Final = 1.0  # what fails together counts once
_LOOK_S: Final = 1.0  # a waiter looks this often whether it was told to stop

_mine = threading.local()  # whether this thread holds a turn, of whichever store


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
        self._changed = threading.Condition()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a turn, and hold it; what is raised inside tells how the store bears it.

        Who holds a turn already, of this store or of another, gets one at once: two that wait for each other
        with a turn in hand would wait for ever.
        """
        nested = getattr(_mine, "held", False)
        with self._changed:
            while not nested and not self._stopped() and (wait_s := self._wait_s()) > 0:
                self._changed.wait(wait_s)
            self._running += 1
        _mine.held = True
        try:
            yield
        except Transient as error:
            self.bear(error)
            raise
        else:
            with self._changed:
                self._limit = min(self._width, self._limit + 1 / self._limit)
        finally:
            _mine.held = nested
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    @property
    def limit(self) -> float:
        """How many turns are taken at a time now."""
        with self._changed:
            return self._limit

    def _wait_s(self) -> float:
        closed_s = self._closed_until_s - self._now_s()
        if closed_s > 0:
            return min(closed_s, _LOOK_S)
        return 0.0 if self._running < max(1, int(self._limit)) else _LOOK_S

    def bear(self, error: Transient) -> None:
        """Ask less of a store that said it was too much."""
        if not error.throttled:
            return
        with self._changed:
            now_s = self._now_s()
            if now_s - self._slowed_s >= _SETTLE_S:
                self._slowed_s = now_s
                self._limit = max(1.0, self._limit / 2)
            if error.retry_after_s is not None:
                asked_s = min(error.retry_after_s, ASKED_S)
                self._closed_until_s = max(self._closed_until_s, now_s + asked_s)
