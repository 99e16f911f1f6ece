"""ETags of objects that were uploaded in parts, found again from the content."""

from __future__ import annotations

import hashlib

import pytest

from bisyncer.core.parts import PartsHash, guesses, part_sizes
from bisyncer.model import Algorithm, Digest

MIB = 1 << 20


def etag(data: bytes, part_size: int) -> str:
    """As S3 makes it."""
    parts = [data[at : at + part_size] for at in range(0, len(data), part_size)]
    whole = hashlib.md5(b"".join(hashlib.md5(part).digest() for part in parts))
    return f"{whole.hexdigest()}-{len(parts)}"


@pytest.mark.parametrize("length", [1, 6, 7, 8, 14, 20])
@pytest.mark.parametrize("piece", [1, 3, 7, 100])
def test_the_etag_is_found_however_the_content_is_read(length: int, piece: int) -> None:
    data = bytes(range(length))
    hashed = PartsHash(7)
    for at in range(0, length, piece):
        hashed.update(data[at : at + piece])

    assert hashed.digest() == Digest(Algorithm.ETAG_PARTS, etag(data, 7))


@pytest.mark.parametrize(
    ("size", "number", "sizes"),
    [
        (100 * MIB, 13, (8 * MIB,)),  # the AWS CLI
        (100 * MIB, 20, (5 * MIB,)),  # rclone
        (100 * MIB, 7, (16 * MIB, 15 * MIB)),  # mc, or s3cmd
        (80 * MIB, 10, (8 * MIB,)),
        (700_000 * MIB, 10_000, (70 * MIB,)),  # what makes 10,000 parts be enough, in whole MiB
        (12 * MIB, 2, (8 * MIB, 10 * MIB, 6 * MIB)),
        (5, 1, (5,)),
        (0, 1, (1,)),
        (3, 9, ()),  # more parts than bytes
        (10 * MIB, 3, (4 * MIB,)),
    ],
)
def test_the_lengths_that_are_tried_are_those_of_which_so_many_parts_are_the_object(
    size: int, number: int, sizes: tuple[int, ...]
) -> None:
    assert part_sizes(size, number) == sizes


def test_no_more_than_four_lengths_are_tried() -> None:
    assert all(len(part_sizes(size * MIB, 2)) <= 4 for size in range(6, 600))


def test_nothing_is_guessed_without_an_etag_of_parts() -> None:
    assert guesses((Digest(Algorithm.MD5, "0" * 32), Digest(Algorithm.ETAG_MD5, "0" * 32)), 5) == ()
    assert len(guesses((Digest(Algorithm.ETAG_PARTS, "0" * 32 + "-2"),), 12 * MIB)) == 3
