"""How far a store's clock is from this host's."""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

from bisyncer.endpoints.mtime import time_ns

_SECOND_NS: Final = 1_000_000_000


SKEW_TOLD_NS: Final = 2 * _SECOND_NS  # what may matter where times decide; a Date has whole seconds


def clock_told(skew_ns: int) -> str | None:
    """A sentence about a clock that is off, with the cure; None where it isn't."""
    if abs(skew_ns) < SKEW_TOLD_NS:
        return None
    return (
        f"the store's clock is {abs(skew_ns) / _SECOND_NS:,.1f} s {'ahead of' if skew_ns > 0 else 'behind'} "
        "this host's. Which of two versions is newer may be told wrong, and a bucket refuses requests that "
        "are too far off. Let both hosts set their clocks by NTP."
    )


def clock_skew_ns(date: str | None, asked_ns: int, answered_ns: int) -> int | None:
    """How far the store's clock is ahead of ours, by the Date of an answer, which has no part of a second."""
    try:
        told = parsedate_to_datetime(date or "")
    except ValueError:
        return None
    theirs_ns = time_ns(told if told.tzinfo else told.replace(tzinfo=UTC))
    return theirs_ns + _SECOND_NS // 2 - (asked_ns + answered_ns) // 2
