"""The seals that each side of a pair has, as they were written last."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row, select

from bisyncer.model import Side
from bisyncer.state import fence, rows, schema
from bisyncer.state.database import Database
from bisyncer.state.fence import Fence
from bisyncer.state.records import Seal

_UPSERT = (
    'INSERT INTO seal (pair_id, side, number, pending, "key", size, mtime_ns, stamp) '
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (pair_id, side) DO UPDATE SET number = excluded.number, pending = excluded.pending, "
    '"key" = excluded."key", size = excluded.size, mtime_ns = excluded.mtime_ns, stamp = excluded.stamp'
)


class Seals:
    """The seals of all pairs in one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of_pair(self, pair_id: int) -> dict[Side, Seal]:
        """What is known of the seal of each side that may have one."""
        with self._database.read() as connection:
            found = connection.execute(select(schema.seal).where(schema.seal.c.pair_id == pair_id))
            return {Side(row.side): _seal_of(row) for row in found}

    def note(self, lease: Fence, seals: Mapping[Side, Seal], *, durable: bool = False) -> None:
        """Remember these seals in the place of what was known of those sides."""
        batch = [
            (lease.pair_id, side.value, number, pending, entry and entry.key, *rows.facts(entry)[:3])
            for side, (number, pending, entry) in seals.items()
        ]
        with self._database.write(durable=durable) as connection:
            fence.hold(connection, lease, lease.pair_id)
            self._database.many(connection, _UPSERT, batch)


def _seal_of(row: Row[Any]) -> Seal:
    size, mtime_ns = rows.number(row.size), rows.number(row.mtime_ns)
    entry = rows.entry(rows.text(row.key), size, mtime_ns, rows.text(row.stamp), None)
    return Seal(rows.number(row.number), rows.number(row.pending), entry)
