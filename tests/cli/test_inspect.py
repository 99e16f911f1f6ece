"""status, history, show, problems."""

from __future__ import annotations

import time

import pytest

from bisyncer.state.lease import Lease
from tests.desk import Desk, put


def test_status_of_a_pair_that_was_never_aligned(desk: Desk) -> None:
    desk.configure()
    answer = desk("status")
    assert (answer.code, answer.err) == (0, "")
    assert answer.lines[0].split("  ")[0] == "pair"
    cells = ["cms", "not", "aligned", "never", "-", "-", "-", "0", "0", "0", "0", "bisync"]
    assert answer.lines[1].split() == cells


def test_status_tells_runs_conflicts_and_problems(desk: Desk) -> None:
    desk.align(files=2)
    desk.clash()
    desk("run", "--dry-run")

    [row] = desk("status", "cms", "--json").json

    assert row["pair"] == "cms"
    assert (row["path1"], row["path2"]) == (str(desk.one), str(desk.two))
    assert (row["aligned"], row["stale"], row["keys"], row["conflicts"], row["problems"]) == (
        True,
        False,
        4,
        1,
        0,
    )
    assert (row["last_run"]["run"], row["last_run"]["outcome"]) == (2, "success"), "a dry run is no run"
    assert row["age_s"] >= 0


def test_status_is_1_where_a_pair_is_stale(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.align({"cms": 'stale_after = "3m"', "media": ""})
    assert desk("status").code == 0

    now_ns = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now_ns)
    age_s = desk("status", "cms", "--json").json[0]["age_s"]
    now_ns += int((200.5 - age_s) * 10**9)
    answer = desk("status")
    assert answer.code == 1
    assert [line.split()[:2] for line in answer.lines[1:]] == [["cms", "stale"], ["media", "ok"]]
    assert "3 min 20 s" in answer.lines[1]
    assert desk("status", "media").code == 0
    assert desk("status", "cms", "--stale-after", "1h").code == 0
    assert [line.split()[0] for line in desk("status", "--quiet").lines] == ["pair", "cms"]


def test_a_pair_that_should_run_and_never_did_is_stale(desk: Desk) -> None:
    desk.configure({"cms": 'stale_after = "3m"'})
    assert desk("status").code == 1


def test_quiet_status_of_a_good_pair_is_silence(desk: Desk) -> None:
    desk.align()
    assert desk("status", "--quiet") == (0, "", "")


def test_history_is_newest_first(desk: Desk) -> None:
    desk.align()
    put(desk.one, {"a": "x"})
    desk("run", "--dry-run")
    desk("run")

    lines = desk("history").lines
    assert [line.split()[:2] for line in lines] == [["run", "pair"], ["3", "cms"], ["2", "cms"], ["1", "cms"]]
    assert "dry run" in lines[2] and "resync" in lines[3]
    assert lines[1].endswith("copy-to-path2 1")
    assert len(desk("history", "--limit", "1").lines) == 2
    rows = desk("history", "cms", "--json").json
    assert [row["run"] for row in rows] == [3, 2, 1]
    assert rows[0]["actions"]["copy-to-path2"] == 1


def test_history_says_that_a_run_which_ended_badly_did_nothing(desk: Desk) -> None:
    desk.align(files=20)
    for each in desk.one.glob("f*"):
        each.unlink()
    desk("run")

    assert desk("history").lines[1].endswith("nothing done")


def test_history_of_nothing(desk: Desk) -> None:
    desk.configure()
    assert desk("history").out == "There was no run yet.\n"
    assert desk("history", "--json").json == []


def test_a_run_is_shown_with_who_deleted_what_when_and_why(desk: Desk) -> None:
    desk.align(files=2)
    (desk.one / "f000").unlink()
    desk("run")

    answer = desk("show", "2")
    assert answer.lines[0].startswith("run 2 of cms: 20")
    time, state, *action = answer.lines[1].split(maxsplit=2)
    assert time.endswith("Z")
    line, _, name = action[0].partition(": the version before went to ")
    assert (state, line) == ("done", "delete-from-path2 f000 (deleted / unchanged)")
    assert (desk.two / name).read_text() == "text 0"

    [row] = desk("show", "2", "--json").json
    assert (row["key"], row["action"], row["state"]) == ("f000", "delete-from-path2", "done")
    assert row["path1"] == {"delta": "deleted"}
    assert (row["path2"]["delta"], row["path2"]["size"]) == ("unchanged", 6)


def test_a_halted_run_is_shown_with_its_gate(desk: Desk) -> None:
    desk.align(files=12)
    for number in range(8):
        (desk.one / f"f{number:03}").unlink()
    desk("run")
    lines = desk("show", "2").lines
    assert lines[-1].startswith("halted by max-delete: 8 of 12 keys")


def test_problems_are_told_with_why_since_when_and_how_often(desk: Desk) -> None:
    desk.align()
    assert desk("problems").out == "There are no problems.\n"
    put(desk.one, {"na\nme": "a file"})
    put(desk.two, {"na\nme/inside": "a folder"})
    desk("run")
    desk("run")

    lines = desk("problems", "cms").lines
    assert lines[0].split() == ["pair", "key", "since", "tries", "problem"]
    assert lines[1].startswith("cms   na\\nme")
    rows = desk("problems", "--json").json
    assert {row["tries"] for row in rows} == {2}
    assert list(rows[0]) == ["pair", "key", "problem", "since", "last", "tries"]
    assert str(len(rows)) in desk("status").lines[1]
    shown = desk("show", "3").lines
    assert any(line.startswith("problem na\\nme") for line in shown)


def test_the_state_of_a_pair_is_how_its_last_run_ended(desk: Desk) -> None:
    desk.align({"cms": "", "media": "", "docs": ""}, files=12)
    put(desk.folder / "media1", {"x": "a file"})
    put(desk.folder / "media2", {"x/y": "a folder"})
    for number in range(8):
        (desk.one / f"f{number:03}").unlink()
    desk("run", "--all")
    desk("plan", "docs")

    states = {row["pair"]: row["state"] for row in desk("status", "--json").json}
    assert states == {"cms": "halted", "media": "unfinished", "docs": "ok"}
    lines = desk("status", "-q").lines
    assert [line.split()[:2] for line in lines[1:]] == [["cms", "halted"], ["media", "unfinished"]]
    assert desk("status").code == 0


def test_a_run_that_goes_on_is_not_ended_and_no_reason_to_look(desk: Desk) -> None:
    desk.align()
    store = desk.store()
    pair = store.pair("cms")
    assert pair is not None
    with Lease.take(store, pair) as lease:
        store.begin_run(pair, lease, dry_run=False, resync=False)
    store.close()
    assert desk("status", "--json").json[0]["state"] == "not ended"
    assert desk("status", "-q").out == ""


def test_a_pair_whose_first_alignment_failed_is_not_aligned(desk: Desk) -> None:
    desk.configure()
    assert desk("init", "cms").code == 0
    assert desk("status", "--json").json[0]["state"] == "not aligned"
    assert len(desk("status", "-q").lines) == 2


def test_history_of_a_run_that_was_killed_has_every_key_and_no_length(desk: Desk) -> None:
    desk.align()
    store = desk.store()
    pair = store.pair("cms")
    assert pair is not None
    with Lease.take(store, pair) as lease:
        store.begin_run(pair, lease, dry_run=False, resync=False)
    store.close()
    desk("run")

    rows = desk("history", "--json").json
    assert [list(row) for row in rows] == [list(rows[0])] * 3
    assert (rows[1]["outcome"], rows[1]["duration_s"], rows[1]["exit_code"]) == ("interrupted", None, None)
    assert desk("history").lines[2].split()[3:5] == ["-", "interrupted"]
