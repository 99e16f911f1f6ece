"""When to try again: exponential backoff with full jitter, and not before the store wants it.

https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, TypeVar

from bisyncer.errors import Transient

ATTEMPTS: Final = 4  # of a request that may be repeated

_FIRST_S = 0.25  # before the second attempt, at the most; doubled for each further one
_LONGEST_S = 20.0
ASKED_S: Final = 300.0  # a store that wants to be left alone for longer is one that doesn't answer

_NAP_S = 5.0  # where nothing tells that a run is to stop

T = TypeVar("T")


def nap(seconds: float) -> None:
    """Wait as long as one may who isn't told when a run is to stop; the engine has the longer pauses."""
    time.sleep(min(seconds, _NAP_S))


def pause_s(attempt: int, error: Transient) -> float:
    """How long to wait after the failed attempt of that number, counted from 1."""
    spread = random.uniform(0, min(_LONGEST_S, _FIRST_S * 2 ** (attempt - 1)))  # noqa: S311 -- jitter, no secret
    asked = error.retry_after_s
    return spread if asked is None else min(asked, ASKED_S) + spread


def asked_s(retry_after: str | None, date: str | None) -> float | None:
    """How long a store wants to be left alone; None where it doesn't say. `date` is its own clock.

    RFC 9110, section 10.2.3: seconds, or a date.
    """
    if retry_after is None:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            until = parsedate_to_datetime(retry_after)
            seconds = (until - (parsedate_to_datetime(date) if date else datetime.now(UTC))).total_seconds()
        except (TypeError, ValueError, OverflowError):  # TypeError: one of two dates has no zone
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def persist(deed: Callable[[], T], *, wait: Callable[[float], object] = nap) -> T:
    """Do what may be done again without harm, up to `ATTEMPTS` times; raises the last `Transient`.

    `wait` takes seconds, and says by a true value that there shall be no further attempt.
    """
    for attempt in range(1, ATTEMPTS):
        try:
            return deed()
        except Transient as error:
            if wait(pause_s(attempt, error)):
                raise
    return deed()
