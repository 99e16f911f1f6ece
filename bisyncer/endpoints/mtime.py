"""The time of an object's content, which no bucket keeps by itself.

It is kept in the metadata field `mtime` as rclone writes and reads it: seconds since the epoch in
decimal, up to nine places.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

MTIME = "mtime"

_SECONDS = re.compile(r"(-?)([0-9]+)(?:\.([0-9]*))?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_S_NS = 1_000_000_000


def time_ns(instant: datetime) -> int:
    """An instant in ns since the epoch, without going through a float."""
    passed = instant - _EPOCH
    return (passed.days * 86_400 + passed.seconds) * _S_NS + passed.microseconds * 1_000


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
