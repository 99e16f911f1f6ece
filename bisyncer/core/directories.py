"""Empty directories as keys that end in '/'.

A directory is such a key while nothing below it is synced. In a bucket it is a marker, an empty object; one
with keys below it says nothing that these don't say, and is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from bisyncer.core.merge import Agreed, PassedOver, merge
from bisyncer.model import DIRECTORY, OCCUPIED, Ancestor, Entry, Item, Triple, Unreadable

_R = TypeVar("_R", bound=tuple[Any, ...])

_IN_TREES = frozenset({DIRECTORY, OCCUPIED})


def merge_directories(
    recorded: Iterable[_R],
    path1: Iterable[Item],
    path2: Iterable[Item],
    *,
    recall: Callable[[_R], Ancestor],
    passed: PassedOver | None = None,
    agreed: Agreed | None = None,
) -> Iterator[Triple]:
    """Merge as `merge` does, where directories are keys; what says nothing of a key is left out."""
    joined = merge(recorded, path1, path2, recall=recall, passed=passed, agreed=agreed, directories=True)
    for triple in joined:
        if triple.key[-1] != "/":
            yield triple
        elif (left := settled(triple)) is not None:
            yield left


def settled(triple: Triple) -> Triple | None:
    """A key that ends in '/', as the decision is to see it; None where there is nothing to decide.

    One that is occupied on a side is no key on either, so it is forgotten and nothing is removed for it: its
    content is carried over, or taken away, and what remains is seen by the next run.
    """
    items = (triple.path1, triple.path2)
    if any(isinstance(item, Unreadable) for item in items):
        return triple
    if any(isinstance(item, Entry) and item.size for item in items):
        # An object with content is no marker, and can't be where a directory is.
        one, two = (_in_the_way(item) for item in items)
        return triple._replace(path1=one, path2=two)
    if any(isinstance(item, Entry) and item.stamp == OCCUPIED for item in items):
        return None if triple.ancestor is None else triple._replace(path1=None, path2=None)
    return triple


def _in_the_way(item: Item | None) -> Item | None:
    if isinstance(item, Entry) and item.stamp in _IN_TREES:
        return Unreadable(item.key, "is a directory", skipped=True)
    return item
