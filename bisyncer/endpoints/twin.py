"""One version under two names."""

from __future__ import annotations

from typing import NamedTuple

from bisyncer.errors import Rejected
from bisyncer.model import Entry


class Twin(NamedTuple):
    """The entry of each of the two names, as the store now has it.

    `entry` is what to expect at the first name from now on: a second link moves the stamp of a file. That of
    `copy` holds as long as nothing is done to the first name, for the same reason.
    """

    entry: Entry
    copy: Entry


def twin_by_copy(entry: Entry, copy: Entry | None) -> Twin:
    """The twin that a store makes by `copy_from` of itself; raises `Rejected` where it couldn't."""
    if copy is None:
        raise Rejected(f"{entry.key}: the store can't copy it inside itself, so no second version is kept.")
    return Twin(entry, copy)
