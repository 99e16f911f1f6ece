"""A run to talk about."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bisyncer.errors import Halt
from bisyncer.model import (
    Action,
    Ancestor,
    Delta,
    Done,
    Entry,
    Failed,
    Kept,
    Mode,
    Planned,
    Problem,
    RunOutcome,
    Side,
    Summary,
    Verdict,
)

BEGAN_NS = 1_795_248_000 * 10**9 + 123_456_789
EVIL = "ev\x1b[31mil\nkey\\x"
EVIL_SHOWN = "ev\\x1b[31mil\\nkey\\\\x"


def summary(**changes: Any) -> Summary:
    base = Summary(
        pair="cms",
        run=42,
        mode=Mode.BISYNC,
        outcome=RunOutcome.SUCCESS,
        started_ns=BEGAN_NS,
        ended_ns=BEGAN_NS + 3_200_000_000,
        dry_run=False,
        resync=False,
        path1="/mnt/nfs/content",
        path2="s3://cms-content/live",
        scanned={Side.PATH1: 100000, Side.PATH2: 100001},
        actions={"copy-to-path1": 1, "copy-to-path2": 7, "delete-from-path2": 3, "conflict": 1},
        size={Side.PATH1: 10, Side.PATH2: 71234},
        unchanged=99987,
        problems=(),
        problem_count=0,
        conflicts=(),
        halts=(),
        exit_code=0,
        requests={Side.PATH2: {"list": 100, "put": 7}},
    )
    return replace(base, **changes)


def action(key: str = "a.txt", verdict: Verdict = Verdict.COPY_TO_PATH2, **changes: Any) -> Action:
    entry = Entry(key, 5, BEGAN_NS, "stamp")
    base = Action(key, verdict, Delta.CHANGED, Delta.UNCHANGED, None, entry, entry)
    return base._replace(**changes)


def done(key: str = "a.txt", size: int = 5, **changes: Any) -> Done:
    return Done(Planned(1, action(key, **changes)), None, None, size)


def failed(key: str = "a.txt") -> Failed:
    return Failed(Planned(1, action(key)), Problem(key, "The disk is full."))


def kept(key: str, beside: str, winner: Side) -> Done:
    entry, other = Entry(key, 5, None, "x"), Entry(beside, 6, None, "y")
    planned = Planned(1, action(key, Verdict.CONFLICT, delta2=Delta.CHANGED))
    return Done(
        planned, Ancestor(key, entry, entry), Kept(winner, entry, other, Ancestor(beside, other, other))
    )


HALT = Halt("max-delete", "60 of 100 keys would be deleted.")
