from __future__ import annotations

import pytest

from tests.desk import Desk, held, put


def test_a_plan_is_told_and_nothing_is_done(desk: Desk) -> None:
    desk.align(files=2)
    put(desk.one, {"a": "x", "f000": "one's"})
    put(desk.two, {"f000": "the other's"})

    answer = desk("plan", "cms")

    assert (answer.code, answer.err) == (0, "")
    assert answer.lines[0] == "copy-to-path2 a (new / absent)"
    assert answer.lines[1].startswith("conflict f000 (changed / changed): path")
    assert answer.lines[1].endswith("'s version would be kept beside it")
    assert answer.lines[2].startswith("cms: success (dry run) in ")
    assert held(desk.two) == {"f000": "the other's", "f001": "text 1"}


@pytest.mark.parametrize(
    ("flags", "what"),
    [
        (("--trash", "on"), "replaced, and kept in the trash or by its bucket"),
        (("--trash", "off"), "kept beside it"),
    ],
)
def test_a_plan_tells_what_would_become_of_the_loser_of_a_conflict(
    desk: Desk, flags: tuple[str, ...], what: str
) -> None:
    desk.align(files=1)
    put(desk.one, {"f000": "one's"})
    put(desk.two, {"f000": "the other's"})

    answer = desk("plan", "cms", "--conflict-loser", "delete", "--conflict-resolve", "path1", *flags)

    assert answer.lines[0] == (
        f"conflict f000 (changed / changed): path1 would keep the name, path2's version would be {what}"
    )


def test_a_plan_as_json_is_the_report_with_the_actions_behind_it(desk: Desk) -> None:
    desk.align()
    assert desk("plan", "cms", "--json").json["plan"] == []
    put(desk.one, {"a": "x"})
    report = desk("plan", "cms", "--json").json
    assert report["dry_run"] is True
    assert report["plan"] == [{"action": "copy-to-path2", "key": "a", "path1": "new", "path2": "absent"}]


def test_a_link_that_runs_pass_over_is_explained_as_that(desk: Desk) -> None:
    desk.align()
    (desk.one / "link").symlink_to("elsewhere")

    said = desk("plan", "cms", "--explain", "link").out

    assert "path1: is a symbolic link; links are not followed; runs pass over it. See the setting" in said
    assert "hold" not in said


def test_one_key_is_explained_from_its_facts_to_the_verdict(desk: Desk) -> None:
    desk.align(files=1)
    put(desk.one, {"f000": "changed"})

    lines = dict(line.split(maxsplit=1) for line in desk("plan", "cms", "--explain", "f000").lines)

    assert lines["key"] == "f000"
    assert lines["path1"].startswith("changed: 7 B, 20")
    assert lines["path2"].startswith("unchanged: 6 B, 20")
    assert lines["verdict"] == "copy-to-path2"
    assert lines["why"]


def test_an_explanation_of_a_key_that_is_nowhere(desk: Desk) -> None:
    desk.align()
    answer = desk("plan", "cms", "--explain", "no\nwhere")
    assert answer.code == 0
    assert answer.lines[0] == "key        no\\nwhere"
    assert "verdict    none" in answer.lines


def test_an_explanation_has_the_problem_that_the_last_run_met(desk: Desk) -> None:
    desk.align()
    put(desk.one, {"x": "a file"})
    put(desk.two, {"x/y": "in a directory"})
    desk("run")

    problem = "problem    of the last run: a directory of that name has 'y' in it. Rename one of the two."
    assert desk("plan", "cms", "--explain", "x").lines[-1] == problem
    (desk.one / "x").unlink()
    desk("run")
    assert "problem" not in desk("plan", "cms", "--explain", "x").out


def test_an_explanation_as_json(desk: Desk) -> None:
    desk.align(files=1)
    (desk.two / "f000").unlink()
    found = desk("plan", "cms", "--explain", "f000", "--json").json
    assert list(found) == [
        "key",
        "ancestor",
        "path1",
        "path2",
        "delta1",
        "delta2",
        "agreement",
        "verdict",
        "winner",
        "sentence",
        "problem",
    ]
    assert found["path2"] is None
    assert found["path1"]["size"] == 6
    assert (found["delta1"], found["delta2"], found["verdict"]) == (
        "unchanged",
        "deleted",
        "delete-from-path1",
    )
    assert set(found["ancestor"]) == {"path1", "path2"}


def test_a_plan_can_be_of_a_resync(desk: Desk) -> None:
    desk.align(files=1)
    (desk.two / "f000").unlink()
    assert desk("plan", "cms").lines[0] == "delete-from-path1 f000 (unchanged / deleted)"
    assert desk("plan", "cms", "--resync").lines[0] == "copy-to-path2 f000 (new / absent)"


def test_a_plan_that_would_be_halted_shows_what_it_is_about(desk: Desk) -> None:
    desk.align(files=12)
    for number in range(8):
        (desk.one / f"f{number:03}").unlink()
    answer = desk("plan", "cms")
    assert answer.code == 5
    assert [line.partition(" ")[0] for line in answer.lines] == ["delete-from-path2"] * 8 + ["cms:"]
    assert answer.lines[-1].endswith("closed: max-delete; planned: delete-from-path2 8")
    assert answer.err.startswith("bisyncer: cms: halted by max-delete: ")
    report = desk("plan", "cms", "--json").json
    assert [row["key"] for row in report["plan"]] == [f"f{number:03}" for number in range(8)]
    assert [halt["gate"] for halt in report["halts"]] == ["max-delete"]
