from __future__ import annotations

import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bisyncer.endpoints.local import LocalEndpoint
from bisyncer.errors import ListingIncomplete
from bisyncer.model import TRASH, Entry, Item, Unreadable
from tests.endpoints.conftest import OWNER, open_descriptors
from tests.endpoints.contract import keys


def plant(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"1")


def places(items: list[Item]) -> dict[str, str]:
    return {item.prefix: item.sentence for item in items if isinstance(item, Unreadable)}


def test_a_file_that_is_deleted_while_it_is_listed_is_gone(root: Path, local: LocalEndpoint) -> None:
    plant(root, "a", "b", "c/d", "e")
    found = []
    for item in local.scan():
        found.append(item[0])
        if item[0] == "a":
            (root / "b").unlink()
            (root / "c" / "d").unlink()
            (root / "c").rmdir()

    assert found == ["a", "e"]


def test_a_file_and_a_directory_that_trade_places_while_they_are_listed_are_unreadable(
    root: Path, local: LocalEndpoint
) -> None:
    plant(root, "a", "b", "c/d", "e")
    found = []
    for item in local.scan():
        found.append(item)
        if item[0] == "a":
            (root / "b").rename(root / "t")
            (root / "c").rename(root / "b")
            (root / "t").rename(root / "c")

    assert [item[0] for item in found] == ["a", "b", "c/", "e"]
    assert places(found).keys() == {"b", "c/"}


def test_what_can_not_be_looked_at_is_unreadable_in_its_place(
    root: Path, local: LocalEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(root, "a", "b", "c/d", "e/f")
    real_stat, real_scandir = os.stat, os.scandir

    def bad_stat(path: Any, **kwargs: Any) -> os.stat_result:
        if path == "b":
            raise OSError(5, "Input/output error")
        return real_stat(path, **kwargs)

    def bad_scandir(directory: int) -> object:
        found = real_scandir(directory)
        names = [entry.name for entry in found]
        if names == ["d"]:
            raise OSError(116, "Stale file handle")
        return real_scandir(directory)

    with monkeypatch.context() as patched:
        patched.setattr(os, "stat", bad_stat)
        patched.setattr(os, "scandir", bad_scandir)
        found = list(local.scan())

    assert [item[0] for item in found] == ["a", "b", "c/", "e/f"]
    assert places(found)["b"].startswith("Input/output error")
    assert places(found)["c/"].startswith("Stale")
    assert not any(item.skipped for item in found if isinstance(item, Unreadable))


def test_a_root_that_can_not_be_listed_to_its_end_is_no_listing(
    root: Path, local: LocalEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(root, "a")

    def bad_scandir(_: int) -> object:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", bad_scandir)
        with pytest.raises(ListingIncomplete, match="Input/output error"):
            list(local.scan())


def test_a_file_system_that_lists_a_name_twice_is_no_listing(
    root: Path, local: LocalEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(root, "a", "b")

    monkeypatch.setattr("bisyncer.endpoints.walk._names", lambda *_: (["a", "b", "a"], []))

    with pytest.raises(ListingIncomplete, match="'a' was listed after 'a'"):
        list(local.scan())


def test_a_place_that_reaches_into_a_range_is_yielded_first(root: Path, local: LocalEndpoint) -> None:
    plant(root, "a", "d-x", "e")
    (root / "d").symlink_to("nowhere")

    for low, high, expected in [
        ("", None, ["a", "d", "d-x", "e"]),
        ("d", None, ["d", "d-x", "e"]),
        ("d-", None, ["d", "d-x", "e"]),
        ("d/m", None, ["d", "e"]),
        ("d/m", "d/n", ["d"]),
        ("d0", None, ["e"]),
        ("", "d", ["a"]),
        ("", "d-", ["a", "d"]),
        ("b", "d/", ["d", "d-x"]),
    ]:
        assert [item[0] for item in local.scan(low, high)] == expected, (low, high)


def test_a_directory_that_can_not_be_read_is_yielded_in_every_range_that_it_reaches_into(
    root: Path, local: LocalEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(root, "a", "d/x", "e")
    real_open = os.open

    def bad_open(path: str, flags: int, *args: int, **kwargs: int) -> int:
        if path == "d":
            raise OSError(13, "Permission denied")
        return real_open(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", bad_open)

    for low, high, expected in [
        ("", None, ["a", "d/", "e"]),
        ("d/m", None, ["d/", "e"]),
        ("d/m", "d/n", ["d/"]),
        ("", "d/", ["a"]),
        ("", "d/a", ["a", "d/"]),
        ("d0", None, ["e"]),
    ]:
        assert [item[0] for item in local.scan(low, high)] == expected, (low, high)


def test_only_directories_that_a_range_reaches_are_read(
    root: Path, local: LocalEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(root, "a/x", "b/x", "b/y/z", "c/x")
    opened: list[str] = []
    real_open = os.open

    def noted(path: str, flags: int, *args: int, **kwargs: int) -> int:
        opened.append(path)
        return real_open(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", noted)

    assert keys(local, "b/", "b0") == ["b/x", "b/y/z"]
    assert {"a", "c"}.isdisjoint(opened)


def test_names_that_are_not_valid_text_are_told_and_never_listed(root: Path, local: LocalEndpoint) -> None:
    plant(root, "caf", "cag")
    below = bytes(root) + b"/caf\xe9"
    Path(os.fsdecode(below)).mkdir()
    Path(os.fsdecode(below + b"/x")).write_bytes(b"1")
    Path(os.fsdecode(bytes(root) + b"/\xff")).write_bytes(b"1")

    found = list(local.scan())

    assert [item[0] for item in found] == ["\\xff", "caf", "caf\\xe9", "cag"]
    assert places(found).keys() == {"\\xff", "caf\\xe9"}
    assert "not valid UTF-8" in places(found)["caf\\xe9"]


@pytest.mark.parametrize("other", ["file", "directory"])
def test_a_name_that_reads_as_one_that_is_not_valid_text_is_told_with_it(
    root: Path, local: LocalEndpoint, other: str
) -> None:
    plant(root, "a", "z")
    Path(os.fsdecode(bytes(root) + b"/caf\xe9")).write_bytes(b"1")
    plant(root, "caf\\xe9" if other == "file" else "caf\\xe9/x")

    found = list(local.scan())

    assert [item[0] for item in found] == ["a", "caf\\xe9", "z"]
    assert "more than one name" in places(found)["caf\\xe9"]


def test_a_tree_of_1500_levels_can_be_written_listed_and_deleted(root: Path, local: LocalEndpoint) -> None:
    from tests.endpoints.contract import put, whole

    deep = "/".join(["dir"] * 1500) + "/file"
    try:
        entry = put(local, deep, b"1")
        put(local, "dir/dir/zzz", b"1")

        assert keys(local) == [deep, "dir/dir/zzz"]
        assert whole(local, deep, entry) == b"1"
        assert local.stat(deep) is not None
        local.delete(deep, expect=entry)
        assert keys(local) == ["dir/dir/zzz"]
    finally:
        remove_deep(root)


def remove_deep(root: Path) -> None:
    """Remove `dir/dir/dir...` from above: pytest's own removal recurses too deep."""
    opened = os.open(root, os.O_RDONLY)
    chain = [opened]
    while True:
        try:
            chain.append(os.open("dir", os.O_RDONLY, dir_fd=chain[-1]))
        except FileNotFoundError:
            break
    while chain:
        last = chain.pop()
        for name in os.listdir(last):  # noqa: PTH208 -- by descriptor, not by path
            if name == "dir":
                os.rmdir(name, dir_fd=last)
            else:
                os.unlink(name, dir_fd=last)
        os.close(last)


def test_at_most_one_directory_is_open_during_a_scan(root: Path, local: LocalEndpoint) -> None:
    plant(root, *("/".join(["d"] * depth) + "/file" for depth in range(1, 30)))
    list(local.scan())
    before = open_descriptors()

    most = max(open_descriptors() for _ in local.scan())

    assert most == before + 1


def test_a_scan_of_a_large_directory_holds_its_names_and_no_entries(root: Path, local: LocalEndpoint) -> None:
    count = 20_000
    for number in range(count):
        os.close(os.open(root / f"{number:08}", os.O_CREAT | os.O_WRONLY))
    tracemalloc.start()
    try:
        found = sum(isinstance(item, Entry) for item in local.scan())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert found == count
    assert peak < 150 * count  # a name of 8 characters takes 57 bytes and a place in a list 8; an entry 500


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=4).filter(
    lambda name: name not in {".", ".."}
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.sets(st.lists(NAMES, min_size=1, max_size=4).map("/".join), max_size=12),
    cuts=st.lists(st.text(st.sampled_from("a/-.0é"), max_size=4), max_size=3),
)
def test_any_names_are_listed_in_order_and_in_every_range(
    tmp_path_factory: pytest.TempPathFactory, names: set[str], cuts: list[str]
) -> None:
    root = tmp_path_factory.mktemp("any")
    planted = set()
    for name in sorted(names):
        try:
            plant(root, name)
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            continue
        planted.add(name)
    local = LocalEndpoint(str(root), owner=OWNER)

    assert keys(local) == sorted(planted)
    bounds = ["", *sorted({*cuts, *list(planted)[:2]})]
    for low in bounds:
        for high in bounds:
            assert keys(local, low, high) == sorted(key for key in planted if low <= key < high)
    local.close()


def test_what_lies_in_the_trash_of_this_root_or_of_one_inside_it_is_not_listed(
    root: Path, local: LocalEndpoint
) -> None:
    plant(root, f"{TRASH}/r/k", f"d/{TRASH}/r/k", "d/k", "k", f"{TRASH}x/k")

    assert keys(local) == [f"{TRASH}x/k", "d/k", "k"]
    assert keys(local, f"{TRASH}/", f"{TRASH}0") == [f"{TRASH}/r/k"]
