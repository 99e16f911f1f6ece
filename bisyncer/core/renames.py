"""Deleted under one name and new under another, with the same content: a move.

Only digests are believed. A rename keeps the time of a file, so a new file whose time a deleted one had is
worth reading; what was read decides.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from bisyncer.model import Algorithm, Ancestor, Delta, Digest, Entry, Planned, Side, Verdict

MOVES = {Side.PATH1: Verdict.MOVE_ON_PATH1, Side.PATH2: Verdict.MOVE_ON_PATH2}


class Rename(NamedTuple):
    """A deletion and a copy, of one plan, that together are a move."""

    deleted: Planned
    copied: Planned
    moved: Planned


def is_new(copied: Planned, side: Side) -> bool:
    """Whether a copy to `side` is of a key that is new across and was never here."""
    action = copied.action
    deltas = {Side.PATH1: action.delta1, Side.PATH2: action.delta2}
    return deltas[side] is Delta.ABSENT and deltas[side.other] is Delta.NEW


def worth_reading(copied: Entry, renamed_from: Iterable[Entry]) -> bool:
    """Whether a new file may be one of those that went away, as their own side last recorded them."""
    if copied.mtime_ns is None or _names(copied.digests):
        return False
    return any(old.mtime_ns == copied.mtime_ns and _names(old.digests) for old in renamed_from)


def pair_up(
    deleted: Sequence[tuple[Planned, Ancestor]], copied: Sequence[Planned], side: Side
) -> list[Rename]:
    """The moves on `side` among deletions from it and copies to it, all of one size.

    Each is taken once. Of several with the same content, one that keeps the last segment of its name is
    preferred, then the first.
    """
    free: dict[str, list[tuple[Planned, Ancestor]]] = defaultdict(list)
    for old in deleted:
        for name in _names(old[1].side(side).digests):
            free[name].append(old)
    taken: set[int] = set()
    found: list[Rename] = []
    waiting = [new for new in copied if _names(_entry(new, side).digests)]
    for same_end in (True, False):
        left: list[Planned] = []
        for new in waiting:
            match = _match(new, free, taken, side, same_end=same_end)
            if match is None:
                left.append(new)
                continue
            taken.add(match[0].seq)
            found.append(_rename(*match, new, side))
        waiting = left
    return found


def _match(
    new: Planned,
    free: dict[str, list[tuple[Planned, Ancestor]]],
    taken: set[int],
    side: Side,
    *,
    same_end: bool,
) -> tuple[Planned, Ancestor] | None:
    end = new.action.key.rpartition("/")[2]
    for name in _names(_entry(new, side).digests):
        olds = free.get(name, [])
        while olds and olds[0][0].seq in taken:  # so that a thousand equal files take no million steps
            del olds[0]
        for old in olds:
            if old[0].seq in taken:
                continue
            if not same_end or old[0].action.key.rpartition("/")[2] == end:
                return old
    return None


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
    """Digests as text by which equal contents meet; an ETag that equals an MD5 proves as much as that."""
    return [
        f"{Algorithm.MD5 if algorithm is Algorithm.ETAG_MD5 else algorithm}:{value}"
        for algorithm, value in digests
    ]
