"""How far a store's clock is from this host's."""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

from bisyncer.endpoints.mtime import time_ns

_SECOND_NS: Final = 1_000_000_000


def clock_skew_ns(date: str | None, asked_ns: int, answered_ns: int) -> int | None:
    """How far the store's clock is ahead of ours, by the Date of an answer, which has no part of a second."""
    try:
        told = parsedate_to_datetime(date or "")
    except ValueError:
        return None
    theirs_ns = time_ns(told if told.tzinfo else told.replace(tzinfo=UTC))
    return theirs_ns + _SECOND_NS // 2 - (asked_ns + answered_ns) // 2
