"""A triple becomes two deltas and an agreement.

Change is told on each side against that side's own past, so no clock and no ETag of one side is ever
held against the other's. Equality across sides is told by content, or by what the user said is enough.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

from bisyncer.job import Evidence, Policy
from bisyncer.model import (
    Agreement,
    Algorithm,
    Delta,
    Digest,
    Entry,
    Item,
    Recorded,
    Side,
    Triple,
    Unreadable,
)

STRONG = frozenset({Algorithm.SHA256, Algorithm.MD5})

_MD5_SHAPED = (Algorithm.MD5, Algorithm.ETAG_MD5)

_SOMETHING_NEW = frozenset({Delta.NEW, Delta.CHANGED})
_SIZE_ONLY = frozenset({Evidence.SIZE})


class Comparison(NamedTuple):
    """What each side did since the key last agreed, and whether the sides agree now.

    `agreement` is None unless both sides hold something new: only then does it decide.
    """

    delta1: Delta
    delta2: Delta
    agreement: Agreement | None


def compare(triple: Triple, policy: Policy) -> Comparison:
    """Judge one key."""
    old = triple.ancestor
    delta1 = delta(old and old.path1, triple.path1, policy, Side.PATH1)
    delta2 = delta(old and old.path2, triple.path2, policy, Side.PATH2)
    both_new = delta1 in _SOMETHING_NEW and delta2 in _SOMETHING_NEW
    agreed = agreement(triple.path1, triple.path2, policy, dated=not policy.undated) if both_new else None
    return Comparison(delta1, delta2, agreed)


def delta(old: Entry | None, new: Item | None, policy: Policy, side: Side) -> Delta:
    """One side against what it held when the key last agreed."""
    if new is None:
        return Delta.ABSENT if old is None else Delta.DELETED
    if isinstance(new, Unreadable):
        return Delta.UNREADABLE
    if old is None:
        return Delta.NEW
    if new.size != old.size:
        return Delta.CHANGED
    # Two edits within one tick of a coarse change time have one stamp; a tree's mtime tells them apart
    # where the first was given the time of its source. A bucket's time is that of the listing or of the
    # content, by turns, and its stamp needs no help.
    if new.stamp == old.stamp and (side not in policy.restless or new.mtime_ns == old.mtime_ns):
        return Delta.UNCHANGED
    if by_size_alone(policy) or new.size == 0:
        return Delta.UNCHANGED
    if side not in policy.restless or not strong(old.digests):
        return Delta.CHANGED
    if trusts_mtime(policy) and not _close(old.mtime_ns, new.mtime_ns, policy.modify_window_ns):
        return Delta.CHANGED
    return Delta.TOUCHED


def as_recorded(restless: Collection[Side]) -> Callable[[Recorded, Entry, Entry], bool]:
    """Return what tells whether both sides hold a key as it was recorded: both deltas are `unchanged` then.

    It says so in the plainest case alone, and in that of nearly every key: size and stamp are the same, and
    the time too on sides that are `restless`. Of any other key it says no, whatever `delta` makes of it.
    """
    timed1, timed2 = (side in restless for side in Side)

    def is_as_recorded(row: Recorded, one: Entry, two: Entry) -> bool:
        return (
            row[3] == one[3]
            and row[6] == two[3]
            and row[1] == one[1]
            and row[4] == two[1]
            and (not timed1 or row[2] == one[2])
            and (not timed2 or row[5] == two[2])
        )

    return is_as_recorded


def by_size_alone(policy: Policy) -> bool:
    """Whether all contents of one size are taken for the same."""
    return policy.compare == _SIZE_ONLY


def may_agree(one: Entry, two: Entry) -> bool:
    """Whether two entries may hold the same content, by what each has."""
    return one[1] == two[1]


def agreement(one: Item | None, two: Item | None, policy: Policy, *, dated: bool = True) -> Agreement | None:
    """Whether two entries of one key hold the same content; None unless both sides hold it.

    `dated`: the times of both are those of their contents.
    """
    if not isinstance(one, Entry) or not isinstance(two, Entry):
        return None
    if one.size != two.size:
        return Agreement.DIFFERENT
    if by_size_alone(policy) or one.size == 0:
        return Agreement.SAME
    # Times that differ prove nothing: two stores keep time by two clocks, in two grains.
    if dated and trusts_mtime(policy) and _close(one.mtime_ns, two.mtime_ns, policy.modify_window_ns):
        return Agreement.SAME
    return by_digest(one.digests, two.digests)


def by_digest(one: tuple[Digest, ...], two: tuple[Digest, ...]) -> Agreement:
    """What the digests of two contents of equal size say; UNKNOWN where they can't be compared."""
    if not one or not two:
        return Agreement.UNKNOWN
    mine, theirs = dict(one), dict(two)
    for algorithm in STRONG:
        if algorithm in mine and algorithm in theirs:
            return Agreement.SAME if mine[algorithm] == theirs[algorithm] else Agreement.DIFFERENT
    parts = mine.get(Algorithm.ETAG_PARTS)
    if parts is not None and parts == theirs.get(Algorithm.ETAG_PARTS):
        return Agreement.SAME
    seen1 = {mine[algorithm] for algorithm in _MD5_SHAPED if algorithm in mine}
    seen2 = {theirs[algorithm] for algorithm in _MD5_SHAPED if algorithm in theirs}
    return Agreement.SAME if seen1 & seen2 else Agreement.UNKNOWN


def undisputed(one: Entry, two: Entry) -> tuple[Entry, Entry]:
    """Entries that are taken for one content, less the digests that differ.

    Where size or time is enough, what a listing tells besides has no say, and isn't recorded as if it had.
    """
    if not (one.digests and two.digests):
        return one, two
    mine, theirs = dict(one.digests), dict(two.digests)
    disputed = {each for each in STRONG & mine.keys() & theirs.keys() if mine[each] != theirs[each]}
    return (_without(one, disputed), _without(two, disputed)) if disputed else (one, two)


def _without(entry: Entry, disputed: Collection[Algorithm]) -> Entry:
    return entry._replace(digests=tuple(each for each in entry.digests if each.algorithm not in disputed))


def strong(digests: tuple[Digest, ...]) -> bool:
    """Whether these digests can prove that content differs."""
    return any(digest.algorithm in STRONG for digest in digests)


def trusts_mtime(policy: Policy) -> bool:
    """Whether equal sizes and equal times are enough; a hash that is asked for too has the last word."""
    return Evidence.MTIME in policy.compare and Evidence.HASH not in policy.compare


def _close(one_ns: int | None, two_ns: int | None, window_ns: int) -> bool:
    return one_ns is not None and two_ns is not None and abs(one_ns - two_ns) <= window_ns
