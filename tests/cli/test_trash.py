from __future__ import annotations

from pathlib import Path

import pytest

from bisyncer.model import TRASH
from tests.desk import Desk, held, put

OLD = f"{TRASH}/20200101T000000Z-7"


@pytest.fixture
def used(desk: Desk) -> Desk:
    """Two trees of which a file was deleted and one edited on path1, and path2 followed in run 2."""
    desk.align(files=12)
    (desk.one / "f000").unlink()
    put(desk.one, {"f001": "edited"})
    assert desk("run", "--quiet") == (0, "", "")
    return desk


def age(desk: Desk, side: Path) -> None:
    """Let what is in a trash be of long ago."""
    [folder] = (side / TRASH).iterdir()
    folder.rename(side / OLD)


def test_an_empty_trash_is_told_in_a_sentence(desk: Desk) -> None:
    desk.align(files=1)
    assert desk("trash", "list", "cms") == (0, "The trash of cms is empty.\n", "")
    assert desk("trash", "list", "cms", "f*") == (0, "No version of f* is in the trash of cms.\n", "")
    assert desk("trash", "list", "cms", "--json").json == []


def test_what_runs_removed_is_listed_with_its_side_and_run(used: Desk) -> None:
    age(used, used.two)
    lines = used("trash", "list", "cms").lines
    assert [line.split() for line in lines] == [
        ["side", "run", "removed", "key", "size"],
        ["path2", "7", "2020-01-01T00:00:00Z", "f000", "6", "B"],
        ["path2", "7", "2020-01-01T00:00:00Z", "f001", "6", "B"],
    ]
    [row] = used("trash", "list", "cms", "f000", "--json").json
    assert list(row) == ["side", "run", "conflict", "removed", "key", "size", "mtime", "name"]
    assert (row["side"], row["run"], row["conflict"]) == ("path2", 7, None)
    assert (row["key"], row["name"]) == ("f000", f"{OLD}/f000")
    assert (used.two / row["name"]).read_text() == "text 0"


@pytest.mark.parametrize(("chosen", "found"), [("f000", 1), ("f00?", 2), ("*1", 1), ("g*", 0)])
def test_a_key_or_a_glob_chooses(used: Desk, chosen: str, found: int) -> None:
    assert len(used("trash", "list", "cms", chosen, "--json").json) == found


def test_one_side_may_be_listed(used: Desk) -> None:
    assert used("trash", "list", "cms", "--side", "path1", "--json").json == []
    assert len(used("trash", "list", "cms", "--side", "path2", "--json").json) == 2


def test_what_a_person_decided_against_is_listed_by_its_conflict(desk: Desk) -> None:
    desk.align()
    desk.clash()
    desk("conflicts", "resolve", "1", "--keep", "path1")

    rows = desk("trash", "list", "cms", "x.txt", "--json").json
    assert [(row["side"], row["run"], row["conflict"]) for row in rows] == [
        ("path1", None, 1),
        ("path2", None, 1),
    ]
    trees = {"path1": desk.one, "path2": desk.two}
    assert {(trees[row["side"]] / row["name"]).read_text() for row in rows} == {"of the two"}


def test_what_no_run_put_there_is_told(used: Desk) -> None:
    put(used.two, {f"{TRASH}/mine": "1"})
    answer = used("trash", "list", "cms")
    assert len(answer.lines) == 3
    assert "path2: 1 name in the trash can't be read, or no run put them there" in answer.err
    assert f"{TRASH}/mine" in answer.err


def test_a_deleted_file_comes_back_under_its_name_on_both_sides(used: Desk) -> None:
    answer = used("trash", "restore", "cms", "f000")

    assert (answer.code, answer.err) == (0, "")
    assert answer.lines[0].startswith("restored f000 on path2: the version that run 2 of 20")
    assert used("run", "--quiet").code == 0
    assert held(used.one) == held(used.two)
    assert held(used.one)["f000"] == "text 0"
    assert used("trash", "list", "cms", "f000", "--json").json == []


def test_a_replaced_file_comes_back_beside_the_one_that_took_its_name(used: Desk) -> None:
    answer = used("trash", "restore", "cms", "f001")

    assert "restored f001.restored1 on path2, since f001 is taken" in answer.out
    assert held(used.two)["f001.restored1"] == "text 1"
    assert held(used.two)["f001"] == "edited"
    used("run", "--quiet")
    assert held(used.one) == held(used.two)


def test_a_version_can_be_restored_to_another_key(used: Desk) -> None:
    [path] = (used.two / TRASH).rglob("f001")
    name = path.relative_to(used.two).as_posix()

    assert used("trash", "restore", "cms", "f001", "--as", "old/f001", "--json").json == [
        {"side": "path2", "name": name, "key": "old/f001", "run": 2, "conflict": None}
    ]
    assert held(used.two)["old/f001"] == "text 1"


def test_a_version_that_is_restored_to_an_excluded_key_says_so(used: Desk) -> None:
    used.configure({"cms": 'exclude = ["*.old"]'})
    assert (
        "It is excluded, so no run syncs it." in used("trash", "restore", "cms", "f000", "--as", "f.old").out
    )


def test_a_version_is_not_restored_over_a_key_that_was_named(used: Desk) -> None:
    answer = used("trash", "restore", "cms", "f000", "--as", "f002")
    assert answer.code == 2
    assert "f002 exists on path2 already" in answer.err
    assert held(used.two)["f002"] == "text 2"
    assert used("trash", "restore", "cms", "f000", "--as", f"{TRASH}/x").code == 2


def test_a_run_chooses_the_version_and_the_newest_is_taken_else(used: Desk) -> None:
    put(used.one, {"f001": "edited again"})
    used("run", "--quiet")

    assert "run 3" in used("trash", "restore", "cms", "f001", "--as", "newest").out
    assert "run 2" in used("trash", "restore", "cms", "f001", "--run", "2", "--as", "first").out
    assert (held(used.two)["newest"], held(used.two)["first"]) == ("edited", "text 1")


@pytest.mark.parametrize("more", [("g000",), ("f000", "--run", "9"), ("f000", "--side", "path1")])
def test_a_version_that_is_not_there_is_a_sentence(used: Desk, more: tuple[str, ...]) -> None:
    answer = used("trash", "restore", "cms", *more)
    assert answer.code == 2
    assert "is in the trash" in answer.err
    assert "`bisyncer trash list cms` tells what is" in answer.err


def test_what_is_old_is_purged(used: Desk) -> None:
    assert used("trash", "purge", "cms").lines == ["path1: nothing to purge", "path2: nothing to purge"]
    age(used, used.two)
    assert used("trash", "purge", "cms", "--older-than", "7d").lines == [
        "path1: nothing to purge",
        "path2: purged 2 versions, 12 B freed",
    ]
    assert not (used.two / TRASH).exists()


def test_all_can_be_purged_but_for_what_no_run_put_there(used: Desk) -> None:
    put(used.two, {f"{TRASH}/mine": "1"})
    assert used("trash", "purge", "cms", "--all", "--json").json == [
        {"side": "path1", "versions": 0, "size": 0, "failed": 0},
        {"side": "path2", "versions": 2, "size": 12, "failed": 0},
    ]
    assert [path.name for path in (used.two / TRASH).iterdir()] == ["mine"]


@pytest.mark.parametrize("more", [("--all", "--older-than", "7d"), ("--older-than", "a week")])
def test_a_purge_that_is_not_clear_purges_nothing(used: Desk, more: tuple[str, ...]) -> None:
    assert used("trash", "purge", "cms", *more).code == 2
    assert len(used("trash", "list", "cms", "--json").json) == 2


def test_for_ever_is_never_old(desk: Desk) -> None:
    desk.align({"cms": 'trash = { keep = "forever" }'}, files=1)
    answer = desk("trash", "purge", "cms")
    assert answer.code == 2
    assert "Say --older-than DURATION, or --all" in answer.err


def test_the_trash_can_be_switched_off_for_a_run(desk: Desk) -> None:
    desk.align(files=12)
    (desk.one / "f000").unlink()
    assert desk("run", "--quiet", "--trash", "off").code == 0
    assert not (desk.two / TRASH).exists()


def test_a_run_shows_where_the_version_before_is(used: Desk) -> None:
    lines = used("show", "2").lines
    [line] = [line for line in lines if "delete-from-path2 f000" in line]
    name = line.rpartition("the version before went to ")[2]
    assert (used.two / name).read_text() == "text 0"


def test_a_version_that_nobody_may_read_is_found_in_the_trash_by_its_owner_alone(used: Desk) -> None:
    assert (used.two / TRASH).stat().st_mode & 0o777 == 0o700


@pytest.fixture
def apart(desk: Desk) -> Desk:
    """As `used`, and path2 has its trash in a folder of its own."""
    desk.tree("old")
    desk.align({"cms": 'backup_dir2 = "old"'}, files=12)
    (desk.one / "f000").unlink()
    put(desk.one, {"f001": "edited"})
    assert desk("run", "--quiet") == (0, "", "")
    return desk


def test_with_a_backup_dir_what_runs_removed_is_there_and_not_in_the_root(apart: Desk) -> None:
    [folder] = (apart.folder / "old" / TRASH).iterdir()

    assert held(folder) == {"f000": "text 0", "f001": "text 1"}
    assert not (apart.two / TRASH).exists()
    assert held(apart.one) == held(apart.two)
    assert [row["key"] for row in apart("trash", "list", "cms", "--json").json] == ["f000", "f001"]
    assert "old/.bisyncer-trash for 30 days" in apart("doctor", "cms").out


def test_a_version_comes_back_from_a_backup_dir_and_is_synced(apart: Desk) -> None:
    assert apart("trash", "restore", "cms", "f000").code == 0
    assert apart("run", "--quiet") == (0, "", "")

    assert (apart.one / "f000").read_text() == "text 0"
    assert [row["key"] for row in apart("trash", "list", "cms", "--json").json] == ["f001"]


def test_a_backup_dir_is_purged_as_any_trash(apart: Desk) -> None:
    answer = apart("trash", "purge", "cms", "--all")

    assert answer.lines == ["path1: nothing to purge", "path2: purged 2 versions, 12 B freed"]
    assert list((apart.folder / "old").iterdir()) == []


@pytest.mark.parametrize(
    ("place", "told"),
    [
        (
            "two/old",
            "backup_dir2 (file://{folder}/two/old) and path2 (file://{folder}/two) are the same place",
        ),
        ("one", "backup_dir2 (file://{folder}/one) and path1 (file://{folder}/one) are the same place"),
        ("nowhere", "file://{folder}/nowhere: there is no such directory."),
    ],
)
def test_a_backup_dir_that_cannot_be_one_is_refused_before_anything_is_done(
    desk: Desk, place: str, told: str
) -> None:
    desk.align(files=1)
    (desk.one / "f000").unlink()

    answer = desk("run", "cms", "--backup-dir2", place)

    assert told.format(folder=desk.folder) in answer.err
    assert answer.err.count("\n") == 1
    assert (answer.code, held(desk.two)) == (2, {"f000": "text 0"})


def test_a_backup_dir_of_a_side_without_a_trash_is_refused(desk: Desk) -> None:
    desk.configure({"cms": 'backup_dir2 = "old"\ntrash = { path2 = false }'})

    answer = desk("run", "cms")

    assert (answer.code, answer.out) == (2, "")
    assert "backup_dir2 in [pairs.cms]: says where path2 has its trash, and trash says" in answer.err


@pytest.mark.parametrize("place", ["", 'backup_dir2 = "old"'])
def test_where_directories_are_synced_those_in_the_trash_are_no_versions(desk: Desk, place: str) -> None:
    desk.tree("old")
    put(desk.one, {"d/deep/k": "text"})
    desk.align({"cms": f"create_empty_dirs = true\n{place}"})
    (desk.one / "d/deep/k").unlink()
    assert desk("run", "--quiet") == (0, "", "")

    listed = desk("trash", "list", "cms", "--json")

    assert ([row["key"] for row in listed.json], listed.err) == (["d/deep/k"], "")
    assert desk("trash", "purge", "cms", "--all").lines[1] == "path2: purged 1 version, 4 B freed"


def test_a_backup_dir_of_a_side_that_the_mode_never_writes_is_refused(desk: Desk) -> None:
    desk.configure({"cms": 'backup_dir1 = "old"\nmode = "mirror"'})

    answer = desk("run", "cms")

    assert (answer.code, answer.out) == (2, "")
    assert "backup_dir1 in [pairs.cms]: the mode of the pair is mirror, in which path1" in answer.err
