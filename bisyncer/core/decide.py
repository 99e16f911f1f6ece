"""The decision tables, as data: one a mode.

Rows are what path1 did since the key last agreed, columns what path2 did. A resync is a table read with no
ancestors: then only the corner of absent and new can occur. A mode that deletes reads the table of its
counterpart that doesn't (`Mode.without_deletions`) for it, and for the first run after a change of the mode.
The docs page and `plan --explain` are made from the tables.
"""

from __future__ import annotations

from collections.abc import Mapping

from bisyncer.model import Agreement, Delta, Mode, Verdict

_ABSENT, _NEW, _UNCHANGED, _TOUCHED, _CHANGED, _DELETED, _UNREADABLE = Delta
COLUMNS = tuple(Delta)

Table = Mapping[Delta, tuple[Verdict | None, ...]]

___ = None  # can't occur: one side has an ancestor and the other hasn't, or the key is nowhere
NO, LVE, TO1, TO2 = Verdict.NOTHING, Verdict.LEAVE, Verdict.COPY_TO_PATH1, Verdict.COPY_TO_PATH2
RM1, RM2 = Verdict.DELETE_FROM_PATH1, Verdict.DELETE_FROM_PATH2
FGT, CHK, HLD = Verdict.FORGET, Verdict.CHECK, Verdict.HOLD
BOTH = Verdict.CONFLICT  # stands for "both sides hold something new": `BOTH_SIDES` says which verdict

# fmt: off
TABLES: Mapping[Mode, Table] = {
    Mode.BISYNC: {
        # path1 \ path2  absent new   unchanged touched changed deleted unreadable
        _ABSENT:        (___,   TO1,  ___,      ___,    ___,    ___,    HLD),
        _NEW:           (TO2,   BOTH, ___,      ___,    ___,    ___,    HLD),
        _UNCHANGED:     (___,   ___,  NO,       CHK,    TO1,    RM1,    HLD),
        _TOUCHED:       (___,   ___,  CHK,      CHK,    CHK,    CHK,    HLD),
        _CHANGED:       (___,   ___,  TO2,      CHK,    BOTH,   TO2,    HLD),
        _DELETED:       (___,   ___,  RM2,      CHK,    TO1,    FGT,    HLD),
        _UNREADABLE:    (HLD,   HLD,  HLD,      HLD,    HLD,    HLD,    HLD),
    },
    Mode.MIRROR: {
        # path1 \ path2  absent new   unchanged touched changed deleted unreadable
        _ABSENT:        (___,   RM2,  ___,      ___,    ___,    ___,    HLD),
        _NEW:           (TO2,   BOTH, ___,      ___,    ___,    ___,    HLD),
        _UNCHANGED:     (___,   ___,  NO,       CHK,    TO2,    TO2,    HLD),
        _TOUCHED:       (___,   ___,  CHK,      CHK,    CHK,    TO2,    HLD),
        _CHANGED:       (___,   ___,  TO2,      CHK,    BOTH,   TO2,    HLD),
        _DELETED:       (___,   ___,  RM2,      RM2,    RM2,    FGT,    HLD),
        _UNREADABLE:    (HLD,   HLD,  HLD,      HLD,    HLD,    HLD,    HLD),
    },
    Mode.COPY: {
        # path1 \ path2  absent new   unchanged touched changed deleted unreadable
        _ABSENT:        (___,   LVE,  ___,      ___,    ___,    ___,    HLD),
        _NEW:           (TO2,   BOTH, ___,      ___,    ___,    ___,    HLD),
        _UNCHANGED:     (___,   ___,  NO,       CHK,    TO2,    TO2,    HLD),
        _TOUCHED:       (___,   ___,  CHK,      CHK,    CHK,    TO2,    HLD),
        _CHANGED:       (___,   ___,  TO2,      CHK,    BOTH,   TO2,    HLD),
        _DELETED:       (___,   ___,  FGT,      FGT,    FGT,    FGT,    HLD),
        _UNREADABLE:    (HLD,   HLD,  HLD,      HLD,    HLD,    HLD,    HLD),
    },
    Mode.DUAL_COPY: {
        # path1 \ path2  absent new   unchanged touched changed deleted unreadable
        _ABSENT:        (___,   TO1,  ___,      ___,    ___,    ___,    HLD),
        _NEW:           (TO2,   BOTH, ___,      ___,    ___,    ___,    HLD),
        _UNCHANGED:     (___,   ___,  NO,       CHK,    TO1,    TO2,    HLD),
        _TOUCHED:       (___,   ___,  CHK,      CHK,    CHK,    TO2,    HLD),
        _CHANGED:       (___,   ___,  TO2,      CHK,    BOTH,   TO2,    HLD),
        _DELETED:       (___,   ___,  TO1,      TO1,    TO1,    FGT,    HLD),
        _UNREADABLE:    (HLD,   HLD,  HLD,      HLD,    HLD,    HLD,    HLD),
    },
}
_TWO_WAYS: Mapping[Agreement, Verdict] = {
    Agreement.SAME:      Verdict.RECORD,     # the same change made twice
    Agreement.DIFFERENT: Verdict.CONFLICT,
    Agreement.UNKNOWN:   Verdict.CHECK,      # the engine compares content and asks again
}
_ONE_WAY: Mapping[Agreement, Verdict] = {**_TWO_WAYS, Agreement.DIFFERENT: Verdict.COPY_TO_PATH2}
BOTH_SIDES: Mapping[Mode, Mapping[Agreement, Verdict]] = {
    Mode.BISYNC:    _TWO_WAYS,
    Mode.MIRROR:    _ONE_WAY,
    Mode.COPY:      _ONE_WAY,
    Mode.DUAL_COPY: _TWO_WAYS,
}
# fmt: on

_CELLS: Mapping[tuple[Mode, Delta, Delta], Verdict | None] = {
    (mode, row, column): verdict
    for mode, table in TABLES.items()
    for row, verdicts in table.items()
    for column, verdict in zip(COLUMNS, verdicts, strict=True)
}

_MEANING: Mapping[Verdict, str] = {
    Verdict.NOTHING: "neither side changed; there is nothing to do",
    Verdict.LEAVE: "only path2 has it; it stays there, and path1 doesn't get it",
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
_PREVAILS = "path1 prevails: its version is copied to path2, and what was there goes to the trash"
_OTHER_MEANING: Mapping[Mode, Mapping[Verdict, str]] = {
    Mode.BISYNC: {},
    Mode.MIRROR: {
        Verdict.COPY_TO_PATH2: _PREVAILS,
        Verdict.DELETE_FROM_PATH2: "path1 hasn't got it; it is deleted from path2, to the trash",
    },
    Mode.COPY: {
        Verdict.COPY_TO_PATH2: _PREVAILS,
        Verdict.FORGET: "path1 deleted it; its record is dropped, and what path2 has stays",
    },
    Mode.DUAL_COPY: {
        Verdict.COPY_TO_PATH1: "path2 holds the newer state, or path1 lost it; it is copied to path1",
        Verdict.COPY_TO_PATH2: "path1 holds the newer state, or path2 lost it; it is copied to path2",
    },
}


def decide(mode: Mode, delta1: Delta, delta2: Delta, agreement: Agreement | None) -> Verdict:
    """Look up what is to be done about a key.

    `agreement` is looked at only where both sides hold something new.
    Raises `ValueError` for a pair of deltas that can't occur.
    """
    verdict = _CELLS[mode, delta1, delta2]
    if verdict is None:
        raise ValueError(f"path1 can't be {delta1} while path2 is {delta2}.")
    if verdict is BOTH:
        return BOTH_SIDES[mode][agreement or Agreement.UNKNOWN]
    return verdict


def meaning(mode: Mode, verdict: Verdict) -> str:
    """What a verdict means in a mode, in words."""
    return _OTHER_MEANING[mode].get(verdict, _MEANING[verdict])


def verdicts(mode: Mode) -> tuple[Verdict, ...]:
    """The verdicts that a run in a mode may come to, in their order; moves are found in the plan."""
    found = {verdict for (of, *_), verdict in _CELLS.items() if of is mode} | set(BOTH_SIDES[mode].values())
    if RM1 in found:
        found.add(Verdict.MOVE_ON_PATH1)
    if RM2 in found:
        found.add(Verdict.MOVE_ON_PATH2)
    if BOTH_SIDES[mode][Agreement.DIFFERENT] is not Verdict.CONFLICT:
        found.discard(Verdict.CONFLICT)
    return tuple(verdict for verdict in Verdict if verdict in found)
