"""Names that programs stumble over go from store to store exactly as they are, or are told and left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from bisyncer.job import Limits
from bisyncer.model import Summary
from tests.pair import paired
from tests.places import BUCKETS, Places, held
from tests.world import TWO, carried_out

_BELOW_PREFIX = 1024 - 33  # bytes, of a name that has 1,024 with the prefix of a place
LONGEST = ("n" * 99 + "/") * 9 + "n" * (_BELOW_PREFIX - 900)
MANY_BYTES = "/".join(["\u00e9" * 100] * 6)  # more than 1,024 bytes, and fewer characters

NAMES = (
    *("dir/", "full/", "/lead", "a//b", "..", ".", "./x", "a/../b", "../up"),
    *("%41", "A", "%2F", "%", "+", "a+b c", "&<>\"'", "&amp;", "~", "#", "?x=y", ";", "a=b,c", "*?[x]"),
    *(" lead", "trail ", " ", "back\\slash", "dots.", "...", "{|}^`", "-rf", "$HOME", ":"),
    *("\u00e9", "e\u0301", "\U0001f600", "\uff5e", "\u202e", "\u00a0", "\ufeff"),
    *("new\nline", "tab\there", "\x7f", "return\r", "\x01"),
    *(LONGEST, MANY_BYTES),
)
CONTROLS = {"new\nline", "tab\there", "\x7f", "return\r", "\x01"}
DOTTED = {"..", ".", "./x", "a/../b", "../up"}

# What a store can't hold under that very name.
REFUSED = {
    "tree": {"dir/", "full/", "/lead", "a//b", *DOTTED},
    "s3": {"full/", "/lead", "a//b", "back\\slash", MANY_BYTES, *DOTTED},  # SeaweedFS keeps directories
    "moto": {MANY_BYTES, "new\nline"},
    "azure": {"back\\slash", "dots.", "...", *CONTROLS, *DOTTED},
    "oci": {"new\nline", "return\r", MANY_BYTES},
}
# What only an attempt shows: a name that ends with a slash may have content or not, and S3 holds line breaks,
# while its emulator says 404.
ATTEMPTED = {"s3": {"full/"}, "moto": {"new\nline"}}
UNTOLD = {"dir/"}  # by which consoles show a folder: left out of a tree without a word

KINDS = ("tree", "s3", "moto", "azure", "oci")
# A test sends names both ways. Each store is the first with another one, and the second with another one, and
# both sides of a pair; moto, which is slow and holds any name, with one other only.
PAIRS = [
    *(("tree", "s3"), ("s3", "azure"), ("azure", "oci"), ("oci", "tree")),
    *((kind, kind) for kind in BUCKETS),
    ("moto", "azure"),
]


def content(key: str, edition: str) -> bytes:
    """What a key holds: its own name, so that two that are taken for one show. A folder's marker is empty."""
    return b"" if key == "dir/" else f"{edition} {key}".encode()


@pytest.mark.parametrize(("kind1", "kind2"), PAIRS)
def test_hostile_names_go_both_ways_exactly_or_are_told_and_left_alone(
    kind1: str, kind2: str, places: Places, tmp_path: Path
) -> None:
    one, two = places(kind1), places(kind2)
    planted = [key for key in NAMES if key not in REFUSED[kind1]]
    for key in planted:
        one.plant(key, content(key, "first"))
    stay = REFUSED[kind2].intersection(planted)
    go = [key for key in planted if key not in stay]
    told = stay - UNTOLD if kind2 == "tree" else stay
    assert held(one) == {key: content(key, "first") for key in planted}

    limits = Limits(max_delete_percent=None, force=frozenset({"emptied", "all-changed"}))
    with paired(tmp_path, one, two, limits=limits) as pair:
        pair.init()
        aligned = pair.run(resync=True)

        _tells(aligned, told)
        assert carried_out(aligned)["copy-to-path2"] == len(go)
        assert held(two) == {key: content(key, "first") for key in go}

        for key in planted:
            one.plant(key, content(key, "edited in one:"))
        _tells(pair.run(), told)
        assert held(two) == {key: content(key, "edited in one:") for key in go}

        for key in go:
            two.plant(key, content(key, "and then in the other:"))
        _tells(pair.run(), told)
        left = {key: content(key, "edited in one:") for key in stay}
        assert held(one) == {key: content(key, "and then in the other:") for key in go} | left

        for number, key in enumerate(go):
            (one, two)[number % 2].remove(key)
        _tells(pair.run(), told)
        assert held(one) == left
        assert held(two) == {}


def _tells(summary: Summary, told: set[str]) -> None:
    """A run tells of these keys and ends with 3, or with 0 where there are none."""
    assert {problem.key for problem in summary.problems} == told, summary.problems
    assert summary.problem_count == len(told)
    assert summary.exit_code == (3 if told else 0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_store_says_beforehand_which_names_it_cannot_hold(
    kind: str, places: Places, tmp_path: Path
) -> None:
    with paired(tmp_path, places("tree"), places(kind)) as pair:
        store = pair.endpoints[TWO]
        store.probe()

        refused = {key for key in NAMES if store.refusal(key) is not None}

    assert refused == REFUSED[kind] - ATTEMPTED.get(kind, set())


@pytest.mark.parametrize(("kind1", "kind2"), [("s3", "azure"), ("oci", "moto")])
def test_the_conflict_of_a_key_with_the_longest_name_keeps_both_versions(
    kind1: str, kind2: str, places: Places, tmp_path: Path
) -> None:
    one, two = places(kind1), places(kind2)
    one.plant(LONGEST, b"one's version")
    two.plant(LONGEST, b"the version of the other")

    with paired(tmp_path, one, two) as pair:
        aligned = pair.align()

        assert carried_out(aligned) == {"conflict": 1}
        assert sorted(pair.held().values()) == [b"one's version", b"the version of the other"]
        assert LONGEST in pair.held()
        assert all(len(key.encode()) <= _BELOW_PREFIX for key in pair.held())
