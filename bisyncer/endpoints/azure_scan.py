"""The listing of a container: every key below a prefix once, in order, or `ListingIncomplete`.

A page that doesn't come for now is `Transient` instead: a listing from after the last key on is the rest.

The service may order names by their UTF-16, as the emulator does, which differs from the order of code
points where a name has a character beyond the basic plane. Such names wait until their like have come.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, groupby, islice, pairwise, repeat
from operator import attrgetter, itemgetter, lt
from os.path import commonprefix
from typing import NamedTuple

from bisyncer.endpoints import azure_page
from bisyncer.endpoints.azure_client import Client
from bisyncer.endpoints.azure_error import Failure, Kind
from bisyncer.endpoints.azure_object import digests_of_page, http_time_ns
from bisyncer.endpoints.azure_page import Page, Row
from bisyncer.endpoints.backoff import persist
from bisyncer.endpoints.scratch import is_scratch, may_hold_scratch
from bisyncer.endpoints.spool import in_order
from bisyncer.errors import ListingIncomplete
from bisyncer.model import Entry, Item

_ASTRAL = re.compile("[\U00010000-\U0010ffff]")
# No listing is asked to start there: where the two orders differ, or with what no name holds.
_NO_START = re.compile("[\x00-\x1f\\\\\x7f-\x9f\ud800-\U0010ffff]")
_SOME_ROWS = 1000

_new = tuple.__new__  # builds a named tuple without going through a call of Python's
_name = itemgetter(0)


class Where(NamedTuple):
    """What is listed: the keys below `prefix`; `place` names it in errors.

    `ordered` says that the store has a flat namespace. A hierarchical one lists directory by directory,
    and the directories themselves as if they were blobs.
    """

    prefix: str
    place: str
    ordered: bool


def scan(client: Client, where: Where, low: str, high: str | None) -> Iterator[Item]:
    """Yield the items with low <= key < high."""
    cut = len(where.prefix)
    last = ""
    for found in _rows(client, where, low, high):
        _check(where, found, last)
        last = found[-1].key
        begin, end = bisect_left(found, where.prefix + (low or "\0"), key=_name), len(found)
        if high is not None:
            end = bisect_left(found, where.prefix + high, key=_name)
        rows = found[begin:end]
        if may_hold_scratch("".join(map(_name, rows))):
            rows = [row for row in rows if not is_scratch(row.key[cut:])]
        if rows:
            yield from _entries(where, rows)
        if end < len(found):
            return


def _check(where: Where, rows: Sequence[Row], last: str) -> None:
    """Refuse a name that isn't below the prefix, and one that doesn't come after the name before it."""
    names = list(map(_name, rows))
    if all(map(lt, [last, *names], names)) and all(map(str.startswith, names, repeat(where.prefix))):
        return
    for before, name in pairwise([last, *names]):
        if not name.startswith(where.prefix):
            raise ListingIncomplete(
                f"{where.place}: the store listed {name!r}, which isn't below the prefix. Its listing can't "
                "be trusted."
            )
        if name <= before:
            key = name[len(where.prefix) :]
            said = "twice" if name == before else f"after {before[len(where.prefix) :]!r}, which is no order"
            raise ListingIncomplete(
                f"{where.place}: the store listed {key!r} {said}. Nothing is concluded from it; run again."
            )


def _entries(where: Where, rows: Sequence[Row]) -> Iterator[Entry]:
    cut = len(where.prefix)
    names, sizes, etags, times, md5s, types, _ = zip(*rows, strict=True)
    try:
        mtimes = list(map(http_time_ns, times))
    except ValueError:
        name, time = next((row.key, row.last_modified) for row in rows if not _is_time(row.last_modified))
        raise ListingIncomplete(
            f"{where.place}: the store listed {name[cut:]!r} with the time {time!r}, which is none. Its "
            "listing can't be trusted."
        ) from None
    keys = [name[cut:] for name in names]
    return map(
        _new, repeat(Entry), zip(keys, sizes, mtimes, etags, digests_of_page(md5s, types), strict=True)
    )


def _is_time(text: str) -> bool:
    try:
        http_time_ns(text)
    except ValueError:
        return False
    return True


def _rows(client: Client, where: Where, low: str, high: str | None) -> Iterator[list[Row]]:
    """The rows from `low` or a little before it, in order; `high` only says which can be left out."""
    if where.ordered:
        shared = commonprefix([low, high or ""])  # noqa: RUF071 -- by character is what is meant
        pages = _pages(client, where, _askable(low), _askable(shared))
        # No name of a plain page must wait for others: after a character beyond the basic plane, names that
        # begin the same go on with one that isn't ASCII.
        for plain, some in groupby(pages, attrgetter("plain")):
            if plain:
                yield from (page.rows for page in some if page.rows)
            else:
                yield from _lists(by_code_point(chain.from_iterable(page.rows for page in some)))
        return
    blobs = (row for page in _pages(client, where, "") for row in page.rows if not row.folder)
    yield from _lists(in_order(row for row in blobs if _may_be_wanted(row.key, where.prefix, low, high)))


def _lists(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while some := list(islice(rows, _SOME_ROWS)):
        yield some


def _askable(bound: str) -> str:
    return _NO_START.split(bound, maxsplit=1)[0]


def _may_be_wanted(name: str, prefix: str, low: str, high: str | None) -> bool:
    """Whether a name is in the range, or beside the prefix, which is for who reads it to tell."""
    key = name.removeprefix(prefix)
    return not name.startswith(prefix) or (low <= key and (high is None or key < high))


def by_code_point(rows: Iterable[Row]) -> Iterator[Row]:
    """Rows ordered by code point, from rows ordered by that or by UTF-16."""
    for prefix, group in groupby(rows, _Group()):
        yield from group if prefix is None else in_order(group)  # noqa: B031 -- one of the two uses it


class _Group:
    """Which rows must be sorted together: from the first name with a character beyond the basic plane
    on, all names that begin as it does before that character. Other rows have None.
    """  # noqa: D205 -- one sentence doesn't fit one line

    def __init__(self) -> None:
        self._prefix: str | None = None

    def __call__(self, row: Row) -> str | None:
        if self._prefix is None or not row.key.startswith(self._prefix):
            found = None if row.key.isascii() else _ASTRAL.search(row.key)
            self._prefix = row.key[: found.start()] if found else None
        return self._prefix


def _pages(client: Client, where: Where, start: str, shared: str = "") -> Iterator[Page]:
    """All pages from `start` on, of keys that begin with `shared`; raises `ListingIncomplete`."""
    query = {"restype": "container", "comp": "list", "prefix": where.prefix + shared}
    if start:
        query["startFrom"] = where.prefix + start  # the emulator ignores it
    if not where.ordered:
        query["include"] = "metadata"  # it tells directories from blobs
    asked: set[str] = set()
    while True:
        look = partial(_page, client, where, query)
        # Nothing of a listing that is sorted is yielded before its end: tried again, it would begin anew.
        page = look() if where.ordered else persist(look)
        yield page
        if not page.marker:
            return
        if page.marker in asked:
            raise ListingIncomplete(
                f"{where.place}: the listing breaks off: the store gives the same marker again to ask for "
                "what follows. Nothing is concluded from it; run again."
            )
        asked.add(page.marker)
        query["marker"] = page.marker
        query.pop("startFrom", None)  # the marker says it


def _page(client: Client, where: Where, query: Mapping[str, str]) -> Page:
    place = f"{where.place}: can't be listed to its end"
    try:
        return azure_page.parse(client.ask("GET", kind="list", query=query).body)
    except Failure as error:
        if error.trouble.kind is Kind.PASSING:
            raise error.trouble.passing(place) from None
        raise ListingIncomplete(f"{place}: {error.trouble.sentence}") from None
    except azure_page.Malformed as error:
        raise ListingIncomplete(f"{place}: {error}. Nothing is concluded from it; run again.") from None
