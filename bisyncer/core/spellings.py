"""Names that are one name to some stores and programs, and two keys here: cases, and spellings in Unicode.

A group is what a plan has of one folded name: keys that are new on one side and nowhere else. A key that both
sides hold is in no group, so two names that were in step under their own spellings stay so.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Sequence
from typing import NamedTuple

from bisyncer.model import Fold, Planned, Side

_CASE = Fold(case=True, unicode=False)


class Pair(NamedTuple):
    """Two keys of one name, of which each is new on its own side and nothing else is called so."""

    path1: Planned
    path2: Planned


def pair_of(group: Sequence[Planned]) -> Pair | None:
    """The pair that a group is; None where one side has more than one spelling, or the other has none."""
    sides = {side: [each for each in group if each.action.entry(side) is not None] for side in Side}
    if any(len(held) != 1 for held in sides.values()):
        return None
    return Pair(sides[Side.PATH1][0], sides[Side.PATH2][0])


def clashes(group: Sequence[Planned], folding: Collection[Side]) -> bool:
    """Whether a group that is no pair can't go across as it is.

    Keys that are new on one side go across to a store that tells them apart, which those of `folding` don't.
    Where both sides have some, which belongs to which is anybody's guess.
    """
    sides = {side for side in Side for each in group if each.action.entry(side) is not None}
    if len(sides) > 1:
        return True
    if sides.pop().other not in folding:
        return False
    return len({_CASE.folded(each.action.key) for each in group}) < len(group)


def told(key: str, other: str) -> tuple[str, str]:
    """Two spellings as text that shows how they differ: those of Unicode look the same on a screen."""
    alike = unicodedata.normalize("NFC", key) == unicodedata.normalize("NFC", other)
    return (ascii(key), ascii(other)) if alike else (repr(key), repr(other))
