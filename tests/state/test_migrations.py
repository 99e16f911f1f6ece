from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import count
from pathlib import Path
from threading import Barrier

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import event, inspect

import bisyncer
from bisyncer.errors import SchemaAhead, StateUnusable
from bisyncer.model import Action, Ancestor, Delta, Done, Failed, Mode, Problem, Verdict
from bisyncer.state import migrate, schema
from bisyncer.state.database import Database
from bisyncer.state.lease import Lease
from bisyncer.state.migrate import Upgraded
from bisyncer.state.records import ActionState
from bisyncer.state.store import Store
from tests.making import entry
from tests.servers import PostgresServer

ROOT = Path(bisyncer.__file__).parents[1]

HEAD = schema.REVISION  # before a test makes this bisyncer a newer one

NEXT = '''
"""One more column, and a table rebuilt."""

import sqlalchemy as sa
from alembic import op

revision = "0999"
down_revision = "{head}"


def upgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    with op.batch_alter_table("pair", recreate="always" if sqlite else "never") as batch:
        batch.add_column(sa.Column("more", sa.Text()))


def downgrade() -> None:
    op.drop_column("pair", "more")
'''


UPGRADE = """
import sys
from bisyncer.state import migrate
print(migrate.folder())
migrate.upgrade(sys.argv[1])
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/state.db"
    server: PostgresServer = request.getfixturevalue("postgresql")
    return server.create()


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    made = Database.open(url)
    yield made
    made.close()


@pytest.fixture
def newer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Makes this bisyncer one that has a migration more."""

    def install() -> None:
        folder = tmp_path / "migrations"
        shutil.copytree(ROOT / "migrations", folder, ignore=shutil.ignore_patterns("__pycache__"))
        (folder / "versions" / "0999_one_more.py").write_text(NEXT.replace("{head}", schema.REVISION))
        monkeypatch.setattr(migrate, "folder", lambda: folder)
        monkeypatch.setattr(schema, "REVISION", "0999")

    return install


def alembic(database: Database, to: Callable[[Config, str], None], revision: str) -> None:
    """Run a command of Alembic on the database."""
    config = Config()
    config.set_main_option("script_location", str(ROOT / "migrations"))
    with database.alter() as connection:
        config.attributes["connection"] = connection
        to(config, revision)


def described(database: Database) -> object:
    """Every table with its columns, keys and indexes, as the database tells them."""
    with database.read() as connection:
        told = inspect(connection)
        return {
            table: (
                [{**column, "type": str(column["type"])} for column in told.get_columns(table)],
                told.get_pk_constraint(table),
                told.get_foreign_keys(table),
                told.get_unique_constraints(table),
                sorted(told.get_indexes(table), key=repr),
            )
            for table in sorted(told.get_table_names())
        }


def test_an_empty_database_upgraded_equals_the_tables(database: Database) -> None:
    done = migrate.bring_to_head(database)

    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        differences = compare_metadata(context, schema.metadata)
    assert done == Upgraded(None, schema.REVISION, None)
    assert differences == []


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_an_upgraded_sqlite_is_what_the_tables_would_create(database: Database, tmp_path: Path) -> None:
    """Also in what Alembic doesn't compare: WITHOUT ROWID, AUTOINCREMENT, the names of constraints."""
    created = Database.open(f"sqlite:///{tmp_path}/created.db")
    with created.alter() as connection:
        schema.metadata.create_all(connection)
    migrate.bring_to_head(database)
    statements = []
    for each in (created, database):
        with each.read() as connection:
            rows = connection.exec_driver_sql(
                "SELECT name, sql FROM sqlite_master WHERE name NOT LIKE '%alembic%' ORDER BY name"
            )
            statements.append({row.name: sorted((row.sql or "").split("\n")) for row in rows})
    created.close()

    def words(told: dict[str, list[str]]) -> dict[str, list[str]]:
        # A table that was rebuilt has its name in quotes.
        return {
            name: sorted(
                re.sub(r'^CREATE TABLE "(\w+)"', r"CREATE TABLE \1", line).strip(" ,\t") for line in lines
            )
            for name, lines in told.items()
        }

    assert words(statements[0]) == words(statements[1])


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_on_postgresql_every_key_sorts_by_bytes(database: Database) -> None:
    migrate.bring_to_head(database)

    with database.read() as connection:
        collations = connection.exec_driver_sql(
            "SELECT table_name, column_name, collation_name FROM information_schema.columns "
            "WHERE table_schema = current_schema() AND column_name IN ('key', 'kept_as') ORDER BY 1, 2"
        ).all()

    assert [tuple(row) for row in collations] == [
        ("action", "key", "C"),
        ("agreed", "key", "C"),
        ("ancestor", "key", "C"),
        ("conflict", "kept_as", "C"),
        ("conflict", "key", "C"),
        ("problem", "key", "C"),
        ("seal", "key", "C"),
        ("upload", "key", "C"),
    ]


def test_every_downgrade_then_upgrade_is_the_identity(database: Database) -> None:
    migrate.bring_to_head(database)
    scripts = ScriptDirectory(str(ROOT / "migrations"))
    for revision in scripts.walk_revisions():  # from head down to the first
        alembic(database, command.upgrade, revision.revision)
        before = described(database)
        alembic(database, command.downgrade, "-1")
        below = described(database)
        alembic(database, command.upgrade, "+1")

        assert described(database) == before != below
        alembic(database, command.downgrade, "-1")


def test_the_revision_that_the_tables_name_is_the_last_migration() -> None:
    assert ScriptDirectory(str(ROOT / "migrations")).get_heads() == [schema.REVISION]


def test_an_upgrade_at_head_does_nothing(url: str) -> None:
    first = migrate.upgrade(url)
    second = migrate.upgrade(url)

    assert first == Upgraded(None, schema.REVISION, None)
    assert second == Upgraded(schema.REVISION, schema.REVISION, None)


def test_opening_at_head_does_not_import_alembic(url: str) -> None:
    migrate.upgrade(url)
    program = (
        "import sys; from bisyncer.state.store import Store; Store.open(sys.argv[1]).close(); "
        "sys.exit('alembic' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", program, url], cwd=ROOT, check=False).returncode == 0


def test_an_upgrade_prints_nothing(url: str) -> None:
    program = "import sys; from bisyncer.state.migrate import upgrade; upgrade(sys.argv[1])"

    told = subprocess.run(
        [sys.executable, "-c", program, url], cwd=ROOT, check=True, capture_output=True, text=True
    )

    assert (told.stdout, told.stderr) == ("", "")


def test_many_processes_may_upgrade_at_once(url: str) -> None:
    together = Barrier(6)

    def upgrade(_: int) -> Upgraded:
        together.wait()
        return migrate.upgrade(url)

    with ThreadPoolExecutor(6) as pool:
        done = list(pool.map(upgrade, range(6)))

    assert sorted(each.before or "" for each in done) == ["", *[schema.REVISION] * 5]


def test_a_state_that_is_behind_is_brought_up_with_its_rows(
    url: str, opened: Callable[..., Store], newer: Callable[[], None]
) -> None:
    before = opened(url)
    pair = before.add_pair("cms", "file:///content", "s3://bucket/live", Mode.BISYNC)
    with Lease.take(before, pair) as lease:
        run = before.begin_run(pair, lease, dry_run=False, resync=False)
    newer()

    done = migrate.upgrade(url)  # while another process has it open

    after = opened(url)
    assert (done.before, done.after) == (HEAD, "0999")
    assert after.pair("cms") == pair
    assert [each.id for each in after.runs.newest()] == [run]  # rebuilding `pair` deleted nothing of it
    with after.database.read() as connection:
        assert "more" in {column["name"] for column in inspect(connection).get_columns("pair")}


def test_a_sqlite_file_is_copied_before_it_is_upgraded(
    tmp_path: Path, opened: Callable[..., Store], newer: Callable[[], None]
) -> None:
    path = tmp_path / "state.db"
    opened(f"sqlite:///{path}").add_pair("cms", "file:///content", "s3://bucket/live", Mode.BISYNC)
    newer()

    done = migrate.upgrade(f"sqlite:///{path}")

    backup = tmp_path / f"state.db.backup-{HEAD}"
    assert done.backup == backup
    with closing(sqlite3.connect(backup)) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(HEAD,)]
        assert connection.execute("SELECT name FROM pair").fetchall() == [("cms",)]
    assert not list(tmp_path.glob("*.unfinished"))


def test_an_upgrade_that_fails_leaves_all_as_it_was(database: Database, newer: Callable[[], None]) -> None:
    migrate.bring_to_head(database)
    before = described(database)
    newer()
    with (migrate.folder() / "versions" / "0999_one_more.py").open("a") as script:
        script.write(
            "\n\nwork = upgrade\n\n\ndef upgrade() -> None:\n    work()\n    raise ZeroDivisionError\n"
        )

    with pytest.raises(ZeroDivisionError):
        migrate.bring_to_head(database)

    assert described(database) == before


def test_a_schema_of_a_newer_bisyncer_is_refused_and_left_alone(
    database: Database, url: str, tmp_path: Path
) -> None:
    migrate.bring_to_head(database)
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0999'")
    before = described(database)

    with pytest.raises(SchemaAhead, match=rf"newer bisyncer \(schema 0999, this one knows {HEAD}\): upgrade"):
        Store.open(url)

    assert described(database) == before
    assert not list(tmp_path.glob("*.backup-*"))


def test_tables_of_another_program_are_left_alone(database: Database, url: str) -> None:
    with database.write() as connection:
        connection.exec_driver_sql("CREATE TABLE run (speed INTEGER)")

    with pytest.raises(StateUnusable, match=r"tables of another program \(run\)"):
        Store.open(url)

    with database.read() as connection:
        assert inspect(connection).get_table_names() == ["run"]


def test_the_wheel_contains_the_migrations_and_finds_them(tmp_path: Path) -> None:
    """Built from a copy, used from where it is unpacked: nothing of the checkout is in reach."""
    source = tmp_path / "source"
    skipped = shutil.ignore_patterns("__pycache__")
    for name in ("bisyncer", "migrations"):
        shutil.copytree(ROOT / name, source / name, ignore=skipped)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=source,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    scripts = sorted(path.name for path in (ROOT / "migrations" / "versions").glob("*.py"))

    told = subprocess.run(
        [sys.executable, "-c", UPGRADE, f"sqlite:///{tmp_path}/state.db"],
        cwd=tmp_path / "installed",
        check=True,
        capture_output=True,
        text=True,
    )

    folder = tmp_path / "installed" / "bisyncer" / "_migrations"
    assert told.stdout.strip() == str(folder)
    assert sorted(path.name for path in (folder / "versions").glob("*.py")) == scripts
    assert (folder / "script.py.mako").is_file()


def test_a_table_that_is_rebuilt_uses_no_number_of_a_run_again(tmp_path: Path) -> None:
    database = Database.open(f"sqlite:///{tmp_path}/state.db")
    alembic(database, command.upgrade, "0002")
    with database.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO pair (name, owner, path1, path2, mode) VALUES ('p', '00000000', 'a', 'b', 'bisync')"
        )
        connection.exec_driver_sql(
            "INSERT INTO run (id, pair_id, started_ns, dry_run, resync) VALUES (41, 1, 0, 0, 0)"
        )
        connection.exec_driver_sql("DELETE FROM run")
    migrate.bring_to_head(database)
    with database.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO run (pair_id, started_ns, dry_run, resync) VALUES (1, 0, 0, 0)"
        )
        assert connection.exec_driver_sql("SELECT id FROM run").scalar_one() == 42
    database.close()


def test_conflicts_that_wait_outlast_every_revision_and_no_number_is_used_again(tmp_path: Path) -> None:
    database = Database.open(f"sqlite:///{tmp_path}/state.db")
    migrate.bring_to_head(database)
    conflict = (
        "INSERT INTO conflict (pair_id, run_id, key, kept_as, winner, detected_ns, path1_size, path1_stamp, "
        "path2_size, path2_stamp, state) VALUES (1, 1, 'k', ?, 'path1', 0, 1, 's', ?, ?, ?)"
    )
    with database.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO pair (name, owner, path1, path2, mode) VALUES ('p', '00000000', 'a', 'b', 'bisync')"
        )
        connection.exec_driver_sql(conflict, ("k.conflict1", 1, "s", "open"))
        connection.exec_driver_sql(conflict, (None, None, None, "survived"))

    alembic(database, command.downgrade, "0003")
    with database.write() as connection:
        assert connection.exec_driver_sql("SELECT id, state FROM conflict").all() == [(1, "open")]
        connection.exec_driver_sql(conflict, ("k.conflict2", 1, "s", "open"))
    migrate.bring_to_head(database)

    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT id FROM conflict").scalars().all() == [1, 3]
    database.close()


def test_history_from_before_it_was_packed_is_told_and_what_is_written_short_outlasts_a_downgrade(
    database: Database, url: str
) -> None:
    alembic(database, command.upgrade, "0006")
    md5 = "ab" * 16
    with database.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO pair (name, owner, path1, path2, mode, aligned_ns) "
            "VALUES ('p', '00000000', 'a', 'b', 'bisync', 1)"
        )
        connection.exec_driver_sql(
            "INSERT INTO run (pair_id, started_ns, dry_run, resync, outcome) "
            "VALUES (1, 0, false, false, 'success')"
        )
        connection.exec_driver_sql(
            "INSERT INTO action (run_id, seq, key, verdict, delta1, delta2, state, finished_ns, path1_size, "
            "path1_stamp) VALUES (1, 1, 'k', 'copy-to-path2', 'new', 'absent', 'done', 7, 5, 's')"
        )
    migrate.bring_to_head(database)
    store = Store.open(url)
    (pair,) = store.pairs()
    held = Ancestor("n", entry("n", 5), entry("n", 5, md5, md5=md5))
    listed = entry("n", 5, md5, etag_md5=md5)
    with Lease.take(store, pair) as lease:
        run = store.begin_run(pair, lease, dry_run=False, resync=False)
        action = Action("n", Verdict.COPY_TO_PATH1, Delta.ABSENT, Delta.NEW, None, None, listed)
        store.actions.spool(run, [action, action._replace(key="failed")])
        copied, failed = store.actions.planned(run)
        store.commit(run, [Done(copied, held), Failed(failed, Problem("failed", "why"))], lease)

    (old,), (new, _) = store.actions_of(1), store.actions_of(run)
    store.close()

    assert (old.key, old.state, old.finished_ns) == ("k", ActionState.DONE, 7)
    assert old.path1 == entry("k", 5, "s", mtime_ns=None)
    assert (new.key, new.state) == ("n", ActionState.DONE)
    alembic(database, command.downgrade, "0006")
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT path2_stamp FROM ancestor").scalars().all() == [md5]
        digests = connection.exec_driver_sql("SELECT path2_digests FROM action WHERE run_id = 2").scalars()
        assert digests.all() == [f"etag-md5:{md5}"]


CHANGES = ("CREATE", "ALTER", "DROP", "INSERT", "UPDATE", "DELETE")


def killed(url: str, number: int) -> bool:
    """Upgrade in a process that is killed right after its n-th change; whether it came that far."""
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            database = Database.open(url)
            counted = count(1)

            def die(_connection: object, _cursor: object, sql: str, *_: object) -> None:
                if sql.split(maxsplit=1)[0] in CHANGES and next(counted) == number:
                    os.kill(os.getpid(), signal.SIGKILL)

            event.listen(database.engine, "after_cursor_execute", die)
            migrate.bring_to_head(database)
            os._exit(0)
        os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or status == 0
    return os.WIFSIGNALED(status)


def test_an_upgrade_that_is_killed_after_any_change_has_changed_nothing(url: str) -> None:
    database = Database.open(url)
    alembic(database, command.upgrade, "0001")
    with database.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO pair (name, owner, path1, path2, mode) VALUES ('p', '00000000', 'a', 'b', 'bisync')"
        )
    before = described(database)
    database.close()  # no connection of ours is shared with a child

    number = 1
    while killed(url, number):
        database = Database.open(url)
        assert described(database) == before
        database.close()
        number += 1

    database = Database.open(url)
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT name FROM pair").scalars().all() == ["p"]
    assert migrate.bring_to_head(database) == Upgraded(HEAD, HEAD, None)
    assert number > 6  # it was killed in the middle, and not beside it
    database.close()
