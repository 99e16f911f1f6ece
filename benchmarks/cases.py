"""The list of all that is measured, and how often the slow ones are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import Final, NamedTuple

from benchmarks import case
from benchmarks.case import Bench, Turn
from benchmarks.peers import AwsSync, RcloneBisync, RcloneBisyncFast, RcloneSync, RcloneSyncFast, S5cmd
from benchmarks.tool import Bisyncer, BisyncerBySize, BisyncerWithoutTrash, Tool

EVERYONE: Final = (
    Bisyncer, BisyncerBySize, BisyncerWithoutTrash, RcloneBisyncFast, RcloneBisync, RcloneSyncFast,
    RcloneSync, S5cmd, AwsSync,
)  # fmt: skip
_Most = Mapping[type[Tool], int]


def _only(*tools: type[Tool]) -> _Most:
    return {tool: 0 for tool in EVERYONE if tool not in tools}


_ONCE: Final[_Most] = {RcloneBisync: 1, RcloneSync: 1, AwsSync: 1}
_READING: Final[_Most] = MappingProxyType({BisyncerWithoutTrash: 0})
# Nothing is compared where one side is empty, and nothing goes to a trash.
_SENDING: Final[_Most] = {BisyncerBySize: 0, BisyncerWithoutTrash: 0, RcloneSyncFast: 1, S5cmd: 3, **_ONCE}
_SENDING_MANY: Final[_Most] = {
    BisyncerBySize: 0, BisyncerWithoutTrash: 0, RcloneBisync: 1, RcloneSyncFast: 0, RcloneSync: 1, S5cmd: 1,
    AwsSync: 0,
}  # fmt: skip
_LARGE: Final[_Most] = {BisyncerBySize: 0, BisyncerWithoutTrash: 0, RcloneSyncFast: 0, **_ONCE}
_EDITED: Final[_Most] = {
    BisyncerBySize: 0,
    BisyncerWithoutTrash: 0,
    RcloneBisync: 0,
    RcloneSync: 0,
    AwsSync: 0,
}
_DELETED: Final[_Most] = {BisyncerBySize: 0, RcloneBisync: 0, RcloneSync: 0, AwsSync: 0}
_BOTH: Final[_Most] = _only(Bisyncer, BisyncerWithoutTrash, RcloneBisyncFast)
_FEW: Final[_Most] = {**_only(), Bisyncer: 3, RcloneBisyncFast: 3, S5cmd: 3}
_FEW_ONCE: Final[_Most] = {**_only(), Bisyncer: 1, RcloneBisyncFast: 1, S5cmd: 1}
_MILLION: Final[_Most] = {**_only(BisyncerBySize, RcloneBisyncFast), RcloneSyncFast: 1, S5cmd: 1}
_MILLION_BOTH: Final[_Most] = _only(Bisyncer, RcloneBisyncFast)
_MILLION_ONE: Final[_Most] = {**_only(), Bisyncer: 1}
_THRICE: Final[_Most] = {**dict.fromkeys(EVERYONE, 3), **_EDITED}


class Case(NamedTuple):
    """`most` has the tools that are run fewer times than asked for, as they take long; 0 is not at all."""

    kind: str
    keys: int
    prepare: Callable[[Bench], Iterator[Turn]]
    most: _Most = _READING

    @property
    def name(self) -> str:
        """What it is asked for by."""
        return f"{self.kind}, {short(self.keys)}"


def short(keys: int) -> str:
    """A round number in few characters."""
    for unit, sign in ((1_000_000, "M"), (1_000, "k")):
        if keys >= unit and keys % unit == 0:
            return f"{keys // unit}{sign}"
    return str(keys)


class _Kind(NamedTuple):
    """One kind of case, for any number of keys."""

    name: str
    prepare: Callable[[Bench, int], Iterator[Turn]]

    def __call__(self, keys: int, most: _Most = _READING) -> Case:
        return Case(self.name, keys, partial(self._prepare, keys), most)

    def _prepare(self, keys: int, bench: Bench) -> Iterator[Turn]:
        return self.prepare(bench, keys)


_SHARED_FROM: Final = 100_000


def _renamed(keys: int) -> Callable[[Bench, int, int], Iterator[Turn]]:
    return case.many_renamed if keys > _SHARED_FROM else case.renamed


no_change = _Kind("no change", case.no_change)
no_change_canned = _Kind("no change, canned pages", case.no_change_canned)
changed = _Kind(
    "0.1% changed", lambda bench, keys: case.some_changed(bench, keys, shared=keys >= _SHARED_FROM)
)
up = _Kind("first alignment up", case.up)
down = _Kind("first alignment down", case.down)
equal = _Kind("already equal", case.equal)
deletes = _Kind(
    "2% deleted", lambda bench, keys: case.deletes(bench, keys, keys // 50, shared=keys >= _SHARED_FROM)
)
renamed = _Kind("a renamed folder of 10%", lambda bench, keys: _renamed(keys)(bench, keys, keys // 10))
between = _Kind("no change, S3 to S3", case.no_change_between_buckets)
up_between = _Kind("first alignment, S3 to S3", case.up_between_buckets)
azure = _Kind("no change, Azure", lambda bench, keys: case.no_change(bench, keys, "azure"))
up_azure = _Kind("first alignment up, Azure", case.up_azure)

_10K: Final = 10_000
_100K: Final = 100_000
_1M: Final = 1_000_000

QUICK: Final = (
    no_change(_10K, _FEW),
    no_change(_100K, _FEW),
    no_change_canned(_100K, _FEW),
    *(kind(_10K, _FEW_ONCE) for kind in (changed, up, down, deletes, renamed)),
    equal(_100K, _FEW_ONCE),
)
LONG: Final = (
    *(kind(_10K) for kind in (no_change, no_change_canned, equal, between)),
    *(kind(_10K, _SENDING) for kind in (up, down)),
    *(kind(_10K, _EDITED) for kind in (changed, up_between)),
    *(kind(_10K, _DELETED) for kind in (deletes, renamed)),
    azure(_10K),
    up_azure(_10K, _THRICE),
    *(kind(_100K) for kind in (no_change, no_change_canned, equal, between)),
    *(kind(_100K, _SENDING_MANY) for kind in (up, down)),
    up_between(_100K, _SENDING_MANY),
    *(kind(_100K, _BOTH) for kind in (changed, deletes, renamed)),
    Case("one file of 4 GiB", 1, partial(case.large, mib=4096), _LARGE),
    *(kind(_1M, _MILLION) for kind in (no_change, no_change_canned, equal)),
    *(kind(_1M, _MILLION_BOTH) for kind in (changed, deletes)),
    *(kind(_1M, _MILLION_ONE) for kind in (up, down, renamed)),
)
