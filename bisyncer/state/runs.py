"""What is known of runs: the newest, the last good one, those cut short."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import ColumnElement, Select, and_, func, select, true

from bisyncer.model import RunOutcome
from bisyncer.state import rows, schema
from bisyncer.state.database import Database
from bisyncer.state.records import Pair, Run, run_of, select_runs

_STARTS: Final = 100  # of runs, which the latest is looked for among


class Runs:
    """The runs of all pairs, as they are recorded."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def newest(self, pair: str | None = None, limit: int = 50) -> list[Run]:
        """The newest runs, newest first."""
        statement = select_runs().order_by(schema.run.c.id.desc()).limit(limit)
        if pair is not None:
            statement = statement.where(schema.pair.c.name == pair)
        with self._database.read() as connection:
            return [run_of(row) for row in connection.execute(statement)]

    def one(self, id: int) -> Run | None:  # noqa: A002 -- it's what the column is called
        """The run with this number."""
        return self._one(select_runs().where(schema.run.c.id == id))

    def last_good(self, pair_id: int) -> Run | None:
        """The newest whole run that came to its end; dry runs don't count."""
        good = schema.run.c.outcome.in_([RunOutcome.SUCCESS.value, RunOutcome.UNFINISHED.value])
        return self._newest(pair_id, good)

    def last(self, pair_id: int) -> Run | None:
        """The newest whole run, ended or not; dry runs don't count."""
        return self._newest(pair_id, true())

    def cut_short(self, pair: Pair, before: int) -> list[int]:
        """The runs of a pair that ended early, since the last one before `before` that came to its end."""
        table = schema.run.c
        good = (RunOutcome.SUCCESS.value, RunOutcome.UNFINISHED.value)
        short = (RunOutcome.INTERRUPTED.value, RunOutcome.FAILED.value)
        whole = and_(table.pair_id == pair.id, table.id < before, table.dry_run.is_(False))
        last = select(func.coalesce(func.max(table.id), 0)).where(whole, table.outcome.in_(good))
        found = select(table.id).where(
            whole, table.outcome.in_(short), table.id > last.where(table.scope.is_(None)).scalar_subquery()
        )
        with self._database.read() as connection:
            return [number for (number,) in connection.execute(found.order_by(table.id))]

    def latest_start(self, pair: Pair, now_ns: int) -> int:
        """The latest time at which one of the last runs of a pair began; now, unless the clock was set back.

        Of so many that a clock that ran ahead once doesn't count for ever.
        """
        table = schema.run.c
        last = select(table.started_ns).where(table.pair_id == pair.id).order_by(table.id.desc())
        with self._database.read() as connection:
            found = connection.execute(last.limit(_STARTS)).scalars().all()
            latest: int = max([now_ns, *map(rows.number, found)])
        return latest

    def _newest(self, pair_id: int, wanted: ColumnElement[bool]) -> Run | None:
        table = schema.run.c
        whole = and_(table.pair_id == pair_id, table.dry_run.is_(False), table.scope.is_(None))
        return self._one(select_runs().where(whole, wanted).order_by(table.id.desc()).limit(1))

    def _one(self, statement: Select[Any]) -> Run | None:
        with self._database.read() as connection:
            row = connection.execute(statement).first()
            return None if row is None else run_of(row)
