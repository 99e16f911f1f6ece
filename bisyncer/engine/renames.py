"""Find the renames in a plan: deletions and copies of one size, of which the contents are the same."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import groupby, islice
from typing import Final

from bisyncer.core.renames import (
    Rename,
    by_md5_alone,
    has_md5,
    is_as_recorded,
    is_new,
    pair_up,
    times,
    worth_reading,
)
from bisyncer.endpoints.base import Endpoint, NameRules
from bisyncer.engine.transfer import content
from bisyncer.errors import EndpointError
from bisyncer.model import COPIES, DELETES, Ancestor, Planned, Side, Verdict

_MOST: Final = 20_000  # of one size that are looked at together

_BySize = Callable[[Verdict, Side], Generator[Planned]]


def renames(
    by_size: _BySize,
    recorded: Callable[[Collection[str]], Mapping[str, Ancestor]],
    endpoints: Mapping[Side, Endpoint],
    width: int,
    stopped: Callable[[], bool],
) -> Generator[list[Rename]]:
    """Yield the renames of a plan, of one size at a time; nothing is written to any store.

    `by_size` gives the actions of a verdict in order of the size that a side holds. Files that may have been
    renamed, and whose listing tells no digest, are read, `width` at a time, until the run is to stop; so are
    those of a tree that a listing tells the MD5 of under another name, where none is recorded. Of very many
    that have one size, the rest stay copies and deletions.
    """
    with ThreadPoolExecutor(width, thread_name_prefix="renames") as pool:
        for side in Side:
            with (
                closing(by_size(DELETES[side], side)) as deleted,
                closing(by_size(COPIES[side], side.other)) as copied,
            ):
                for olds, news in _same_size(deleted, (new for new in copied if is_new(new, side)), side):
                    known = recorded([old.action.key for old in olds])
                    # A mirror deletes what was changed, too, of which the record doesn't tell the content.
                    pairs = [
                        (old, known[old.action.key])
                        for old in olds
                        if old.action.key in known and is_as_recorded(old, side)
                    ]
                    gone = times(ancestor.side(side.other) for _, ancestor in pairs)
                    looked = list(
                        pool.map(
                            lambda new, gone=gone, side=side: (
                                new if stopped() else _read(new, gone, side, endpoints)
                            ),
                            news,
                        )
                    )
                    if any(by_md5_alone(entry) for new in looked if (entry := new.action.entry(side.other))):
                        pairs = list(
                            pool.map(
                                lambda pair, side=side: (
                                    pair if stopped() else _with_md5(pair, side, endpoints[side])
                                ),
                                pairs,
                            )
                        )
                    yield pair_up(pairs, looked, side)


def _same_size(
    deleted: Iterator[Planned], copied: Iterator[Planned], side: Side
) -> Iterator[tuple[list[Planned], list[Planned]]]:
    """The groups of one size that have both; a group at a time is in memory."""
    olds = groupby(deleted, lambda old: _size(old, side))
    news = groupby(copied, lambda new: _size(new, side.other))
    old, new = next(olds, None), next(news, None)
    while old is not None and new is not None:
        if old[0] == new[0]:
            yield list(islice(old[1], _MOST)), list(islice(new[1], _MOST))
            old, new = next(olds, None), next(news, None)
        elif old[0] < new[0]:
            old = next(olds, None)
        else:
            new = next(news, None)


def _size(planned: Planned, side: Side) -> int:
    entry = planned.action.entry(side)
    assert entry is not None, f"{planned.action.verdict} of {planned.action.key!r} has no entry of {side}"
    return entry.size


def _with_md5(pair: tuple[Planned, Ancestor], side: Side, endpoint: Endpoint) -> tuple[Planned, Ancestor]:
    """The deletion with the MD5 of its file, where none is recorded: to read a file spares fetching it."""
    old, ancestor = pair
    entry = old.action.entry(side)
    if entry is None or endpoint.capabilities.names is not NameRules.TREE or has_md5(ancestor.side(side)):
        return pair
    try:
        read = content(endpoint, entry)
    except EndpointError:
        return pair  # what is wrong with it, its deletion will tell
    known = ancestor.side(side)._replace(digests=read.digests)
    return old, ancestor._replace(path1=known) if side is Side.PATH1 else ancestor._replace(path2=known)


def _read(new: Planned, gone: frozenset[int], side: Side, endpoints: Mapping[Side, Endpoint]) -> Planned:
    """The copy with digests of its content, where reading it may show a rename."""
    entry = new.action.entry(side.other)
    if entry is None or not worth_reading(entry, gone):
        return new
    try:
        read = content(endpoints[side.other], entry)
    except EndpointError:
        return new  # what is wrong with it, its copy will tell
    known = entry._replace(digests=read.digests)
    one, two = (known, None) if side is Side.PATH2 else (None, known)
    return new._replace(action=new.action._replace(path1=one, path2=two))
