"""A bucket tells where to cut its listing, by few looks into it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bisyncer.endpoints import sampled as module
from bisyncer.endpoints.outline import Folder
from bisyncer.endpoints.sampled import ENOUGH, FEW, LOOKS, sampled
from bisyncer.errors import Transient
from bisyncer.model import Entry


class Bucket:
    """A listing that counts how often it was begun."""

    def __init__(self, keys: Collection[str]) -> None:
        self.keys = sorted(keys)
        self.looks = 0

    def scan(self, low: str) -> Iterator[Entry]:
        self.looks += 1
        for key in self.keys[bisect_left(self.keys, low) :]:
            yield Entry(key, 1, 1, "")

    def parts(self, folders: Sequence[Folder]) -> list[int]:
        """How many keys lie in each part when it is cut at each folder."""
        places = [0, *(bisect_left(self.keys, folder.key) for folder in folders), len(self.keys)]
        return [end - begin for begin, end in pairwise(places)]


def test_few_keys_are_not_parted() -> None:
    bucket = Bucket({f"{number:04}" for number in range(FEW - 1)})

    assert sampled(bucket.scan) == ()
    assert bucket.looks == 1


@pytest.mark.parametrize(
    "pattern",
    [
        "{0:06}",
        "flat/a-long-name-that-all-have/IMG-{0:08}.jpeg",
        "{1}/{0}",
        "year/{1:02}/{0:06}.txt",
        "\U0010ffff/{0:06}",
        "\ud7ff{0:06}",
    ],
)
def test_keys_that_are_alike_are_cut_into_parts_of_which_none_is_nearly_all(pattern: str) -> None:
    bucket = Bucket({pattern.format(number, number % 17) for number in range(50_000)})

    folders = sampled(bucket.scan)

    assert max(bucket.parts(folders)) <= 50_000 / 5
    assert sum(folder.keys >= FEW for folder in folders) >= ENOUGH
    assert bucket.looks <= LOOKS + 1


def test_a_beginning_that_most_keys_have_is_parted_and_others_are_not() -> None:
    bucket = Bucket(
        {f"archive/{number:06}" for number in range(30_000)} | {f"{letter}/x" for letter in "abcxyz"}
    )

    folders = sampled(bucket.scan)

    assert max(bucket.parts(folders)) <= 10_000
    assert Folder("x", 1) in folders


@given(st.sets(st.text("ab/\x01\U0010ffff", min_size=1, max_size=6)))
def test_whatever_the_keys_are_a_cut_is_told_once_and_in_order(keys: set[str]) -> None:
    bucket = Bucket(keys)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "FEW", 4)
        patch.setattr(module, "PAGE", 2)

        folders = sampled(bucket.scan)

    assert all(one.key < two.key for one, two in pairwise(folders))
    assert all(any(key.startswith(folder.key) for key in keys) for folder in folders)
    assert bucket.looks <= LOOKS + 1


def test_a_bucket_that_cannot_be_listed_is_not_cut() -> None:
    def scan(_: str) -> Iterator[Entry]:
        raise Transient("no answer")

    assert sampled(scan) == ()
