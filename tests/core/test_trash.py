from __future__ import annotations

from itertools import islice

import pytest

from bisyncer.core.trash import HIGH, LAST_FOLDER, LOW, Trashed, in_trash, names, older, read_name

FOLDER = "20261125T080000Z-42"


def first(key: str, *, longest: int = 1024) -> str:
    return next(names(FOLDER, key, lambda name: len(name.encode()) <= longest))


@pytest.mark.parametrize("key", ["k", "d/k", "/lead", "dir/", "a//b", "new\nline", "~", "é" * 300])
def test_a_name_says_when_by_which_run_and_of_which_key(key: str) -> None:
    name = first(key)
    assert read_name(name) == Trashed(name, "20261125T080000Z", "42", key)
    assert LOW < name < LAST_FOLDER < HIGH


@pytest.mark.parametrize(
    "name",
    [
        "",
        "k",
        ".bisyncer-trash",
        f".bisyncer-trash/{FOLDER}/",
        ".bisyncer-trash/k",
        f"x/.bisyncer-trash/{FOLDER}/k",
    ]
    + [f".bisyncer-trash/{folder}/k" for folder in ("20261125T080000Z-0", "20261125-42", FOLDER + "x")],
)
def test_a_name_of_another_form_is_not_ours(name: str) -> None:
    assert read_name(name) is None


def test_more_versions_of_a_key_get_folders_with_a_number() -> None:
    assert list(islice(names(FOLDER, "d/k", lambda _: True), 3)) == [
        f".bisyncer-trash/{FOLDER}/d/k",
        f".bisyncer-trash/{FOLDER}.2/d/k",
        f".bisyncer-trash/{FOLDER}.3/d/k",
    ]
    found = read_name(f".bisyncer-trash/{FOLDER}.2/d/k")
    assert found is not None
    assert (found.by, found.key) == ("42", "d/k")


def test_a_key_that_is_too_long_gets_a_short_name_of_its_own() -> None:
    long = "d/" + "x" * 500 + "/é" + "y" * 500
    short, other = first(long), first(long + "z")
    assert short != other
    assert len(short.encode()) < 200
    assert short.endswith("y" * 100)
    found = read_name(short)
    assert found is not None
    assert found.is_short
    assert found.is_of(long)
    assert found.is_of(found.key)
    assert not found.is_of(long + "z")
    assert read_name(first("~k")).is_short is False  # type: ignore[union-attr]


@pytest.mark.parametrize("key", ["a" * 1020 + "/", "é" * 512, "." * 1000, "a/" * 500])
def test_a_short_name_fits_wherever_names_fit(key: str) -> None:
    assert len(first(key).encode()) < 200


def test_what_is_older_than_an_instant_is_a_range_of_names() -> None:
    low, high = older("20261125T080000Z")
    assert low <= ".bisyncer-trash/20261125T075959Z-9/z" < high
    assert not low <= f".bisyncer-trash/{FOLDER}/a" < high


def test_a_trash_is_known_at_any_depth_and_by_its_whole_name() -> None:
    assert in_trash(".bisyncer-trash/k")
    assert in_trash("a/b/.bisyncer-trash/c/d")
    assert not any(
        map(
            in_trash,
            ("k", ".bisyncer-trash", "a/.bisyncer-trash", ".bisyncer-trashy/k", "x.bisyncer-trash/k"),
        )
    )
