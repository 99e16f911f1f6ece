"""Where things stand in the plan of a run: each piece of the pair has room for its own, in order of key."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import ColumnElement, Table, and_, delete

from bisyncer.state.database import Database

Span = tuple[int, int]  # places in a plan, from the first to before the last

_PIECE = 1 << 32  # places that each piece has


def first_of(piece: int) -> int:
    """The first place in a plan for a piece of the pair; pieces are numbered in order of key."""
    return piece * _PIECE + 1


def piece_of(piece: int) -> Span:
    """All places of a piece."""
    return first_of(piece), first_of(piece + 1)


def within(table: Table, run: int, span: Span) -> ColumnElement[bool]:
    """What a row of a run in that span fulfils."""
    low, high = span
    return and_(table.c.run_id == run, table.c.seq >= low, table.c.seq < high)


def drop(database: Database, table: Table, run: int, piece: int) -> None:
    """Take the rows of a piece out of the plan: it is to be planned anew."""
    with database.write() as connection:
        if database.postgresql:
            # A process that was killed may have sent a commit: behind this lock it is over, or never comes.
            connection.exec_driver_sql(f"LOCK TABLE {table.name} IN SHARE ROW EXCLUSIVE MODE")
        connection.execute(delete(table).where(within(table, run, piece_of(piece))))


def spans(database: Database, table: Table, run: int, length: int) -> Iterator[Span]:
    """Yield spans that together cover the rows of a run that `table` has now.

    A span is found by the primary key whatever the planner of PostgreSQL thinks of a table that has
    just been filled; a LIMIT instead lets it sort all that follows, again for each page.
    """
    # There is much room between the pieces of a plan.
    following = f"SELECT min(seq) FROM {table.name} WHERE run_id = ? AND seq >= ?"  # noqa: S608 -- our own name
    last = f"SELECT max(seq) FROM {table.name} WHERE run_id = ?"  # noqa: S608 -- our own name
    low: int | None
    with database.read() as connection:
        both = database.sql(f"SELECT ({following}), ({last})")
        low, end = connection.exec_driver_sql(both, (run, 0, run)).one()
    while low is not None and low <= end:
        yield low, low + length
        low += length
        if low <= end:
            with database.read() as connection:
                low = connection.exec_driver_sql(database.sql(following), (run, low)).scalar_one()
