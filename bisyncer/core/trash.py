"""What the trash calls things: `.bisyncer-trash/FOLDER/KEY`, so that plain tools find a version there.

FOLDER is `INSTANT-RUN`, as in `20261125T080000Z-42`: when the run began, in UTC, and its number; `c3` in its
place is the conflict that a person resolved. A `.2` at its end is a second version of a key, of the same run.
Instants sort as text, so what is older than some instant is a range of names. Where the clock was set back
the instant is that of an earlier run or of a store, since by its own the version would be purged too early.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from bisyncer.model import TRASH

LOW: Final = TRASH + "/"
HIGH: Final = TRASH + "0"  # the code point after '/': all keys in the trash are less
LAST_FOLDER: Final = LOW + "3"  # after every folder of ours up to the year 2999

_NAME = re.compile(
    re.escape(LOW)
    + r"(?P<instant>[0-9]{8}T[0-9]{6}Z)-(?P<by>c?[1-9][0-9]*)(?:\.(?P<again>[0-9]+))?/(?P<key>.+)",
    re.DOTALL,
)
_SHORT = re.compile(r"~[0-9a-f]{16}-.*", re.DOTALL)
_TAIL_BYTES = 100  # of its last segment, in the name of a key that is too long


class Trashed(NamedTuple):
    """A name in the trash, read: when the run began that put it there, and what it was.

    `by` is the run's number, or the conflict's after a `c`. `key` ends the name; it is the whole key unless
    `is_short`.
    """

    name: str
    instant: str  # as 20261125T080000Z
    by: str
    key: str
    again: int = 1  # which of several versions of the key it is that this run put there

    @property
    def age(self) -> tuple[str, int, int]:
        """What sorts the versions of a key, the oldest first."""
        return self.instant, int(self.by.lstrip("c")), self.again

    @property
    def is_short(self) -> bool:
        """Whether the key was too long to stand in the name, which has its digest instead."""
        return _SHORT.fullmatch(self.key) is not None

    def is_of(self, key: str) -> bool:
        """Whether this is a version of `key`, or `key` is what ends its name."""
        return self.key in {key, _short(key)}


def read_name(name: str) -> Trashed | None:
    """What a name in the trash says; None where it isn't one of ours."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    return Trashed(name, match["instant"], match["by"], match["key"], int(match["again"] or 1))


def in_trash(key: str) -> bool:
    """Whether `key` lies in the trash of this root, or of a root inside it."""
    return TRASH in key and TRASH in key.split("/")[:-1]


def names(folder: str, key: str, fits: Callable[[str], bool]) -> Iterator[str]:
    """Yield names for a version of `key`, best first, without end.

    A key that doesn't fit into the store with what stands before it there gets a short name that has its
    digest, and the end of it.
    """
    number = 1
    while True:
        start = LOW + (folder if number == 1 else f"{folder}.{number}") + "/"
        yield start + key if fits(start + key) else start + _short(key)
        number += 1


def older(instant: str) -> tuple[str, str]:
    """The range of names of versions from before `instant`."""
    return LOW, LOW + instant


def _short(key: str) -> str:
    digest = hashlib.sha256(key.encode()).hexdigest()[:16]
    tail = key.rstrip("/.").rpartition("/")[2].encode()[-_TAIL_BYTES:].decode(errors="ignore")
    return f"~{digest}-{tail}"
