"""Gates that look at the plan's counts, and at numbers about the stores, before the first change.

The guards about a whole side look from `Limits.floor` recorded keys up: a pair of one file may be edited
or emptied without anybody's leave. They look at the sides that a mode believes: what path2 of a mirror lost
or got is put right by the run, and is no danger.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from bisyncer.errors import Halt
from bisyncer.job import Evidence, Limits, Policy, Resolve
from bisyncer.model import COPIES, DELETES, Mode, Problem, Side, Tally, Verdict

MARGIN_BYTES: Final = 1 << 20  # that stay free
BLOCK_BYTES: Final = 4096  # that a file may take more than it has

Gate = Callable[[Tally, Limits, Mode], Halt | None]

# Of which sides a loss is followed: keys are deleted across for it, or forgotten.
_FOLLOWED: Mapping[Mode, tuple[Side, ...]] = {
    Mode.BISYNC: (Side.PATH1, Side.PATH2),
    Mode.MIRROR: (Side.PATH1,),
    Mode.COPY: (Side.PATH1,),
    Mode.DUAL_COPY: (),
}


def judge(
    tally: Tally,
    limits: Limits,
    mode: Mode,
    places: Mapping[Side, Place] | None = None,
    policy: Policy | None = None,
    *,
    resync: bool = False,
) -> tuple[Halt, ...]:
    """All gates that are closed for this plan and not opened by force, in their fixed order."""
    halts = [halt for gate in GATES if (halt := gate(tally, limits, mode)) is not None]
    if places is not None and policy is not None:
        halts += free_space(tally, places, resync=resync)
        halts += clock_skew(tally, places, limits.max_skew_ns, policy, resync=resync)
    return tuple(halt for halt in halts if halt.gate not in limits.force)


def let_pass(*gates: str, resync: bool = False) -> str:
    """How a sentence says what lets a run pass that these gates halted: all it finds, or just one plan.

    The plan of a resync isn't kept, and `init` opens no gate.
    """
    forced = " ".join(f"--force {gate}" for gate in gates)
    if resync:
        return f"say `bisyncer run PAIR --resync {forced}`"
    return f"run with {forced}, or keep the plan (`bisyncer plan PAIR --out FILE`) and `bisyncer apply` it"


def emptied(tally: Tally, limits: Limits, mode: Mode) -> Halt | None:
    """One side lists nothing at all, and it held keys before: an unmounted share, a wrong bucket."""
    if tally.ancestors < limits.floor:
        return None
    for side in _FOLLOWED[mode]:
        if tally.scanned[side] == 0:
            return Halt(
                "emptied",
                f"{side} lists no key that the filters take in, and held {tally.ancestors} at the last run. "
                f"Nothing was changed. See that {side} is mounted and is the right place, and that the "
                f"filters fit; if it was emptied on purpose, {_opened(mode)}.",
            )
    return None


def _opened(mode: Mode) -> str:
    deletes = mode is not mode.without_deletions
    return let_pass("emptied", "max-delete") if deletes else let_pass("emptied")


def max_delete(tally: Tally, limits: Limits, mode: Mode) -> Halt | None:
    """More keys would be deleted from one side than the limit allows."""
    for side, verdict in DELETES.items():
        deletes = tally.verdicts[verdict]
        # A mirror also deletes keys that were never recorded, so what the side holds is the measure.
        keys = max(tally.ancestors, tally.scanned[side]) if mode is Mode.MIRROR else tally.ancestors
        allowed = _allowed(keys, limits)
        if allowed is not None and deletes > allowed[0]:
            return Halt(
                "max-delete",
                f"{deletes} of {keys} keys would be deleted from {side}, and max_delete allows "
                f"{allowed[1]}. Nothing was changed. Look at `bisyncer plan PAIR`; if the deletions are "
                f"meant, {let_pass('max-delete')}.",
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
                f"meant, {let_pass('all-changed')}.",
            )
    return None


class Place(NamedTuple):
    """What is known of the store of a side, in numbers.

    `free_bytes` and `skew_ns` are None where the store tells none. `keeps` says that what is replaced there
    goes on taking its room, in a trash.
    """

    root: str
    free_bytes: int | None = None
    skew_ns: int | None = None
    keeps: bool = False


def free_space(tally: Tally, places: Mapping[Side, Place], *, resync: bool = False) -> list[Halt]:
    """A side where what is to be copied to it, and what its trash keeps, finds no room."""
    return [
        Halt(
            "free-space",
            f"{needed:,} bytes are needed on {side} ({place.root}), of which {tally.size[side]:,} are to be "
            f"copied there, and {place.free_bytes:,} are free. Nothing was changed. Free some, such as by "
            f"`bisyncer trash purge PAIR`. To copy what finds room, {let_pass('free-space', resync=resync)}.",
        )
        for side, place in places.items()
        if place.free_bytes is not None
        and (needed := _needed(tally, side, keeps=place.keeps)) > place.free_bytes
    ]


def _needed(tally: Tally, side: Side, *, keeps: bool) -> int:
    copies = tally.verdicts[COPIES[side]]
    if copies == 0:
        return 0
    replaced = 0 if keeps else tally.replaced[side]
    return max(0, tally.size[side] - replaced) + copies * BLOCK_BYTES + MARGIN_BYTES


def clock_skew(
    tally: Tally,
    places: Mapping[Side, Place],
    max_skew_ns: int | None,
    policy: Policy,
    *,
    resync: bool = False,
) -> list[Halt]:
    """A store whose clock is far from this host's, where times decide."""
    by_time = Evidence.MTIME in policy.compare
    conflicts = tally.verdicts[Verdict.CONFLICT]
    if conflicts and policy.rule in {Resolve.NEWER, Resolve.OLDER}:
        setting = "conflict_resolve" if policy.resync_mode is Resolve.NONE else "resync_mode"
        decides = f"{setting} = {policy.rule} goes by times"
    elif by_time:
        decides = "compare goes by times"
    else:
        return []
    return [
        Halt(
            "clock-skew",
            f"The clock of {side} ({place.root}) is {abs(place.skew_ns) / 1e9:,.0f} s "
            f"{'ahead of' if place.skew_ns > 0 else 'behind'} this host's, max_skew allows "
            f"{max_skew_ns / 1e9:,.0f} s, and {decides}. Nothing was changed. Let both hosts set their "
            f"clocks by NTP; or {let_pass('clock-skew', resync=resync)}.",
        )
        for side, place in places.items()
        if max_skew_ns is not None and place.skew_ns is not None and abs(place.skew_ns) > max_skew_ns
    ]


def strict(number: int, first: Problem) -> Halt:
    """Problems that the plan found, where the first is to end the run."""
    have = "key has a problem" if number == 1 else "keys have problems"
    return Halt(
        "strict",
        f"{number} {have}, and strict is set; the first is {first.key!r}: {first.sentence.rstrip('.')}. "
        "Nothing was changed. Mend that, or run with --no-strict, which does all other keys.",
    )


GATES: tuple[Gate, ...] = (emptied, max_delete, all_changed)
