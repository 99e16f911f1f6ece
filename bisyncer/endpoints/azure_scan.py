"""The listing of a container: every key below a prefix once, in order, or `ListingIncomplete`.

A page that doesn't come for now is `Transient` instead: a listing from after the last key on is the rest.

The service may order names by their UTF-16, as the emulator does, which differs from the order of code
points where a name has a character beyond the basic plane. Such names wait until their like have come.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import groupby
from typing import NamedTuple

from bisyncer.endpoints import azure_page
from bisyncer.endpoints.azure_client import Client
from bisyncer.endpoints.azure_error import Failure, Kind
from bisyncer.endpoints.azure_object import digests, http_time_ns
from bisyncer.endpoints.azure_page import Page, Row
from bisyncer.endpoints.backoff import persist
from bisyncer.endpoints.scratch import is_scratch
from bisyncer.endpoints.spool import in_order
from bisyncer.errors import ListingIncomplete
from bisyncer.model import Entry, Item

_ASTRAL = re.compile("[\U00010000-\U0010ffff]")
# No listing is asked to start there: where the two orders differ, or with what no name holds.
_NO_START = re.compile("[\x00-\x1f\\\\\x7f-\x9f\ud800-\U0010ffff]")


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
    last = ""
    for row in _rows(client, where, low, high):
        key = row.key
        if key < low or not key or is_scratch(key):
            continue
        if high is not None and key >= high:
            return
        if key <= last:
            said = "twice" if key == last else f"after {last!r}, which is no order"
            raise ListingIncomplete(
                f"{where.place}: the store listed {key!r} {said}. Nothing is concluded from it; run again."
            )
        last = key
        try:
            mtime_ns = http_time_ns(row.last_modified)
        except ValueError:
            raise ListingIncomplete(
                f"{where.place}: the store listed {key!r} with the time {row.last_modified!r}, which is "
                "none. Its listing can't be trusted."
            ) from None
        yield Entry(key, row.size, mtime_ns, row.etag, digests(row.md5, row.blob_type))


def _rows(client: Client, where: Where, low: str, high: str | None) -> Iterator[Row]:
    """The rows from `low` or a little before it, in order; `high` only says which can be left out."""
    if where.ordered:
        yield from by_code_point(_pages(client, where, _NO_START.split(low, maxsplit=1)[0]))
        return
    yield from in_order(
        row
        for row in _pages(client, where, "")
        if low <= row.key and (high is None or row.key < high) and not row.folder
    )


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


def _pages(client: Client, where: Where, start: str) -> Iterator[Row]:
    """All rows from `start` on, without their prefix; raises `ListingIncomplete` where pages are missing."""
    query = {"restype": "container", "comp": "list", "prefix": where.prefix}
    if start:
        query["startFrom"] = where.prefix + start  # the emulator ignores it
    if not where.ordered:
        query["include"] = "metadata"  # it tells directories from blobs
    cut = len(where.prefix)
    asked: set[str] = set()
    while True:
        look = partial(_page, client, where, query)
        # Nothing of a listing that is sorted is yielded before its end: tried again, it would begin anew.
        page = look() if where.ordered else persist(look)
        for row in page.rows:
            if not row.key.startswith(where.prefix):
                raise ListingIncomplete(
                    f"{where.place}: the store listed {row.key!r}, which isn't below the prefix. Its listing "
                    "can't be trusted."
                )
            yield row._replace(key=row.key[cut:]) if cut else row
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
