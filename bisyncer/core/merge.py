"""Three sorted streams into one stream of triples.

Each stream must be strictly increasing by code point of the key. The first key out of order is refused:
a listing that isn't ordered can't be joined, and taking it for whole would turn keys into deletions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, TypeVar

from bisyncer.errors import ListingIncomplete
from bisyncer.model import OCCUPIED, Ancestor, Entry, Item, Triple, Unreadable

_R = TypeVar("_R", bound=tuple[Any, ...])  # an ancestor as it is read, beginning with its key

_GIVEN: Final = 1000  # keys that are given at once


class PassedOver:
    """The keys that both sides hold as recorded: `same` says which, and no triple is made of them."""

    def __init__(self, same: Callable[[Any, Entry, Entry], bool]) -> None:
        self.same = same
        self.keys = 0  # how many there were
        self.last = ""  # of these


class Agreed:
    """The keys that nothing is recorded of and both sides hold alike.

    `take` is given the entries of those that may be so by `may_be`, some at a time, and returns the ones that
    aren't, in order. No triple is made of the others.
    """

    def __init__(
        self,
        may_be: Callable[[Entry, Entry], bool],
        take: Callable[[Sequence[tuple[Entry, Entry]]], Iterable[tuple[Entry, Entry]]],
    ) -> None:
        self.may_be = may_be
        self.take = take


def merge(
    recorded: Iterable[_R],
    path1: Iterable[Item],
    path2: Iterable[Item],
    *,
    recall: Callable[[_R], Ancestor],
    passed: PassedOver | None = None,
    agreed: Agreed | None = None,
    directories: bool = False,
) -> Iterator[Triple]:
    """Yield one triple for every key that any of the three streams has, in order of key.

    `recall` makes the ancestor of what is recorded. Keys that are `passed` over are counted there instead,
    and those that are `agreed` on are given there.

    A key that an `Unreadable` place covers gets that place as its item on that side, also where the
    listing itself has nothing for it. A place that covers no key of the other streams yields nothing. With
    `directories`, a key that ends in '/' is an occupied directory on a side that has keys below it.

    Raises `ListingIncomplete` at the first key out of order.
    """
    cursor = _DirectoryCursor if directories else _Cursor
    one, two = cursor("path1", path1), cursor("path2", path2)
    rows = iter(recorded)
    row = next(rows, None)
    last: str | None = None
    while True:
        if passed is not None and row is not None:
            before = passed.keys
            row = _pass_over(rows, row, one, two, passed)
            last = passed.last if passed.keys > before else last
        elif agreed is not None and row is None:
            yield from _give(one, two, agreed)
        heads = [one.entry[0]] if one.entry is not None else []
        if two.entry is not None:
            heads.append(two.entry[0])
        if row is not None:
            heads.append(row[0])
        if not heads:
            return
        key = min(heads)
        known = None
        if row is not None and row[0] == key:
            if last is not None and key <= last:
                raise ListingIncomplete(_out_of_order("the recorded ancestors", key, last))
            last = key
            known, row = recall(row), next(rows, None)
        yield Triple(key, known, one.take(key), two.take(key))


def _pass_over(rows: Iterator[_R], row: _R, one: _Cursor, two: _Cursor, passed: PassedOver) -> _R | None:
    """Go on to the first key that isn't simply as recorded; return its row, or the next one."""
    if one.places or two.places:
        return row
    same = passed.same
    entry1, entry2 = one.entry, two.entry
    following: _R | None = row
    last, keys = "", 0
    # Written out, as it runs for each key of a run. What is passed over is in order, since its keys are
    # those of all three streams and the rows are looked at.
    while following is not None and entry1 is not None and entry2 is not None:
        key = following[0]
        if (
            entry1[0] != key
            or entry2[0] != key
            or key <= last
            or key[-1] == "/"  # that of a directory, for all that can be seen here
            or not same(following, entry1, entry2)
        ):
            break
        last = key
        keys += 1
        following = next(rows, None)
        item1, item2 = next(one.items, None), next(two.items, None)
        if type(item1) is Entry and type(item2) is Entry:
            entry1, entry2 = item1, item2
            continue
        entry1, entry2 = one.place(last, item1), two.place(last, item2)
        if one.places or two.places:
            break
    if keys:
        passed.keys += keys
        passed.last = last
        one.stand_at(last, entry1)
        two.stand_at(last, entry2)
    return following


def _give(one: _Cursor, two: _Cursor, agreed: Agreed) -> Iterator[Triple]:
    """Go on to the first key that can't be held alike by both sides; what comes before it is given.

    Yields what of it isn't taken.
    """
    if one.places or two.places:
        return
    may_be = agreed.may_be
    entry1, entry2 = one.entry, two.entry
    last = ""
    found: list[tuple[Entry, Entry]] = []
    # Written out, as it runs for each key of an alignment; see above for what it looks at.
    while entry1 is not None and entry2 is not None:
        key = entry1[0]
        if entry2[0] != key or key <= last or key[-1] == "/" or not may_be(entry1, entry2):
            break
        found.append((entry1, entry2))
        last = key
        if len(found) == _GIVEN:
            yield from _not_taken(agreed, found)
            found = []
        item1, item2 = next(one.items, None), next(two.items, None)
        if type(item1) is Entry and type(item2) is Entry:
            entry1, entry2 = item1, item2
            continue
        entry1, entry2 = one.place(last, item1), two.place(last, item2)
        if one.places or two.places:
            break
    if found:
        yield from _not_taken(agreed, found)
    if last:
        one.stand_at(last, entry1)
        two.stand_at(last, entry2)


def _not_taken(agreed: Agreed, found: Sequence[tuple[Entry, Entry]]) -> Iterator[Triple]:
    return (Triple(one.key, None, one, two) for one, two in agreed.take(found))


def _out_of_order(name: str, key: str, last: str) -> str:
    return (
        f"{name}: {key!r} was listed after {last!r}, so the listing is not in order and can't be trusted. "
        "Nothing was changed. Run again; if it stays so, this store can't be synced."
    )


class _Cursor:
    """One side: its next entry, and the unreadable places that may still cover a key to come."""

    __slots__ = ("_last", "_name", "entry", "items", "places")

    def __init__(self, name: str, items: Iterable[Item]) -> None:
        self._name = name
        self.items = iter(items)
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

    def place(self, last: str, item: Item | None) -> Entry | None:
        """Take up `item`, which was read after the key `last`; return the entry that it leads to."""
        self._last = last
        self.entry = None
        if isinstance(item, Unreadable):
            self._in_order(item.prefix)
            self.places.append(item)
            self._advance()
        elif item is not None:
            self._in_order(item.key)
            self.entry = item
        return self.entry

    def stand_at(self, last: str, entry: Entry | None) -> None:
        """Go on with `entry`, before which the keys up to `last` were passed over."""
        if entry is not self.entry:
            self._last = last
            self.entry = entry
            if entry is not None:
                self._in_order(entry.key)

    def _advance(self) -> None:
        for item in self.items:
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
