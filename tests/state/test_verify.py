"""Is all of a state what was written."""

from __future__ import annotations

from pathlib import Path

import pytest

from bisyncer.state.lease import Lease
from bisyncer.state.records import Pair
from bisyncer.state.store import Store
from bisyncer.state.verify import verify
from tests.making import ancestor
from tests.state.test_store import action, begin, conflict, plan, record


@pytest.fixture
def full(store: Store, pair: Pair) -> Store:
    with Lease.take(store, pair) as lease:
        record(store, pair, lease, *(ancestor(f"k{number}", 7, sha256="ab" * 32) for number in range(3)))
        conflict(store, pair, lease, "x", "x.conflict1")
        run = begin(store, pair)
        plan(store, run, action("planned"))
    return store


def test_a_state_that_is_whole_is_ok_and_its_rows_are_counted(full: Store) -> None:
    found = verify(full)
    assert found.broken == ()
    assert (found.rows["pair"], found.rows["ancestor"], found.rows["conflict"]) == (1, 5, 1)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("UPDATE ancestor SET path2_size = 8 WHERE \"key\" = 'k1'", "the ancestor of 'k1' in pair cms has"),
        ("UPDATE ancestor SET sha256 = md5, md5 = sha256 WHERE \"key\" = 'k1'", "has a md5 of 64 hex digits"),
        ("UPDATE action SET verdict = 'perhaps'", "a row can't be understood"),
        ("UPDATE action SET delta1 = 'perhaps' WHERE state = 'planned'", "a row can't be understood"),
        ("UPDATE run SET outcome = 'perhaps' WHERE outcome IS NOT NULL", "a row can't be understood"),
        ("UPDATE run SET summary = '{' WHERE outcome IS NOT NULL", "a row can't be understood"),
        ("UPDATE conflict SET winner = 'nobody'", "a row can't be understood"),
        ("UPDATE pair SET owner = 'somebody'", "the owner of pair cms is 'somebody'"),
        ("UPDATE pair SET mode = 'perhaps'", "a row can't be understood"),
    ],
)
def test_what_no_bisyncer_wrote_is_broken(full: Store, damage: str, told: str) -> None:
    with full.database.write() as connection:
        connection.exec_driver_sql(damage)
    broken = verify(full).broken
    assert broken
    assert any(told in each for each in broken), broken


def test_rows_without_their_parent_are_broken(full: Store) -> None:
    if full.database.postgresql:
        constraint = "ALTER TABLE ancestor DROP CONSTRAINT fk_ancestor_pair_id_pair"
        with full.database.write() as connection:
            connection.exec_driver_sql(constraint)
    else:
        with full.database.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
            connection.exec_driver_sql("UPDATE ancestor SET pair_id = 77")
            connection.exec_driver_sql("PRAGMA foreign_keys = ON")
    with full.database.write() as connection:
        connection.exec_driver_sql("UPDATE ancestor SET pair_id = 77 WHERE pair_id <> 77")
    assert verify(full).broken == ("5 rows of table ancestor belong to no pair",)


def test_a_page_that_was_overwritten_is_broken(full: Store, pair: Pair, tmp_path: Path) -> None:
    if full.database.postgresql:
        return  # its pages are its own affair
    with Lease.take(full, pair) as lease:
        record(full, pair, lease, *(ancestor(f"many{number:05}") for number in range(3000)))
    full.database.close()
    file = tmp_path / "state.db"
    data = bytearray(file.read_bytes())
    middle = data.find(b"many01500") // 4096 * 4096
    data[middle : middle + 4096] = b"\x55" * 4096
    file.write_bytes(data)

    again = Store.open(f"sqlite:///{file}")
    try:
        broken = verify(again).broken
    finally:
        again.close()
    assert any("its file" in each or "malformed" in each for each in broken), broken
