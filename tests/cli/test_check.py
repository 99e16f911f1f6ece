"""`bisyncer check`."""

from __future__ import annotations

import json
import shutil
from contextlib import closing

from tests.desk import Desk, held, put


def test_equal_sides_are_0_with_a_line_a_key_and_one_that_counts(desk: Desk) -> None:
    desk.align(files=2)

    answer = desk("check", "cms")

    assert answer == (0, "= f000\n= f001\ncms: no difference: 2 equal\n", "")
    assert desk("check", "cms", "--quiet") == (0, "", "")


def test_differences_are_1_and_are_told_as_rclone_check_does(desk: Desk) -> None:
    desk.align(files=3)
    put(desk.one, {"f000": "edited", "new": "x"})
    (desk.one / "f001").unlink()
    before = held(desk.one), held(desk.two)

    answer = desk("check", "cms")

    assert answer.code == 1
    assert answer.lines == [
        "* f000",
        "- f001",
        "= f002",
        "+ new",
        "cms: 3 differences: 1 equal, 1 missing on path1, 1 missing on path2, 1 different",
    ]
    assert desk("check", "cms", "--quiet").lines == [line for line in answer.lines if line[0] != "="]
    assert (held(desk.one), held(desk.two)) == before


def test_a_download_finds_what_times_and_sizes_hide(desk: Desk) -> None:
    desk.align(files=3)
    assert desk("check", "cms", "--download").code == 0
    put(desk.two, {"f002": "TEXT 2"})
    assert desk("check", "cms", "--download").lines[2] == "* f002"


def test_json_is_a_line_a_key_and_the_counts_at_the_end(desk: Desk) -> None:
    desk.align(files=1)
    put(desk.one, {"new\n": "x"})

    rows = [json.loads(line) for line in desk("check", "cms", "--json").lines]

    assert rows == [
        {"mark": "=", "finding": "equal", "key": "f000", "problem": None},
        {"mark": "+", "finding": "missing-on-path2", "key": "new\n", "problem": None},
        {
            "pair": "cms",
            "equal": 1,
            "missing-on-path1": 0,
            "missing-on-path2": 1,
            "different": 0,
            "unknown": 0,
            "exit_code": 1,
        },
    ]


def test_what_cannot_be_told_is_3(desk: Desk) -> None:
    desk.align(files=1)
    (desk.one / b"\xff".decode("utf-8", "surrogateescape")).write_text("x")

    answer = desk("check", "cms")

    assert answer.code == 3
    assert answer.lines[1].startswith("! \\\\xff: path1: its name is not valid UTF-8")
    assert answer.lines[-1] == "cms: no difference: 1 equal, 1 unknown"


def test_a_root_that_is_gone_is_2(desk: Desk) -> None:
    desk.align()
    shutil.rmtree(desk.two)
    answer = desk("check", "cms")
    assert (answer.code, answer.out) == (2, "")
    assert "there is no such directory" in answer.err


def test_what_a_run_that_goes_on_is_writing_is_left_alone(desk: Desk) -> None:
    desk.align(files=1)
    with closing(desk.store()) as store:
        pair = store.pair("cms")
    assert pair is not None
    temporary = desk.two / f".bisyncer-{pair.owner}-{'a' * 16}"
    temporary.write_text("half of a fi")

    assert desk("check", "cms").code == 0
    assert desk("trash", "list", "cms").code == 0
    assert desk("doctor", "cms").code == 0
    assert desk("bench", "cms").code == 0

    assert temporary.read_text() == "half of a fi"
    assert desk("run", "cms").code == 0
    assert not temporary.exists()
