"""What the state tells of pairs, runs and conflicts: the records, and how each is made of a row."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import Row, Select, select

from bisyncer.model import (
    ALL_CONDITIONS,
    Conditions,
    Delta,
    Entry,
    Mode,
    RunOutcome,
    Side,
    Verdict,
)
from bisyncer.state import rows, schema


class ActionState(StrEnum):
    """How far an action has come."""

    PLANNED = "planned"
    DONE = "done"
    FAILED = "failed"
    RACED = "raced"


class ConflictState(StrEnum):
    """Whether a conflict still waits for a person.

    `resolved` by `bisyncer conflicts resolve`; `settled` by deleting the version that was kept beside.
    Two that never waited: `replaced` by the winner, as `conflict_loser` or the mode of a resync said; and
    `survived`, an edit of what the other side had deleted.
    """

    OPEN = "open"
    RESOLVED = "resolved"
    SETTLED = "settled"
    REPLACED = "replaced"
    SURVIVED = "survived"


class Pair(NamedTuple):
    """Two roots that are kept equal.

    The roots are canonical URLs. `owner` is 8 random hex digits that mark what this pair leaves behind in
    a store, so that only it sweeps them, from whichever host. `aligned_ns` is when a first alignment was
    last begun; None means never, and that the pair has no usable ancestors.
    """

    id: int
    name: str
    owner: str
    path1: str
    path2: str
    mode: Mode
    aligned_ns: int | None
    conditions: tuple[Conditions, Conditions] = (ALL_CONDITIONS, ALL_CONDITIONS)


class Seal(NamedTuple):
    """What is known of the seal of a side: its number, and what its object was when it was last written.

    A number of None: whatever is there is accepted. `pending` is the number of the one that is being written,
    if any.
    """

    number: int | None
    pending: int | None = None
    entry: Entry | None = None

    @property
    def newest(self) -> int:
        """The highest number that the side may have."""
        return max(self.number or 0, self.pending or 0)


class Run(NamedTuple):
    """A run of a pair; without an end it is going on, or was killed."""

    id: int
    pair: str
    started_ns: int
    ended_ns: int | None
    outcome: RunOutcome | None
    dry_run: bool
    resync: bool
    summary: dict[str, Any]
    scope: str | None = None  # the part that it looked at, in words; None: all of the pair


class ActionRow(NamedTuple):
    """An action of a run as history: what was planned, and what came of it."""

    seq: int
    key: str
    verdict: Verdict
    delta1: Delta
    delta2: Delta
    state: ActionState
    sentence: str | None
    winner: Side | None
    finished_ns: int | None
    path1: Entry | None
    path2: Entry | None
    origin: str | None = None  # of a move: the old name


class Conflict(NamedTuple):
    """A key that was changed on both sides: `winner` kept the name, the other version is at `kept_as`.

    The entries are what each side held at the key when they met; None: it had been deleted there. `kept_as`
    is None where there is no other version, or its bucket keeps it.
    """

    id: int
    pair: str
    run: int
    key: str
    kept_as: str | None
    winner: Side
    detected_ns: int
    path1: Entry | None
    path2: Entry | None
    state: ConflictState
    resolved_ns: int | None
    resolution: str | None

    @property
    def beside(self) -> str:
        """The key of the other version, of a conflict that has one."""
        assert self.kept_as is not None, f"conflict {self.id} has no other version"
        return self.kept_as

    def met(self, side: Side) -> Entry:
        """What `side` held, of a conflict of two versions."""
        entry = self.path1 if side is Side.PATH1 else self.path2
        assert entry is not None, f"conflict {self.id} has no version of {side}"
        return entry


class Trouble(NamedTuple):
    """A problem that lasts: since when, last met when, and met how often."""

    pair: str
    key: str
    sentence: str
    since_ns: int
    last_ns: int
    tries: int


def pair_of(row: Row[Any]) -> Pair:
    """The pair of a row of its table."""
    return Pair(
        row.id,
        rows.text(row.name),
        rows.text(row.owner),
        rows.text(row.path1),
        rows.text(row.path2),
        Mode(row.mode),
        rows.number(row.aligned_ns),
        (conditions_of(row.path1_conditions), conditions_of(row.path2_conditions)),
    )


def conditions_of(words: str | None) -> Conditions:
    """What the words of a column say that a store honours; all of it where it was never probed."""
    if words is None:
        return ALL_CONDITIONS
    return Conditions(**{name: name in words.split() for name in Conditions._fields})


def select_runs() -> Select[Any]:
    """Every run, with the name of its pair."""
    return select(schema.run, schema.pair.c.name).join_from(schema.run, schema.pair)


def run_of(row: Row[Any]) -> Run:
    """The run of a row of `select_runs`."""
    return Run(
        id=row.id,
        pair=row.name,
        started_ns=rows.number(row.started_ns),
        ended_ns=rows.number(row.ended_ns),
        outcome=None if row.outcome is None else RunOutcome(row.outcome),
        dry_run=row.dry_run,
        resync=row.resync,
        summary={} if row.summary is None else json.loads(rows.text(row.summary)),
        scope=row.scope,
    )


def action_of(row: Row[Any]) -> ActionRow:
    """The action of a row of its table."""
    return ActionRow(
        seq=row.seq,
        key=row.key,
        verdict=Verdict(row.verdict),
        delta1=Delta(row.delta1),
        delta2=Delta(row.delta2),
        state=ActionState(row.state),
        sentence=row.sentence,
        winner=None if row.winner is None else Side(row.winner),
        finished_ns=row.finished_ns,
        path1=rows.entry(row.key, row.path1_size, row.path1_mtime_ns, row.path1_stamp, row.path1_digests),
        path2=rows.entry(row.key, row.path2_size, row.path2_mtime_ns, row.path2_stamp, row.path2_digests),
        origin=row.origin_key,
    )


def select_conflicts() -> Select[Any]:
    """Every conflict, with the name of its pair."""
    return select(schema.conflict, schema.pair.c.name).join_from(schema.conflict, schema.pair)


def conflict_of(row: Row[Any]) -> Conflict:
    """The conflict of a row of `select_conflicts`."""
    return Conflict(
        id=row.id,
        pair=row.name,
        run=rows.number(row.run_id),
        key=rows.text(row.key),
        kept_as=rows.text(row.kept_as),
        winner=Side(row.winner),
        detected_ns=rows.number(row.detected_ns),
        path1=rows.entry(row.key, row.path1_size, row.path1_mtime_ns, row.path1_stamp, row.path1_digests),
        path2=rows.entry(row.key, row.path2_size, row.path2_mtime_ns, row.path2_stamp, row.path2_digests),
        state=ConflictState(row.state),
        resolved_ns=row.resolved_ns,
        resolution=row.resolution,
    )
