"""Gates that look at the plan's counts, and nothing else, before the first change.

The guards about a whole side look from `Limits.floor` recorded keys up: a pair of one file may be edited
or emptied without anybody's leave. They look at the sides that a mode believes: what path2 of a mirror lost
or got is put right by the run, and is no danger.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bisyncer.errors import Halt
from bisyncer.model import Limits, Mode, Side, Tally, Verdict

Gate = Callable[[Tally, Limits, Mode], Halt | None]

# Of which sides a loss is followed: keys are deleted across for it, or forgotten.
_FOLLOWED: Mapping[Mode, tuple[Side, ...]] = {
    Mode.BISYNC: (Side.PATH1, Side.PATH2),
    Mode.MIRROR: (Side.PATH1,),
    Mode.COPY: (Side.PATH1,),
    Mode.DUAL_COPY: (),
}
_DELETES = {Side.PATH1: Verdict.DELETE_FROM_PATH1, Side.PATH2: Verdict.DELETE_FROM_PATH2}


def judge(tally: Tally, limits: Limits, mode: Mode) -> tuple[Halt, ...]:
    """All gates that are closed for this plan and not opened by force, in their fixed order."""
    halts = (gate(tally, limits, mode) for gate in GATES)
    return tuple(halt for halt in halts if halt is not None and halt.gate not in limits.force)


def emptied(tally: Tally, limits: Limits, mode: Mode) -> Halt | None:
    """One side lists nothing at all, and it held keys before: an unmounted share, a wrong bucket."""
    if tally.ancestors < limits.floor:
        return None
    for side in _FOLLOWED[mode]:
        if tally.scanned[side] == 0:
            return Halt(
                "emptied",
                f"{side} lists nothing, and held {tally.ancestors} keys at the last run. Nothing was "
                f"changed. See that {side} is mounted and is the right place; if it was emptied on "
                f"purpose, run again with {_forced(mode)}.",
            )
    return None


def _forced(mode: Mode) -> str:
    deletes = mode is not mode.without_deletions
    return "--force emptied --force max-delete" if deletes else "--force emptied"


def max_delete(tally: Tally, limits: Limits, mode: Mode) -> Halt | None:
    """More keys would be deleted from one side than the limit allows."""
    for side, verdict in _DELETES.items():
        deletes = tally.verdicts[verdict]
        # A mirror also deletes keys that were never recorded, so what the side holds is the measure.
        keys = max(tally.ancestors, tally.scanned[side]) if mode is Mode.MIRROR else tally.ancestors
        allowed = _allowed(keys, limits)
        if allowed is not None and deletes > allowed[0]:
            return Halt(
                "max-delete",
                f"{deletes} of {keys} keys would be deleted from {side}, and max_delete allows "
                f"{allowed[1]}. Nothing was changed. Look at `bisyncer plan`; if the deletions are meant, "
                "run again with --force max-delete.",
            )
    return None


def _allowed(keys: int, limits: Limits) -> tuple[float, str] | None:
    """The lowest number of deletions that a limit allows, with its words; None where none is set."""
    allowed: list[tuple[float, str]] = []
    if limits.max_delete_percent is not None and keys >= limits.floor:
        number = keys * limits.max_delete_percent / 100
        allowed.append((number, f"{limits.max_delete_percent:g}% ({int(number)})"))
    if limits.max_delete_count is not None:
        allowed.append((limits.max_delete_count, str(limits.max_delete_count)))
    return min(allowed, default=None)


def all_changed(tally: Tally, limits: Limits, mode: Mode) -> Halt | None:
    """Every key of one side changed at once: another tree in its place, or a rewritten one."""
    if tally.ancestors < limits.floor:
        return None
    for side in (Side.PATH1, Side.PATH2) if Side.PATH1 in mode.writes else (Side.PATH1,):
        if tally.changed[side] >= tally.ancestors:
            return Halt(
                "all-changed",
                f"All {tally.ancestors} keys of {side} changed since the last run. Nothing was changed. "
                f"See that {side} is the right place and was not encrypted or restored; if the changes are "
                "meant, run again with --force all-changed.",
            )
    return None


GATES: tuple[Gate, ...] = (emptied, max_delete, all_changed)
