"""Runs of a part of a pair.

Revision 0003, after 0002.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from alembic import op
from alembic.operations.base import BatchOperations

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema here."""
    with _run() as batch:
        batch.add_column(sa.Column("scope", sa.Text(), nullable=True))


def downgrade() -> None:
    """Bring the schema back."""
    with _run() as batch:
        batch.drop_column("scope")


@contextmanager
def _run() -> Iterator[BatchOperations]:
    """Change the table of runs; SQLite rebuilds it, which then reads as if it had been created so."""
    connection = op.get_bind()
    if connection.dialect.name != "sqlite":
        with op.batch_alter_table("run", recreate="never") as batch:
            yield batch
        return
    # A table that is built anew would forget the numbers of runs that are gone, and use them again.
    last = connection.exec_driver_sql("SELECT seq FROM sqlite_sequence WHERE name = 'run'").scalar()
    with op.batch_alter_table("run", recreate="always", table_kwargs={"sqlite_autoincrement": True}) as batch:
        yield batch
    if last is not None:
        connection.exec_driver_sql("DELETE FROM sqlite_sequence WHERE name = 'run'")
        connection.exec_driver_sql("INSERT INTO sqlite_sequence (name, seq) VALUES ('run', ?)", (last,))
