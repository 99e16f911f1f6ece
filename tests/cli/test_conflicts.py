from __future__ import annotations

import os
import re
import sqlite3
from contextlib import closing
from hashlib import sha256

import pytest

from bisyncer.state.lease import Lease
from tests.desk import Desk, held, put


def test_no_conflict_is_told_in_a_sentence(desk: Desk) -> None:
    desk.configure()
    assert desk("conflicts", "list") == (0, "There are no conflicts.\n", "")
    assert desk("conflicts", "list", "--json").json == []


def test_a_conflict_is_listed_with_both_versions(desk: Desk) -> None:
    desk.align()
    desk.clash("re\nport.txt")

    lines = desk("conflicts", "list").lines
    assert len(lines) == 2
    assert "1   cms   re\\nport.txt" in lines[1]
    assert "re\\nport.txt.conflict1" in lines[1]

    [row] = desk("conflicts", "list", "cms", "--json").json
    assert list(row) == [
        "id",
        "pair",
        "key",
        "run",
        "detected",
        "path1",
        "path2",
        "winner",
        "kept_as",
        "state",
    ]
    assert list(row["path1"]) == list(row["path2"]) == ["size", "mtime", "digest"]
    assert (row["path1"]["size"], row["path2"]["size"]) == (6, 10)
    assert row["path1"]["mtime"] == "2001-09-09T01:46:40Z"
    assert (row["winner"], row["kept_as"], row["state"]) == ("path2", "re\nport.txt.conflict1", "open")
    assert desk("conflicts", "show", "1", "--json").json == [row]


def test_a_conflict_shows_both_versions_side_by_side_and_where_each_is(desk: Desk) -> None:
    desk.align()
    desk.clash()
    lines = desk("conflicts", "show", "1").lines
    facts, diff = lines[:-5], lines[-5:]
    lines = facts
    assert {line[:10].rstrip() for line in lines} >= {"conflict", "key", "detected", "", "size", "settle"}
    assert all(line[9] == " " != line[10] for line in lines), "the values stand below each other"
    assert lines[0] == "conflict  1 of cms, open, found by run 2"
    table = {words[0]: words[1:] for line in lines[3:8] if (words := re.split(r"\s{2,}", line))}
    assert table[""] == ["path1", "path2"]
    assert table["size"] == ["6 B", "10 B"]
    digests = [f"sha256:{sha256(text).hexdigest()}" for text in (b"of one", b"of the two")]
    assert table["digest"] == digests
    assert table["kept at"] == ["x.txt.conflict1", "x.txt"]
    assert lines[-1] == "settle    bisyncer conflicts resolve 1 --keep path1|path2|both"
    assert diff == [
        "--- path1 x.txt.conflict1",
        "+++ path2 x.txt",
        "@@ -1 +1 @@",
        "-of one",
        "+of the two",
    ]


def test_what_a_conflict_holds_cannot_speak_to_the_terminal(desk: Desk) -> None:
    desk.align()
    put(desk.one, {"x": "a\tb \x1b[31m\n"})
    put(desk.two, {"x": "plain\n"})
    desk("run", "--quiet")

    assert "-a\tb \\x1b[31m" in desk("conflicts", "show", "1").lines


def test_a_conflict_whose_versions_cannot_be_read_is_shown_all_the_same(desk: Desk) -> None:
    desk.align()
    desk.clash()
    desk.two.rename(desk.folder / "away")

    answer = desk("conflicts", "show", "1")

    assert answer.code == 0
    assert any(line.startswith("diff      none: ") for line in answer.lines)


def test_conflicts_are_listed_and_settled_by_a_glob_of_their_keys(desk: Desk) -> None:
    desk.align()
    for key in ("dir/a.txt", "dir/b.csv", "other"):
        put(desk.one, {key: "of one"})
        put(desk.two, {key: "of the two"})
    desk("run", "--quiet")

    listed = desk("conflicts", "list", "--glob", "dir/*", "--json").json
    assert {row["key"] for row in listed} == {"dir/a.txt", "dir/b.csv"}
    assert desk("conflicts", "resolve", "--glob", "*.txt", "--pair", "cms", "--keep", "larger").code == 0
    left = desk("conflicts", "list", "--json").json
    assert {row["key"] for row in left} == {"dir/b.csv", "other"}
    assert held(desk.one)["dir/a.txt"] == "of the two"
    assert (
        desk("conflicts", "resolve", "--glob", "none*", "--keep", "path1").out == "There are no conflicts.\n"
    )


@pytest.mark.parametrize(
    "words", [("1", "--all"), ("1", "--glob", "*"), (), ("1", "--pair", "cms"), ("99", "1")]
)
def test_a_choice_of_conflicts_that_is_none_settles_nothing(words: tuple[str, ...], desk: Desk) -> None:
    desk.align()
    desk.clash()

    answer = desk("conflicts", "resolve", *words, "--keep", "path1")

    assert (answer.code, answer.out) == (2, "")
    assert len(desk("conflicts", "list", "--json").json) == 1


def test_a_pair_that_is_held_by_a_run_does_not_stop_the_others(desk: Desk) -> None:
    desk.align({"cms": "", "media": ""})
    put(desk.one, {"a": "1", "b": "1"})
    put(desk.two, {"a": "22", "b": "22"})
    put(desk.folder / "media1", {"c": "1"})
    put(desk.folder / "media2", {"c": "22"})
    desk("run", "--all", "--quiet")
    store = desk.store()
    pair = store.pair("cms")
    assert pair is not None
    with Lease.take(store, pair):
        answer = desk("conflicts", "resolve", "--all", "--keep", "larger", "--json")
    store.close()

    assert answer.code == 6
    assert {(row["key"], row["settled"]) for row in answer.json} == {("a", False), ("b", False), ("c", True)}
    assert answer.err.count("\n") == 1


def test_many_conflicts_are_settled_under_one_lease(desk: Desk) -> None:
    desk.align()
    for number in range(5):
        put(desk.one, {f"k{number}": "of one"})
        put(desk.two, {f"k{number}": "of the two"})
    desk("run", "--quiet")

    def token() -> int:
        with closing(sqlite3.connect(desk.state)) as connection:
            return int(connection.execute("SELECT token FROM lease").fetchone()[0])

    before = token()
    assert desk("conflicts", "resolve", "--all", "--keep", "path1").code == 0

    assert token() == before + 1
    assert set(held(desk.two).values()) == {"of one"}


@pytest.mark.parametrize(
    ("keep", "kept"),
    [
        ("path1", "of one"),
        ("path2", "of the two"),
        ("newer", "of the two"),
        ("older", "of one"),
        ("larger", "of the two"),
        ("smaller", "of one"),
    ],
)
def test_one_version_is_kept_on_both_sides(keep: str, kept: str, desk: Desk) -> None:
    desk.align()
    desk.clash()

    answer = desk("conflicts", "resolve", "1", "--keep", keep)

    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith("conflict 1: x.txt is the version of path")
    assert held(desk.one) == held(desk.two) == {"x.txt": kept}
    assert desk("conflicts", "list").out == "There are no conflicts.\n"
    assert "resolved" in desk("conflicts", "list", "--settled").out
    assert f"settled   {keep}" in desk("conflicts", "show", "1").out
    assert "nothing to do" in desk("run").out


def test_both_versions_may_stay(desk: Desk) -> None:
    desk.align()
    desk.clash()
    assert desk("conflicts", "resolve", "1", "--keep", "both", "--quiet") == (0, "", "")
    assert held(desk.one) == held(desk.two) == {"x.txt": "of the two", "x.txt.conflict1": "of one"}
    assert "nothing to do" in desk("run").out


def test_all_conflicts_of_a_pair_or_of_every_pair_are_settled_at_once(desk: Desk) -> None:
    desk.align({"cms": "", "media": ""})
    put(desk.one, {"a": "1", "b": "1"})
    put(desk.two, {"a": "22", "b": "22"})
    put(desk.folder / "media1", {"c": "1"})
    put(desk.folder / "media2", {"c": "22"})
    assert desk("run", "--all").code == 0

    answer = desk("conflicts", "resolve", "--all", "--pair", "cms", "--keep", "larger")
    assert [line.partition(":")[0] for line in answer.lines] == ["conflict 1", "conflict 2"]
    assert len(desk("conflicts", "list").lines) == 2
    assert desk("conflicts", "resolve", "--all", "--keep", "smaller").code == 0
    assert held(desk.folder / "media1") == {"c": "1"}
    assert held(desk.two) == {"a": "22", "b": "22"}


def test_what_moved_since_it_was_shown_is_left_alone_and_the_others_are_settled(desk: Desk) -> None:
    desk.align()
    put(desk.one, {"a": "1", "b": "1"})
    put(desk.two, {"a": "22", "b": "22"})
    desk("run")
    put(desk.two, {"a": "somebody went on"})
    os.utime(desk.two / "a", (1_100_000_000, 1_100_000_000))

    answer = desk("conflicts", "resolve", "1", "2", "--keep", "path1")

    assert answer.code == 3
    # They are numbered as they were met, which is in any order.
    number = {row["key"]: row["id"] for row in desk("conflicts", "list", "--settled", "--json").json}
    assert answer.err.startswith(f"bisyncer: Conflict {number['a']} (a) is not as it was shown: ")
    assert answer.err.count("\n") == 1
    assert answer.lines == [f"conflict {number['b']}: b is the version of path1; b.conflict1 is removed"]
    assert held(desk.two)["a"] == "somebody went on"


def test_what_is_settled_is_not_settled_again(desk: Desk) -> None:
    desk.align()
    desk.clash()
    desk("conflicts", "resolve", "1", "--keep", "path1")
    answer = desk("conflicts", "resolve", "1", "--keep", "path2")
    assert answer.code == 2
    assert answer.err == "bisyncer: Conflict 1 (x.txt) is resolved already.\n"


def test_all_of_none_are_settled_in_a_sentence(desk: Desk) -> None:
    desk.configure()
    assert desk("conflicts", "resolve", "--all", "--keep", "path1") == (0, "There are no conflicts.\n", "")
    assert desk("conflicts", "resolve", "--all", "--keep", "path1", "-q") == (0, "", "")
    assert desk("conflicts", "resolve", "--all", "--keep", "path1", "--json").json == []


def test_what_was_settled_is_told_as_json(desk: Desk) -> None:
    desk.align()
    desk.clash()
    [row] = desk("conflicts", "resolve", "1", "--keep", "path1", "--json").json
    assert (row["id"], row["key"], row["settled"], row["exit_code"]) == (1, "x.txt", True, 0)
    answer = desk("conflicts", "resolve", "1", "--keep", "path1", "--json")
    assert answer.code == 2
    assert [(row["settled"], row["sentence"]) for row in answer.json] == [
        (False, "Conflict 1 (x.txt) is resolved already.")
    ]


def test_an_edit_of_what_was_deleted_is_told_and_listed_among_the_settled(desk: Desk) -> None:
    desk.align(files=3)
    put(desk.one, {"f000": "edited"})
    (desk.two / "f000").unlink()

    answer = desk("run", "cms", "--fail-on-conflict")

    line = "copy-to-path2 f000 (changed / deleted): path1's edit survives the deletion on path2"
    assert answer.code == 0
    assert answer.lines[0] == line
    assert "; 1 edit survived a deletion: bisyncer conflicts list cms --settled" in answer.lines[-1]
    assert line in desk("show", "2").out
    assert desk("conflicts", "list").out == "There are no conflicts.\n"
    [row] = desk("conflicts", "list", "--settled", "--json").json
    assert (row["state"], row["winner"], row["path2"], row["kept_as"]) == ("survived", "path1", None, None)
    shown = desk("conflicts", "show", str(row["id"])).out
    assert "settled   path1's edit survives the deletion on path2" in shown
    assert "deleted" in desk("conflicts", "list", "--settled").lines[1]
    refused = desk("conflicts", "resolve", str(row["id"]), "--keep", "path1")
    sentence = "bisyncer: Conflict 1 (f000) needs no decision, the edit has survived.\n"
    assert (refused.code, refused.err) == (2, sentence)


def test_a_version_that_was_replaced_is_shown_beside_the_one_that_replaced_it(desk: Desk) -> None:
    desk.align({"cms": 'conflict_loser = "delete"'})
    desk.clash()

    lines = desk("conflicts", "show", "1").lines
    assert lines[0] == "conflict  1 of cms, replaced, found by run 2"
    assert "settled   path2's version replaced that of path1" in lines
    assert lines[-2:] == ["-of one", "+of the two"]
    assert held(desk.one) == held(desk.two) == {"x.txt": "of the two"}


def test_a_name_where_something_else_than_a_file_is_is_passed_over(desk: Desk) -> None:
    desk.align()
    put(desk.one, {"x": "of one"})
    put(desk.two, {"x": "of the two", "x.conflict1/inside": "was here"})
    (desk.one / "x.conflict2").symlink_to("nowhere")

    assert desk("run", "cms", "--conflict-resolve", "larger").code == 0

    assert held(desk.two) == {"x": "of the two", "x.conflict1/inside": "was here", "x.conflict3": "of one"}
    assert held(desk.one) == held(desk.two)
    assert "nothing to do" in desk("run", "cms").out
