"""The way to the database: its URL, its connections, its transactions, and its failures as sentences.

SQLite is one file in WAL mode: readers go on while one writer writes. PostgreSQL is for several hosts.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, CursorResult, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from bisyncer.errors import BisyncerError, StateUnusable, UsageError

# A writer waits this long for another process's transaction; a commit takes a fraction of a second.
_BUSY_TIMEOUT_S = 60

_FETCHED = 2000  # rows a batch: enough to make a call a row negligible, little enough to stay flat

CHUNK = 500  # keys in one IN (...)

_Value = TypeVar("_Value")

CURE = (
    "Move it away and begin anew with `bisyncer init PAIR --resync` for each pair: that compares both "
    "sides afresh, and deletes nothing."
)

# PostgreSQL keeps the transaction of a host that is gone, with its locks, until TCP gives up: for two hours.
# Until the end of a transaction: https://www.postgresql.org/docs/current/runtime-config-client.html
_PATIENCE = (
    f"SELECT set_config('lock_timeout', '{_BUSY_TIMEOUT_S}s', true), "
    f"set_config('idle_in_transaction_session_timeout', '{_BUSY_TIMEOUT_S}s', true)"
)

# The write-ahead log is synced at checkpoints (NORMAL), not at every commit: after a power cut the last
# commits may be gone, and the ancestors then say less than was done, never more, so the next run finds
# those keys equal on both sides and records them again. What no run can find again is written FULL.
_NORMAL = ("PRAGMA synchronous = NORMAL", "BEGIN IMMEDIATE")
_DURABLE = ("PRAGMA synchronous = FULL", "BEGIN IMMEDIATE")
_SNAPSHOT = ("BEGIN",)
_READ = ()  # each statement of SQLite's sees one instant by itself
# Rebuilding a table drops the old one, which with foreign keys on would delete the rows that refer to it.
_SCHEMA = ("PRAGMA foreign_keys = OFF", "PRAGMA synchronous = FULL", "BEGIN IMMEDIATE")

_BEGIN = "bisyncer_begin"  # the execution option that carries one of these


def chunks(values: Collection[_Value], size: int) -> Iterator[list[_Value]]:
    """Yield the values in lists of that size."""
    source = iter(values)
    while chunk := list(islice(source, size)):
        yield chunk


def _parse(url: str) -> URL:
    """Return `url` with the driver we use; raise `StateUnusable` where we speak no such database."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        parsed = None
    if parsed is not None and parsed.drivername in {"sqlite", "sqlite+pysqlite"}:
        if parsed.database in {None, "", ":memory:"}:
            raise StateUnusable(
                "The state URL names no file: write sqlite:///relative/state.db or sqlite:////absolute/state.db."
            )
        return parsed.set(drivername="sqlite+pysqlite")
    if parsed is not None and parsed.drivername in {"postgresql", "postgres", "postgresql+psycopg"}:
        return parsed.set(drivername="postgresql+psycopg")
    shown = url.partition(":")[0] if parsed is None else parsed.drivername
    raise StateUnusable(
        f"The state URL begins with {shown!r}, which is no database that bisyncer keeps its state in: "
        "write sqlite:////absolute/state.db or postgresql://USER@HOST/DATABASE."
    )


def _prepare_file(path: Path) -> None:
    """Make sure that `path` can be created or written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StateUnusable(
            f"The folder of the state database {path} can't be made: {error.strerror}. "
            "Point `state` to a place that this user may write."
        ) from error
    # SQLite opens a file that it may not write for reading only, and says so at the first write, which
    # may be after the stores were changed. The folder matters too: the log stands beside the file.
    for needed in (path.parent, path):
        if needed.exists() and not os.access(needed, os.W_OK, effective_ids=True):
            raise StateUnusable(
                f"The state database {path} can't be written: no permission to write {needed}. "
                "Give this user write access, or point `state` to another place."
            )
    if path.is_dir():
        raise StateUnusable(f"The state database {path} is a folder: point `state` to a file.")


def copy_file(source: Path, target: Path) -> None:
    """Copy an SQLite file as it is at one instant, whoever writes to it; `target` is new."""
    with (
        closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as there,
        closing(sqlite3.connect(target)) as copy,
    ):
        there.backup(copy)
        # One file, that a copy of its own is whole without a log beside it.
        copy.execute("PRAGMA journal_mode = DELETE")


def _write_ahead(cursor: Any) -> object:
    """Have the file written ahead of, and return the row that tells its mode.

    Where another process has a new file at that moment, SQLite refuses the change at once, whatever the
    busy timeout, since two that both read and want to write could wait for each other. For a transaction
    of its own it waits, and after it the change may be asked for again.
    """
    deadline = time.monotonic() + _BUSY_TIMEOUT_S
    while True:
        try:
            return cursor.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError as error:
            busy = 0xFF & error.sqlite_errorcode == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() > deadline:
                raise
        cursor.execute("BEGIN IMMEDIATE")
        cursor.execute("ROLLBACK")


class Database:
    """A pool of connections to one database; safe to share between threads.

    The pool has no upper bound: each shard of a scan streams its ancestors on a connection of its own,
    and a wait for one could end only when another shard does.
    """

    def __init__(self, engine: Engine, place: str) -> None:
        self.engine = engine
        self.place = place  # how an error names it: a file, or a URL without its password
        self.postgresql = engine.dialect.name == "postgresql"
        # SQLite has one writer, and lets others wait by sleeping ever longer; threads of one process
        # take turns better by a lock.
        self._turn = threading.Lock()

    @classmethod
    def open(cls, url: str) -> Database:
        """Open the database at `url`; raises `StateUnusable` where it isn't one or can't be written."""
        parsed = _parse(url)
        if parsed.drivername.startswith("postgresql"):
            database = cls._open_postgresql(parsed)
        else:
            database = cls._open_sqlite(parsed)
        try:
            database.look()
        except BaseException:
            database.close()
            raise
        return database

    @classmethod
    def _open_postgresql(cls, url: URL) -> Database:
        # A host that vanishes without a word must not leave a heartbeat waiting for hours.
        arguments: dict[str, Any] = {
            "connect_timeout": 10,
            "keepalives_idle": 30,
            "tcp_user_timeout": 30_000,
            # Behind a pool of connections (pgbouncer), a prepared statement may be that of another client.
            "prepare_threshold": None,
        }
        given = {name: value for name, value in arguments.items() if name not in url.query}
        try:
            engine = create_engine(
                url, connect_args=given, pool_pre_ping=True, max_overflow=-1, isolation_level="READ COMMITTED"
            )
        except ModuleNotFoundError as error:
            raise StateUnusable(
                "A state in PostgreSQL needs a driver that isn't installed: "
                "pip install 'bisyncer[postgresql]', or '.[postgresql]' in a checkout."
            ) from error
        return cls(engine, url.render_as_string(hide_password=True))

    @classmethod
    def _open_sqlite(cls, url: URL) -> Database:
        path = Path(str(url.database)).absolute()
        _prepare_file(path)
        engine = create_engine(
            url.set(database=str(path)), connect_args={"timeout": _BUSY_TIMEOUT_S}, max_overflow=-1
        )

        @event.listens_for(engine, "connect")
        def connected(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
            # Python's module begins transactions at its own moments; with None it leaves that to us.
            connection.isolation_level = None
            try:
                connection.execute("PRAGMA foreign_keys = ON")
                connection.execute("PRAGMA cache_size = -2048")  # KiB
                connection.execute("PRAGMA journal_size_limit = 67108864")  # what a first alignment leaves
            except BaseException:
                connection.close()  # the pool doesn't know it yet
                raise

        @event.listens_for(engine, "begin")
        def begun(connection: Connection) -> None:
            driver: Any = connection.connection.driver_connection
            for statement in connection.get_execution_options().get(_BEGIN, _READ):
                driver.execute(statement)

        return cls(engine, str(path))

    def look(self) -> None:
        """See whether a database answers that can hold our text and our log."""
        with self._translated(), self.engine.connect() as connection:
            if self.postgresql:
                encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
                if encoding != "UTF8":
                    raise StateUnusable(
                        f"The state database {self.place} is encoded as {encoding}: keys are any Unicode "
                        "text, so create it with ENCODING 'UTF8'."
                    )
                return
            with closing(connection.connection.cursor()) as cursor:  # the mode is set outside of transactions
                mode = _write_ahead(cursor)
            if mode != ("wal",):
                raise StateUnusable(
                    f"The file system of the state database {self.place} can't hold a write-ahead log: "
                    "point `state` to a local disk."
                )

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a connection for a few reads, and for making values of the rows.

        Each statement sees one instant; those that must all see the same want a `snapshot`.

        Rows that no value of ours can be made of are the sign of a damaged database.
        """
        try:
            with self._translated(), self.engine.begin() as connection:
                yield connection
        except (KeyError, ValueError) as error:
            raise self.corrupt(f"a row can't be understood: {error}") from error

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Give a connection whose reads all see the database as it is at one instant; rows are streamed."""
        with self._translated(), self.engine.connect() as connection:
            level = {"isolation_level": "REPEATABLE READ"} if self.postgresql else {}
            reading = connection.execution_options(**level, **{_BEGIN: _SNAPSHOT}, yield_per=_FETCHED)
            with reading.begin():
                yield reading

    @contextmanager
    def write(self, *, durable: bool = False) -> Iterator[Connection]:
        """Give a connection in a transaction that is committed at the end, or rolled back by an error.

        `durable` is for what must outlast a power cut from this moment on. Short: on SQLite every other
        writer waits meanwhile, the heartbeat of the lease among them.
        """
        with self._writing(_DURABLE if durable else _NORMAL) as connection:
            yield connection

    @contextmanager
    def alter(self) -> Iterator[Connection]:
        """Give a connection in a transaction that may change the schema; nobody else alters meanwhile."""
        if self.postgresql:
            with self.write() as connection:
                # The number has no meaning but to be ours.
                connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7204183551)")
                yield connection
            return
        try:
            with self._writing(_SCHEMA) as connection:
                yield connection
                broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
                if broken is not None:
                    raise self.corrupt(f"after an upgrade a row of {broken[0]} would have lost its parent")
        finally:
            self.engine.dispose()  # the connection in the pool has its foreign keys off

    @contextmanager
    def _writing(self, begin: tuple[str, ...]) -> Iterator[Connection]:
        with self._translated():
            if self.postgresql:
                with self.engine.begin() as connection:
                    connection.exec_driver_sql(_PATIENCE)
                    yield connection
                return
            with self._turn, self.engine.connect() as idle:
                connection = idle.execution_options(**{_BEGIN: begin})
                with connection.begin():
                    yield connection

    def sql(self, statement: str) -> str:
        """Spell the parameters of `statement` as this database's driver wants them."""
        return statement.replace("?", "%s") if self.postgresql else statement

    def execute(
        self, connection: Connection, statement: str, parameters: tuple[object, ...]
    ) -> CursorResult[Any]:
        """Execute `statement` once; its parameters are spelled `?`."""
        return connection.exec_driver_sql(self.sql(statement), parameters)

    def many(self, connection: Connection, statement: str, batch: Sequence[tuple[object, ...]]) -> None:
        """Execute `statement` once for each row of `batch`."""
        if batch:
            connection.exec_driver_sql(self.sql(statement), list(batch))

    def batches(self, statement: str, parameters: tuple[object, ...]) -> Generator[Sequence[Any]]:
        """Yield the rows of one SELECT in batches, as the driver gives them, from one consistent snapshot.

        Few are in memory at a time. The connection is given back at the end, or when the iterator is
        closed.
        """
        with self._translated(), self.engine.connect() as connection:
            # PostgreSQL streams only through a cursor with a name; a statement of SQLite always does.
            named = {"name": "rows"} if self.postgresql else {}
            with closing(connection.connection.cursor(**named)) as cursor:
                cursor.execute(statement, parameters)
                while batch := cursor.fetchmany(_FETCHED):
                    yield batch

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn failures of the database, not of our statements, into sentences."""
        try:
            yield
        except DBAPIError as error:
            raise self._sentence(error.orig or error, error) from error
        except self.engine.dialect.loaded_dbapi.Error as error:  # from a cursor that we read ourselves
            raise self._sentence(error, error) from error
        except UnicodeEncodeError as error:
            raise UsageError(
                f"{error.object!r} is not valid UTF-8, as the name of each key and pair is. Rename what has "
                "that name."
            ) from error
        except UnicodeDecodeError as error:  # SQLite quotes the damage that it found in its message
            raise self.corrupt("its schema isn't text") from error

    def corrupt(self, detail: str) -> StateUnusable:
        """Say that what the database holds can't be what we wrote."""
        return StateUnusable(f"The state database {self.place} is damaged ({detail}). {CURE}")

    def _sentence(self, reason: BaseException, error: Exception) -> Exception:
        """Return what to raise for `reason`: a sentence, or `error` where it's a bug of ours."""
        if self.postgresql:
            return self._of_postgresql(reason, error)
        return self._of_sqlite(reason, error)

    def _of_sqlite(self, reason: BaseException, error: Exception) -> Exception:
        detail = str(reason)
        # What Python itself finds has no code: text that isn't UTF-8, or a wrong use of its module.
        code = 0xFF & getattr(reason, "sqlite_errorcode", 0)
        match code:
            case sqlite3.SQLITE_NOTADB:
                return StateUnusable(f"{self.place} is not a state database ({detail}). {CURE}")
            case sqlite3.SQLITE_CORRUPT:
                return self.corrupt(detail)
            case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
                return StateUnusable(
                    f"The state database {self.place} can't be opened for writing ({detail}): give this user "
                    "write access to the file and its folder, or point `state` to another place."
                )
            case sqlite3.SQLITE_FULL:
                return BisyncerError(
                    f"The state database {self.place} can't grow ({detail}): free some space and run again. "
                    "What was committed is safe."
                )
            case sqlite3.SQLITE_IOERR:
                return BisyncerError(
                    f"The disk under the state database {self.place} failed ({detail}): look into the "
                    "system's log, then run again. What was committed is safe."
                )
            case sqlite3.SQLITE_BUSY:
                return BisyncerError(
                    f"Another process has kept the state database {self.place} locked for "
                    f"{_BUSY_TIMEOUT_S} s: see what holds it, and run again."
                )
            case _ if detail.startswith("Could not decode"):
                return self.corrupt("it holds text that isn't UTF-8")
            case sqlite3.SQLITE_ERROR if "syntax error" not in detail:
                return self.corrupt(detail)  # our statements fit the schema that we made
            case _:
                return error

    def _of_postgresql(self, reason: BaseException, error: Exception) -> Exception:
        detail = " ".join(str(reason).split())
        state: str | None = getattr(reason, "sqlstate", None)
        dbapi = self.engine.dialect.loaded_dbapi
        if state in {"42P01", "42703"}:  # no such table, no such column: our statements fit what we made
            return self.corrupt(detail)
        if state == "54000":  # a limit of the server: of an index, as everything else is of bounded size
            return StateUnusable(
                f"The state database {self.place} can't hold a key as long as this ({detail}): use SQLite "
                "for trees with such names."
            )
        if state in {"42501", "25006"}:  # no privilege; a read-only server
            return StateUnusable(
                f"The state database {self.place} can't be written ({detail}): give this user the right to "
                "create and change tables, or name another database."
            )
        if state is not None and state[:2] in {"28", "3D"}:  # who we are; which database
            return StateUnusable(
                f"The state database {self.place} refuses us ({detail}): see that its URL names "
                "the right user and database, and that PGPASSWORD or ~/.pgpass holds the password."
            )
        if state in {"55P03", "25P03"}:  # a lock that was waited for; a transaction in which nothing was done
            return BisyncerError(
                f"Another process has kept the state database {self.place} locked for "
                f"{_BUSY_TIMEOUT_S} s, or this one was paused as long ({detail}): see what holds it, and run "
                "again. What was committed is safe."
            )
        # 08 connection, 53 resources, 57 operator, 58 system, 40 rolled back; no state at all where no server
        # was reached.
        unreachable = isinstance(reason, (dbapi.OperationalError, dbapi.InterfaceError))
        if unreachable or (state or "")[:2] in {"08", "40", "53", "57", "58"}:
            return BisyncerError(
                f"The state database {self.place} can't be reached ({detail}): see that it is up, and run "
                "again. What was committed is safe."
            )
        return error
