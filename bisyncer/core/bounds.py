"""Which versions are taken up: by their size, and by how long ago they were written.

A key of which a version is out of bounds is left alone on both sides: nothing is copied over it, and a
deletion isn't followed.
"""

from __future__ import annotations

from collections.abc import Iterator

from bisyncer.job import Bounds
from bisyncer.model import Action, Delta, Entry, Side, Verdict

_WRITTEN = frozenset({Delta.NEW, Delta.TOUCHED, Delta.CHANGED})


def outside(action: Action, bounds: Bounds, now_ns: int) -> str | None:
    """Why a key is left alone, in words; None where all its versions are within bounds."""
    for side in Side:
        entry = action.entry(side)
        if entry is None or action.key.endswith("/"):  # of a directory neither says anything
            continue
        if bounds.min_size is not None and entry.size < bounds.min_size:
            return f"{side}: its {entry.size} bytes are less than min_size"
        if bounds.max_size is not None and entry.size > bounds.max_size:
            return f"{side}: its {entry.size} bytes are more than max_size"
    if bounds.max_age_ns is not None:
        # What was written decides. Where only something was deleted, it is the version that is still there.
        ages = list(_ages(action, now_ns)) or list(_ages(action, now_ns, written=False))
        for side, age_ns in ages:
            if age_ns > bounds.max_age_ns:
                return f"{side}: it was written longer ago than max_age"
    return None


def waits(action: Action, bounds: Bounds, now_ns: int) -> str | None:
    """Why a key waits for a later run, in words: somebody may still be writing it.

    A version that didn't change waits for nothing. A time that lies further ahead than `min_age` says nothing
    about the age, or it would keep the key waiting for as long as a clock is wrong.
    """
    if bounds.min_age_ns is not None:
        for side, age_ns in _ages(action, now_ns):
            if -bounds.min_age_ns <= age_ns < bounds.min_age_ns:
                return f"{side}: it was written less than min_age ago, and waits for a later run"
    return None


def ahead(action: Action, bounds: Bounds, now_ns: int) -> bool:
    """Whether a version has a time so far ahead that its age can't be told."""
    least_ns = bounds.min_age_ns
    return least_ns is not None and any(age_ns < -least_ns for _, age_ns in _ages(action, now_ns))


def left_alone(action: Action, why: str) -> Action | None:
    """What becomes of an action on a key that is left alone; None: nothing, and its record stays.

    Where a side deleted it the record is dropped, whatever else was to be done: if the key is taken up again
    later, perhaps in another mode, nobody should follow that deletion then.
    """
    if Delta.DELETED not in {action.delta1, action.delta2}:
        return None
    return action._replace(verdict=Verdict.FORGET, reason=f"left alone on both sides: {why}")


def _ages(action: Action, now_ns: int, *, written: bool = True) -> Iterator[tuple[Side, int]]:
    """How long ago each version was written: those that changed, or all that are there."""
    versions: tuple[tuple[Side, Delta, Entry | None], ...] = (
        (Side.PATH1, action.delta1, action.path1),
        (Side.PATH2, action.delta2, action.path2),
    )
    for side, delta, entry in versions:
        if action.key.endswith("/") or entry is None or entry.mtime_ns is None:
            continue
        if delta in _WRITTEN or not written:
            yield side, now_ns - entry.mtime_ns
