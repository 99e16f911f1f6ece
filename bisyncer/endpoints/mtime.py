"""The time of an object's content, which no bucket keeps by itself.

It is kept in the metadata field `mtime` as rclone writes and reads it: seconds since the epoch in
decimal, up to nine places.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache

MTIME = "mtime"

_SECONDS = re.compile(r"(-?)([0-9]{1,100})(?:\.([0-9]*))?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_S_NS = 1_000_000_000
_A_SECOND = "2000-01-01T00:00:00"
_FRACTION = re.compile(r"\.([0-9]{1,6})Z")


def time_ns(instant: datetime) -> int:
    """An instant in ns since the epoch, without going through a float."""
    passed = instant - _EPOCH
    return (passed.days * 86_400 + passed.seconds) * _S_NS + passed.microseconds * 1_000


def listed_time_ns(text: str) -> int:
    """A time of a listing, as '2026-11-21T08:00:00.000Z'; raises `ValueError`."""
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError(f"{text!r} is of no time zone")
    return time_ns(instant)


def times_of_page(texts: Iterable[str]) -> list[int]:
    """The same of all objects of a page, of which many were written in one second; raises `ValueError`."""
    return [_second_ns(text[:19]) + _fraction_ns(text[19:]) for text in texts]


@lru_cache(maxsize=4096)
def _second_ns(text: str) -> int:
    """The time of a text like '2026-11-21T08:00:00'."""
    return listed_time_ns(f"{text}Z")


@lru_cache(maxsize=4096)
def _fraction_ns(text: str) -> int:
    """What a text like '.123Z' adds to it."""
    match = _FRACTION.fullmatch(text)
    if match:
        return int(match[1].ljust(9, "0"))
    return listed_time_ns(f"{_A_SECOND}{text}") - listed_time_ns(f"{_A_SECOND}Z")


def parse_mtime(text: str | None) -> int | None:
    """The time that a `mtime` metadata field tells, in ns; None where it tells none."""
    match = _SECONDS.fullmatch(text or "")
    if match is None:
        return None
    sign, seconds, fraction = match.groups()
    value = int(seconds) * _S_NS + int((fraction or "")[:9].ljust(9, "0"))
    return -value if sign else value


def metadata(mtime_ns: int | None) -> dict[str, str]:
    """The metadata fields of an object whose content has that time."""
    if mtime_ns is None:
        return {}
    seconds, fraction = divmod(abs(mtime_ns), _S_NS)
    sign = "-" if mtime_ns < 0 else ""
    return {MTIME: f"{sign}{seconds}.{fraction:09}".rstrip("0").rstrip(".")}
