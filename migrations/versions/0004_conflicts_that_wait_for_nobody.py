"""Conflicts that wait for nobody: a version that was replaced, an edit of what was deleted.

Revision 0004, after 0003.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from alembic import op
from alembic.operations.base import BatchOperations

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_MAY_BE_MISSING = ("kept_as", "path1_size", "path1_stamp", "path2_size", "path2_stamp")


def upgrade() -> None:
    """Bring the schema here."""
    with _conflict() as batch:
        for column in _MAY_BE_MISSING:
            batch.alter_column(column, nullable=True)


def downgrade() -> None:
    """Bring the schema back; what waits for nobody has no place there."""
    op.get_bind().exec_driver_sql("DELETE FROM conflict WHERE state IN ('replaced', 'survived')")
    with _conflict() as batch:
        for column in _MAY_BE_MISSING:
            batch.alter_column(column, nullable=False)


@contextmanager
def _conflict() -> Iterator[BatchOperations]:
    """Change the table of conflicts; SQLite rebuilds it, which then reads as if it had been created so."""
    connection = op.get_bind()
    if connection.dialect.name != "sqlite":
        with op.batch_alter_table("conflict", recreate="never") as batch:
            yield batch
        return
    # A table that is built anew would forget the numbers of conflicts that are gone, and use them again.
    last = connection.exec_driver_sql("SELECT seq FROM sqlite_sequence WHERE name = 'conflict'").scalar()
    with op.batch_alter_table(
        "conflict", recreate="always", table_kwargs={"sqlite_autoincrement": True}
    ) as batch:
        yield batch
    if last is not None:
        connection.exec_driver_sql("DELETE FROM sqlite_sequence WHERE name = 'conflict'")
        connection.exec_driver_sql("INSERT INTO sqlite_sequence (name, seq) VALUES ('conflict', ?)", (last,))
