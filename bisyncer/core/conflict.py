"""Who wins a conflict, and what the other version is called."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import count

from bisyncer.model import Entry, Resolve, Side

NAME_BYTES = 255  # the longest last segment that common file systems hold

_TIMELESS = -1

# The side whose value is greater keeps the name; path1 where the values are equal.
_RANK: Mapping[Resolve, Callable[[Side, Entry], int]] = {
    Resolve.NEWER: lambda _, entry: _TIMELESS if entry.mtime_ns is None else entry.mtime_ns,
    Resolve.OLDER: lambda _, entry: _TIMELESS if entry.mtime_ns is None else -entry.mtime_ns,
    Resolve.LARGER: lambda _, entry: entry.size,
    Resolve.SMALLER: lambda _, entry: -entry.size,
    Resolve.PATH1: lambda side, _: side is Side.PATH1,
    Resolve.PATH2: lambda side, _: side is Side.PATH2,
}


def winner(path1: Entry, path2: Entry, resolve: Resolve) -> Side:
    """The side whose version keeps the name; path1 where the rule can't tell."""
    rank = _RANK[resolve]
    if resolve in {Resolve.NEWER, Resolve.OLDER} and None in {path1.mtime_ns, path2.mtime_ns}:
        return Side.PATH1
    return Side.PATH2 if rank(Side.PATH2, path2) > rank(Side.PATH1, path1) else Side.PATH1


def names(key: str, suffix: str, max_key_bytes: int = 1024) -> Iterator[str]:
    """Yield candidates for the other version's name, best first, without end.

    `report.txt` gives `report.txt.conflict1`, `report.txt.conflict2`, ... A last segment that would
    grow over 255 bytes, or the key over `max_key_bytes`, loses the end of its stem.
    """
    folder, slash, name = key.rpartition("/")
    for number in count(1):
        tail = f".{suffix}{number}"
        room = min(NAME_BYTES, max_key_bytes - len((folder + slash).encode())) - len(tail.encode())
        stem = name.encode()[:room].decode(errors="ignore")
        yield f"{folder}{slash}{stem}{tail}"
