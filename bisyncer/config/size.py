"""Sizes of files, in rclone's words: https://rclone.org/docs/#size-options."""

from __future__ import annotations

import re

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(?:([KMGTP])(?:iB?|B)?|B)", re.IGNORECASE)
_UNITS = "KMGTP"
_LARGEST = 2**63 - 1  # what a database can hold


class NoSize(ValueError):
    """What was written is no size; its text says what to write."""


def size(word: str) -> int | None:
    """So many bytes; None for off. A bare number is refused, since rclone takes it for KiB."""
    if word == "off":
        return None
    match = _SIZE.fullmatch(word.strip())
    if match is None:
        raise NoSize(f"{word!r} is no size; write a number with B, K, M, G, T or P, such as 10M, or off")
    power = 0 if match[2] is None else 10 * (1 + _UNITS.index(match[2].upper()))
    number = float(match[1]) * float(2**power)
    if number > _LARGEST:
        raise NoSize(f"{word!r} is larger than any file; write off for no limit")
    return round(number)
