"""When a run is to take up no more work: when it is told to, or when its time is over."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol


class Stop(Protocol):
    """An event of threads or of processes."""

    def is_set(self) -> bool:
        """Whether it has come."""
        ...

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for it; return whether it has come."""
        ...


class Deadline:
    """A stop that comes by itself after `max_duration_ns`; None: it only comes when it is told to.

    A run that gives up stops for itself, and not those that share the event.
    """

    def __init__(
        self,
        stop: Stop,
        max_duration_ns: int | None,
        *,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stop = stop
        self._now_s = now_s
        self._given_up = threading.Event()
        self._ends_s = None if max_duration_ns is None else now_s() + max_duration_ns / 1e9

    @property
    def passed(self) -> bool:
        """Whether the time is over, and nobody said stop."""
        return not self._stop.is_set() and self._left_s() == 0

    @property
    def given_up(self) -> bool:
        """Whether the run gave up, and nobody said stop."""
        return self._given_up.is_set() and not self._stop.is_set()

    def give_up(self) -> None:
        """Take up no more work in this run."""
        self._given_up.set()

    def is_set(self) -> bool:
        """Whether no more work is to be taken up."""
        return self._stop.is_set() or self._given_up.is_set() or self._left_s() == 0

    def wait(self, seconds: float) -> bool:
        """Wait so long, or until no more work is to be taken up; return whether that is so."""
        self._stop.wait(min(seconds, self._left_s()))
        return self.is_set()

    def _left_s(self) -> float:
        return threading.TIMEOUT_MAX if self._ends_s is None else max(0.0, self._ends_s - self._now_s())
