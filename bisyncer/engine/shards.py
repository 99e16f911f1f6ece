"""Key ranges: the unit of scanning, planning and retry.

A listing is in key order, so [low, high) cuts path1, path2 and the ancestors at the same place, and a
shard can be scanned, joined and planned without the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from bisyncer.endpoints.base import Endpoint
from bisyncer.endpoints.outline import Folder


class Shard(NamedTuple):
    """All keys with low <= key < high; no upper bound where high is None."""

    low: str = ""
    high: str | None = None


WHOLE = (Shard(),)

# A little less than what ten pages of 1,000 keys hold, or two of Azure's of 5,000: a page is asked for that
# goes beyond the last key, which ends the listing.
KEYS: Final = 9900

# A directory is read whole for each shard that has a part of it, so a large one is cut less often.
IN_DIRECTORY: Final = 5

_AFTER_SLASH = "0"  # the code point after '/': all keys below 'd' are less than 'd0'


def below(folder: str) -> Shard:
    """The keys below `folder`."""
    return Shard(f"{folder}/", folder + _AFTER_SLASH)


def at_or_below(prefix: str) -> tuple[Shard, Shard]:
    """The key `prefix`, and the keys below it: two ranges, as keys such as `prefix-x` sort between."""
    return Shard(prefix, f"{prefix}\x01"), below(prefix)  # no key has NUL in it


def can_be_cut(endpoints: Iterable[Endpoint], *, directories: bool) -> bool:
    """Whether shards can be listed and joined without each other.

    Not where `directories` are keys: whether one is occupied is told by the key that follows, which a cut
    would hide. Nor where a store reads much more for a range than what lies in it.
    """
    return not directories and all(endpoint.capabilities.ranged_listing for endpoint in endpoints)


def cut(shard: Shard, boundaries: Iterable[str]) -> Iterator[Shard]:
    """Yield what a shard is when it is cut before each of these keys, which lie inside it, in order."""
    low = shard.low
    for key in boundaries:
        yield Shard(low, key)
        low = key
    yield Shard(low, shard.high)


def apart(boundaries: Iterable[tuple[str, str]], in_directory: int) -> Iterator[str]:
    """Yield where to cut between two neighbouring keys each: of those in one directory, every so many.

    What is yielded is as much of the key behind the place as tells it from the one before: to begin a listing
    in the middle of a name costs some stores more requests than to begin it earlier.
    """
    last, passed = "", 0
    for before, behind in boundaries:
        directory, passed = behind.rpartition("/")[0], passed + 1
        if directory == last and passed < in_directory:
            continue
        last, passed = directory, 0
        yield next(behind[:end] for end in range(1, len(behind) + 1) if behind[:end] > before)


def outlined(endpoints: Iterable[Endpoint]) -> Sequence[Folder]:
    """The folders of the side that seems to hold most, where nothing is recorded to cut at."""
    return max((endpoint.outline() for endpoint in endpoints), key=about)


def about(folders: Iterable[Folder]) -> int:
    """About how many keys some folders hold."""
    return sum(folder.keys for folder in folders)


def between(folders: Iterable[Folder], keys: int) -> Iterator[str]:
    """Yield where to cut so that a shard holds about so many keys; a larger folder is a shard of its own."""
    held = 0
    for number, folder in enumerate(folders):
        if number and held + folder.keys > keys:
            yield folder.key
            held = 0
        held += folder.keys
