"""The actions of runs: the plan as long as they wait, and afterwards what was done."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Connection, Row, Select, and_, case, delete, func, or_, select, true

from bisyncer.model import Action, Planned, Side, Verdict
from bisyncer.state import rows, schema
from bisyncer.state.database import CHUNK, Database, chunks
from bisyncer.state.places import Span, drop, spans, within
from bisyncer.state.records import ActionRow, ActionState, action_of

_BATCH = 5000  # rows a transaction, where many are written: a tenth of a second

_PAGE = 2000  # actions read or swept at a time

# These change no store, so that afterwards they tell nobody anything.
QUIET = frozenset(
    {Verdict.NOTHING, Verdict.LEAVE, Verdict.RECORD, Verdict.FORGET, Verdict.HOLD, Verdict.CHECK}
)
_INSERT_ACTION = (
    'INSERT INTO action (run_id, seq, "key", verdict, delta1, delta2, agreement, path1_size, path1_mtime_ns, '
    "path1_stamp, path1_digests, path2_size, path2_mtime_ns, path2_stamp, path2_digests, winner, sentence, "
    "origin_key, origin_size, origin_mtime_ns, origin_stamp, origin_digests, "
    "state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'planned')"
)
_AMEND_ACTION = (
    "UPDATE action SET verdict = ?, delta1 = ?, delta2 = ?, agreement = ?, path1_size = ?, "
    "path1_mtime_ns = ?, path1_stamp = ?, path1_digests = ?, path2_size = ?, path2_mtime_ns = ?, "
    "path2_stamp = ?, path2_digests = ?, winner = ?, sentence = ?, origin_key = ?, origin_size = ?, "
    "origin_mtime_ns = ?, origin_stamp = ?, origin_digests = ? WHERE run_id = ? AND seq = ?"
)

# Each name stands in the order of the columns, as `rows.planned` takes them.
_READ_ACTION = (
    'SELECT seq, "key", verdict, delta1, delta2, agreement, path1_size, path1_mtime_ns, path1_stamp, '
    "path1_digests, path2_size, path2_mtime_ns, path2_stamp, path2_digests, winner, sentence, origin_key, "
    "origin_size, origin_mtime_ns, origin_stamp, origin_digests FROM action "
    "WHERE run_id = ? AND state = 'planned' AND verdict = ? ORDER BY {}_size, seq"
)
_DELETE_ACTION = "DELETE FROM action WHERE run_id = ? AND seq = ?"
_FINISH_ACTION = "UPDATE action SET state = ?, sentence = ?, finished_ns = ? WHERE run_id = ? AND seq = ?"
_NOT_PLANNED = {"run_id", "state", "finished_ns"}  # the columns of an action that a plan doesn't have

_Made = TypeVar("_Made", Planned, "ActionRow")


class Actions:
    """The actions of every run in one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def drop_piece(self, run: int, piece: int) -> None:
        """Take the actions of a piece out of the plan: it is to be planned anew."""
        drop(self._database, schema.action, run, piece)

    def spool(self, run: int, actions: Iterable[Action], first: int | None = None) -> None:
        """Add `actions` to the run's plan, from the place `first` on, or at its end; many short transactions.

        `actions` may be slow, even a scan that is going on: no transaction is open while it is asked.
        """
        statement = self._database.sql(_INSERT_ACTION)
        source = iter(actions)
        while batch := list(islice(source, _BATCH)):
            with self._database.write() as connection:
                if first is None:
                    last = select(func.coalesce(func.max(schema.action.c.seq), 0))
                    first = connection.execute(last.where(schema.action.c.run_id == run)).scalar_one() + 1
                connection.exec_driver_sql(
                    statement,
                    [
                        (run, seq, action.key, *rows.action(action))
                        for seq, action in enumerate(batch, start=first)
                    ],
                )
                first += len(batch)

    def planned(self, run: int, *verdicts: Verdict) -> Iterator[Planned]:
        """Yield the actions still planned, with one of `verdicts` if any are given, in order.

        They are read a page at a time, so they may be amended and committed meanwhile.
        """
        table = schema.action.c
        columns = [column for column in table if column.name not in _NOT_PLANNED]
        statement = select(*columns).where(table.state == ActionState.PLANNED.value)
        if verdicts:
            statement = statement.where(table.verdict.in_([verdict.value for verdict in verdicts]))
        return self._actions(run, statement, rows.planned)

    def planned_at(self, run: int, places: Collection[int]) -> dict[int, Planned]:
        """Those of the actions at `places` that are still planned, by their place."""
        table = schema.action.c
        columns = [column for column in table if column.name not in _NOT_PLANNED]
        found: dict[int, Planned] = {}
        with self._database.read() as connection:
            for chunk in chunks(places, CHUNK):
                statement = select(*columns).where(table.run_id == run, table.seq.in_(chunk))
                planned = statement.where(table.state == ActionState.PLANNED.value)
                found.update((row.seq, rows.planned(row)) for row in connection.execute(planned))
        return found

    def planned_by_size(self, run: int, verdict: Verdict, side: Side) -> Generator[Planned]:
        """Yield the actions still planned with that verdict, in order of the size that `side` holds.

        They are one snapshot, streamed, and may be amended meanwhile.
        """
        statement = self._database.sql(_READ_ACTION.format(side.value))
        with closing(self._database.batches(statement, (run, verdict.value))) as found:
            for batch in found:
                yield from map(rows.planned, batch)

    def largest(self, run: int, least: int, most: int) -> list[Planned]:
        """The copies still planned of at least `least` bytes, the largest first, and no more than `most`."""
        table = schema.action.c
        copied = case(
            (table.verdict == Verdict.COPY_TO_PATH1.value, table.path2_size),
            (table.verdict == Verdict.COPY_TO_PATH2.value, table.path1_size),
        )
        columns = [column for column in table if column.name not in _NOT_PLANNED]
        statement = select(*columns).where(
            table.run_id == run, table.state == ActionState.PLANNED.value, copied >= least
        )
        with self._database.read() as connection:
            found = connection.execute(statement.order_by(copied.desc(), table.seq).limit(most))
            return [rows.planned(row) for row in found]

    def amend(self, run: int, planned: Sequence[Planned], dropped: Sequence[Planned] = ()) -> None:
        """Replace what the plan says about these, of which more is known meanwhile, and drop some."""
        if not planned and not dropped:
            return
        with self._database.write() as connection:
            self._database.many(
                connection, _AMEND_ACTION, [(*rows.action(each.action), run, each.seq) for each in planned]
            )
            self._database.many(connection, _DELETE_ACTION, [(run, each.seq) for each in dropped])

    def of_run(self, run: int) -> Iterator[ActionRow]:
        """Yield what is kept of a run's actions, in order; a page at a time."""
        return self._actions(run, select(schema.action), action_of)

    def _actions(
        self, run: int, statement: Select[Any], make: Callable[[Row[Any]], _Made]
    ) -> Iterator[_Made]:
        """Yield what `make` makes of the rows of a run that `statement` selects; in short transactions."""
        ordered = statement.order_by(schema.action.c.seq)
        for span in self.spans(run):
            with self._database.read() as connection:
                found = connection.execute(ordered.where(within(schema.action, run, span)))
                page = [make(row) for row in found]
            yield from page

    def spans(self, run: int) -> Iterator[Span]:
        """Yield spans that together cover the actions a run has now."""
        return spans(self._database, schema.action, run, _PAGE)

    def sweep(self, run: int, *, dry_run: bool, but: Verdict | None = None) -> None:
        """Delete a run's actions that tell nobody anything; many short transactions.

        Those of the verdict `but` stay, even if they still wait.
        """
        table = schema.action.c
        told = or_(
            table.state == ActionState.PLANNED.value, table.verdict.in_([verdict.value for verdict in QUIET])
        )
        if but is not None:
            told = and_(told, table.verdict != but.value)
        for span in self.spans(run):
            with self._database.write() as connection:
                connection.execute(
                    delete(schema.action).where(within(schema.action, run, span), true() if dry_run else told)
                )

    def finish(
        self,
        connection: Connection,
        finished: Sequence[tuple[object, ...]],
        dropped: Sequence[tuple[object, ...]],
    ) -> None:
        """Mark actions (state, sentence, time, run, seq), and drop those that tell nothing (run, seq)."""
        self._database.many(connection, _FINISH_ACTION, finished)
        self._database.many(connection, _DELETE_ACTION, dropped)
