"""The whole state in one file, and back."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Table, select, update

from bisyncer.errors import Leased, LeaseLost, SchemaAhead, UsageError
from bisyncer.model import Conditions, Mode, Problem, Side
from bisyncer.state import schema
from bisyncer.state.backup import back_up, restore
from bisyncer.state.lease import Lease
from bisyncer.state.records import Pair
from bisyncer.state.store import Store
from tests.making import ancestor
from tests.state.test_store import action, begin, conflict, plan, record

Opened = Callable[..., Store]


@pytest.fixture
def full(store: Store, pair: Pair) -> Store:
    """A state with rows in every table."""
    store.record_conditions(pair, (Conditions(), Conditions(delete=False)))
    with Lease.take(store, pair) as lease:
        store.begin_alignment(pair, lease, Mode.BISYNC)
        record(store, pair, lease, ancestor("a\nb", 7, sha256="ab" * 32), ancestor("é", 8, md5="cd" * 16))
        conflict(store, pair, lease, "x", "x.conflict1")
        run = begin(store, pair)
        plan(store, run, action("planned"))
        store.hold(run, [Problem("locked", "no leave")])
        store.uploads.begin(pair.id, Side.PATH2, "big", "upload-1")
    store.add_pair("other", "file:///o", "s3://bucket/o", Mode.BISYNC)
    return store


def everything(store: Store, *but: str) -> Mapping[str, Sequence[Any]]:
    """All rows of all tables but some."""

    def rows(table: Table) -> list[tuple[Any, ...]]:
        with store.database.read() as connection:
            return [tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key))]

    return {table.name: rows(table) for table in schema.metadata.sorted_tables if table.name not in but}


def test_a_backup_comes_back_as_it_was_and_its_pairs_wait_for_a_resync(
    full: Store, opened: Opened, tmp_path: Path
) -> None:
    before = everything(full, "lease", "pair")
    pairs = full.pairs()
    back_up(full, tmp_path / "backup.db")
    with Lease.take(full, pairs[0]) as lease:
        record(full, pairs[0], lease, ancestor("later"))

    done = restore(full, tmp_path / "backup.db", replaced=tmp_path / "replaced.db")

    assert everything(full, "lease", "pair") == before
    assert full.pairs() == [pair._replace(aligned_ns=None) for pair in pairs]
    assert done.pairs == ("cms", "other")
    replaced = opened(f"sqlite:///{done.replaced}")
    assert [each.key for each in replaced.ancestors.all(pairs[0].id)] == [
        "a\nb",
        "later",
        "x",
        "x.conflict1",
        "é",
    ]


def test_with_its_ancestors_kept_a_pair_is_aligned_as_it_was(full: Store, tmp_path: Path) -> None:
    pairs = full.pairs()
    back_up(full, tmp_path / "backup.db")
    restore(full, tmp_path / "backup.db", replaced=tmp_path / "replaced.db", keep_ancestors=True)
    assert full.pairs() == pairs
    assert pairs[0].aligned_ns is not None


def test_a_backup_of_either_database_goes_into_either(
    full: Store, opened: Opened, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    before = everything(full, "lease")
    back_up(full, tmp_path / "backup.db")
    for url in (f"sqlite:///{tmp_path}/second.db", request.getfixturevalue("postgresql").create()):
        target = opened(url)
        restore(target, tmp_path / "backup.db", replaced=tmp_path / "old.db", keep_ancestors=True)
        (tmp_path / "old.db").unlink()
        assert everything(target, "lease") == before


def test_a_backup_is_one_file_that_may_be_copied_alone(full: Store, opened: Opened, tmp_path: Path) -> None:
    back_up(full, tmp_path / "backup.db")
    assert [path.name for path in tmp_path.glob("backup.db*")] == ["backup.db"]
    shutil.copy(tmp_path / "backup.db", tmp_path / "copy.db")
    assert [pair.name for pair in opened(f"sqlite:///{tmp_path}/copy.db").pairs()] == ["cms", "other"]


def test_numbers_of_runs_and_conflicts_are_not_used_again_after_a_restore(
    full: Store, pair: Pair, tmp_path: Path
) -> None:
    back_up(full, tmp_path / "backup.db")
    with Lease.take(full, pair):
        last = begin(full, pair)

    restore(full, tmp_path / "backup.db", replaced=tmp_path / "replaced.db")

    assert begin(full, pair) > last
    assert full.add_pair("new", "file:///n", "s3://n/n", Mode.BISYNC).id > 2


def test_numbers_that_are_gone_in_the_backup_are_not_used_again_elsewhere(
    full: Store, pair: Pair, opened: Opened, tmp_path: Path
) -> None:
    other = full.pairs()[1]
    with Lease.take(full, other) as lease:
        full.forget_pair(other, lease)
    back_up(full, tmp_path / "backup.db")
    target = opened(f"sqlite:///{tmp_path}/second.db")
    restore(target, tmp_path / "backup.db", replaced=tmp_path / "replaced.db")
    assert target.add_pair("new", "file:///n", "s3://n/n", Mode.BISYNC).id > other.id


def test_a_run_that_was_paused_over_a_restore_writes_nothing(full: Store, pair: Pair, tmp_path: Path) -> None:
    back_up(full, tmp_path / "backup.db")
    run = begin(full, pair)
    paused = Lease.take(full, pair)
    with full.database.write() as connection:
        connection.execute(update(schema.lease).values(expires_ns=0))
    restore(full, tmp_path / "backup.db", replaced=tmp_path / "replaced.db")

    with Lease.take(full, pair), pytest.raises(LeaseLost):
        full.forget_pair(pair, paused)
    assert run
    paused.release()


def test_a_pair_that_is_held_is_not_restored_over(full: Store, pair: Pair, tmp_path: Path) -> None:
    back_up(full, tmp_path / "backup.db")
    before = everything(full, "lease")
    with Lease.take(full, pair), pytest.raises(Leased):
        restore(full, tmp_path / "backup.db", replaced=tmp_path / "replaced.db")
    assert everything(full, "lease") == before
    assert not (tmp_path / "replaced.db").exists()


def test_a_backup_replaces_no_file_and_leaves_none_half_written(full: Store, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(UsageError, match="is there already"):
        back_up(full, tmp_path / "mine")
    with pytest.raises(UsageError, match="can't be written"):
        back_up(full, tmp_path / "none" / "backup.db")
    assert (tmp_path / "mine").read_text() == "mine"


def broken_backups(tmp_path: Path, whole: Path) -> Mapping[str, tuple[Path, str]]:
    """Files that are no whole backup, by what is wrong with them, and what is said of each."""

    def made(name: str) -> Path:
        return Path(shutil.copy(whole, tmp_path / name))

    cut = made("cut")
    cut.write_bytes(cut.read_bytes()[: 4096 * 8])
    text = made("text")
    text.write_text("a letter to a friend " * 500)
    empty = made("empty")
    empty.write_bytes(b"")
    foreign = tmp_path / "foreign"
    with closing(sqlite3.connect(foreign)) as connection, connection:
        connection.execute("CREATE TABLE song (id INTEGER)")
    newer, flipped = made("newer"), made("flipped")
    with closing(sqlite3.connect(newer)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with closing(sqlite3.connect(flipped)) as connection, connection:
        connection.execute("UPDATE ancestor SET path2_size = 99 WHERE md5 IS NOT NULL")
    return {
        "cut": (cut, "malformed|can't be"),
        "text": (text, "not a database"),
        "empty": (empty, "no state of bisyncer"),
        "foreign": (foreign, "no state of bisyncer"),
        "newer": (newer, "newer bisyncer"),
        "flipped": (flipped, "has the sizes 8 and 99"),
    }


@pytest.mark.parametrize("what", ["cut", "text", "empty", "foreign", "newer", "flipped"])
def test_a_file_that_is_no_whole_backup_is_refused_and_nothing_is_touched(
    full: Store, tmp_path: Path, what: str
) -> None:
    back_up(full, tmp_path / "whole")
    before = everything(full)
    file, told = broken_backups(tmp_path, tmp_path / "whole")[what]
    held = file.read_bytes()

    with pytest.raises(UsageError, match=told) as refused:
        restore(full, file, replaced=tmp_path / "replaced.db")

    assert str(file) in str(refused.value)
    assert "bisyncer-restore-" not in str(refused.value)
    assert not isinstance(refused.value, SchemaAhead)
    assert everything(full) == before
    assert file.read_bytes() == held
    assert not (tmp_path / "replaced.db").exists()


def test_a_pair_that_is_forgotten_leaves_nothing_and_others_everything(full: Store, pair: Pair) -> None:
    other = full.pairs()[1]
    with Lease.take(full, other) as lease:
        record(full, other, lease, ancestor("k"))
    with Lease.take(full, pair) as lease:
        full.forget_pair(pair, lease)

    left = everything(full)
    assert [row[1] for row in left["pair"]] == ["other"]
    assert {row[0] for row in left["ancestor"]} == {other.id}
    assert {row[1] for row in left["run"]} == {other.id}
    assert [left[name] for name in ("conflict", "problem", "upload")] == [[], [], []]
    assert full.runs.last_good(other.id) is not None
    assert full.runs.last_good(pair.id) is None


def test_a_pair_is_not_forgotten_without_its_lease(full: Store, pair: Pair) -> None:
    lease = Lease.take(full, pair)
    lease.release()
    with pytest.raises(LeaseLost):
        full.forget_pair(pair, lease)
    assert full.pair("cms") is not None
