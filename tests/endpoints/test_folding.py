"""A tree on a file system that folds case: a key is what a directory lists, and no other spelling of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bisyncer.endpoints.local import LocalEndpoint
from bisyncer.errors import Changed, Clash, Rejected
from bisyncer.model import Entry
from tests.endpoints.conftest import OWNER
from tests.endpoints.contract import keys, put, whole
from tests.folding import fold_case


@pytest.fixture
def tree(root: Path, kernel: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalEndpoint]:
    """A folding tree with `Dir/a` in it; with each kind of kernel."""
    assert kernel
    fold_case(monkeypatch)
    endpoint = LocalEndpoint(str(root), owner=OWNER, folds_case=True)
    put(endpoint, "Dir/a", b"first")
    yield endpoint
    endpoint.close()


def entry(tree: LocalEndpoint, key: str) -> Entry:
    found = tree.stat(key)
    assert found is not None
    return found


def content(tree: LocalEndpoint, key: str) -> bytes:
    return whole(tree, key, entry(tree, key))


def test_another_spelling_is_not_there(tree: LocalEndpoint) -> None:
    assert tree.stat("Dir/a") is not None
    assert tree.stat("Dir/A") is None
    assert tree.stat("dir/a") is None
    assert tree.stat("Dir/b") is None


@pytest.mark.parametrize("key", ["Dir/A", "dir/a", "dir/b"])
def test_what_is_spelled_otherwise_is_refused_by_both_names_and_overwrites_nothing(
    tree: LocalEndpoint, key: str
) -> None:
    with pytest.raises(Clash, match=r"(A: is spelled 'a'|dir: is spelled 'Dir') here"):
        put(tree, key, b"second")

    assert keys(tree) == ["Dir/a"]
    assert content(tree, "Dir/a") == b"first"


def test_a_name_can_be_given_another_spelling(tree: LocalEndpoint) -> None:
    seen = entry(tree, "Dir/a")

    moved = tree.move("Dir/a", "Dir/A", expect=seen)

    assert moved.key == "Dir/A"
    assert keys(tree) == ["Dir/A"]
    assert content(tree, "Dir/A") == b"first"


def test_a_directory_is_not_given_another_spelling(tree: LocalEndpoint) -> None:
    with pytest.raises(Clash, match="is spelled 'Dir' here"):
        tree.move("Dir/a", "dir/a", expect=entry(tree, "Dir/a"))

    assert keys(tree) == ["Dir/a"]


def test_another_version_that_comes_while_a_name_is_spelled_anew_is_kept(
    tree: LocalEndpoint, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = entry(tree, "Dir/a")
    rename = os.rename

    def late(old: str, new: str, **directories: int) -> None:
        if old == "a":
            (root / "Dir/a").write_bytes(b"edited meanwhile")
        rename(old, new, **directories)
        if old == "a":
            (root / "Dir/a").write_bytes(b"made meanwhile")

    monkeypatch.setattr(os, "rename", late)
    with pytest.raises(Changed):
        tree.move("Dir/a", "Dir/A", expect=seen)

    held = {content(tree, key) for key in keys(tree)}
    assert held == {b"edited meanwhile", b"made meanwhile"}


def test_what_a_dead_run_left_while_it_spelled_a_name_anew_is_put_back_by_the_next_scan(
    tree: LocalEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as dead:
        dead.setattr("bisyncer.endpoints.aside.Asides._settle", die)
        with pytest.raises(Killed):
            tree.move("Dir/a", "Dir/A", expect=entry(tree, "Dir/a"))
    assert tree.stat("Dir/A") is None

    assert keys(tree) == ["Dir/A"]
    assert content(tree, "Dir/A") == b"first"


def test_a_directory_in_the_place_of_a_file_is_told_with_what_is_in_it(tree: LocalEndpoint) -> None:
    with pytest.raises(
        Rejected, match=r"^Dir: a directory of that name has 'a' in it. Rename one of the two.$"
    ):
        put(tree, "Dir", b"file")


@pytest.mark.parametrize("scratch", [True, False])
@pytest.mark.parametrize("folds", [True, False])
def test_a_probe_learns_whether_case_is_folded(
    root: Path, monkeypatch: pytest.MonkeyPatch, folds: bool, scratch: bool
) -> None:
    (root / "\u00e9").touch()
    if folds:
        fold_case(monkeypatch)
    tree = LocalEndpoint(str(root), owner=OWNER, folds_case=not folds)
    if not scratch:
        assert tree.probe().conditions.folds_case is not folds  # no name shows it
        (root / "Name").touch()

    probe = tree.probe(scratch=scratch)

    assert probe.conditions.folds_case is folds
    assert tree.capabilities.folds_case is folds
    assert bool(probe.remarks) is folds
    tree.close()


def test_two_names_that_are_there_show_that_case_is_not_folded(root: Path) -> None:
    for name in ("a", "A"):
        (root / name).touch()

    assert LocalEndpoint(str(root), owner=OWNER).probe().conditions.folds_case is False
