"""The decision table, as data.

Rows are what path1 did since the key last agreed, columns what path2 did. The table holds for bisync and,
read with no ancestors, for a resync: then only the absent and new corner can occur, so nothing can be
deleted. The docs page and `plan --explain` are made from it.
"""

from __future__ import annotations

from collections.abc import Mapping

from bisyncer.model import Agreement, Delta, Verdict

_ABSENT, _NEW, _UNCHANGED, _TOUCHED, _CHANGED, _DELETED, _UNREADABLE = Delta
COLUMNS = tuple(Delta)

___ = None  # can't occur: one side has an ancestor and the other hasn't, or the key is nowhere
NO, TO1, TO2 = Verdict.NOTHING, Verdict.COPY_TO_PATH1, Verdict.COPY_TO_PATH2
RM1, RM2 = Verdict.DELETE_FROM_PATH1, Verdict.DELETE_FROM_PATH2
FGT, CHK, HLD = Verdict.FORGET, Verdict.CHECK, Verdict.HOLD
BOTH = Verdict.CONFLICT  # stands for "both sides hold something new": `BOTH_SIDES` says which verdict

# fmt: off
TABLE: Mapping[Delta, tuple[Verdict | None, ...]] = {
    # path1 \ path2  absent new   unchanged touched changed deleted unreadable
    _ABSENT:        (___,   TO1,  ___,      ___,    ___,    ___,    HLD),
    _NEW:           (TO2,   BOTH, ___,      ___,    ___,    ___,    HLD),
    _UNCHANGED:     (___,   ___,  NO,       CHK,    TO1,    RM1,    HLD),
    _TOUCHED:       (___,   ___,  CHK,      CHK,    CHK,    CHK,    HLD),
    _CHANGED:       (___,   ___,  TO2,      CHK,    BOTH,   TO2,    HLD),
    _DELETED:       (___,   ___,  RM2,      CHK,    TO1,    FGT,    HLD),
    _UNREADABLE:    (HLD,   HLD,  HLD,      HLD,    HLD,    HLD,    HLD),
}
BOTH_SIDES: Mapping[Agreement, Verdict] = {
    Agreement.SAME:      Verdict.RECORD,     # the same change made twice
    Agreement.DIFFERENT: Verdict.CONFLICT,
    Agreement.UNKNOWN:   Verdict.CHECK,      # the engine compares content and asks again
}
# fmt: on

_CELLS: Mapping[tuple[Delta, Delta], Verdict | None] = {
    (row, column): verdict
    for row, verdicts in TABLE.items()
    for column, verdict in zip(COLUMNS, verdicts, strict=True)
}

MEANING: Mapping[Verdict, str] = {
    Verdict.NOTHING: "neither side changed; there is nothing to do",
    Verdict.COPY_TO_PATH1: "path2 holds the newer state; it is copied to path1",
    Verdict.COPY_TO_PATH2: "path1 holds the newer state; it is copied to path2",
    Verdict.MOVE_ON_PATH1: "path2 renamed it, with its content as it was; it is moved on path1",
    Verdict.MOVE_ON_PATH2: "path1 renamed it, with its content as it was; it is moved on path2",
    Verdict.DELETE_FROM_PATH1: "path2 deleted it and path1 left it alone; it is deleted from path1",
    Verdict.DELETE_FROM_PATH2: "path1 deleted it and path2 left it alone; it is deleted from path2",
    Verdict.RECORD: "both sides hold the same content; that is recorded, nothing is moved",
    Verdict.FORGET: "both sides deleted it; its record is dropped",
    Verdict.CHECK: "sizes and stamps can't settle it; a run reads the content and decides again",
    Verdict.CONFLICT: "both sides changed it differently; both versions are kept",
    Verdict.HOLD: "one side can't be read there; nothing is done until it can",
}


def decide(delta1: Delta, delta2: Delta, agreement: Agreement | None) -> Verdict:
    """Look up what is to be done about a key.

    `agreement` is looked at only where both sides hold something new.
    Raises `ValueError` for a pair of deltas that can't occur.
    """
    verdict = _CELLS[delta1, delta2]
    if verdict is None:
        raise ValueError(f"path1 can't be {delta1} while path2 is {delta2}.")
    if verdict is BOTH:
        return BOTH_SIDES[agreement or Agreement.UNKNOWN]
    return verdict
