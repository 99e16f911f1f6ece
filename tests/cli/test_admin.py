from __future__ import annotations

import csv
import fcntl
import hashlib
import io
import json
import os
import sqlite3
import termios
from contextlib import closing

import pytest

from bisyncer.state.lease import Lease
from tests.desk import Desk, held, put


def test_a_state_is_made_and_then_is_at_the_newest_schema(desk: Desk) -> None:
    desk.configure()
    first = desk("state", "upgrade")
    assert (first.code, first.err) == (0, "")
    assert first.out.startswith(f"sqlite:///{desk.state} went from nothing to schema ")
    assert desk("state", "upgrade").out.startswith(f"sqlite:///{desk.state} is at the newest schema, ")
    assert desk("state", "upgrade", "--quiet") == (0, "", "")


def test_the_folder_of_the_default_state_is_made(desk: Desk) -> None:
    assert desk("state", "upgrade").code == 0
    assert (desk.folder.parent / "home/.local/state/bisyncer/state.db").exists()


def test_a_password_is_not_printed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BISYNCER_STATE", "postgresql+psycopg://me:hush@127.0.0.1:1/none")
    answer = desk("state", "upgrade")
    assert answer.code != 0
    assert answer.err.startswith("bisyncer: ") and answer.err.count("\n") == 1
    assert "hush" not in answer.err + answer.out


def test_an_upgrade_is_told_as_json(desk: Desk) -> None:
    desk.configure()
    row = desk("state", "upgrade", "--json").json
    assert list(row) == ["state", "before", "after", "backup"]
    assert row["state"] == f"sqlite:///{desk.state}"
    assert desk("state", "upgrade", "--json").json["before"] == row["after"]


def test_a_whole_state_is_ok_and_a_damaged_one_is_2_with_the_cure(desk: Desk) -> None:
    desk.align(files=2)
    answer = desk("state", "verify")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith(f"sqlite:///{desk.state} is ok; rows: pair 1, ")
    assert ", ancestor 2, " in answer.out
    assert desk("state", "verify", "--quiet") == (0, "", "")

    with closing(sqlite3.connect(desk.state)) as connection, connection:
        connection.execute("UPDATE ancestor SET path1_size = 1 WHERE key = 'f000'")
    answer = desk("state", "verify")
    assert answer.code == 2
    assert answer.lines[0] == "broken: the ancestor of 'f000' in pair cms has the sizes 1 and 6"
    assert "init PAIR --resync" in answer.lines[1]
    row = desk("state", "verify", "--json").json
    assert (row["ok"], len(row["broken"])) == (False, 1)


def test_a_backup_is_restored_and_the_pair_waits_for_a_resync(desk: Desk) -> None:
    desk.align(files=2)
    desk.clash()
    backup = desk.folder / "backup.db"
    assert desk("state", "backup", backup).out == f"sqlite:///{desk.state} was copied to {backup}: 1 pair.\n"
    put(desk.one, {"f000": "edited"})
    assert desk("run").code == 0
    (desk.two / "f000").unlink()

    answer = desk("state", "restore", backup, "--yes")

    assert answer.code == 0
    assert answer.lines[0] == f"{backup} is the state now: cms."
    [replaced] = desk.folder.glob("state.db.replaced-*")
    assert answer.lines[1] == f"What was there before is in {replaced}."
    assert desk("run").code == 7
    assert len(desk("conflicts", "list", "--json").json) == 1
    assert desk("init", "cms", "--resync", "--quiet").code == 0
    assert held(desk.two)["f000"] == "edited", "an old state deletes nothing"


def test_a_restore_may_go_on_from_the_backup_where_nothing_ran_since(desk: Desk) -> None:
    desk.align(files=2)
    desk("state", "backup", desk.folder / "backup.db")
    row = desk("state", "restore", "backup.db", "--keep-ancestors", "--yes", "--json").json
    assert (row["backup"], row["pairs"], row["aligned"]) == ("backup.db", ["cms"], True)
    assert desk("run").lines[-1].endswith("nothing to do; 2 unchanged")


def test_a_restore_asks_and_refuses_what_is_no_backup(desk: Desk) -> None:
    desk.align(files=1)
    put(desk.folder, {"letter": "to a friend"})
    for arguments, told in (
        (("letter",), "say --yes"),
        (("none", "--yes"), "There is no backup none that can be read. Name a file"),
        (("letter", "--yes"), "not a database"),
    ):
        answer = desk("state", "restore", *arguments)
        assert (answer.code, answer.out) == (2, "")
        assert told in answer.err
        assert answer.err.count("\n") == 1
    assert desk("run").lines[-1].endswith("nothing to do; 1 unchanged")


def test_a_backup_names_a_new_file(desk: Desk) -> None:
    desk.align()
    answer = desk("state", "backup", desk.config)
    assert (answer.code, answer.out) == (2, "")
    assert "is there already" in answer.err


def test_a_pair_is_forgotten_on_request_and_its_sides_stay(desk: Desk) -> None:
    desk.align({"cms": "", "media": ""}, files=2)
    refused = desk("state", "forget", "cms")
    assert refused.code == 2
    assert "Forget pair cms (2 keys, 0 conflicts open)?" in refused.err
    assert "say --yes" in refused.err

    answer = desk("state", "forget", "cms", "--yes")

    assert answer == (0, "cms is forgotten. It is still in bisyncer.toml.\n", "")
    assert desk("run", "cms").code == 7
    assert desk("run", "media").code == 0
    assert len(held(desk.one)) == 2
    assert desk("state", "backup", "left.db", "--json").json["pairs"] == ["media"]
    answer = desk("state", "forget", "cms", "--yes", "--json")
    assert (answer.code, answer.out) == (2, "")
    assert "has no pair 'cms' (there: media)" in answer.err


@pytest.mark.parametrize("typed", [b"\x03", b"\x04"], ids=["Ctrl-C", "Ctrl-D"])
def test_a_question_that_is_broken_off_changes_nothing_and_is_no_bug(desk: Desk, typed: bytes) -> None:
    desk.align(files=1)
    ours, theirs = os.openpty()
    with desk.process(
        "state", "forget", "cms", stdin=theirs, start_new_session=True, preexec_fn=on_it
    ) as asked:
        os.close(theirs)
        assert asked.stderr is not None
        said = ""
        while "[y/N]" not in said:
            said += asked.stderr.read(1)
        os.write(ours, typed)
        _, rest = asked.communicate(timeout=60)
    os.close(ours)

    assert asked.returncode == 130
    assert rest.strip() == "bisyncer: interrupted. Nothing was changed."
    assert desk("run", "cms").code == 0


def on_it() -> None:
    """Make the terminal that is the standard input the one that signals come from."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def test_a_pair_that_is_held_is_not_forgotten(desk: Desk) -> None:
    desk.align(files=1)
    store = desk.store()
    pair = store.pair("cms")
    assert pair is not None
    with Lease.take(store, pair):
        assert desk("state", "forget", "cms", "--yes").code == 6
        desk("state", "backup", desk.folder / "backup.db")
        assert desk("state", "restore", desk.folder / "backup.db", "--yes").code == 6
    store.close()


def test_ancestors_are_exported_as_json_lines_and_as_csv(desk: Desk) -> None:
    desk.align(files=1)
    put(desk.one, {'odd "name"\n': "text"})
    desk("run")

    rows = [json.loads(line) for line in desk("state", "export", "cms").lines]
    assert [row["key"] for row in rows] == ["f000", 'odd "name"\n']
    assert list(rows[0]) == ["key", "path1", "path2", "digests"]
    assert rows[0]["path1"]["size"] == 6
    digest = hashlib.sha256(b"text 0").hexdigest()
    assert rows[0]["digests"]["sha256"] == digest

    table = list(csv.DictReader(io.StringIO(desk("state", "export", "cms", "--format", "csv").out)))
    assert [row["key"] for row in table] == ["f000", 'odd "name"\n']
    assert table[0]["sha256"] == digest
    assert int(table[0]["path2_mtime_ns"]) == rows[0]["path2"]["mtime_ns"]
    assert desk("state", "export", "none").code == 2
