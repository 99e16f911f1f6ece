"""Empty directories and links: synced where that is asked for; directories that a run emptied are removed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bisyncer.endpoints import memory
from bisyncer.errors import Transient
from bisyncer.job import LinkMode, Remote
from bisyncer.model import SEALS, TRASH, Summary
from tests.pair import Pair
from tests.world import ONE, TWO, carried_out


class Folder:
    """A tree as a place of a pair."""

    remotes: tuple[Remote, ...] = ()

    def __init__(self, path: Path) -> None:
        path.mkdir()
        self.path = path
        self.root = str(path)

    def make(self, *keys: str) -> None:
        """Make directories, and files where a key doesn't end in '/'."""
        for key in keys:
            path = self.path / key
            (path if key.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
            if not key.endswith("/"):
                path.write_text(key)

    def remove(self, *keys: str) -> None:
        for key in keys:
            (self.path / key).rmdir() if key.endswith("/") else (self.path / key).unlink()

    def held(self) -> list[str]:
        """Files, and directories that are empty."""
        paths = (path for path in self.path.rglob("*") if not {TRASH, SEALS} & set(path.parts))
        found = ((path, path.is_dir()) for path in paths)
        kept = ((path, is_dir) for path, is_dir in found if not is_dir or not any(path.iterdir()))
        return sorted(path.relative_to(self.path).as_posix() + "/" * is_dir for path, is_dir in kept)


class Bucket:
    """A bucket in memory as a place of a pair."""

    remotes: tuple[Remote, ...] = ()

    def __init__(self, name: str) -> None:
        self.root = f"memory://{name}"
        self.store = memory.store(name)

    def make(self, *keys: str) -> None:
        for key in keys:
            self.store.put(key, b"" if key.endswith("/") else key.encode())

    def remove(self, *keys: str) -> None:
        for key in keys:
            self.store.remove(key)

    def held(self) -> list[str]:
        return [key for key in self.store.contents() if not key.startswith((TRASH, SEALS))]


class Kinds:
    """A tree and another place, under a pair that syncs empty directories."""

    def __init__(self, folder: Path, two: Folder | Bucket) -> None:
        self.one, self.two = Folder(folder / "one"), two
        self.pair = Pair(folder, self.one, self.two)  # type: ignore[arg-type]
        self.set(create_empty_dirs=True)
        self.pair.align()

    def set(self, *, create_empty_dirs: bool = False, links: LinkMode = LinkMode.SKIP) -> None:
        policy = replace(self.pair.job.policy, create_empty_dirs=create_empty_dirs)
        self.pair.job = replace(self.pair.job, policy=policy, links=links)
        self.pair.reopen()

    def run(self, **changes: object) -> dict[str, int]:
        """What a run carries out; it has no problem."""
        summary: Summary = self.pair.run(**changes)
        assert not summary.problems, summary.problems
        return carried_out(summary)


@pytest.fixture(params=["tree", "bucket"])
def kinds(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kinds]:
    """A tree with another tree, or with a bucket."""
    name = f"kinds-{tmp_path}"
    made = Kinds(tmp_path, Folder(tmp_path / "two") if request.param == "tree" else Bucket(name))
    yield made
    made.pair.close()
    memory.discard(name)


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[Kinds]:
    """A tree with a bucket."""
    name = f"bucket-{tmp_path}"
    made = Kinds(tmp_path, Bucket(name))
    yield made
    made.pair.close()
    memory.discard(name)


def test_an_empty_directory_is_made_on_the_other_side_and_removed_again(kinds: Kinds) -> None:
    kinds.one.make("d/e/")
    assert kinds.run() == {"copy-to-path2": 1}
    assert kinds.two.held() == ["d/e/"]
    assert kinds.run() == {}

    kinds.one.remove("d/e/", "d/")
    assert kinds.run() == {"delete-from-path2": 1}

    assert kinds.two.held() == []
    assert kinds.run() == {}
    assert kinds.pair.state.ancestors.count(1) == 0


def test_an_empty_directory_comes_back_from_the_other_side_and_goes_again(kinds: Kinds) -> None:
    kinds.two.make("d/")
    assert kinds.run() == {"copy-to-path1": 1}
    assert kinds.one.held() == ["d/"]

    kinds.two.remove("d/")
    assert kinds.run() == {"delete-from-path1": 1}

    assert kinds.one.held() == []
    assert kinds.run() == {}


def test_only_directories_that_are_keys_are_counted(kinds: Kinds) -> None:
    kinds.one.make("d/e/", "f/x")
    kinds.run()

    assert kinds.pair.run().scanned == {ONE: 2, TWO: 2}


def test_the_marker_of_a_bucket_stays_as_long_as_anything_is_below_it(bucket: Kinds) -> None:
    exclude = ("*.tmp",)
    bucket.two.make("d/", "d/x", "d/x.tmp")
    bucket.run(exclude=exclude)
    bucket.one.remove("d/x", "d/")

    bucket.run(exclude=exclude)

    assert bucket.two.held() == ["d/", "d/x.tmp"]


def test_a_directory_that_both_have_is_recorded_and_nothing_else(kinds: Kinds) -> None:
    kinds.one.make("d/")
    kinds.two.make("d/")

    assert kinds.run() == {"record": 1}
    assert kinds.run() == {}


@pytest.mark.parametrize("filled", ["one", "two"])
def test_a_file_in_an_empty_directory_removes_nothing_and_conflicts_with_nothing(
    kinds: Kinds, filled: str
) -> None:
    kinds.one.make("d/")
    kinds.run()
    getattr(kinds, filled).make("d/x")

    copy = "copy-to-path2" if filled == "one" else "copy-to-path1"
    assert kinds.run() == {copy: 1, "forget": 1}

    assert kinds.one.held() == ["d/x"]
    assert kinds.run() == {}


def test_a_directory_that_keeps_standing_when_its_files_go_stands_on_both_sides(kinds: Kinds) -> None:
    kinds.one.make("d/x")
    kinds.run()
    kinds.one.remove("d/x")

    kinds.run()
    kinds.run()

    assert kinds.one.held() == kinds.two.held() == ["d/"]
    assert kinds.run() == {}


def test_a_directory_that_goes_with_its_files_goes_on_both_sides(kinds: Kinds) -> None:
    kinds.one.make("d/")
    kinds.run()
    kinds.one.make("d/x")
    kinds.run()
    kinds.one.remove("d/x", "d/")

    assert kinds.run() == {"delete-from-path2": 1}

    assert kinds.one.held() == kinds.two.held() == []  # not even the marker of a bucket
    assert kinds.run() == {}


def test_a_directory_that_is_filled_in_the_last_moment_stays_without_a_word(kinds: Kinds) -> None:
    kinds.one.make("d/")
    kinds.run()
    kinds.one.remove("d/")

    def fill(method: str, _key: str) -> None:
        if method in {"delete", "move"}:
            kinds.two.make("d/x")

    kinds.pair.hooked[TWO].before = fill

    kinds.run()
    kinds.pair.hooked[TWO].before = lambda _method, _key: None
    kinds.run()

    assert kinds.one.held() == ["d/x"]
    assert "d/x" in kinds.two.held()
    assert kinds.run() == {}


def test_an_excluded_file_keeps_its_directory_and_nothing_comes_back(kinds: Kinds) -> None:
    exclude = ("*.tmp",)
    kinds.one.make("d/")
    kinds.run(exclude=exclude)
    kinds.one.make("d/x.tmp")
    kinds.two.remove("d/")

    assert kinds.run(exclude=exclude) == {"forget": 1}
    assert kinds.run(exclude=exclude) == {}
    assert kinds.one.held() == ["d/x.tmp"]
    assert kinds.two.held() == []


def test_exclude_patterns_hold_for_directories(kinds: Kinds) -> None:
    kinds.one.make("build/", "build.tmp/", "kept/")

    assert kinds.run(exclude=("build/", "*.tmp")) == {"copy-to-path2": 1}
    assert kinds.two.held() == ["kept/"]


def test_a_marker_beside_keys_below_it_is_left_alone(bucket: Kinds) -> None:
    bucket.two.make("d/", "d/x")

    assert bucket.run() == {"copy-to-path1": 1}
    assert bucket.run() == {}
    assert bucket.two.held() == ["d/", "d/x"]


def test_an_object_with_content_in_the_name_of_a_directory_is_a_problem(bucket: Kinds) -> None:
    assert isinstance(bucket.two, Bucket)
    bucket.one.make("d/", "e/x")
    bucket.run()
    bucket.two.store.put("d/", b"content")
    bucket.two.store.put("e/", b"content")

    problems = bucket.pair.run().problems

    assert [(each.key, "is a directory, so" in each.sentence) for each in problems] == [
        ("d/", True),
        ("e/", True),
    ]
    assert bucket.one.held() == ["d/", "e/x"]


def test_switched_off_nothing_is_removed_and_markers_are_left_alone(kinds: Kinds) -> None:
    kinds.one.make("d/", "x")
    kinds.run()
    kinds.set(create_empty_dirs=False)
    kinds.one.remove("d/")
    kinds.one.make("e/")

    assert kinds.run() == {"forget": 1}

    assert kinds.two.held() == ["d/", "x"]
    assert kinds.run() == {}


@pytest.mark.parametrize(("old", "new"), [("empty", "d/"), ("d/", "empty")])
def test_an_empty_directory_is_no_rename_of_an_empty_file(bucket: Kinds, old: str, new: str) -> None:
    assert isinstance(bucket.two, Bucket)
    bucket.two.store.put(old, b"", mtime_ns=1)
    bucket.run()
    bucket.two.remove(old)
    bucket.two.store.put(new, b"", mtime_ns=1)

    assert bucket.run() == {"copy-to-path1": 1, "delete-from-path1": 1}
    assert bucket.one.held() == [new]


# Those that a run emptied.


def emptied(kinds: Kinds, **changes: object) -> None:
    kinds.set(create_empty_dirs=False)
    kinds.one.make("d/e/x", "d/e/y", "z")
    kinds.run()
    for key in ("d/e/x", "d/e/y"):
        kinds.two.remove(key)
    if isinstance(kinds.two, Folder):
        kinds.two.remove("d/e/", "d/")
    kinds.run(**changes)


def test_what_a_run_emptied_is_removed_with_the_directories_above(kinds: Kinds) -> None:
    emptied(kinds)

    assert kinds.one.held() == ["z"]


def test_what_a_run_emptied_stays_where_it_is_asked_to(kinds: Kinds) -> None:
    emptied(kinds, remove_empty_dirs=False)

    assert kinds.one.held() == ["d/e/", "z"]


def test_a_directory_that_the_other_side_keeps_stays(tmp_path: Path) -> None:
    kinds = Kinds(tmp_path, Folder(tmp_path / "two"))
    kinds.set(create_empty_dirs=False)
    kinds.one.make("d/x")
    kinds.run()
    kinds.two.remove("d/x")
    kinds.run()

    assert kinds.one.held() == ["d/"]
    kinds.pair.close()


def test_a_directory_that_somebody_else_emptied_stays(kinds: Kinds) -> None:
    kinds.set(create_empty_dirs=False)
    kinds.one.make("d/x", "other/", "d/inner/")
    kinds.run()
    kinds.one.remove("d/x")
    kinds.run()

    assert kinds.one.held() == ["d/inner/", "other/"]


def test_a_directory_from_which_files_were_moved_goes_too(kinds: Kinds) -> None:
    kinds.set(create_empty_dirs=False)
    kinds.one.make("d/x")
    kinds.run()
    (kinds.one.path / "d").rename(kinds.one.path / "e")

    assert kinds.run() == {"move-on-path2": 1}
    assert kinds.two.held() == ["e/x"]
    if isinstance(kinds.two, Folder):
        assert [path.name for path in kinds.two.path.iterdir() if path.name not in {TRASH, SEALS}] == ["e"]


def test_a_directory_that_cannot_be_looked_at_stays(kinds: Kinds) -> None:
    kinds.set(create_empty_dirs=False)
    kinds.one.make("d/x", "z")
    kinds.run()
    kinds.two.remove("d/x")

    def fail(method: str, key: str) -> None:
        if (method, key) == ("delete", "d/"):
            raise Transient("input/output error")

    kinds.pair.hooked[ONE].before = fail
    assert kinds.run() == {"delete-from-path1": 1}
    assert kinds.one.held() == ["d/", "z"]


# Links.


def test_a_link_travels_to_the_other_side_and_back_as_a_link(kinds: Kinds) -> None:
    kinds.set(links=LinkMode.KEEP)
    (kinds.one.path / "l").symlink_to("one")
    assert kinds.run() == {"copy-to-path2": 1}
    assert kinds.run() == {}
    if isinstance(kinds.two, Folder):
        assert str((kinds.two.path / "l").readlink()) == "one"
        (kinds.two.path / "l").unlink()
        (kinds.two.path / "l").symlink_to("/the/other")
    else:
        assert kinds.two.store.contents()["l.rclonelink"] == b"one"
        kinds.two.store.put("l.rclonelink", b"/the/other")

    assert kinds.run() == {"copy-to-path1": 1}
    assert str((kinds.one.path / "l").readlink()) == "/the/other"
    assert kinds.run() == {}

    (kinds.one.path / "l").rename(kinds.one.path / "m")
    assert kinds.run() == {"move-on-path2": 1}
    (kinds.one.path / "m").unlink()
    assert kinds.run() == {"delete-from-path2": 1}
    assert kinds.two.held() == []


def test_a_conflict_of_two_links_keeps_the_text_of_both(tmp_path: Path) -> None:
    kinds = Kinds(tmp_path, Folder(tmp_path / "two"))
    kinds.set(links=LinkMode.KEEP)
    for side, target in ((kinds.one, "one"), (kinds.two, "the other")):
        assert isinstance(side, Folder)
        (side.path / "l").symlink_to(target)

    assert kinds.run() == {"conflict": 1}

    assert isinstance(kinds.two, Folder)
    for path in (kinds.one.path, kinds.two.path):
        texts = {str((path / "l").readlink()), (path / "l.rclonelink.conflict1").read_text()}
        assert texts == {"one", "the other"}
    assert kinds.run() == {}
    kinds.pair.close()


@pytest.mark.parametrize("first", ["file", "link", "directory"])
@pytest.mark.parametrize("then", ["file", "link", "directory"])
def test_whatever_takes_the_place_of_another_kind_arrives(kinds: Kinds, first: str, then: str) -> None:
    kinds.set(links=LinkMode.KEEP)

    def make(kind: str) -> None:
        path = kinds.one.path / "k"
        if kind == "link":
            path.symlink_to("target")
        else:
            kinds.one.make("k" if kind == "file" else "k/below")

    make(first)
    kinds.run()
    path = kinds.one.path / "k"
    shutil.rmtree(path) if first == "directory" else path.unlink()
    make(then)

    kinds.pair.run()  # in the way of what comes may be what is to go
    kinds.run()

    assert kinds.run() == {}
    two = kinds.two
    if isinstance(two, Folder):
        assert two.held() == kinds.one.held()
        assert (two.path / "k").is_symlink() == (then == "link")
    else:
        assert two.held() == [{"file": "k", "link": "k.rclonelink", "directory": "k/below"}[then]]


def test_a_change_that_comes_to_a_key_below_a_followed_link_is_a_problem_in_words(kinds: Kinds) -> None:
    kinds.set(links=LinkMode.FOLLOW)
    outside = kinds.one.path.parent / "outside"
    outside.mkdir()
    (outside / "x").write_text("x")
    (kinds.one.path / "l").symlink_to(outside)
    assert kinds.run() == {"copy-to-path2": 1}
    assert kinds.run() == {}

    kinds.two.make("l/new")
    kinds.two.remove("l/x")
    problems = dict(kinds.pair.run().problems)

    assert sorted(problems) == ["l/new", "l/x"]
    assert all("nothing is written through links" in each for each in problems.values())
    assert [path.name for path in outside.iterdir()] == ["x"]

    (outside / "x").write_text("changed here")
    kinds.two.remove("l/new")
    assert kinds.run() == {"copy-to-path2": 1}
    (kinds.one.path / "l").unlink()
    assert kinds.run() == {"delete-from-path2": 1}
    assert (outside / "x").exists()


def test_the_other_root_is_not_reached_by_a_link(tmp_path: Path) -> None:
    kinds = Kinds(tmp_path, Folder(tmp_path / "two"))
    kinds.set(links=LinkMode.FOLLOW)
    kinds.two.make("x")
    (kinds.one.path / "l").symlink_to("../two")

    for _ in range(2):
        (problem,) = kinds.pair.run().problems
        assert problem.key == "l/"
        assert "the other root of this pair" in problem.sentence

    assert kinds.one.held() == ["x"]
    kinds.pair.close()


def test_exclude_patterns_hold_for_links(kinds: Kinds) -> None:
    kinds.set(links=LinkMode.KEEP)
    (kinds.one.path / "l").symlink_to("target")
    (kinds.one.path / "m").symlink_to("target")

    assert kinds.run(exclude=("l.rclonelink",)) == {"copy-to-path2": 1}


def test_switched_back_links_are_left_alone_on_both_sides(kinds: Kinds) -> None:
    kinds.set(links=LinkMode.KEEP)
    (kinds.one.path / "l").symlink_to("target")
    kinds.run()
    kinds.set(links=LinkMode.SKIP)

    assert kinds.run() == {"forget": 1}
    assert kinds.run() == {}
    assert (kinds.one.path / "l").is_symlink()
    assert kinds.two.held() == (["l"] if isinstance(kinds.two, Folder) else ["l.rclonelink"])
