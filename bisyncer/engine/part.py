"""What a run looks at, as streams to be joined: a whole pair, what lies below a prefix, or named keys."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import NamedTuple, TypeVar

from bisyncer.core.filters import Filters
from bisyncer.core.reserved import is_reserved
from bisyncer.endpoints.base import Endpoint, NameRules
from bisyncer.engine.look import look_at
from bisyncer.engine.scan import Scan
from bisyncer.engine.shards import WHOLE, Shard, at_or_below, below
from bisyncer.job import Scope
from bisyncer.model import Ancestor, Entry, Item, Side

_T = TypeVar("_T")
_Recorded = Callable[[Collection[str]], Mapping[str, Ancestor]]
_Ancestors = Callable[[Shard], Generator[Ancestor]]


class Streams(NamedTuple):
    """The three streams of one piece of a pair, in order of key; each is to be closed."""

    ancestors: Generator[Ancestor]
    path1: Generator[Item]
    path2: Generator[Item]


def pieces(
    scope: Scope,
    scans: Mapping[Side, Scan],
    endpoints: Mapping[Side, Endpoint],
    filters: Filters,
    *,
    ancestors: _Ancestors,
    recorded: _Recorded,
    width: int,
) -> Iterator[Streams]:
    """Yield the pieces that make up `scope`, none of which shares a key with another."""
    if scope.keys is None:
        shards = WHOLE if scope.prefix is None else at_or_below(scope.prefix)
        yield from (_listed(shard, scans, ancestors) for shard in shards)
        return
    named = _Named.of(scope.keys, endpoints, filters, ancestors=ancestors, recorded=recorded, width=width)
    yield Streams(
        _each(named.ancestors),
        *(scans[side].counted(item for item in named.items[side] if item is not None) for side in Side),
    )
    yield from (_listed(below(folder), scans, ancestors) for folder in named.folders)


def holds_any(scan: Scan) -> bool:
    """Whether a side holds any key at all: it is listed until one is found."""
    with closing(scan.items(WHOLE[0])) as items:
        return any(isinstance(item, Entry) for item in items)


def _listed(shard: Shard, scans: Mapping[Side, Scan], ancestors: _Ancestors) -> Streams:
    return Streams(ancestors(shard), scans[Side.PATH1].items(shard), scans[Side.PATH2].items(shard))


def _each(items: Iterable[_T]) -> Generator[_T]:
    yield from items


class _Named(NamedTuple):
    """Named keys, looked at one by one, and the folders among them."""

    ancestors: Sequence[Ancestor]
    items: Mapping[Side, Sequence[Item | None]]
    folders: Sequence[str]

    @classmethod
    def of(
        cls,
        named: Iterable[str],
        endpoints: Mapping[Side, Endpoint],
        filters: Filters,
        *,
        ancestors: _Ancestors,
        recorded: _Recorded,
        width: int,
    ) -> _Named:
        """Look at each key on both sides.

        What is named with a '/' at its end is a folder. So is a name that is neither an entry on a side nor
        recorded, where a tree or the record has keys below it; buckets alone are listed to tell.
        """
        folders = {name.rstrip("/") for name in named if name.endswith("/")}
        keys = sorted({name for name in named if not name.endswith("/") and not filters.hidden(name)})
        known = recorded(keys)
        with ThreadPoolExecutor(width, thread_name_prefix="looks") as pool:
            found = {
                side: list(pool.map(lambda key, side=side: _look(key, endpoints[side], filters), keys))
                for side in Side
            }
            nowhere = [
                key
                for at, key in enumerate(keys)
                if key not in known and not any(found[side][at] for side in Side)
            ]
            trees = [end for end in endpoints.values() if end.capabilities.names is NameRules.TREE]
            within = list(pool.map(lambda key: _has_below(key, trees, ancestors), nowhere))
        folders |= {key for key, has in zip(nowhere, within, strict=True) if has}
        outer = _outermost(folders)
        inside = frozenset(outer)
        shown = [at for at, key in enumerate(keys) if not _is_below(key, inside)]
        return cls(
            [known[keys[at]] for at in shown if keys[at] in known],
            {side: [found[side][at] for at in shown] for side in Side},
            outer,
        )


def _has_below(key: str, trees: Sequence[Endpoint], ancestors: _Ancestors) -> bool:
    """Whether a name may be a folder. A list of changes names many files that came and went.

    Of two buckets nobody else can tell; else a listing of the bucket for each of these would take its time.
    """
    if not trees:
        return True
    shard = below(key)
    streams = [ancestors(shard), *(_each(tree.scan(*shard)) for tree in trees)]
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
