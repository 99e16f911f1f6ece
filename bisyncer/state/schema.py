"""The tables. A change here needs a migration in `migrations/versions`, and `REVISION` to follow it.

A key may be any Unicode text, newlines included, save NUL and lone surrogates: PostgreSQL can't store
the first and no database the second, so the engine turns such names into problems before they arrive.
In both databases a key sorts by code point: SQLite's BINARY collation and PostgreSQL's "C" compare the
bytes of UTF-8, whose order is the same.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)

# What `migrations/versions` ends in. Kept here so that opening a state at head doesn't need Alembic.
REVISION = "0007"

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_KEY = Text().with_variant(Text(collation="C"), "postgresql")

# SQLite numbers rows by itself only where the type is spelled INTEGER; it has 64 bits there too.
_ID = BigInteger().with_variant(Integer, "sqlite")


def _entry(what: str, *, nullable: bool = True) -> tuple[Column[int], Column[int], Column[str]]:
    """The columns of what a side holds; a size of NULL says that it holds nothing."""
    return (
        Column(f"{what}_size", BigInteger, nullable=nullable),
        Column(f"{what}_mtime_ns", BigInteger),
        Column(f"{what}_stamp", Text, nullable=nullable),
    )


pair = Table(
    "pair",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("owner", Text, nullable=False),
    Column("path1", Text, nullable=False),
    Column("path2", Text, nullable=False),
    Column("mode", Text, nullable=False),
    # The requests whose conditions each store was found to test, as words; NULL: never probed.
    Column("path1_conditions", Text),
    Column("path2_conditions", Text),
    Column("aligned_ns", BigInteger),
    sqlite_autoincrement=True,
)

# The one table that grows with the trees: a row is stored once, inside its primary key, and the digests
# of the shared content are stored once for both sides, as bytes.
ancestor = Table(
    "ancestor",
    metadata,
    Column("pair_id", _ID, ForeignKey("pair.id", ondelete="CASCADE"), primary_key=True),
    Column("key", _KEY, primary_key=True),
    *_entry("path1", nullable=False),
    *_entry("path2", nullable=False),
    Column("sha256", LargeBinary),
    Column("md5", LargeBinary),
    sqlite_with_rowid=False,
)

# AUTOINCREMENT: the number of a run or a conflict stands in logs and tickets, so it is never used twice.
run = Table(
    "run",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("pair_id", _ID, ForeignKey("pair.id", ondelete="CASCADE"), nullable=False),
    Column("started_ns", BigInteger, nullable=False),
    Column("ended_ns", BigInteger),
    Column("outcome", Text),
    Column("dry_run", Boolean, nullable=False),
    Column("resync", Boolean, nullable=False),
    Column("summary", Text),
    Column("scope", Text),  # the part that was looked at, in words; NULL: all of the pair
    Index(None, "pair_id", "id"),
    sqlite_autoincrement=True,
)

# What is done goes to `history`; of runs before there was one, it is here.
action = Table(
    "action",
    metadata,
    Column("run_id", _ID, ForeignKey("run.id", ondelete="CASCADE"), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("key", _KEY, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("delta1", Text, nullable=False),
    Column("delta2", Text, nullable=False),
    Column("agreement", Text),
    *_entry("path1"),
    Column("path1_digests", Text),
    *_entry("path2"),
    Column("path2_digests", Text),
    Column("winner", Text),
    Column("state", Text, nullable=False),
    Column("sentence", Text),  # while planned: why it is held; once failed or raced: what happened
    Column("finished_ns", BigInteger),
    # Of a move: the key that it moves from, and what is there.
    Column("origin_key", _KEY),
    *_entry("origin"),
    Column("origin_digests", Text),
    sqlite_with_rowid=False,
)

# What was done in runs, many actions packed into a row: `seq` is the first of their places in the plan.
history = Table(
    "history",
    metadata,
    Column("run_id", _ID, ForeignKey("run.id", ondelete="CASCADE"), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("finished_ns", BigInteger, nullable=False),
    Column("actions", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

# What a run found to be alike on both sides; each row becomes an ancestor after the gates.
agreed = Table(
    "agreed",
    metadata,
    Column("run_id", _ID, ForeignKey("run.id", ondelete="CASCADE"), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("key", _KEY, nullable=False),
    *_entry("path1", nullable=False),
    *_entry("path2", nullable=False),
    Column("sha256", LargeBinary),
    Column("md5", LargeBinary),
    sqlite_with_rowid=False,
)

# `run_id` has no foreign key here and in `problem`: runs are pruned, these stay until they are settled.
conflict = Table(
    "conflict",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("pair_id", _ID, ForeignKey("pair.id", ondelete="CASCADE"), nullable=False),
    Column("run_id", _ID, nullable=False),
    Column("key", _KEY, nullable=False),
    Column("kept_as", _KEY),  # NULL: there is no other version, or its bucket keeps it
    Column("winner", Text, nullable=False),
    Column("detected_ns", BigInteger, nullable=False),
    *_entry("path1"),
    Column("path1_digests", Text),
    *_entry("path2"),
    Column("path2_digests", Text),
    Column("state", Text, nullable=False),
    Column("resolved_ns", BigInteger),
    Column("resolution", Text),
    Index(None, "pair_id", "kept_as"),
    sqlite_autoincrement=True,
)

problem = Table(
    "problem",
    metadata,
    Column("pair_id", _ID, ForeignKey("pair.id", ondelete="CASCADE"), primary_key=True),
    Column("key", _KEY, primary_key=True),
    Column("sentence", Text, nullable=False),
    Column("since_ns", BigInteger, nullable=False),
    Column("last_ns", BigInteger, nullable=False),
    Column("tries", BigInteger, nullable=False),
    Column("run_id", _ID, nullable=False),
    sqlite_with_rowid=False,
)

# A row outlives its holder: `token` only ever grows, so that a token seen once means one holder for ever.
lease = Table(
    "lease",
    metadata,
    Column("pair_id", _ID, ForeignKey("pair.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("token", BigInteger, nullable=False),
    Column("holder", Text),
    Column("taken_ns", BigInteger, nullable=False),
    Column("heartbeat_ns", BigInteger, nullable=False),
    Column("expires_ns", BigInteger, nullable=False),
)

# Uploads in parts that are under way, by the store's own id of each: of a run that was killed, they are
# aborted by the next one.
upload = Table(
    "upload",
    metadata,
    Column("pair_id", _ID, ForeignKey("pair.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("side", Text, primary_key=True),
    Column("upload_id", Text, primary_key=True),
    Column("key", _KEY, nullable=False),
    Column("began_ns", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# The object by which each side is known again; no row: there was never one. `key` is that of the object.
seal = Table(
    "seal",
    metadata,
    Column("pair_id", _ID, ForeignKey("pair.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("side", Text, primary_key=True),
    Column("number", BigInteger),  # NULL: whatever is there is accepted
    Column("pending", BigInteger),
    Column("key", _KEY),
    Column("size", BigInteger),
    Column("mtime_ns", BigInteger),
    Column("stamp", Text),
    sqlite_with_rowid=False,
)
