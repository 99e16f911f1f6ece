from __future__ import annotations

import os
import random
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine, event

from bisyncer.errors import BisyncerError, StateUnusable
from bisyncer.model import Action, Delta, Done, Failed, Kept, Mode, Problem, RunOutcome, Side, Verdict
from bisyncer.state import database as database_module
from bisyncer.state.database import Database
from bisyncer.state.lease import Lease
from bisyncer.state.store import Store
from tests.making import ancestor, entry
from tests.servers import PostgresServer

CURE = "Move it away and begin anew with `bisyncer init PAIR --resync`"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A state with 2000 ancestors, one run with an action that failed, a conflict and a problem; closed."""
    path = tmp_path / "state.db"
    store = Store.open(f"sqlite:///{path}")
    pair = store.add_pair("cms", "file:///content", "s3://bucket/live", Mode.BISYNC)
    with Lease.take(store, pair) as lease:
        run = store.begin_run(pair, lease, dry_run=False, resync=False)
        keys = [f"folder/{number:05}" for number in range(2000)]
        store.actions.spool(
            run,
            (
                Action(key, Verdict.COPY_TO_PATH2, Delta.NEW, Delta.ABSENT, None, entry(key), None)
                for key in [*keys, "no/space"]
            ),
        )
        *planned, last = store.actions.planned(run)
        done = [Done(each, ancestor(each.action.key, sha256="ab" * 32, md5="cd" * 16)) for each in planned]
        kept = Kept(Side.PATH1, entry(keys[0]), entry(keys[0], 2), ancestor("kept", 2))
        store.commit(run, [done[0]._replace(kept=kept), *done[1:]], lease)
        store.commit(run, [Failed(last, Problem("closed/", "it can't be written"))], lease)
        store.end_run(run, RunOutcome.SUCCESS, {"pair": "cms"})
    store.close()
    return path


def read_all(path: Path) -> int:
    """Open a state and read all of it; return how many ancestors there are."""
    store = Store.open(f"sqlite:///{path}")
    try:
        for run in store.runs.newest():
            list(store.actions_of(run.id))
            list(store.actions.planned(run.id))
        store.conflicts.told(state=None)
        store.problems.told()
        return sum(1 for pair in store.pairs() for _ in store.ancestors.all(pair.id))
    finally:
        store.close()


@contextmanager
def as_nobody() -> Iterator[None]:
    """Give up the rights of root, for which nothing is read-only."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that any user may enter, unlike pytest's."""
    folder = Path(tempfile.mkdtemp(prefix="bisyncer-"))
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


# URLs


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("mysql://host/db", "begins with 'mysql'"),
        ("postgresql+asyncpg://host/db", "begins with 'postgresql+asyncpg'"),
        ("/var/lib/state.db", "begins with '/var/lib/state.db'"),
        ("", "begins with ''"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
    ],
)
def test_a_url_of_no_database_that_we_speak_is_refused(url: str, sentence: str) -> None:
    with pytest.raises(StateUnusable) as refused:
        Database.open(url)

    assert sentence in str(refused.value)
    assert "sqlite:///" in str(refused.value)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_postgresql_is_spelled_in_any_of_the_usual_ways(postgresql: PostgresServer, scheme: str) -> None:
    database = Database.open(postgresql.url("postgres").replace("postgresql", scheme, 1))
    database.close()

    assert database.postgresql


def test_a_missing_driver_is_told_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)

    with pytest.raises(StateUnusable, match=r"pip install 'bisyncer\[postgresql\]'"):
        Database.open("postgresql://host/db")


def test_a_password_is_never_told(tmp_path: Path) -> None:
    with pytest.raises(BisyncerError) as refused:
        Database.open(f"postgresql://me:secret@/db?host={tmp_path}")

    assert "secret" not in str(refused.value)
    assert "can't be reached" in str(refused.value)


def test_a_missing_database_of_a_server_is_told(postgresql: PostgresServer) -> None:
    with pytest.raises(BisyncerError, match='database "missing" does not exist'):
        Database.open(postgresql.url("missing"))


def test_a_postgresql_that_cannot_hold_every_key_is_refused(postgresql: PostgresServer) -> None:
    postgresql.run("CREATE DATABASE western ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")

    with pytest.raises(StateUnusable, match="encoded as LATIN1"):
        Database.open(postgresql.url("western"))


def test_a_postgresql_user_without_rights_is_told(postgresql: PostgresServer) -> None:
    postgresql.run("CREATE ROLE reader LOGIN")

    with pytest.raises(StateUnusable, match="the right to create and change tables"):
        Store.open(postgresql.url("postgres").replace("postgres@", "reader@"))


# Files


def test_the_folder_of_a_state_is_made(tmp_path: Path) -> None:
    Store.open(f"sqlite:///{tmp_path}/new/folder/state.db").close()

    assert (tmp_path / "new/folder/state.db").is_file()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(StateUnusable, match=r"The folder of the state database .* can't be made"):
        Store.open(f"sqlite:///{tmp_path}/file/state.db")


def test_a_folder_in_place_of_the_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(StateUnusable, match="is a folder"):
        Store.open(f"sqlite:///{tmp_path}")


@pytest.mark.parametrize("closed", ["file", "folder"])
def test_a_state_that_may_not_be_written_is_refused_before_anything_is_done(
    public: Path, closed: str
) -> None:
    path = public / "state.db"
    Store.open(f"sqlite:///{path}").close()
    path.chmod(0o666 if closed == "folder" else 0o444)
    public.chmod(0o777 if closed == "file" else 0o555)

    with as_nobody(), pytest.raises(StateUnusable, match="no permission to write"):
        Store.open(f"sqlite:///{path}")


@pytest.mark.parametrize(
    "content", [b"not a database, but a text of some length" * 100, b"SQLite format 3\0"]
)
def test_a_file_that_is_no_database_is_refused_with_the_cure(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(content)

    with pytest.raises(StateUnusable) as refused:
        Store.open(f"sqlite:///{path}")

    assert f"{path} is not a state database" in str(refused.value)
    assert CURE in str(refused.value)
    assert path.read_bytes() == content


@pytest.mark.parametrize("part", [0.2, 0.5, 0.9])
def test_a_cut_file_is_refused_with_the_cure(file: Path, part: float) -> None:
    whole = file.read_bytes()
    file.write_bytes(whole[: int(len(whole) * part)])

    with pytest.raises(StateUnusable) as refused:
        read_all(file)

    assert f"The state database {file} is damaged" in str(refused.value)
    assert CURE in str(refused.value)


def test_an_empty_file_is_a_state_without_pairs(file: Path) -> None:
    file.write_bytes(b"")

    assert read_all(file) == 0


def test_flipped_bytes_are_read_as_something_or_refused(file: Path) -> None:
    """Whatever is read is in order: `ancestors` sees to that. Anything else is a sentence, never a crash."""
    whole = file.read_bytes()
    dice = random.Random(13)
    refused = 0
    for _ in range(100):
        flipped = bytearray(whole)
        for _ in range(dice.choice([1, 5, 200])):
            flipped[dice.randrange(len(whole))] ^= 1 << dice.randrange(8)
        file.write_bytes(flipped)
        try:
            read_all(file)
        except StateUnusable:
            refused += 1

    assert 0 < refused < 100


def test_keys_out_of_order_are_refused(file: Path) -> None:
    whole = file.read_bytes()
    assert whole.count(b"folder/01000") >= 1
    file.write_bytes(whole.replace(b"folder/01000", b"folder/00000"))

    with pytest.raises(StateUnusable, match="its keys are out of order at 'folder/00000'"):
        read_all(file)


def test_text_that_is_not_utf8_is_refused(file: Path) -> None:
    file.write_bytes(file.read_bytes().replace(b"folder/01000", b"folder/\xff1000"))

    with pytest.raises(StateUnusable, match=r"damaged \(it holds text that isn't UTF-8\)"):
        read_all(file)


@pytest.mark.parametrize(
    ("table", "column"),
    [("pair", "mode"), ("run", "outcome"), ("run", "summary"), ("action", "verdict"), ("conflict", "winner")],
)
def test_a_row_that_cannot_be_understood_is_refused(file: Path, table: str, column: str) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(f"UPDATE {table} SET {column} = 'nonsense'")
        connection.commit()

    with pytest.raises(StateUnusable, match=r"damaged \(a row can't be understood"):
        read_all(file)


def test_a_digest_that_is_none_is_refused(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE ancestor SET sha256 = 5")
        connection.commit()

    with pytest.raises(StateUnusable, match="damaged"):
        read_all(file)


def test_a_table_that_is_gone_is_told_as_damage(store: Store) -> None:
    with store.database.write() as connection:
        connection.exec_driver_sql("DROP TABLE problem")

    with pytest.raises(StateUnusable, match="damaged"):
        store.problems.told()


def test_a_full_disk_is_told_and_nothing_is_half_written(file: Path) -> None:
    store = Store.open(f"sqlite:///{file}")
    (pair,) = store.pairs()
    with Lease.take(store, pair) as lease:
        run = store.begin_run(pair, lease, dry_run=False, resync=False)
    with store.database.engine.connect() as connection:  # the only connection, so it is the next one too
        connection.exec_driver_sql("PRAGMA max_page_count = 1")

    with pytest.raises(BisyncerError, match=r"can't grow .*: free some space and run again") as refused:
        store.actions.spool(
            run,
            (
                Action(f"{number}", Verdict.HOLD, Delta.NEW, Delta.NEW, None, None, None, "r" * 500)
                for number in range(5000)
            ),
        )
    store.close()

    assert refused.value.exit_code == 1, "running again may help"
    store = Store.open(f"sqlite:///{file}")
    assert list(store.actions.planned(run)) == []
    store.close()


def test_a_file_that_another_process_keeps_locked_is_told(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "_BUSY_TIMEOUT_S", 0.1)
    store = Store.open(f"sqlite:///{file}")
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")

        with pytest.raises(BisyncerError, match=r"Another process has kept the state database .* locked"):
            store.add_pair("b", "file:///b", "s3://b", Mode.BISYNC)
    store.close()


def test_a_new_file_that_another_process_writes_to_is_waited_for(tmp_path: Path) -> None:
    """SQLite refuses the write-ahead log at once then, and doesn't wait."""
    path = tmp_path / "state.db"
    statements: list[str] = []
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")

        def started(sql: str) -> None:
            statements.append(sql)
            if sql == "BEGIN IMMEDIATE":
                other.execute("ROLLBACK")  # the other process ends while we wait for it

        def traced(connection: sqlite3.Connection, _entry: object) -> None:
            connection.set_trace_callback(started)

        event.listen(Engine, "connect", traced)
        try:
            Database.open(f"sqlite:///{path}").close()
        finally:
            event.remove(Engine, "connect", traced)

    assert statements.count("PRAGMA journal_mode = WAL") == 2
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


# Transactions


def test_what_no_run_could_find_again_is_synced_at_once(file: Path) -> None:
    store = Store.open(f"sqlite:///{file}")
    synced = {}
    for durable in (True, False, True):
        with store.database.write(durable=durable) as connection:
            synced[durable] = connection.exec_driver_sql("PRAGMA synchronous").scalar_one()
    store.close()

    assert synced == {True: 2, False: 1}  # FULL, NORMAL


def test_foreign_keys_are_kept_and_the_log_is_written_ahead(file: Path) -> None:
    store = Store.open(f"sqlite:///{file}")
    with store.database.read() as connection:
        keys = connection.exec_driver_sql("PRAGMA foreign_keys").scalar_one()
        mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
    store.close()

    assert (keys, mode) == (1, "wal")


def test_a_pair_that_is_deleted_takes_all_its_rows_along(store: Store) -> None:
    pair = store.add_pair("cms", "file:///content", "s3://bucket/live", Mode.BISYNC)
    with Lease.take(store, pair) as lease:
        run = store.begin_run(pair, lease, dry_run=False, resync=False)
        store.actions.spool(run, [Action("a", Verdict.HOLD, Delta.NEW, Delta.NEW, None, None, None)])

    with store.database.write() as connection:
        connection.exec_driver_sql("DELETE FROM pair")

    with store.database.read() as connection:
        for table in ("run", "action", "lease"):
            assert connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one() == 0


def test_a_bug_of_ours_is_not_dressed_up_as_a_sentence(store: Store) -> None:
    from sqlalchemy.exc import DBAPIError

    with pytest.raises(DBAPIError), store.database.write() as connection:
        connection.exec_driver_sql("SELECT nonsense, FROM")


def test_a_million_keys_stay_small(tmp_path: Path, opened: Callable[..., Store]) -> None:
    """Measured at a twentieth: keys of 45 letters, a stamp of a file, an ETag, and an MD5."""
    path = tmp_path / "state.db"
    store = opened(f"sqlite:///{path}")
    pair = store.add_pair("cms", "file:///content", "s3://bucket/live", Mode.BISYNC)
    with store.database.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO ancestor (pair_id, key, path1_size, path1_mtime_ns, path1_stamp, path2_size, "
            "path2_mtime_ns, path2_stamp, md5) "
            "WITH RECURSIVE n (i) AS (SELECT 100000 UNION ALL SELECT i + 1 FROM n WHERE i < 149999) "
            "SELECT ?, 'content/site/' || i || '/pages/some-article/index.html', 10000 + i, "
            "1700000000000000000 + i, i || ':1700000000000000000', 10000 + i, 1700000000000000000 + i, "
            "lower(hex(randomblob(16))), randomblob(16) FROM n",
            (pair.id,),
        )
    store.close()

    assert path.stat().st_size * 20 < 230_000_000


def test_another_programs_sqlite_file_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    before = path.read_bytes()

    with pytest.raises(StateUnusable, match="another program"):
        Store.open(f"sqlite:///{path}")

    with closing(sqlite3.connect(path)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master").fetchall()
    assert tables == [("theirs",)]
    assert len(before) == path.stat().st_size


def test_all_that_a_snapshot_reads_is_of_one_instant(store: Store) -> None:
    pairs = "SELECT count(*) FROM pair"
    with store.database.snapshot() as seen:
        before = seen.exec_driver_sql(pairs).scalar_one()
        store.add_pair("later", "/one", "/two", Mode.BISYNC)

        assert seen.exec_driver_sql(pairs).scalar_one() == before
    with store.database.read() as now:
        assert now.exec_driver_sql(pairs).scalar_one() == before + 1
