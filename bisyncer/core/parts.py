"""The ETag of an S3 object that was uploaded in parts: the MD5 of its parts' MD5s, and how many they are.

It doesn't say how long a part is. The size of the object and the number of parts leave a few lengths that
clients use, and the same content cut at one of these either gives that ETag or tells nothing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Final

from bisyncer.model import Algorithm, Digest

_NUMBER: Final = re.compile("[0-9a-f]{32}-([1-9][0-9]{0,4})")
_MIB: Final = 1 << 20
# Of the AWS CLI and SDKs 8 MiB, doubled until 10,000 parts are enough; rclone 5; s3cmd 15; mc 16; s5cmd 50.
_USUAL: Final = (8, 5, 16, 10, 15, 32, 64, 128, 256, 512, 6, 20, 25, 50, 100, 200)  # MiB
_MOST: Final = 4  # lengths that are tried: each is one more MD5 of the whole content


def part_sizes(size: int, number: int) -> tuple[int, ...]:
    """Lengths of which `number` parts are `size` bytes, the likeliest first; the last part may be shorter."""
    if number == 1:
        return (max(size, 1),)
    least, most = -(-size // number), (size - 1) // (number - 1)
    rounded = -(-least // _MIB) * _MIB  # what a client takes whose usual length would be too many parts
    likely = dict.fromkeys((*(mib * _MIB for mib in _USUAL), rounded))
    return tuple(each for each in likely if 0 < least <= each <= most)[:_MOST]


class PartsHash:
    """The ETag that a content has if it is uploaded in parts of `part_size` bytes."""

    def __init__(self, part_size: int) -> None:
        self._part_size = part_size
        self._part = hashlib.md5(usedforsecurity=False)
        self._left = part_size
        self._whole = hashlib.md5(usedforsecurity=False)
        self._number = 0

    def update(self, data: bytes) -> None:
        """Take up the next piece of the content."""
        view = memoryview(data)
        while view:
            piece, view = view[: self._left], view[self._left :]
            self._part.update(piece)
            self._left -= len(piece)
            if not self._left:
                self._end_part()

    def digest(self) -> Digest:
        """The ETag, once all was taken up."""
        if self._left < self._part_size:
            self._end_part()
        return Digest(Algorithm.ETAG_PARTS, f"{self._whole.hexdigest()}-{self._number}")

    def _end_part(self) -> None:
        self._whole.update(self._part.digest())
        self._part = hashlib.md5(usedforsecurity=False)
        self._left = self._part_size
        self._number += 1


def guesses(digests: Sequence[Digest], size: int) -> tuple[PartsHash, ...]:
    """What to hash a content of `size` bytes with, to meet an ETag of parts that is among `digests`."""
    found = (_NUMBER.fullmatch(value) for algorithm, value in digests if algorithm is Algorithm.ETAG_PARTS)
    return tuple(
        PartsHash(each) for match in found if match is not None for each in part_sizes(size, int(match[1]))
    )
