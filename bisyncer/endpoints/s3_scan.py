"""The listing of a bucket: every key below a prefix once, in order, or `ListingIncomplete`.

It goes page by page, and what can be done for all keys of a page at once is not done for each.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice, repeat
from operator import itemgetter, lt

from bisyncer.endpoints import s3_tree
from bisyncer.endpoints.listing import Page, Row
from bisyncer.endpoints.mtime import listed_time_ns, times_of_page
from bisyncer.endpoints.s3_object import digests_of_page
from bisyncer.endpoints.s3_page import Where, is_text, keeps_a_tree, pages
from bisyncer.endpoints.scratch import is_scratch, may_hold_scratch
from bisyncer.endpoints.spool import in_order
from bisyncer.errors import ListingIncomplete
from bisyncer.model import Entry, Item, Unreadable

_NOT_IN_XML = re.compile("[\x00-\x1f\x7f\ufffe\uffff]")
_HIGHEST = "\U0010ffff"
_LONGEST = 1024  # bytes of a name
_SOME_ROWS = 1000

_new = tuple.__new__  # builds a named tuple without going through a call of Python's
_name = itemgetter(0)


def scan(where: Where, low: str, high: str | None) -> Iterator[Item]:
    """Yield the items with low <= key < high; raises `ListingIncomplete`, or `Transient`."""
    cut = len(where.prefix)
    last = low
    odd: list[str] = []  # keys that can't be named, after `last`
    for rows in _rows(where, low, high):
        keys = [row[0][cut:] for row in rows]
        if _are_plain("".join(keys)):
            # The key that is empty is the prefix's own marker.
            begin = bisect_left(keys, low or "\x01")
            end = len(keys) if high is None else bisect_left(keys, high)
            if begin < end:
                yield from _unreadable(odd, last, keys[begin])
                odd = []
                yield from _entries(where, keys[begin:end], rows[begin:end])
                last = keys[end - 1]
            if end < len(keys):
                break
            continue
        for key, row in zip(keys, rows, strict=True):
            if not key or key < low or (high is not None and key >= high) or is_scratch(key):
                continue
            if "\0" in key or not is_text(key):
                odd.append(key)
                continue
            yield from _unreadable(odd, last, key)
            odd = []
            yield from _entries(where, [key], [row])
            last = key
        if high is not None and keys[-1] >= high:
            break
    yield from _unreadable(odd, last, high)


def _are_plain(joined: str) -> bool:
    """Whether keys, of which this is all text, can all be named, and none of them is a scratch object's."""
    return "\0" not in joined and (joined.isascii() or is_text(joined)) and not may_hold_scratch(joined)


def _entries(where: Where, keys: Sequence[str], rows: Sequence[Row]) -> Iterator[Entry]:
    _, sizes, etags, texts = zip(*rows, strict=True)
    try:
        times = times_of_page(texts)
    except ValueError:
        for key, text in zip(keys, texts, strict=True):
            _check_time(where, key, text)
        raise
    return map(_new, repeat(Entry), zip(keys, sizes, times, etags, digests_of_page(etags), strict=True))


def _check_time(where: Where, key: str, text: str) -> None:
    try:
        listed_time_ns(text)
    except ValueError:
        raise ListingIncomplete(
            f"{where.place}: the store listed {key!r} with the time {text!r}, which is none. "
            "Its listing can't be trusted."
        ) from None


def _rows(where: Where, low: str, high: str | None) -> Iterator[list[Row]]:
    """The rows from `low` or a little before it, in order; `high` only says which can be left out."""
    start_after = _just_before(where.prefix + low) if low and not where.unordered else ""
    sorting = where.unordered
    # Of a listing that is sorted nothing is given before its end, so what may pass is repeated page by page.
    found = pages(where, start_after, lambda: sorting)
    with where.known.lock:
        first = list(islice(found, 1)) if where.known.tree is None else []
    if where.known.tree and not first:
        yield from _of_tree(where, low, high)
        return
    last = ""
    for page, headers in chain(first, found):
        names = [last, *map(_name, page.rows)]
        tree = keeps_a_tree(headers)
        if where.unordered or tree or not _is_increasing(names):
            if last:  # something was given, so it is too late to sort
                raise ListingIncomplete(
                    f"{where.place}: the store doesn't list keys in order (between {names[1]!r} and "
                    f"{names[-1]!r}). bisyncer syncs such stores only where it knows them. Nothing was "
                    "concluded from this listing."
                )
            if tree:
                yield from _of_tree(where, low, high)
                return
            sorting = True
            whole = pages(where, "", lambda: True) if start_after else chain([(page, headers)], found)
            yield from _sorted(whole, where, low, high)
            return
        last = names[-1]
        yield page.rows


def _of_tree(where: Where, low: str, high: str | None) -> Iterator[list[Row]]:
    """The rows of a store whose order is that of directories, or another one after all."""
    given = False
    try:
        if low or high is not None:
            s3_tree.check_order(where)
        for rows in s3_tree.rows(where, low, high):
            given = given or bool(rows)
            yield rows
    except s3_tree.Disorder:
        if given:
            raise ListingIncomplete(
                f"{where.place}: the store lists keys neither by name nor by directory, or some of them "
                "twice. Nothing was concluded from this listing; run again."
            ) from None
        yield from _sorted(pages(where, "", lambda: True), where, low, high)


def _sorted(
    found: Iterable[tuple[Page, object]], where: Where, low: str, high: str | None
) -> Iterator[list[Row]]:
    """The rows of the range from a store with an order of its own, where no range can be asked for."""
    cut = len(where.prefix)
    last = ""
    rows = in_order(
        row
        for page, _ in found
        for row in page.rows
        if low <= row.key[cut:] and (high is None or row.key[cut:] < high)
    )
    while some := list(islice(rows, _SOME_ROWS)):
        for row in some:
            if row.key == last:
                raise ListingIncomplete(
                    f"{where.place}: the store listed {last!r} twice. Nothing is concluded from it; run "
                    "again."
                )
            last = row.key
        yield some


def _is_increasing(names: list[str]) -> bool:
    if all(map(lt, names, islice(names, 1, None))):
        return True
    # Bytes that aren't text stand in a name as surrogates, which sort elsewhere than the bytes.
    raw = [name.encode(errors="surrogateescape") for name in names]
    return all(map(lt, raw, raw[1:]))


def _just_before(name: str) -> str:
    """A text to start a listing after, so that it starts with `name`, or a little earlier."""
    start, end = name[:-1], ord(name[-1])
    before = 0xD7FF if end == 0xE000 else max(end - 1, 0)  # there are no characters between these two
    near = f"{start}{chr(before)}{_HIGHEST}"
    unwritable = _NOT_IN_XML.search(near)
    if unwritable:
        return near[: unwritable.start()]  # some servers repeat it in their answer, which then isn't XML
    return near if len(near.encode()) <= _LONGEST else start


def _unreadable(odd: list[str], last: str, following: str | None) -> Iterator[Unreadable]:
    """The places of keys that can't be named, which lie between the keys `last` and `following`."""
    for key in odd:
        raw = key.encode(errors="surrogateescape")
        shown = raw.decode(errors="replace").replace("\0", "\ufffd")
        if not (last < shown and (following is None or shown < following)):
            shown = last + "\x01"  # what can be shown of the name belongs elsewhere in the order
        last = shown
        yield Unreadable(
            shown,
            f"the object's name {raw!r} has a NUL or isn't UTF-8: it is left alone. Rename it.",
        )
