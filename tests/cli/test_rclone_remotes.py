from __future__ import annotations

from pathlib import Path

import pytest

from tests.desk import Desk, held, put


@pytest.fixture
def theirs(desk: Desk) -> Path:
    """An rclone.conf with two names for the two trees."""
    path = desk.folder / "theirs.conf"
    path.write_text(
        f"[tree_1]\ntype = alias\nremote = {desk.one}\n[2 nd]\ntype = alias\nremote = lo:{desk.folder}\n"
        "[lo]\ntype = local\n"
    )
    return path


def test_two_roots_of_an_rclone_conf_make_a_pair_that_needs_no_flag_later(desk: Desk, theirs: Path) -> None:
    put(desk.one, {"a": "x"})

    made = desk(
        *("--config", desk.config, "init", "tree_1:", "2 nd:two", "--name", "cms", "--resync"),
        *("--rclone-config", "theirs.conf"),
    )

    assert (made.code, made.err) == (0, "")
    assert made.lines[0].startswith(f"path1 file://{desk.one}: reachable, ")
    assert made.lines[1].startswith(f"path2 file://{desk.two}: reachable, ")
    assert desk.config.read_text().startswith(f'rclone_config = "{theirs}"\n')
    assert held(desk.two) == {"a": "x"}
    put(desk.two, {"b": "y"})
    assert desk("run", "cms", "--quiet") == (0, "", "")
    assert held(desk.one) == {"a": "x", "b": "y"}


def test_a_pair_is_bound_to_the_place_and_not_to_the_name(desk: Desk, theirs: Path) -> None:
    desk.align(files=1)

    desk.config.write_text(
        f'state = "sqlite:///{desk.state}"\nrclone_config = "{theirs}"\n'
        '[pairs.cms]\npath1 = "tree_1:"\npath2 = "lo:' + f'{desk.two}"\n'
    )
    assert desk("run", "cms").code == 0

    theirs.write_text(theirs.read_text().replace(str(desk.one), str(desk.tree("other"))))
    assert desk("run", "cms").code == 2


@pytest.mark.parametrize("where", ["before", "after"])
def test_an_rclone_conf_that_can_not_be_read_is_one_line(where: str, desk: Desk) -> None:
    desk.config.write_text('[pairs.cms]\npath1 = "a:"\npath2 = "b:"\n')
    bad = desk.folder / "bad.conf"
    bad.write_text("hush\n")
    flag = ("--rclone-config", bad)

    answer = desk(*flag, "run", "cms") if where == "before" else desk("run", "cms", *flag)

    assert (answer.code, answer.out) == (2, "")
    assert (
        answer.err == f"bisyncer: {bad}:1: this is no line of an rclone.conf. Write [NAME] or key = value.\n"
    )


def test_an_empty_name_of_the_file_is_refused(desk: Desk) -> None:
    answer = desk("status", "--rclone-config", " ")

    assert answer.code == 2
    assert "--rclone-config is empty" in answer.err
