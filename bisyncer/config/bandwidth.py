"""A limit of bandwidth, in the words of rclone's --bwlimit: one limit, or a timetable.

https://rclone.org/docs/#bwlimit-bwtimetable; rclone's two limits, UPLOAD:DOWNLOAD, are refused: a copy
between two buckets is both at once.
"""

from __future__ import annotations

import re
from typing import Final

from bisyncer.job import Limit

_SIZE = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(?:(b)|([kmgtp])(?:ib?)?)?", re.IGNORECASE)
_POWERS: Final = {"k": 10, "m": 20, "g": 30, "t": 40, "p": 50}
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MAX_BYTES_PER_S: Final = 2**63 - 1


class NoLimit(ValueError):
    """A text that is no limit of bandwidth; it tells which part isn't, and what it may be."""


def timetable(text: str) -> tuple[Limit, ...]:
    """Read `10M`, `off`, or `08:00,512k 12:00,10M Sat-00:00,off`; empty where there is no limit at all.

    A bare number counts KiB a second; suffixes are powers of 1024. A line without a weekday is one for
    every day. Raises `NoLimit`.
    """
    if not re.search(r"[,;\s]", text):
        bytes_per_s = _bytes_per_s(text)
        return () if bytes_per_s is None else (Limit(None, 0, bytes_per_s),)
    lines = [_line(word) for word in re.split(r"[;\s]+", text) if word]
    times = [limit[:2] for limit in lines]
    if twice := next((time for number, time in enumerate(times) if time in times[:number]), None):
        weekday, minute = twice
        day = "" if weekday is None else f"{_DAYS[weekday][:3].title()}-"
        raise NoLimit(f"{text!r} has two limits from {day}{minute // 60:02}:{minute % 60:02} on; leave one")
    return tuple(lines)


def _line(word: str) -> Limit:
    when, comma, size = word.partition(",")
    day, dash, time = when.rpartition("-")
    days = [number for number, name in enumerate(_DAYS) if day.lower() in {name, name[:3]}]
    match = _TIME.fullmatch(time)
    if not comma or not match or (dash and not days):
        raise NoLimit(
            f"{word!r} is no line of a timetable; write a time and a limit, such as 08:00,512k or "
            "Mon-08:00,512k"
        )
    return Limit(days[0] if days else None, int(match[1]) * 60 + int(match[2]), _bytes_per_s(size))


def _bytes_per_s(size: str) -> int | None:
    """So many bytes; None: no limit, which rclone also writes as 0."""
    if size.lower() == "off":
        return None
    if ":" in size:
        raise NoLimit(
            f"{size!r} is one limit for uploads and one for downloads; write a single one, which both share"
        )
    match = _SIZE.fullmatch(size)
    if match is None:
        raise NoLimit(f"{size!r} is no limit; write KiB a second, or a number with B, K, M, G or T, or off")
    power = 0 if match[2] else _POWERS[(match[3] or "k").lower()]
    number = float(match[1]) * 2**power
    if number > _MAX_BYTES_PER_S:
        raise NoLimit(f"{size!r} is more than any network carries; write off for no limit")
    if 0 < number < 1:
        raise NoLimit(f"{size!r} is less than one byte a second")
    return int(number) or None
