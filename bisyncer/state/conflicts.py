"""The rows of conflicts that a commit writes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from sqlalchemy import Connection, insert

from bisyncer.model import Done, Entry, Kept, Side
from bisyncer.state import rows, schema
from bisyncer.state.records import ConflictState


def insert_conflict(
    connection: Connection, fixed: Mapping[str, object], key: str, kept: Kept, kept_as: str
) -> int:
    """Insert a conflict that a run has settled, and return its number; `fixed` is the same for all."""
    columns = _columns(key, kept.winner, kept.path1, kept.path2, kept_as)
    number: int = connection.execute(
        insert(schema.conflict)
        .values(state=ConflictState.OPEN.value, **fixed, **columns)
        .returning(schema.conflict.c.id)
    ).scalar_one()
    return number


def settled_at_once(done: Iterable[Done], now: int) -> Iterator[dict[str, object]]:
    """The rows of conflicts that wait for nobody: a loser that was replaced, an edit of what was deleted."""
    for outcome in done:
        action, kept = outcome.planned.action, outcome.kept
        if kept is not None and kept.loser is None:
            row = _columns(action.key, kept.winner, kept.path1, kept.path2, outcome.trashed)
            yield row | {"state": ConflictState.REPLACED.value, "resolved_ns": now}
        elif action.survivor is not None:
            row = _columns(action.key, action.survivor, action.path1, action.path2, None)
            yield row | {"state": ConflictState.SURVIVED.value, "resolved_ns": now}


def _columns(
    key: str, winner: Side, path1: Entry | None, path2: Entry | None, kept_as: str | None
) -> dict[str, object]:
    """The columns of a conflict that say what met, and what came of it."""
    columns: dict[str, object] = {"key": key, "kept_as": kept_as, "winner": winner.value}
    for side, entry in ((Side.PATH1, path1), (Side.PATH2, path2)):
        names = (f"{side}_size", f"{side}_mtime_ns", f"{side}_stamp", f"{side}_digests")
        columns.update(zip(names, rows.facts(entry), strict=True))
    return columns
