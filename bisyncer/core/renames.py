"""Deleted under one name and new under another, with the same content: a move.

Only digests are believed. A rename keeps the time of a file, so a new file whose time a deleted one had is
worth reading; what was read decides.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final, NamedTuple

from bisyncer.model import MOVES, Algorithm, Ancestor, Delta, Digest, Entry, Planned, Side

_LOOKED_AT: Final = 8  # candidates; so that a thousand equal files take no million steps


class Rename(NamedTuple):
    """A deletion and a copy, of one plan, that together are a move."""

    deleted: Planned
    copied: Planned
    moved: Planned


def is_new(copied: Planned, side: Side) -> bool:
    """Whether a copy to `side` is of a file that is new across and was never here."""
    action = copied.action
    deltas = {Side.PATH1: action.delta1, Side.PATH2: action.delta2}
    return deltas[side] is Delta.ABSENT and deltas[side.other] is Delta.NEW and not _is_directory(action.key)


def is_as_recorded(deleted: Planned, side: Side) -> bool:
    """Whether `side` still holds what is recorded of a key that is to be deleted from it."""
    action = deleted.action
    return (action.delta1 if side is Side.PATH1 else action.delta2) is Delta.UNCHANGED


def times(renamed_from: Iterable[Entry]) -> frozenset[int]:
    """The times of files that went away, as their own side last recorded them, where a digest is known."""
    return frozenset(old.mtime_ns for old in renamed_from if old.mtime_ns is not None and _names(old.digests))


def worth_reading(copied: Entry, gone: frozenset[int]) -> bool:
    """Whether a new file may be one of those that went away at these `times`."""
    return copied.mtime_ns in gone and not _names(copied.digests)


def has_md5(entry: Entry) -> bool:
    """Whether an MD5 of the content is known, which may be an ETag."""
    return any(algorithm in {Algorithm.MD5, Algorithm.ETAG_MD5} for algorithm, _ in entry.digests)


def by_md5_alone(copied: Entry) -> bool:
    """Whether only an MD5 can tell that a new file is one that went away."""
    return has_md5(copied) and all(algorithm is not Algorithm.SHA256 for algorithm, _ in copied.digests)


def pair_up(
    deleted: Sequence[tuple[Planned, Ancestor]], copied: Sequence[Planned], side: Side
) -> list[Rename]:
    """The moves on `side` among deletions from it and copies to it, all of one size.

    Each is taken once. Of several with the same content, one that keeps the last segment of its name is
    preferred, then one whose name ends alike: with another ending, a bucket's object would keep the media
    type of the old one. Where one name lies below the other, neither can be there while the other is.
    """
    by_name: _Free = defaultdict(deque)
    by_ending: _Free = defaultdict(deque)
    for old in deleted:
        if _is_directory(old[0].action.key):
            continue
        last = _last(old[0])
        for name in _names(old[1].side(side).digests):
            by_name[name, last].append(old)
            by_ending[name, _ending(last)].append(old)
    taken: set[int] = set()
    found: list[Rename] = []
    waiting = [new for new in copied if _names(_entry(new, side).digests)]
    for free, end_of in ((by_name, _last), (by_ending, lambda new: _ending(_last(new)))):
        left: list[Planned] = []
        for new in waiting:
            names = _names(_entry(new, side).digests)
            olds = (_first(free.get((name, end_of(new))), new, taken) for name in names)
            match = next((old for old in olds if old is not None), None)
            if match is None:
                left.append(new)
                continue
            taken.add(match[0].seq)
            found.append(_rename(*match, new, side))
        waiting = left
    return found


_Free = dict[tuple[str, str], deque[tuple[Planned, Ancestor]]]


def _first(
    olds: deque[tuple[Planned, Ancestor]] | None, new: Planned, taken: set[int]
) -> tuple[Planned, Ancestor] | None:
    """The first of a few that is free and can be moved to the new name."""
    while olds and olds[0][0].seq in taken:
        olds.popleft()
    for old in islice(olds or (), _LOOKED_AT):
        if old[0].seq not in taken and not _nested(old[0].action.key, new.action.key):
            return old
    return None


def _is_directory(key: str) -> bool:
    """Whether a key stands for a directory: it has no content that could have moved."""
    return key.endswith("/")


def _nested(one: str, two: str) -> bool:
    return one.startswith(two + "/") or two.startswith(one + "/")


def _last(planned: Planned) -> str:
    return planned.action.key.rpartition("/")[2]


def _ending(last: str) -> str:
    return last.rpartition(".")[2] if "." in last else ""


def _rename(deleted: Planned, ancestor: Ancestor, copied: Planned, side: Side) -> Rename:
    there = deleted.action.entry(side)
    assert there is not None, f"the deletion of {deleted.action.key!r} has nothing to delete"
    origin = there._replace(digests=ancestor.side(side).digests)
    action = copied.action._replace(verdict=MOVES[side], origin=origin)
    return Rename(deleted, copied, Planned(copied.seq, action))


def _entry(copied: Planned, side: Side) -> Entry:
    entry = copied.action.entry(side.other)
    assert entry is not None, f"the copy of {copied.action.key!r} has nothing to copy"
    return entry


def _names(digests: Iterable[Digest]) -> list[str]:
    """Digests as text by which equal contents meet; an ETag that equals an MD5 proves as much as that.

    What is deleted has the digests of its ancestor, and no ETag of parts is among these.
    """
    return [
        f"{Algorithm.MD5 if algorithm is Algorithm.ETAG_MD5 else algorithm}:{value}"
        for algorithm, value in digests
        if algorithm is not Algorithm.ETAG_PARTS
    ]
