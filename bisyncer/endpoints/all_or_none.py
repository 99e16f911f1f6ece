"""Requests that are useless without each other: the parts of one object, sent or copied side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from typing import TypeVar

from bisyncer.endpoints.backoff import ATTEMPTS, persist
from bisyncer.endpoints.pace import LOOK_S, Share
from bisyncer.errors import Transient

T = TypeVar("T")


def insist(deed: Callable[[], T], share: Share, over: threading.Event) -> T:
    """Do what may be done again without harm up to `ATTEMPTS` times, in a turn of `share` each time.

    One that fails for good sets `over`, and the others raise `CancelledError` then.
    """
    attempts = 0

    def attempt() -> T:
        nonlocal attempts
        with share.turn(over.is_set):
            if over.is_set():
                raise CancelledError
            attempts += 1
            try:
                return deed()
            except BaseException as error:
                if not isinstance(error, Transient) or attempts == ATTEMPTS:
                    over.set()  # before another one has the turn
                raise

    def wait(seconds: float) -> bool:
        while seconds > 0 and not share.stopped():
            if over.wait(min(seconds, LOOK_S)):
                raise CancelledError
            seconds -= LOOK_S
        return share.stopped()

    try:
        return persist(attempt, wait=wait)
    except BaseException:
        over.set()
        raise


def results(futures: Sequence[Future[T]]) -> list[T]:
    """What all gave, which have ended; raises a failure that others were given up for, and not theirs."""
    failures = [failure for future in futures if (failure := future.exception())]
    for failure in sorted(failures, key=lambda failure: isinstance(failure, CancelledError)):
        raise failure
    return [future.result() for future in futures]
