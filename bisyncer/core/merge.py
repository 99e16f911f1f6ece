"""Three sorted streams into one stream of triples.

Each stream must be strictly increasing by code point of the key. The first key out of order is refused:
a listing that isn't ordered can't be joined, and taking it for whole would turn keys into deletions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bisyncer.errors import ListingIncomplete
from bisyncer.model import OCCUPIED, Ancestor, Entry, Item, Triple, Unreadable


def merge(
    ancestors: Iterable[Ancestor],
    path1: Iterable[Item],
    path2: Iterable[Item],
    *,
    directories: bool = False,
) -> Iterator[Triple]:
    """Yield one triple for every key that any of the three streams has, in order of key.

    A key that an `Unreadable` place covers gets that place as its item on that side, also where the
    listing itself has nothing for it. A place that covers no key of the other streams yields nothing. With
    `directories`, a key that ends in '/' is an occupied directory on a side that has keys below it.

    Raises `ListingIncomplete` at the first key out of order.
    """
    recorded = iter(_ordered("the recorded ancestors", ancestors))
    cursor = _DirectoryCursor if directories else _Cursor
    one, two = cursor("path1", path1), cursor("path2", path2)
    ancestor = next(recorded, None)
    while True:
        heads = [head.key for head in (ancestor, one.entry, two.entry) if head is not None]
        if not heads:
            return
        key = min(heads)
        known = None
        if ancestor is not None and ancestor.key == key:
            known, ancestor = ancestor, next(recorded, None)
        yield Triple(key, known, one.take(key), two.take(key))


def _ordered(name: str, ancestors: Iterable[Ancestor]) -> Iterator[Ancestor]:
    last: str | None = None
    for ancestor in ancestors:
        if last is not None and ancestor.key <= last:
            raise ListingIncomplete(_out_of_order(name, ancestor.key, last))
        last = ancestor.key
        yield ancestor


def _out_of_order(name: str, key: str, last: str) -> str:
    return (
        f"{name}: {key!r} was listed after {last!r}, so the listing is not in order and can't be trusted. "
        "Nothing was changed. Run again; if it stays so, this store can't be synced."
    )


class _Cursor:
    """One side: its next entry, and the unreadable places that may still cover a key to come."""

    __slots__ = ("_items", "_last", "_name", "entry", "places")

    def __init__(self, name: str, items: Iterable[Item]) -> None:
        self._name = name
        self._items = iter(items)
        self._last: str | None = None
        self.places: list[Unreadable] = []
        self.entry: Entry | None = None
        self._advance()

    def take(self, key: str) -> Item | None:
        """What this side says about `key`, which is not greater than the key of `entry`."""
        found: Item | None = None
        if self.entry is not None and self.entry.key == key:
            found = self.entry
            self._advance()
        if self.places:
            # A place at 'd' covers 'd' and 'd/...', and keys such as 'd-x' sort between the two, so a
            # place stays until no later key can lie below it: '0' is the code point after '/'.
            self.places = [place for place in self.places if key < place.prefix.rstrip("/") + "0"]
            found = next((place for place in self.places if place.covers(key)), found)
            if found is None:
                found = next((place for place in self.places if place.hides_link(key)), None)
        return found

    def _advance(self) -> None:
        for item in self._items:
            if isinstance(item, Unreadable):
                self._in_order(item.prefix)
                self.places.append(item)
            else:
                self._in_order(item.key)
                self.entry = item
                return
        self.entry = None

    def _in_order(self, at: str) -> None:
        if self._last is not None and at <= self._last:
            raise ListingIncomplete(_out_of_order(self._name, at, self._last))
        self._last = at


class _DirectoryCursor(_Cursor):
    """A side on which keys that end in '/' are directories: what comes next tells whether one is occupied."""

    __slots__ = ()

    def take(self, key: str) -> Item | None:
        found = super().take(key)
        if key[-1] != "/" or isinstance(found, Unreadable) or (found is not None and found.size):
            return found
        below = self.entry is not None and self.entry.key.startswith(key)
        if below or any(place.prefix.startswith(key) for place in self.places):
            return Entry(key, 0, None, OCCUPIED)
        return found
