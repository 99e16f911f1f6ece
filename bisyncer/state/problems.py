"""The problems that the last runs met: a key each, with a sentence, since when, and how often."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, func, select

from bisyncer.model import Problem
from bisyncer.state import rows, schema
from bisyncer.state.database import Database
from bisyncer.state.records import Trouble

_UPSERT = (
    'INSERT INTO problem (pair_id, "key", sentence, since_ns, last_ns, tries, run_id) '
    "VALUES (?, ?, ?, ?, ?, 1, ?) "
    'ON CONFLICT (pair_id, "key") DO UPDATE SET sentence = excluded.sentence, last_ns = excluded.last_ns, '
    "tries = problem.tries + 1, run_id = excluded.run_id"
)
_DELETE = 'DELETE FROM problem WHERE pair_id = ? AND "key" = ?'
_DELETE_OTHERS = "DELETE FROM problem WHERE pair_id = ? AND run_id != ?"
_ANY = "SELECT 1 FROM problem WHERE pair_id = ? LIMIT 1"


class Problems:
    """The problems of all pairs in one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def told(self, pair: str | None = None) -> list[Trouble]:
        """Those of the pair of that name, or of all, by pair and key."""
        table = schema.problem.c
        statement = (
            select(schema.pair.c.name, table.key, table.sentence, table.since_ns, table.last_ns, table.tries)
            .join_from(schema.problem, schema.pair)
            .order_by(schema.pair.c.name, table.key)
        )
        if pair is not None:
            statement = statement.where(schema.pair.c.name == pair)
        with self._database.read() as connection:
            return [Trouble(*row) for row in connection.execute(statement)]

    def count(self, pair_id: int) -> int:
        """How many problems a pair has."""
        statement = select(func.count()).where(schema.problem.c.pair_id == pair_id)
        with self._database.read() as connection:
            return connection.execute(statement).scalar_one()

    def write(
        self, connection: Connection, pair_id: int, run: int, problems: Sequence[Problem], now: int
    ) -> None:
        """Keep what a run met; a key that had a problem already has one more try."""
        self._database.many(
            connection,
            _UPSERT,
            [
                (pair_id, rows.problem_key(problem.key), rows.tellable(problem.sentence), now, now, run)
                for problem in problems
            ],
        )

    def end(self, connection: Connection, pair_id: int, keys: Sequence[str]) -> None:
        """End those of some keys."""
        # Most pairs have none, and a million deletes of nothing take their time.
        if self._database.execute(connection, _ANY, (pair_id,)).first() is not None:
            self._database.many(connection, _DELETE, [(pair_id, rows.problem_key(key)) for key in keys])

    def end_others(self, connection: Connection, pair_id: int, run: int) -> None:
        """End those that a run that looked at everything did not meet."""
        self._database.execute(connection, _DELETE_OTHERS, (pair_id, run))
