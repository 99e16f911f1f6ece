"""Uploads in parts that are under way, and moves.

Revision 0002, after 0001.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

import sqlalchemy as sa
from alembic import op
from alembic.operations.base import BatchOperations

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Bring the schema here."""
    op.create_table(
        "upload",
        sa.Column("pair_id", _ID, nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("upload_id", sa.Text(), nullable=False),
        sa.Column("key", _KEY, nullable=False),
        sa.Column("began_ns", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["pair_id"], ["pair.id"], name=op.f("fk_upload_pair_id_pair"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("pair_id", "side", "upload_id", name=op.f("pk_upload")),
        sqlite_with_rowid=False,
    )

    with _action() as batch:
        batch.add_column(sa.Column("origin_key", _KEY, nullable=True))
        batch.add_column(sa.Column("origin_size", sa.BigInteger(), nullable=True))
        batch.add_column(sa.Column("origin_mtime_ns", sa.BigInteger(), nullable=True))
        batch.add_column(sa.Column("origin_stamp", sa.Text(), nullable=True))
        batch.add_column(sa.Column("origin_digests", sa.Text(), nullable=True))


def downgrade() -> None:
    """Bring the schema back."""
    with _action() as batch:
        for column in ("key", "size", "mtime_ns", "stamp", "digests"):
            batch.drop_column(f"origin_{column}")
    op.drop_table("upload")


def _action() -> AbstractContextManager[BatchOperations]:
    # SQLite rebuilds the table, which then reads as if it had been created so.
    sqlite = op.get_bind().dialect.name == "sqlite"
    return op.batch_alter_table(
        "action", recreate="always" if sqlite else "never", table_kwargs={"sqlite_with_rowid": False}
    )
