"""The keys that both sides were found to hold alike, as the ancestors that they become after the gates.

A first alignment of sides that are equal already has nothing else, a million times. So a key is written as
the row that its ancestor will be, and the database itself carries it over.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from sqlalchemy import Connection

from bisyncer.model import Action, Agreement, Ancestor, Delta, Digest, Entry, Planned, Verdict
from bisyncer.state import rows, schema
from bisyncer.state.ancestors import COLUMNS, ETAGS, judge, write_selected
from bisyncer.state.database import Database
from bisyncer.state.places import Span, drop, spans

_LENGTH = 5000  # places of a span: a few hundredths of a second

_INSERT = f"INSERT INTO agreed (run_id, seq, {COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 -- our own text
_WITHIN = "FROM agreed WHERE run_id = ? AND seq >= ? AND seq < ?"
_KEYS = f'SELECT "key" {_WITHIN} ORDER BY seq'
_ANCESTORS = f"SELECT ?, {COLUMNS} {_WITHIN} ORDER BY seq"
_DROP = f"DELETE {_WITHIN}"


class AgreedKeys:
    """Keys that became ancestors; gone through, they are actions, which are made anew each time."""

    def __init__(self, keys: Sequence[str]) -> None:
        self.keys = keys

    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self) -> Iterator[Action]:
        for key in self.keys:
            yield Action(key, Verdict.RECORD, Delta.NEW, Delta.NEW, Agreement.SAME, None, None)


class AgreedRows:
    """What the plans of all runs hold of such keys."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def spool(self, run: int, entries: Sequence[tuple[Entry, Entry]], first: int) -> None:
        """Add keys, each as both sides hold it, to the run's plan, from the place `first` on.

        Raises where the two can't be what two stores returned for one key.
        """
        batch = [(run, seq, *_row(*held)) for seq, held in enumerate(entries, start=first)]
        with self._database.write() as connection:
            self._database.many(connection, _INSERT, batch)

    def add(self, connection: Connection, run: int, planned: Iterable[Planned]) -> None:
        """Add the keys of some actions, at their places; raises as `spool` does."""
        batch = []
        for seq, action, _ in planned:
            assert action.path1 is not None and action.path2 is not None, "both sides hold it"
            batch.append((run, seq, *_row(action.path1, action.path2)))
        self._database.many(connection, _INSERT, batch)

    def spans(self, run: int) -> Iterator[Span]:
        """Yield spans that together cover what a run has now."""
        return spans(self._database, schema.agreed, run, _LENGTH)

    def drop_piece(self, run: int, piece: int) -> None:
        """Take those of a piece out of the plan: it is to be planned anew."""
        drop(self._database, schema.agreed, run, piece)

    def sweep(self, run: int) -> None:
        """Drop all that a run has; many short transactions."""
        for span in self.spans(run):
            with self._database.write() as connection:
                connection.exec_driver_sql(self._database.sql(_DROP), (run, *span))

    def carry_over(self, connection: Connection, run: int, span: Span, pair_id: int) -> AgreedKeys:
        """Make ancestors of those in a span, and take them out of the plan."""
        found = connection.exec_driver_sql(self._database.sql(_KEYS), (run, *span))
        keys = [key for (key,) in found]
        write_selected(self._database, connection, _ANCESTORS, (pair_id, run, *span))
        connection.exec_driver_sql(self._database.sql(_DROP), (run, *span))
        return AgreedKeys(keys)


def _row(one: Entry, two: Entry) -> tuple[object, ...]:
    if one.key == two.key and _weak(one.digests) and _weak(two.digests):
        return rows.agreed(one, two)
    ancestor = Ancestor(one.key, one, two)
    judge(two.key, ancestor)
    return rows.ancestor(0, ancestor)[1:]


def _weak(digests: tuple[Digest, ...]) -> bool:
    """Whether these say nothing that an ancestor records: there are none, or it is one ETag."""
    return not digests or (len(digests) == 1 and digests[0].algorithm in ETAGS)
