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
