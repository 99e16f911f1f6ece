"""`run` and `plan` with `--prefix` or `--files-from`, and the lists that the latter reads."""

from __future__ import annotations

import fcntl
import io
import sys
import threading
import time
from pathlib import Path

import pytest

from bisyncer.cli import manifest
from bisyncer.cli.manifest import MAX_KEYS, local_roots, read_manifest
from bisyncer.errors import UsageError
from bisyncer.job import Scope
from tests.desk import Desk, held, put

ROOTS = ("/mnt/nfs/content",)


def read(tmp_path: Path, data: bytes, *, roots: tuple[str, ...] = ROOTS, null: bool = False) -> Scope:
    path = tmp_path / "list"
    path.write_bytes(data)
    return read_manifest(str(path), roots, null=null)


def test_a_line_is_a_key_or_a_path_below_a_root(tmp_path: Path) -> None:
    data = b"a.txt\n./b/c\n/mnt/nfs/content/d/e\n/mnt/nfs/content//f/./g/\n./#h\nlast"
    assert read(tmp_path, data) == Scope(keys=("a.txt", "b/c", "d/e", "f/g/", "#h", "last"))


def test_empty_lines_comments_and_repetitions_are_no_keys(tmp_path: Path) -> None:
    assert read(tmp_path, b"\n# of today\na\n\na\n").keys == ("a",)
    assert read(tmp_path, b"").keys == ()


def test_names_that_end_in_nul_hold_any_other_byte(tmp_path: Path) -> None:
    assert read(tmp_path, b"#a\nb\0 c\0", null=True).keys == ("#a\nb", " c")


def test_what_can_be_no_key_of_the_pair_is_a_problem_and_stops_no_other(tmp_path: Path) -> None:
    scope = read(tmp_path, b"/etc/passwd\n/mnt/nfs/content/../x\n/mnt/nfs/contents/y\nbad\xff\ngood\n")
    assert scope.keys == ("good",)
    assert [problem.key for problem in scope.refused] == [
        "/etc/passwd",
        "/mnt/nfs/content/../x",
        "/mnt/nfs/contents/y",
        "bad\\xff",
    ]


def test_of_two_buckets_a_key_may_begin_with_a_slash(tmp_path: Path) -> None:
    assert read(tmp_path, b"/lead\n", roots=()).keys == ("/lead",)


@pytest.mark.parametrize("line", [b"/mnt/nfs/content", b"/mnt/nfs/content/", b".", b"./"])
def test_a_root_itself_is_all_keys(tmp_path: Path, line: bytes) -> None:
    assert read(tmp_path, b"a\n" + line + b"\n") == Scope()


def test_too_many_names_are_all_keys(tmp_path: Path) -> None:
    lines = [f"k{number}\n".encode() for number in range(MAX_KEYS + 1)]
    assert len(read(tmp_path, b"".join(lines[:-1])).keys or ()) == MAX_KEYS
    assert read(tmp_path, b"".join(lines)) == Scope()


def test_what_is_no_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no list of keys"):
        read(tmp_path, b"x" * 200_000)
    with pytest.raises(UsageError, match="can't be read: No such file"):
        read_manifest(str(tmp_path / "none"), ROOTS)
    with pytest.raises(UsageError, match="can't be read: Is a directory"):
        read_manifest(str(tmp_path), ROOTS)


def test_a_writer_that_holds_the_lock_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waited = threading.Event()
    monkeypatch.setattr(time, "sleep", lambda _seconds: waited.set())
    path = tmp_path / "list"
    with path.open("wb") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        writer.write(b"half a na")
        writer.flush()
        found: list[Scope] = []
        reader = threading.Thread(target=lambda: found.append(read_manifest(str(path), ROOTS)))
        reader.start()
        assert waited.wait(30)
        writer.write(b"me\nanother\n")
    reader.join(30)
    assert found == [Scope(keys=("half a name", "another"))]


def test_a_lock_that_is_never_given_back_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "_LOCK_WAIT_S", 0.0)
    path = tmp_path / "list"
    with path.open("wb") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match="has held the lock"):
            read_manifest(str(path), ROOTS)


def test_roots_are_known_as_they_are_spelled_and_as_they_really_are(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    spelled = f"file://{tmp_path}/link"
    assert local_roots(spelled, "s3://bucket/live", "minio:bucket") == (
        f"{tmp_path}/link",
        f"{tmp_path}/real",
    )


def test_a_run_below_a_prefix_leaves_all_else(desk: Desk) -> None:
    desk.align()
    put(desk.one, {"d/x": "1", "d/y": "2", "d.z": "3"})

    answer = desk("run", "--prefix", "d/")

    assert answer.code == 0
    assert sorted(answer.lines[:2]) == [
        "copy-to-path2 d/x (new / absent)",
        "copy-to-path2 d/y (new / absent)",
    ]
    assert answer.lines[2].startswith("cms: success (prefix d) in ")
    assert list(held(desk.two)) == ["d/x", "d/y"]
    assert desk("history", "--json").json[0]["scope"] == "prefix d"
    assert "prefix d" in desk("history").lines[1]


def test_a_run_of_a_part_leaves_the_pair_as_stale_as_it_was(desk: Desk) -> None:
    desk.align()
    good = desk("status", "--json").json[0]["last_run"]
    put(desk.one, {"d/x": "1"})
    desk("run", "--prefix", "d")
    assert desk("status", "--json").json[0]["last_run"] == good


def test_a_run_looks_at_what_a_list_names(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.align(files=3)
    put(desk.one, {"f000": "edited", "f001": "edited too", "new/x": "1"})
    (desk.folder / "list").write_text(f"{desk.one}/f000\n{desk.one}/new\n/elsewhere/x\n")

    answer = desk("run", "--files-from", "list")

    assert answer.code == 3
    assert sorted(answer.lines[:2]) == [
        "copy-to-path2 f000 (changed / unchanged)",
        "copy-to-path2 new/x (new / absent)",
    ]
    assert answer.lines[2].startswith("problem /elsewhere/x: is named by --files-from and lies outside")
    assert held(desk.two)["f001"] == "text 1"

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"f001\0")))
    assert desk("run", "--files-from", "-", "--files-from-null", "--json").json["scope"] == "1 named"
    assert held(desk.two)["f001"] == "edited too"


def test_a_list_of_too_many_keys_is_a_whole_run_that_says_so(desk: Desk) -> None:
    desk.align()
    put(desk.one, {"new": "1"})
    (desk.folder / "list").write_text("".join(f"k{number}\n" for number in range(MAX_KEYS + 1)))

    answer = desk("run", "--files-from", "list", "--json")

    assert answer.json["scope"] is None
    assert answer.err.startswith("bisyncer: warning: cms: list names more than 10,000 keys")
    assert held(desk.two) == {"new": "1"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("cms", "media", "--prefix", "d"), "one pair"),
        (("--all", "--files-from", "list"), "one pair"),
        (("cms", "--prefix", "d", "--files-from", "list"), "not both"),
        (("cms", "--prefix", "d", "--resync"), "whole pair"),
        (("cms", "--prefix", "/"), "--prefix is empty"),
        (("cms", "--files-from-null"), "goes with --files-from"),
        (("cms", "--files-from", "list"), "can't be read"),
    ],
)
def test_parts_that_make_no_sense_are_refused(desk: Desk, arguments: tuple[str, ...], told: str) -> None:
    desk.align({"cms": "", "media": ""})
    answer = desk("run", *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert told in answer.err
    assert answer.err.count("\n") == 1


def test_the_plan_of_a_part_shows_what_a_run_of_it_would_do_and_does_nothing(desk: Desk) -> None:
    desk.align(files=3)
    put(desk.one, {"d/x": "1", "f000": "edited", "f001": "edited too"})
    (desk.folder / "list").write_text("f000\n")
    before = held(desk.two)

    below, named = desk("plan", "cms", "--prefix", "d"), desk("plan", "cms", "--files-from", "list")

    assert below.lines[0] == "copy-to-path2 d/x (new / absent)"
    assert below.lines[1].startswith("cms: success (dry run, prefix d) in")
    assert named.lines[0] == "copy-to-path2 f000 (changed / unchanged)"
    assert named.lines[1].startswith("cms: success (dry run, 1 named) in")
    assert held(desk.two) == before


def test_a_kept_plan_of_a_part_leaves_all_else(desk: Desk) -> None:
    desk.align(files=3)
    put(desk.one, {"d/x": "1", "f000": "edited"})

    kept = desk("plan", "cms", "--prefix", "d", "--out", "d.plan")
    done = desk("apply", "cms", "d.plan")

    assert (kept.code, done.code) == (0, 0)
    assert held(desk.two) == {"d/x": "1", **{f"f{number:03}": f"text {number}" for number in range(3)}}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--prefix", "d", "--files-from", "list"), "not both"),
        (("--prefix", "d", "--resync"), "whole pair"),
        (("--prefix", "d", "--explain", "d/x"), "about one key"),
        (("--files-from-null",), "goes with --files-from"),
    ],
)
def test_plans_of_parts_that_make_no_sense_are_refused(
    desk: Desk, arguments: tuple[str, ...], told: str
) -> None:
    desk.align()
    answer = desk("plan", "cms", *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert told in answer.err
    assert answer.err.count("\n") == 1


@pytest.mark.parametrize("prefix", ["../x", "/etc", "a//b", "./a"])
def test_a_prefix_that_no_tree_can_hold_is_refused(desk: Desk, prefix: str) -> None:
    desk.align()

    answer = desk("run", "--prefix", prefix)

    assert answer.code == 2
    assert answer.err.startswith(
        f"bisyncer: --prefix: '{prefix}' names nothing below the roots of the pair ("
    )


def test_a_prefix_may_be_an_absolute_path_below_a_tree(desk: Desk) -> None:
    desk.align()
    put(desk.one, {"d/x": "1", "e": "2"})

    assert "(prefix d)" in desk("run", "--prefix", f"{desk.one}/d/").lines[-1]
    assert desk("run", "--prefix", str(desk.one)).code == 2
    assert set(held(desk.two)) - {"f000"} == {"d/x"}
