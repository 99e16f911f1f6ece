"""The listing of a bucket: every key below a prefix once, in order, or `ListingIncomplete`.

Pages are read as JSON, never through the SDK's models.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from bisyncer.endpoints.oci_bucket import Bucket
from bisyncer.endpoints.oci_error import Failed, Kind
from bisyncer.endpoints.oci_object import digests, listed_time_ns
from bisyncer.endpoints.scratch import is_scratch
from bisyncer.errors import ListingIncomplete
from bisyncer.model import Entry, Item

_PAGE = 1000  # the most that the service gives
_FIELDS = "name,size,etag,md5,timeModified"
_LONGEST = 1024  # bytes of a name
_UNNAMABLE = re.compile("[\0\n\r\ud800-\udfff]")


class _Page(NamedTuple):
    rows: list[dict[str, Any]]
    following: str | None


def scan(bucket: Bucket, low: str, high: str | None) -> Iterator[Item]:
    """Yield the entries with low <= key < high; `Transient` where a page fails in a way that may pass."""
    cut = len(bucket.prefix)
    last = ""
    for row in _rows(bucket, low, high):
        try:
            name, size, etag = row["name"], row["size"], row["etag"]
            mtime_ns = listed_time_ns(row["timeModified"])
            if not (isinstance(name, str) and isinstance(size, int) and isinstance(etag, str) and etag):
                raise TypeError  # noqa: TRY301 -- one answer to all that a row can lack
            name.encode()
        except (KeyError, TypeError, ValueError):
            raise _incomplete(bucket, f"the store listed {row!r}, which doesn't describe an object") from None
        if not name.startswith(bucket.prefix):
            raise _incomplete(bucket, f"the store listed {name!r}, which isn't below the prefix")
        if name <= last:
            raise _incomplete(bucket, f"the store listed {name!r} after {last!r}, which is out of order")
        last = name
        key = name[cut:]
        if not key or key < low or is_scratch(key):
            continue
        if high is not None and key >= high:
            return
        yield Entry(key, size, mtime_ns, etag, digests(row.get("md5")))


def _rows(bucket: Bucket, low: str, high: str | None) -> Iterator[dict[str, Any]]:
    """The rows from `low` or a little before it; `high` only says which can be left out."""
    query = {"prefix": bucket.prefix, "fields": _FIELDS, "limit": str(_PAGE)}
    if low:
        query["start"] = _askable(bucket.prefix + low)
    if high is not None and _askable(bucket.prefix + high) == bucket.prefix + high:
        query["end"] = bucket.prefix + high
    while True:
        page = _page(bucket, query)
        yield from page.rows
        if page.following is None:
            break
        if page.following <= query.get("start", "") or (
            page.rows and page.following <= page.rows[-1]["name"]
        ):
            raise _incomplete(
                bucket, f"the store says that {page.following!r} follows, which was listed already"
            )
        query["start"] = page.following
    if len(page.rows) >= _PAGE:
        # A last page that happens to be full looks like one that has lost what would tell that more follow.
        del query["limit"]
        query.pop("start", None)
        if _page(bucket, {**query, "startAfter": page.rows[-1]["name"]}).rows:
            raise _incomplete(bucket, "a full page didn't say that more keys follow, and they do")


def _page(bucket: Bucket, query: dict[str, str]) -> _Page:
    try:
        body = bucket.client.send("list", "GET", f"{bucket.path}/o", query=query).content
    except Failed as error:
        if error.trouble.kind is Kind.PASSING:
            raise error.trouble.error(bucket.root) from None
        raise ListingIncomplete(
            f"{bucket.root}: can't be listed to its end: {error.trouble.sentence}"
        ) from None
    try:
        page = json.loads(body)
        rows, following = page["objects"], page.get("nextStartWith")
        if not (isinstance(rows, list) and isinstance(following, str | None)):
            raise TypeError  # noqa: TRY301 -- one answer to all that a page can lack
    except (AttributeError, KeyError, TypeError, ValueError):
        raise _incomplete(bucket, "an answer isn't a whole list page") from None
    return _Page(rows, following or None)


def _askable(bound: str) -> str:
    """As much of a bound as can begin a name, and so be sent; it is the bound or sorts before it."""
    return _UNNAMABLE.split(bound, maxsplit=1)[0].encode()[:_LONGEST].decode(errors="ignore")


def _incomplete(bucket: Bucket, reason: str) -> ListingIncomplete:
    return ListingIncomplete(
        f"{bucket.root}: can't be listed to its end: {reason}. Nothing is concluded from it; run again."
    )
