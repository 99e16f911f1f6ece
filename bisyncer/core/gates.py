"""Gates that look at the plan's counts, and nothing else, before the first change.

The guards about a whole side look from `Limits.floor` recorded keys up: a pair of one file may be edited
or emptied without anybody's leave.
"""

from __future__ import annotations

from collections.abc import Callable

from bisyncer.errors import Halt
from bisyncer.model import Limits, Side, Tally, Verdict

Gate = Callable[[Tally, Limits], Halt | None]

_DELETES = {Side.PATH1: Verdict.DELETE_FROM_PATH1, Side.PATH2: Verdict.DELETE_FROM_PATH2}


def judge(tally: Tally, limits: Limits) -> tuple[Halt, ...]:
    """All gates that are closed for this plan and not opened by force, in their fixed order."""
    halts = (gate(tally, limits) for gate in GATES)
    return tuple(halt for halt in halts if halt is not None and halt.gate not in limits.force)


def emptied(tally: Tally, limits: Limits) -> Halt | None:
    """One side lists nothing at all, and it held keys before: an unmounted share, a wrong bucket."""
    if tally.ancestors < limits.floor:
        return None
    for side in Side:
        if tally.scanned[side] == 0:
            return Halt(
                "emptied",
                f"{side} lists nothing, and held {tally.ancestors} keys at the last run. Nothing was "
                f"changed. See that {side} is mounted and is the right place; if it was emptied on "
                "purpose, run again with --force emptied --force max-delete.",
            )
    return None


def max_delete(tally: Tally, limits: Limits) -> Halt | None:
    """More keys would be deleted from one side than the limit allows."""
    for side, verdict in _DELETES.items():
        deletes = tally.verdicts[verdict]
        allowed = _allowed(tally.ancestors, limits)
        if allowed is not None and deletes > allowed[0]:
            return Halt(
                "max-delete",
                f"{deletes} of {tally.ancestors} keys would be deleted from {side}, and max_delete allows "
                f"{allowed[1]}. Nothing was changed. Look at `bisyncer plan`; if the deletions are meant, "
                "run again with --force max-delete.",
            )
    return None


def _allowed(ancestors: int, limits: Limits) -> tuple[float, str] | None:
    """The lowest number of deletions that a limit allows, with its words; None where none is set."""
    allowed: list[tuple[float, str]] = []
    if limits.max_delete_percent is not None and ancestors >= limits.floor:
        number = ancestors * limits.max_delete_percent / 100
        allowed.append((number, f"{limits.max_delete_percent:g}% ({int(number)})"))
    if limits.max_delete_count is not None:
        allowed.append((limits.max_delete_count, str(limits.max_delete_count)))
    return min(allowed, default=None)


def all_changed(tally: Tally, limits: Limits) -> Halt | None:
    """Every key of one side changed at once: another tree in its place, or a rewritten one."""
    if tally.ancestors < limits.floor:
        return None
    for side in Side:
        if tally.changed[side] >= tally.ancestors:
            return Halt(
                "all-changed",
                f"All {tally.ancestors} keys of {side} changed since the last run. Nothing was changed. "
                f"See that {side} is the right place and was not encrypted or restored; if the changes are "
                "meant, run again with --force all-changed.",
            )
    return None


GATES: tuple[Gate, ...] = (emptied, max_delete, all_changed)
