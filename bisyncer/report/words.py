"""Values as a person reads them: keys, sizes, durations, instants."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime
from typing import Final

from bisyncer.model import Side

_NS = 10**9
_SHORT: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
# Cc: terminal escapes and newlines; Cf: what turns the reading direction round or is invisible;
# Cs: half a surrogate pair, which no terminal takes; Zl and Zp: line breaks to some programs.
_UNPRINTED: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def without_key(sentence: str, key: str) -> str:
    """A sentence about a key, for a line that has named the key already."""
    for told in (f"{key}: ", f"{key!r}: "):
        if sentence.startswith(told):
            return sentence.removeprefix(told)
    for told in (f": {key!r}: ", f"/{key}: "):
        if told in sentence:
            return sentence.replace(told, ": ", 1)
    return sentence


def shown_line(text: str) -> str:
    """Text on one line, with whatever could move a cursor or hide itself written as an escape."""
    if text.isprintable():
        return text
    return "".join(_escaped(char) if unicodedata.category(char) in _UNPRINTED else char for char in text)


def shown_key(key: str) -> str:
    """A key on one line; a backslash is doubled, so that two keys never look the same."""
    return shown_line(key.replace("\\", "\\\\") if "\\" in key else key)


def shown_root(root: str) -> str:
    """A root as a user would write it: a local one is a path, and a bucket has no endpoint behind it.

    The state knows them by more, since two services may have buckets of one name.
    """
    place, found, _ = root.rpartition("?endpoint=")
    return (
        place if found and root.startswith(("s3://", "azure://", "oci://")) else root.removeprefix("file://")
    )


def shown_size(size: int) -> str:
    """A number of bytes in a unit that keeps it short."""
    if size < 1000:
        return f"{size} B"
    value = float(size)
    for unit in ("kB", "MB", "GB", "TB", "PB"):
        value /= 1000
        if value < 999.95:
            return f"{value:.1f} {unit}"
    return f"{value / 1000:.1f} EB"


def shown_duration(length_ns: int) -> str:
    """A length of time, in two units at most; none where the clock was set back meanwhile."""
    seconds = max(length_ns, 0) / _NS
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, length, lower, lower_length in (("d", 86400, "h", 3600), ("h", 3600, "min", 60)):
        if whole >= length:
            return f"{whole // length} {unit} {whole % length // lower_length} {lower}"
    return f"{whole // 60} min {whole % 60} s"


def shown_count(number: int, noun: str) -> str:
    """A number and its noun: 1 problem, 2 problems."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def survival(survivor: Side | None) -> str | None:
    """What became of an edit of a key that the other side deleted; None where there is none."""
    return None if survivor is None else f"{survivor}'s edit survives the deletion on {survivor.other}"


def instant(time_ns: int) -> str:
    """An instant as ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(time_ns // _NS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _escaped(char: str) -> str:
    code = ord(char)
    if char in _SHORT:
        return _SHORT[char]
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
