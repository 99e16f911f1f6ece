"""`bisyncer plan --out` and `bisyncer apply`."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys

import pytest

from tests.desk import ROOT, Desk, held, put


def test_a_plan_is_kept_and_applied(desk: Desk) -> None:
    desk.align(files=3)
    put(desk.one, {"f000": "edited", "new": "1"})
    (desk.two / "f001").unlink()

    answer = desk("plan", "cms", "--out", "cms.plan")
    assert answer.code == 0
    assert answer.lines[-1] == "cms.plan: 3 actions kept; to do them: bisyncer apply cms cms.plan"
    assert held(desk.two)["f000"] == "text 0"
    put(desk.one, {"f002": "edited later"})

    assert desk("apply", "cms", "cms.plan", "--dry-run").code == 0
    answer = desk("apply", "cms", "cms.plan")

    assert answer.code == 0
    assert sorted(answer.lines[:3]) == [
        "copy-to-path2 f000 (changed / unchanged)",
        "copy-to-path2 new (new / absent)",
        "delete-from-path1 f001 (unchanged / deleted)",
    ]
    assert answer.lines[3].startswith("cms: success (plan of run 2) in ")
    assert held(desk.two) == {"f000": "edited", "f002": "text 2", "new": "1"}


def test_what_moved_since_is_3_and_is_left_alone(desk: Desk) -> None:
    desk.align(files=2)
    put(desk.one, {"f000": "edited"})
    desk("plan", "cms", "--out", "cms.plan", "--quiet")
    put(desk.two, {"f000": "edited there as well"})

    answer = desk("apply", "cms", "cms.plan")

    assert answer.code == 3
    assert answer.lines[0] == (
        "problem f000: path2: 'f000' changed since the plan was made. It is left alone; the next run decides."
    )
    assert held(desk.two)["f000"] == "edited there as well"


def test_a_plan_that_a_gate_halts_is_kept_and_may_be_applied(desk: Desk) -> None:
    desk.align(files=12)
    for number in range(8):
        (desk.one / f"f{number:03}").unlink()
    assert desk("plan", "cms", "--out", "cms.plan").code == 5
    assert desk("run").code == 5

    assert desk("apply", "cms", "cms.plan").code == 0
    assert len(held(desk.two)) == 4


def test_on_a_terminal_a_side_that_holds_nothing_any_more_halts_it(desk: Desk) -> None:
    desk.align(files=12)
    put(desk.one, {"new": "1"})
    desk("plan", "cms", "--out", "cms.plan")
    for key in held(desk.two):
        (desk.two / key).unlink()
    ours, theirs = pty.openpty()

    try:
        answer = subprocess.run(
            [sys.executable, "-m", "bisyncer", "apply", "cms", "cms.plan"],
            cwd=desk.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"},
            stdout=subprocess.DEVNULL,
            stderr=theirs,
            check=False,
        )
        os.close(theirs)
        shown = os.read(ours, 1 << 16).decode()
    finally:
        os.close(ours)

    assert answer.returncode == 5, shown
    assert "halted by emptied" in shown
    assert held(desk.two) == {}


def test_no_plan_is_kept_where_none_was_made(desk: Desk) -> None:
    desk.align()
    shutil.rmtree(desk.two)

    answer = desk("plan", "cms", "--out", "cms.plan")

    assert answer.code == 2
    assert "No plan was made, so none is in cms.plan." in answer.err
    assert not list(desk.folder.glob("cms.plan*"))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("apply", "cms", "none.plan"), "none.plan can't be read: No such file"),
        (("apply", "cms", "bisyncer.toml"), "is not a whole plan"),
        (("apply", "media", "cms.plan"), "is a plan of pair 'cms'"),
        (("plan", "cms", "--out", "bisyncer.toml"), "is no plan"),
        (("plan", "cms", "--out", "x" * 300), "File name too long"),
        (("plan", "cms", "--out", "x.plan", "--resync"), "neither --resync nor --explain"),
        (("plan", "cms", "--out", "x.plan", "--explain", "f000"), "neither --resync nor --explain"),
    ],
)
def test_what_is_no_plan_of_the_pair_is_refused(desk: Desk, arguments: tuple[str, ...], told: str) -> None:
    desk.align({"cms": "", "media": ""}, files=1)
    put(desk.one, {"f000": "edited"})
    assert desk("plan", "cms", "--out", "cms.plan").code == 0

    answer = desk(*arguments)

    assert (answer.code, answer.out) == (2, "")
    assert told in answer.err
    assert answer.err.count("\n") == 1
    assert held(desk.two) == {"f000": "text 0"}
