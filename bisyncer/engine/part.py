"""Keys that are named to a run, as streams to be joined."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import NamedTuple

from bisyncer.core.filters import Filters
from bisyncer.core.reserved import is_reserved
from bisyncer.endpoints.base import Endpoint, NameRules
from bisyncer.engine.look import look_at
from bisyncer.engine.scan import Scan, closable
from bisyncer.engine.shards import WHOLE, Shard, below
from bisyncer.model import Ancestor, Entry, Item, Side

_Recorded = Callable[[Collection[str]], Mapping[str, Ancestor]]
_Ancestors = Callable[[Shard], Generator[Ancestor]]


class Named(NamedTuple):
    """Named keys that were looked at one by one, and the folders among them, which are to be listed."""

    ancestors: Sequence[Ancestor]
    items: Mapping[Side, list[Item]]
    folders: Sequence[str]


def look_at_all(
    keys: Iterable[str],
    endpoints: Mapping[Side, Endpoint],
    filters: Filters,
    *,
    ancestors: _Ancestors,
    recorded: _Recorded,
    width: int,
) -> Named:
    """Look at each key on both sides.

    What is named with a '/' at its end is a folder. So is a name that is neither an entry on a side nor
    recorded, where a tree or the record has keys below it; buckets alone are listed to tell.
    """
    names = frozenset(keys)
    folders = {name.rstrip("/") for name in names if name.endswith("/")}
    asked = sorted({name for name in names if not name.endswith("/") and not filters.hidden(name)})
    known = recorded(asked)
    with ThreadPoolExecutor(width, thread_name_prefix="looks") as pool:
        found = {
            side: list(pool.map(lambda key, side=side: _look(key, endpoints[side], filters), asked))
            for side in Side
        }
        nowhere = [
            key
            for at, key in enumerate(asked)
            if key not in known and not any(found[side][at] for side in Side)
        ]
        trees = [end for end in endpoints.values() if end.capabilities.names is NameRules.TREE]
        within = list(pool.map(lambda key: _has_below(key, trees, ancestors), nowhere))
    folders |= {key for key, has in zip(nowhere, within, strict=True) if has}
    outer = _outermost(folders)
    inside = frozenset(outer)
    shown = [at for at, key in enumerate(asked) if not _is_below(key, inside)]
    return Named(
        [known[asked[at]] for at in shown if asked[at] in known],
        {side: [item for at in shown if (item := found[side][at]) is not None] for side in Side},
        outer,
    )


def holds_any(scan: Scan) -> bool:
    """Whether a side holds any key at all: it is listed until one is found."""
    with closing(scan.items(WHOLE[0])) as items:
        return any(isinstance(item, Entry) for item in items)


def _has_below(key: str, trees: Sequence[Endpoint], ancestors: _Ancestors) -> bool:
    """Whether a name may be a folder. A list of changes names many files that came and went.

    Of two buckets nobody else can tell; else a listing of the bucket for each of these would take its time.
    """
    if not trees:
        return True
    shard = below(key)
    streams = [ancestors(shard), *(closable(tree.scan(*shard)) for tree in trees)]
    for stream in streams:
        with closing(stream):
            if next(stream, None) is not None:
                return True
    return False


def _look(key: str, endpoint: Endpoint, filters: Filters) -> Item | None:
    return None if filters.excluded(key) or is_reserved(key) else look_at(endpoint, key)


def _outermost(folders: Iterable[str]) -> list[str]:
    """The folders that lie in no other, in order."""
    outer: list[str] = []
    for folder in sorted(folders, key=lambda each: f"{each}/"):
        if not outer or not folder.startswith(f"{outer[-1]}/"):
            outer.append(folder)
    return outer


def _is_below(key: str, folders: Collection[str]) -> bool:
    parts = key.split("/")
    return any("/".join(parts[:end]) in folders for end in range(1, len(parts)))
