"""The first tables.

Revision 0001, after nothing.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _pair_id() -> sa.Column[int]:
    return sa.Column("pair_id", _ID, nullable=False)


def _of_pair(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["pair_id"], ["pair.id"], name=op.f(f"fk_{table}_pair_id_pair"), ondelete="CASCADE"
    )


def upgrade() -> None:
    """Bring the schema here."""
    op.create_table(
        "pair",
        sa.Column("id", _ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("path1", sa.Text(), nullable=False),
        sa.Column("path2", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("path1_conditions", sa.Text(), nullable=True),
        sa.Column("path2_conditions", sa.Text(), nullable=True),
        sa.Column("aligned_ns", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pair")),
        sa.UniqueConstraint("name", name=op.f("uq_pair_name")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "ancestor",
        _pair_id(),
        sa.Column("key", _KEY, nullable=False),
        sa.Column("path1_size", sa.BigInteger(), nullable=False),
        sa.Column("path1_mtime_ns", sa.BigInteger(), nullable=True),
        sa.Column("path1_stamp", sa.Text(), nullable=False),
        sa.Column("path2_size", sa.BigInteger(), nullable=False),
        sa.Column("path2_mtime_ns", sa.BigInteger(), nullable=True),
        sa.Column("path2_stamp", sa.Text(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=True),
        sa.Column("md5", sa.LargeBinary(), nullable=True),
        _of_pair("ancestor"),
        sa.PrimaryKeyConstraint("pair_id", "key", name=op.f("pk_ancestor")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "run",
        sa.Column("id", _ID, nullable=False),
        _pair_id(),
        sa.Column("started_ns", sa.BigInteger(), nullable=False),
        sa.Column("ended_ns", sa.BigInteger(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("dry_run", sa.Boolean(), nullable=False),
        sa.Column("resync", sa.Boolean(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=True),
        _of_pair("run"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_run_pair_id_id"), "run", ["pair_id", "id"])
    op.create_table(
        "action",
        sa.Column("run_id", _ID, nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("key", _KEY, nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("delta1", sa.Text(), nullable=False),
        sa.Column("delta2", sa.Text(), nullable=False),
        sa.Column("agreement", sa.Text(), nullable=True),
        sa.Column("path1_size", sa.BigInteger(), nullable=True),
        sa.Column("path1_mtime_ns", sa.BigInteger(), nullable=True),
        sa.Column("path1_stamp", sa.Text(), nullable=True),
        sa.Column("path1_digests", sa.Text(), nullable=True),
        sa.Column("path2_size", sa.BigInteger(), nullable=True),
        sa.Column("path2_mtime_ns", sa.BigInteger(), nullable=True),
        sa.Column("path2_stamp", sa.Text(), nullable=True),
        sa.Column("path2_digests", sa.Text(), nullable=True),
        sa.Column("winner", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("sentence", sa.Text(), nullable=True),
        sa.Column("finished_ns", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["run_id"], ["run.id"], name=op.f("fk_action_run_id_run"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("run_id", "seq", name=op.f("pk_action")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "conflict",
        sa.Column("id", _ID, nullable=False),
        _pair_id(),
        sa.Column("run_id", _ID, nullable=False),
        sa.Column("key", _KEY, nullable=False),
        sa.Column("kept_as", _KEY, nullable=False),
        sa.Column("winner", sa.Text(), nullable=False),
        sa.Column("detected_ns", sa.BigInteger(), nullable=False),
        sa.Column("path1_size", sa.BigInteger(), nullable=False),
        sa.Column("path1_mtime_ns", sa.BigInteger(), nullable=True),
        sa.Column("path1_stamp", sa.Text(), nullable=False),
        sa.Column("path1_digests", sa.Text(), nullable=True),
        sa.Column("path2_size", sa.BigInteger(), nullable=False),
        sa.Column("path2_mtime_ns", sa.BigInteger(), nullable=True),
        sa.Column("path2_stamp", sa.Text(), nullable=False),
        sa.Column("path2_digests", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("resolved_ns", sa.BigInteger(), nullable=True),
        sa.Column("resolution", sa.Text(), nullable=True),
        _of_pair("conflict"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_conflict")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_conflict_pair_id_kept_as"), "conflict", ["pair_id", "kept_as"])
    op.create_table(
        "problem",
        _pair_id(),
        sa.Column("key", _KEY, nullable=False),
        sa.Column("sentence", sa.Text(), nullable=False),
        sa.Column("since_ns", sa.BigInteger(), nullable=False),
        sa.Column("last_ns", sa.BigInteger(), nullable=False),
        sa.Column("tries", sa.BigInteger(), nullable=False),
        sa.Column("run_id", _ID, nullable=False),
        _of_pair("problem"),
        sa.PrimaryKeyConstraint("pair_id", "key", name=op.f("pk_problem")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "lease",
        sa.Column("pair_id", _ID, autoincrement=False, nullable=False),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=True),
        sa.Column("taken_ns", sa.BigInteger(), nullable=False),
        sa.Column("heartbeat_ns", sa.BigInteger(), nullable=False),
        sa.Column("expires_ns", sa.BigInteger(), nullable=False),
        _of_pair("lease"),
        sa.PrimaryKeyConstraint("pair_id", name=op.f("pk_lease")),
    )


def downgrade() -> None:
    """Bring it back."""
    for table in ("lease", "problem", "conflict", "action", "run", "ancestor", "pair"):
        op.drop_table(table)
