"""A copy of the whole state in one SQLite file, from either database, and back into either."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, delete, func, insert, select, update

from bisyncer.errors import BisyncerError, UsageError
from bisyncer.state import schema
from bisyncer.state.database import CURE, Database, copy_file
from bisyncer.state.lease import Lease
from bisyncer.state.migrate import revision
from bisyncer.state.store import Store
from bisyncer.state.verify import verify

_NUMBERED = (schema.pair, schema.run, schema.conflict)  # whose numbers are never used twice


class Restored(NamedTuple):
    """What a restore put in place: the pairs, and where the state that was there before is kept."""

    pairs: tuple[str, ...]
    replaced: Path


def back_up(store: Store, target: Path) -> None:
    """Write the state as it is at one instant to a new file, whoever works with it meanwhile.

    The file is an SQLite database of the same schema. It is there only once it is whole.
    Raises `UsageError` where it can't be written, or is there already.
    """
    if os.path.lexists(target):  # says no, and raises nothing, where it may not look
        raise UsageError(f"{target} is there already, and a backup replaces nothing. Name another file.")
    unfinished = target.with_name(f"{target.name}.unfinished")
    try:
        unfinished.unlink(missing_ok=True)
        unfinished.open("xb").close()
        if store.database.postgresql:
            _write(store, unfinished)
        else:
            copy_file(Path(store.database.place), unfinished)
        with unfinished.open("rb") as written:
            os.fsync(written.fileno())
        unfinished.rename(target)
    except (OSError, sqlite3.Error) as error:
        told = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(f"The backup {target} can't be written: {told}. Name a file that can be.") from error


def restore(store: Store, file: Path, *, replaced: Path, keep_ancestors: bool = False) -> Restored:
    """Put the state of a backup in the place of the present one, which is backed up to `replaced` before.

    A state can't tell that it is old, and an old one says of keys that they agreed which were changed since.
    So unless `keep_ancestors` says that no run was made since the backup, every pair waits for a resync.
    Raises `Leased` where a pair is held, and `UsageError` where `file` is no whole state that we know.
    """
    with _opened(file) as backup, ExitStack() as held:
        for pair in store.pairs():
            held.enter_context(Lease.take(store, pair))
        back_up(store, replaced)
        with backup.database.snapshot() as source, store.database.write(durable=True) as target:
            table = schema.lease.c
            token = max(_newest_token(source), _newest_token(target))
            numbers = {each.name: _last_number(backup, source, each.name) for each in _NUMBERED}
            for each in reversed(schema.metadata.sorted_tables):
                target.execute(delete(each))
            _copy(source, target)
            # A run that was paused before must not find its token again.
            pairs = target.execute(select(schema.pair.c.id, schema.pair.c.name).order_by(schema.pair.c.name))
            names = []
            for pair_id, name in pairs.all():
                names.append(name)
                free = {"token": token, "holder": None, "taken_ns": 0, "heartbeat_ns": 0, "expires_ns": 0}
                freed = target.execute(update(schema.lease).where(table.pair_id == pair_id).values(free))
                if freed.rowcount == 0:
                    target.execute(insert(schema.lease).values(pair_id=pair_id, **free))
            if not keep_ancestors:
                target.execute(update(schema.pair).values(aligned_ns=None))
            for name, number in numbers.items():
                _go_on_from(store, target, name, number)
    return Restored(tuple(names), replaced)


@contextmanager
def _opened(file: Path) -> Iterator[Store]:
    """Open a copy of a backup, brought to the newest schema and verified; the file itself isn't touched."""
    with tempfile.TemporaryDirectory(prefix="bisyncer-restore-") as folder:
        copy = Path(folder) / "backup.db"
        try:
            copy_file(file, copy)
            store = _known(file, copy)
        except sqlite3.Error as error:
            raise UsageError(
                f"{file} can't be read as a backup of a state: {error}. Name another."
            ) from error
        except BisyncerError as error:
            told = str(error).replace(str(copy), str(file)).removesuffix(f" {CURE}")
            raise UsageError(f"{file} can't be restored: {told} Nothing was changed.") from error
        try:
            if broken := verify(store).broken:
                told = broken[0].replace(str(copy), str(file)).rstrip(".")
                raise UsageError(f"{file} is damaged: {told}. Nothing was changed. Use another backup.")
            yield store
        finally:
            store.close()


def _known(file: Path, copy: Path) -> Store:
    """The state that a copy is; raises `UsageError` where it is an SQLite file of another kind."""
    database = Database.open(f"sqlite:///{copy}")
    try:
        known = revision(database)
    finally:
        database.close()
    if known is None:
        raise UsageError(f"there is no state of bisyncer in {file}.")
    return Store.open(f"sqlite:///{copy}")


def _write(store: Store, file: Path) -> None:
    """Write the rows of any database to a new SQLite file."""
    backup = Store.open(f"sqlite:///{file.absolute()}")
    try:
        with store.database.snapshot() as source, backup.database.write() as target:
            _copy(source, target)
            for table in _NUMBERED:
                _go_on_from(backup, target, table.name, _last_number(store, source, table.name))
    finally:
        backup.close()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")


def _copy(source: Connection, target: Connection) -> None:
    """Insert every row of `source`, parents first."""
    for table in schema.metadata.sorted_tables:
        for batch in source.execute(select(table)).mappings().partitions():
            target.execute(insert(table), [dict(row) for row in batch])


def _newest_token(connection: Connection) -> int:
    newest: int | None = connection.execute(select(func.max(schema.lease.c.token))).scalar_one()
    return newest or 0


def _last_number(store: Store, connection: Connection, table: str) -> int:
    """The last number that a table has given to a row, of those that are gone too."""
    if store.database.postgresql:
        sequence = connection.exec_driver_sql(
            "SELECT pg_get_serial_sequence(%s, 'id')", (table,)
        ).scalar_one()
        statement = f"SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {sequence}"  # noqa: S608 -- the database's own name
        last: int = connection.exec_driver_sql(statement).scalar_one()
        return last
    found = connection.exec_driver_sql("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).scalar()
    return int(found or 0)


def _go_on_from(store: Store, connection: Connection, table: str, number: int) -> None:
    """Let the next row of a table have a number that is higher than `number`, and than any given before."""
    last = max(number, _last_number(store, connection, table))
    if not last:
        return
    if store.database.postgresql:
        connection.exec_driver_sql("SELECT setval(pg_get_serial_sequence(%s, 'id'), %s)", (table, last))
        return
    connection.exec_driver_sql("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
    connection.exec_driver_sql("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table, last))
