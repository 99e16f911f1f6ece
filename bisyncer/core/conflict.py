"""Who wins a conflict, and what the other version is called."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping
from itertools import count

from bisyncer.job import Loser, Policy, Resolve
from bisyncer.model import Action, Entry, Side

NAME_BYTES = 255  # the longest last segment that common file systems hold

_TIMELESS = -1

# The side whose value is greater keeps the name; nobody does where the values are equal.
_RANK: Mapping[Resolve, Callable[[Side, Entry], int]] = {
    Resolve.NONE: lambda _, __: 0,
    Resolve.NEWER: lambda _, entry: _TIMELESS if entry.mtime_ns is None else entry.mtime_ns,
    Resolve.OLDER: lambda _, entry: _TIMELESS if entry.mtime_ns is None else -entry.mtime_ns,
    Resolve.LARGER: lambda _, entry: entry.size,
    Resolve.SMALLER: lambda _, entry: -entry.size,
    Resolve.PATH1: lambda side, _: side is Side.PATH1,
    Resolve.PATH2: lambda side, _: side is Side.PATH2,
}


def chosen(path1: Entry, path2: Entry, resolve: Resolve) -> Side | None:
    """The side that the rule chooses, by both whole entries; None where it chooses nobody."""
    rank = _RANK[resolve]
    if resolve in {Resolve.NEWER, Resolve.OLDER} and None in {path1.mtime_ns, path2.mtime_ns}:
        return None
    ranks = (rank(Side.PATH1, path1), rank(Side.PATH2, path2))
    if ranks[0] == ranks[1]:
        return None
    return Side.PATH1 if ranks[0] > ranks[1] else Side.PATH2


def winner(path1: Entry, path2: Entry, resolve: Resolve) -> Side:
    """The side whose version keeps the name; path1 where the rule chooses nobody, so that there is one."""
    return chosen(path1, path2, resolve) or Side.PATH1


def replaces(action: Action, policy: Policy, keeping: Container[Side]) -> bool:
    """Whether the winner of a conflict replaces the loser: the rule itself chose it, and the loser is kept.

    `keeping` are the sides that keep what is replaced there.
    """
    wins = action.winner
    if wins is None or action.path1 is None or action.path2 is None:
        return False
    if not policy.replaces_loser or wins.other not in keeping:
        return False
    return chosen(action.path1, action.path2, policy.rule) is wins


def endings(loser: Side, policy: Policy) -> Iterator[str]:
    """Yield what the name of a version of `loser` may end with, best first, without end.

    By `pathname` it says which side it is from: by its suffix, or by 1 and 2 where both have the same one.
    """
    one, two = policy.conflict_suffix
    suffix = one if loser is Side.PATH1 else two
    if policy.conflict_loser is not Loser.PATHNAME:
        yield from numbered(suffix)
    if one == two:
        suffix = f"{suffix}{list(Side).index(loser) + 1}"
    yield suffix
    yield from (f"{suffix}-{number}" for number in count(2))


def numbered(suffix: str) -> Iterator[str]:
    """Yield `suffix1`, `suffix2`, ... without end."""
    return (f"{suffix}{number}" for number in count(1))


def names(key: str, endings: Iterator[str], max_key_bytes: int = 1024) -> Iterator[str]:
    """Yield candidates for the other version's name, in the order of its endings.

    `report.txt` gives `report.txt.conflict1`, `report.txt.conflict2`, ... A last segment that would
    grow over 255 bytes, or the key over `max_key_bytes`, loses the end of its stem.
    """
    folder, slash, name = key.rpartition("/")
    for ending in endings:
        tail = f".{ending}"
        room = min(NAME_BYTES, max_key_bytes - len((folder + slash).encode())) - len(tail.encode())
        stem = name.encode()[:room].decode(errors="ignore")
        yield f"{folder}{slash}{stem}{tail}"
