"""Key ranges: the unit of scanning and planning.

A listing is in key order, so [low, high) cuts path1, path2 and the ancestors at the same place, and a
shard can be scanned, joined and planned without the others.
"""

from __future__ import annotations

from typing import NamedTuple


class Shard(NamedTuple):
    """All keys with low <= key < high; no upper bound where high is None."""

    low: str = ""
    high: str | None = None


WHOLE = (Shard(),)

_AFTER_SLASH = "0"  # the code point after '/': all keys below 'd' are less than 'd0'


def below(folder: str) -> Shard:
    """The keys below `folder`."""
    return Shard(f"{folder}/", folder + _AFTER_SLASH)


def at_or_below(prefix: str) -> tuple[Shard, Shard]:
    """The key `prefix`, and the keys below it: two ranges, as keys such as `prefix-x` sort between."""
    return Shard(prefix, f"{prefix}\x01"), below(prefix)  # no key has NUL in it
