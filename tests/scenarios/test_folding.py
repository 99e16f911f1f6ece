"""A tree on a file system that folds case, and a bucket that doesn't: no name overwrites another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from bisyncer.endpoints import memory
from bisyncer.job import Policy, Remote
from bisyncer.model import Side, Summary
from tests.folding import fold_case
from tests.pair import Pair, paired
from tests.places import Place, Tree, held
from tests.world import ONE, carried_out


class Bucket:
    """A bucket in memory."""

    remotes: tuple[Remote, ...] = ()
    endpoint_url = ""

    def __init__(self, name: str) -> None:
        self.root = f"memory://{name}"
        self._store = memory.store(name)

    def plant(self, key: str, data: bytes) -> None:
        self._store.put(key, data)

    def remove(self, key: str) -> None:
        self._store.remove(key)

    def names(self) -> list[str]:
        return list(self._store.contents())

    def read(self, key: str) -> bytes | None:
        return self._store.contents().get(key)

    def rename(self, key: str, new_key: str) -> None:
        found = self._store.entry(key)
        assert found is not None
        self._store.put(new_key, self._store.contents()[key], mtime_ns=found.mtime_ns)
        self.remove(key)


class Folding(Tree):
    """A tree whose people rename files as a file manager does."""

    def rename(self, key: str, new_key: str) -> None:
        (self.folder / key).rename(self.folder / new_key)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folding:
    fold_case(monkeypatch)
    return Folding(tmp_path)


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[Bucket]:
    yield Bucket(tmp_path.name)
    memory.discard(tmp_path.name)


@pytest.fixture(params=Side)
def pair(request: pytest.FixtureRequest, tmp_path: Path, tree: Folding, bucket: Bucket) -> Iterator[Pair]:
    """The tree on either side."""
    one, two = (tree, bucket) if request.param is ONE else (bucket, tree)
    with paired(tmp_path, _place(one), _place(two)) as made:
        yield made


def _place(place: object) -> Place:
    return cast("Place", place)  # a pair asks it for no more than it has


def problems(summary: Summary) -> dict[str, str]:
    return {problem.key: problem.sentence for problem in summary.problems}


def contents(place: object) -> dict[str, bytes]:
    return held(_place(place))


def test_of_two_names_that_the_tree_takes_for_one_neither_is_copied_and_both_are_told(
    pair: Pair, tree: Folding, bucket: Bucket
) -> None:
    here = {"A.txt": b"upper", "a.txt": b"lower", "other": b"text"}
    for key, data in here.items():
        bucket.plant(key, data)

    aligned = pair.align()

    assert aligned.exit_code == 3
    side = "path1" if pair.places[ONE] is tree else "path2"
    assert problems(aligned) == {
        "A.txt": f"{side} can't tell it from 'a.txt', so none of them is copied. Rename all but one.",
        "a.txt": f"{side} can't tell it from 'A.txt', so none of them is copied. Rename all but one.",
    }
    assert contents(tree) == {"other": b"text"}
    assert contents(bucket) == here

    bucket.rename("a.txt", "b.txt")
    pair.settle()
    assert pair.held() == {"A.txt": b"upper", "b.txt": b"lower", "other": b"text"}


def test_a_new_name_that_the_tree_takes_for_one_in_step_is_told_and_the_old_one_stays_in_step(
    pair: Pair, tree: Folding, bucket: Bucket
) -> None:
    tree.plant("Dir/A.txt", b"upper")
    pair.align()
    bucket.plant("Dir/a.txt", b"lower")
    bucket.plant("dir/b", b"below")

    for number in range(2):
        summary = pair.run()

        assert summary.exit_code == 3
        assert problems(summary).keys() == {"Dir/a.txt", "dir/b"}
        assert "is spelled 'A.txt' here" in problems(summary)["Dir/a.txt"]
        assert "is spelled 'Dir' here" in problems(summary)["dir/b"]
        assert contents(tree) == {"Dir/A.txt": contents(bucket)["Dir/A.txt"]}
        bucket.plant("Dir/A.txt", b"edited %d" % number)

    bucket.remove("Dir/a.txt")
    bucket.remove("dir/b")
    pair.settle()
    assert pair.held() == {"Dir/A.txt": b"edited 1"}


def test_a_name_that_is_spelled_anew_on_the_tree_is_moved_in_the_bucket(
    pair: Pair, tree: Folding, bucket: Bucket
) -> None:
    tree.plant("dir/a.txt", b"text")
    pair.align()
    tree.rename("dir/a.txt", "dir/A.txt")

    summary = pair.run()

    side = "path2" if pair.places[ONE] is tree else "path1"
    assert (summary.exit_code, carried_out(summary)) == (0, {f"move-on-{side}": 1})
    assert contents(bucket) == {"dir/A.txt": b"text"}
    pair.settle()


def test_a_name_that_is_spelled_anew_in_the_bucket_is_spelled_so_on_the_tree(
    pair: Pair, tree: Folding, bucket: Bucket
) -> None:
    tree.plant("dir/a.txt", b"text")
    pair.align()
    bucket.rename("dir/a.txt", "dir/A.txt")

    pair.run()

    assert contents(tree) == {"dir/A.txt": b"text"}
    pair.settle()


def test_a_name_that_is_spelled_anew_and_edited_in_the_bucket_comes_to_the_tree(
    pair: Pair, tree: Folding, bucket: Bucket
) -> None:
    tree.plant("dir/a.txt", b"text")
    pair.align()
    bucket.remove("dir/a.txt")
    bucket.plant("dir/A.txt", b"edited")

    pair.run()

    pair.settle()
    assert pair.held() == {"dir/A.txt": b"edited"}


def test_a_directory_that_is_spelled_anew_in_the_bucket_is_told_and_leaves_the_tree_as_it_is(
    pair: Pair, tree: Folding, bucket: Bucket
) -> None:
    tree.plant("dir/a.txt", b"text")
    pair.align()
    bucket.rename("dir/a.txt", "Dir/a.txt")

    for _ in range(2):
        summary = pair.run()

        assert problems(summary).keys() == {"Dir/a.txt"}
        assert contents(tree) == {"dir/a.txt": b"text"}
    tree.rename("dir", "Dir")
    pair.settle()
    assert pair.held() == {"Dir/a.txt": b"text"}


def test_two_spellings_are_told_where_one_side_folds_case_and_fixed_where_that_is_asked_for(
    pair: Pair, tree: Folding, bucket: Bucket
) -> None:
    tree.plant("Report.pdf", b"text")
    bucket.plant("report.pdf", b"text")

    assert problems(pair.align()).keys() == {"Report.pdf", "report.pdf"}
    assert (contents(tree), contents(bucket)) == ({"Report.pdf": b"text"}, {"report.pdf": b"text"})

    fixed = pair.run(policy=Policy(fix_case=True))

    assert carried_out(fixed) == {"move-on-path2": 1}
    pair.settle()
    assert pair.held() == {"Report.pdf" if pair.places[ONE] is tree else "report.pdf": b"text"}


def test_a_conflict_of_a_name_and_of_its_other_spelling_loses_neither(
    pair: Pair, tree: Folding, bucket: Bucket
) -> None:
    tree.plant("a", b"first")
    pair.align()
    tree.plant("a", b"edited here")
    bucket.plant("a", b"edited in the bucket")
    bucket.plant("A", b"another")

    for _ in range(2):
        assert pair.run().exit_code == 3

    assert sorted(contents(tree).values()) == [b"edited here", b"edited in the bucket"]
    assert contents(bucket) == contents(tree) | {"A": b"another"}
