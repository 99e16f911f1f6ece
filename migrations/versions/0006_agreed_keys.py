"""Keys that both sides were found to hold alike, before they are ancestors.

Revision 0006, after 0005.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Bring the schema here."""
    op.create_table(
        "agreed",
        sa.Column("run_id", _ID, nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("key", _KEY, nullable=False),
        sa.Column("path1_size", sa.BigInteger(), nullable=False),
        sa.Column("path1_mtime_ns", sa.BigInteger(), nullable=True),
        sa.Column("path1_stamp", sa.Text(), nullable=False),
        sa.Column("path2_size", sa.BigInteger(), nullable=False),
        sa.Column("path2_mtime_ns", sa.BigInteger(), nullable=True),
        sa.Column("path2_stamp", sa.Text(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=True),
        sa.Column("md5", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(
            ["run_id"], ["run.id"], name=op.f("fk_agreed_run_id_run"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("run_id", "seq", name=op.f("pk_agreed")),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """Bring the schema back."""
    op.drop_table("agreed")
