"""Is the schema at head; bring it there.

Alembic is imported only where there is something to do: a timer starts a run every minute, and nearly
always finds the schema at head.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, inspect

from bisyncer.errors import SchemaAhead, StateUnusable
from bisyncer.state import schema
from bisyncer.state.database import Database, copy_file


class Upgraded(NamedTuple):
    """What an upgrade did: the revision it found (None: an empty database) and the one it left."""

    before: str | None
    after: str
    backup: Path | None  # a copy of the SQLite file as it was before


def upgrade(url: str) -> Upgraded:
    """Bring the schema at `url` to head."""
    database = Database.open(url)
    try:
        return bring_to_head(database)
    finally:
        database.close()


def bring_to_head(database: Database) -> Upgraded:
    """Bring the schema to head in one transaction; two processes may do so at once.

    Raises `SchemaAhead` where the schema is of a newer bisyncer, and `StateUnusable` where the tables
    are of another program.
    """
    head = schema.REVISION
    with database.read() as connection:
        before = _revision(connection)
    if before == head:
        return Upgraded(head, head, None)
    with database.alter() as connection:
        before = _revision(connection)  # again: another process may have been here first
        if before == head:
            return Upgraded(head, head, None)
        return Upgraded(before, head, _upgrade(database, connection, before))


def revision(database: Database) -> str | None:
    """The revision that a database is at; None where it has no schema of ours."""
    with database.read() as connection:
        return _revision(connection)


def folder() -> Path:
    """Where the migrations are: inside an installed package, beside the package in a checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "_migrations"
    return installed if installed.is_dir() else package.parent / "migrations"


def _revision(connection: Connection) -> str | None:
    """The revision that the database says it is at; None where it has no schema yet."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return revision


def _upgrade(database: Database, connection: Connection, before: str | None) -> Path | None:
    """Run the migrations on `connection`, inside its transaction; return where the backup is."""
    from alembic import command, config, script, util  # noqa: PLC0415 -- see above

    setup = config.Config()
    setup.set_main_option("script_location", str(folder()).replace("%", "%%"))
    setup.attributes["connection"] = connection
    backup = None
    if before is None:
        _refuse_foreign(database, connection)
    else:
        try:
            script.ScriptDirectory.from_config(setup).get_revision(before)
        except util.CommandError as error:
            raise SchemaAhead(
                f"The state database {database.place} is of a newer bisyncer (schema {before}, this one "
                f"knows {schema.REVISION}): upgrade bisyncer on this host, or point `state` to another "
                "database."
            ) from error
        backup = _back_up(database, before)
    command.upgrade(setup, "head")
    return backup


def _refuse_foreign(database: Database, connection: Connection) -> None:
    """Raise where tables are there that we did not make.

    A SQLite file is one program's; a PostgreSQL schema may be shared, as long as no name is ours.
    """
    there = set(inspect(connection).get_table_names())
    foreign = sorted(there & schema.metadata.tables.keys() if database.postgresql else there)
    if foreign:
        raise StateUnusable(
            f"The database {database.place} has tables of another program ({', '.join(foreign)}): "
            "name a database, or a schema, of its own for the state."
        )


def _back_up(database: Database, revision: str) -> Path | None:
    """Copy the SQLite file beside itself; PostgreSQL's own tools back up PostgreSQL."""
    if database.postgresql:
        return None
    target = Path(f"{database.place}.backup-{revision}")
    unfinished = Path(f"{target}.unfinished")
    unfinished.unlink(missing_ok=True)
    copy_file(Path(database.place), unfinished)
    unfinished.replace(target)
    return target
