"""How much is asked of one store at a time: fewer requests when it says that it is too much.

Additive increase, multiplicative decrease, as TCP has it: each answer adds a little, each "slow down" takes
half. https://www.rfc-editor.org/rfc/rfc5681
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Final

from bisyncer.endpoints.backoff import ASKED_S
from bisyncer.errors import Transient

_SETTLE_S: Final = 1.0  # what fails together counts once
LOOK_S: Final = 1.0  # a waiter looks this often whether it was told to stop
_WIDTH: Final = 16  # turns at a store that nobody has set a pace for
PARTS: Final = 8  # of large bodies, under way at a time

_mine = threading.local()  # whether this thread holds a turn, of whichever store


def always_in_turn() -> None:
    """Let this thread get all its turns at once, as it works for others that may hold one."""
    _mine.held = True


def _never() -> bool:
    return False


class Pace:
    """Turns at one store; `width` is the most that are taken at a time, `stopped` ends all waiting.

    `parts` is the share of the parts of large bodies: who sends a body holds a turn, and waits for its parts.
    """

    def __init__(
        self,
        width: int = _WIDTH,
        *,
        stopped: Callable[[], bool] = _never,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.stopped = stopped
        self._now_s = now_s
        self._closed_until_s = 0.0
        self._slowed_s = -_SETTLE_S
        self._failures = {"transient": 0, "throttled": 0}
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._waiting = 0
        self._turns = Share(self, width)
        self.parts = Share(self, PARTS)
        self._shares = [self._turns, self.parts]

    def turn(self) -> Turn:
        """Wait for a turn, and hold it; what is raised inside tells how the store bears it."""
        return self._turns.turn()

    @contextmanager
    def share(self, most: int) -> Iterator[Share]:
        """What else is asked side by side, up to `most` at a time, as long as the block runs."""
        with self._lock:
            share = Share(self, most)
            share.limit = max(1.0, most * self._turns.limit / self._turns.most)
            self._shares.append(share)
        try:
            yield share
        finally:
            with self._lock:
                self._shares.remove(share)

    @property
    def limit(self) -> float:
        """How many turns are taken at a time now."""
        with self._lock:
            return self._turns.limit

    @property
    def failures(self) -> Mapping[str, int]:
        """Requests that failed in a way that may pass, `transient`; `throttled` of them were too many."""
        with self._lock:
            return {kind: number for kind, number in self._failures.items() if number}

    def bear(self, error: Transient) -> None:
        """Hear of a failure, unless somebody has: one of a source passes through the writer too."""
        if not error.heard:
            error.heard = True
            self.failed(throttled=error.throttled, retry_after_s=error.retry_after_s)

    def failed(self, *, throttled: bool, retry_after_s: float | None) -> None:
        """Count a failure, and ask less of a store that said it was too much."""
        with self._lock:
            self._failures["transient"] += 1
            if throttled:
                self._failures["throttled"] += 1
                self._slow(retry_after_s)

    def slow(self, error: Transient) -> None:
        """Ask less of a store for a failure that another one's pace has heard of."""
        if error.throttled:
            with self._lock:
                self._slow(error.retry_after_s)

    def _slow(self, retry_after_s: float | None) -> None:
        now_s = self._now_s()
        if now_s - self._slowed_s >= _SETTLE_S:
            self._slowed_s = now_s
            for share in self._shares:
                share.limit = max(1.0, share.limit / 2)
        if retry_after_s is not None:
            asked_s = min(retry_after_s, ASKED_S)
            self._closed_until_s = max(self._closed_until_s, now_s + asked_s)

    def wait(self, seconds: float) -> bool:
        """Wait so long, or until all waiting is to end; return whether it is."""
        while seconds > 0 and not self.stopped():
            time.sleep(min(seconds, LOOK_S))
            seconds -= LOOK_S
        return self.stopped()

    def begin(self, share: Share, *, nested: bool, given_up: Callable[[], bool]) -> None:
        """Wait until one more of `share` may go; not at all where it is `nested` in another turn."""
        with self._lock:
            while not nested and (wait_s := self._wait_s(share)) > 0 and not (self.stopped() or given_up()):
                self._waiting += 1
                try:
                    self._changed.wait(wait_s)
                finally:
                    self._waiting -= 1
            share.running += 1

    def end(self, share: Share, error: BaseException | None) -> None:
        """Let another one of `share` go; one without an error lets one more be taken in time."""
        if isinstance(error, Transient):
            self.bear(error)
        with self._lock:
            share.running -= 1
            if error is None and share.limit < share.most:
                share.limit = min(share.most, share.limit + 1 / share.limit)
            if self._waiting:
                self._changed.notify_all()

    def _wait_s(self, share: Share) -> float:
        if self._closed_until_s and (closed_s := self._closed_until_s - self._now_s()) > 0:
            return min(closed_s, LOOK_S)
        return 0.0 if share.running < int(share.limit) else LOOK_S


class Share:
    """What of one kind is asked at a time: `most`, or `limit`, which its pace keeps; one at the least."""

    def __init__(self, pace: Pace, most: int) -> None:
        self.most = most
        self.limit = float(most)  # guarded by the pace, as what follows
        self.running = 0
        self._pace = pace

    def turn(self, given_up: Callable[[], bool] = _never) -> Turn:
        """Wait for a turn, and hold it; `given_up` ends the waiting.

        Who holds a turn already, of this store or of another, gets one at once: two that wait for each other
        with a turn in hand would wait for ever.
        """
        return Turn(self._pace, self, given_up)

    def stopped(self) -> bool:
        """Whether all waiting is to end."""
        return self._pace.stopped()


class Turn:
    """One turn at a store, held as long as the block runs; used once."""

    __slots__ = ("_given_up", "_nested", "_pace", "_share")

    def __init__(self, pace: Pace, share: Share, given_up: Callable[[], bool]) -> None:
        self._pace = pace
        self._share = share
        self._given_up = given_up
        self._nested = False

    def __enter__(self) -> None:
        self._nested = getattr(_mine, "held", False)
        self._pace.begin(self._share, nested=self._nested, given_up=self._given_up)
        _mine.held = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _mine.held = self._nested
        self._pace.end(self._share, error)
