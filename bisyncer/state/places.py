"""Where things stand in the plan of a run: each piece of the pair has room for its own, in order of key."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import ColumnElement, Table, and_, func, select

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


def spans(database: Database, table: Table, run: int, length: int) -> Iterator[Span]:
    """Yield spans that together cover the rows of a run that `table` has now.

    A span is found by the primary key whatever the planner of PostgreSQL thinks of a table that has
    just been filled; a LIMIT instead lets it sort all that follows, again for each page.
    """
    columns = table.c
    last = select(func.max(columns.seq)).where(columns.run_id == run)
    with database.read() as connection:
        end: int = connection.execute(last).scalar_one() or 0
    low: int | None = 0
    while True:
        # There is much room between the pieces of a plan.
        following = select(func.min(columns.seq)).where(columns.run_id == run, columns.seq >= low)
        with database.read() as connection:
            low = connection.execute(following).scalar_one()
        if low is None or low > end:
            return
        yield low, low + length
        low += length
