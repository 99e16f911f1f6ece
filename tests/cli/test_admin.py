from __future__ import annotations

from tests.desk import Desk


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


def test_a_password_is_not_printed(desk: Desk) -> None:
    answer = desk("state", "upgrade", "--state", "postgresql+psycopg://me:hush@127.0.0.1:1/none")
    assert answer.code != 0
    assert answer.err.startswith("bisyncer: ") and answer.err.count("\n") == 1
    assert "hush" not in answer.err + answer.out


def test_an_upgrade_is_told_as_json(desk: Desk) -> None:
    desk.configure()
    row = desk("state", "upgrade", "--json").json
    assert list(row) == ["state", "before", "after", "backup"]
    assert row["state"] == f"sqlite:///{desk.state}"
    assert desk("state", "upgrade", "--json").json["before"] == row["after"]
