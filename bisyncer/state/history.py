"""What was done in runs: many actions a row, packed, as they are only told again one after the other.

An action that waits is a row of its own, since it is looked for, amended and dropped. Once it is done nobody
changes it any more, and most tell what the next one does but for a key; packed together they take less than a
tenth.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Generator, Sequence
from heapq import heappop, heappush
from itertools import pairwise
from typing import Any, NamedTuple

from sqlalchemy import Connection, insert, select

from bisyncer.model import Delta, Planned, Side, Verdict
from bisyncer.state import rows, schema
from bisyncer.state.database import Database
from bisyncer.state.records import ActionRow, ActionState

_NO_STAMP = ""  # that a version had once: nobody asks for it again


class Deed(NamedTuple):
    """An action that was done, and what there is to tell of it."""

    planned: Planned
    sentence: str | None = None


class History:
    """The actions that were done in every run of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, connection: Connection, run: int, deeds: Sequence[Deed], now: int) -> None:
        """Keep what was done."""
        if deeds:
            row = {
                "run_id": run,
                "seq": min(deed.planned.seq for deed in deeds),
                "finished_ns": now,
                "actions": _packed(deeds),
            }
            connection.execute(insert(schema.history).values(row))

    def of_run(self, run: int) -> Generator[ActionRow]:
        """Yield what was done in a run, in the order of its plan; about a row is in memory at a time."""
        table = schema.history.c
        firsts = select(table.seq).where(table.run_id == run).order_by(table.seq)
        with self._database.read() as connection:
            places: list[int | None] = [*connection.execute(firsts).scalars(), None]
        waiting: list[ActionRow] = []  # a heap: actions end in nearly the order of the plan
        for place, following in pairwise(places):
            one = select(table.finished_ns, table.actions).where(table.run_id == run, table.seq == place)
            with self._database.read() as connection:
                for finished_ns, packed in connection.execute(one):
                    for action in _unpacked(packed, finished_ns):
                        heappush(waiting, action)
            while waiting and (following is None or waiting[0].seq < following):
                yield heappop(waiting)


def _packed(deeds: Sequence[Deed]) -> bytes:
    """The columns of all actions one after the other: what they have in common is side by side then."""
    table = zip(*map(_columns, deeds), strict=True)
    text = json.dumps(list(table), ensure_ascii=False, separators=(",", ":"))
    return zlib.compress(text.encode())


def _columns(deed: Deed) -> tuple[object, ...]:
    seq, action = deed.planned.seq, deed.planned.action
    size1, mtime1, _, digests1 = rows.facts(action.path1)
    size2, mtime2, _, digests2 = rows.facts(action.path2)
    return (
        seq, action.key, action.verdict.value, action.delta1.value, action.delta2.value, deed.sentence,
        None if action.winner is None else action.winner.value,
        None if action.origin is None else action.origin.key,
        size1, mtime1, digests1, size2, mtime2, digests2,
    )  # fmt: skip


def _unpacked(packed: bytes, finished_ns: int) -> list[ActionRow]:
    """Raises `ValueError` or `KeyError` where it can't be what was packed."""
    try:
        table = json.loads(zlib.decompress(packed))
        return [_row(columns, finished_ns) for columns in zip(*table, strict=True)]
    except (zlib.error, TypeError) as error:
        raise ValueError(str(error)) from error


def _row(columns: Sequence[Any], finished_ns: int) -> ActionRow:
    (
        seq, key, verdict, delta1, delta2, sentence, winner, origin,
        size1, mtime1, digests1, size2, mtime2, digests2,
    ) = columns  # fmt: skip
    return ActionRow(
        seq,
        key,
        Verdict(verdict),
        Delta(delta1),
        Delta(delta2),
        ActionState.DONE,
        sentence,
        None if winner is None else Side(winner),
        finished_ns,
        rows.entry(key, size1, mtime1, _NO_STAMP, digests1),
        rows.entry(key, size2, mtime2, _NO_STAMP, digests2),
        origin,
    )
