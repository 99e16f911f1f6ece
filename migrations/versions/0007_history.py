"""What was done in runs, packed.

Revision 0007, after 0006.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Bring the schema here; what was done before stays where it is, until it is forgotten."""
    op.create_table(
        "history",
        sa.Column("run_id", _ID, nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("finished_ns", sa.BigInteger(), nullable=False),
        sa.Column("actions", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["run.id"], name=op.f("fk_history_run_id_run"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("run_id", "seq", name=op.f("pk_history")),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """Bring the schema back; what was done since has no place there."""
    connection = op.get_bind()
    md5 = "lower(hex(md5))" if connection.dialect.name == "sqlite" else "encode(md5, 'hex')"
    for side in ("path1", "path2"):
        for table in ("ancestor", "agreed"):
            connection.exec_driver_sql(
                f"UPDATE {table} SET {side}_stamp = {md5} WHERE {side}_stamp = '\n'"  # noqa: S608 -- our own text
            )
        connection.exec_driver_sql(
            f"UPDATE action SET {side}_digests = {side}_digests || {side}_stamp "  # noqa: S608 -- our own text
            f"WHERE substr({side}_digests, length({side}_digests)) = ':'"
        )
    op.drop_table("history")
