"""The listing of a bucket: every key below a prefix once, in order, or `ListingIncomplete`.

Pages are read as JSON, never through the SDK's models.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice, pairwise, repeat
from operator import lt
from typing import Any, NamedTuple

from bisyncer.endpoints.base64_md5 import digests_of_page
from bisyncer.endpoints.mtime import times_of_page
from bisyncer.endpoints.oci_bucket import Bucket
from bisyncer.endpoints.oci_error import Failed, Kind
from bisyncer.endpoints.scratch import is_scratch, may_hold_scratch
from bisyncer.errors import ListingIncomplete
from bisyncer.model import Algorithm, Digest, Entry, Item

_PAGE = 1000  # the most that the service gives
_FIELDS = "name,size,etag,md5,timeModified"
_LONGEST = 1024  # bytes of a name
_UNNAMABLE = re.compile("[\0\n\r\ud800-\udfff]")

_new = tuple.__new__  # builds a named tuple without going through a call of Python's


class _Page(NamedTuple):
    rows: list[dict[str, Any]]
    following: str | None


def scan(bucket: Bucket, low: str, high: str | None) -> Iterator[Item]:
    """Yield the entries with low <= key < high; `Transient` where a page fails in a way that may pass."""
    prefix, cut = bucket.prefix, len(bucket.prefix)
    last = ""
    for page in _pages(bucket, low, high):
        if not page.rows:
            continue
        found = _columns(bucket, page.rows)
        _check(bucket, found.names, last)
        last = found.names[-1]
        begin, end = bisect_left(found.names, prefix + (low or "\0")), len(found.names)
        if high is not None:
            end = bisect_left(found.names, prefix + high)
        keys = [name[cut:] for name in found.names]
        entries = map(_new, repeat(Entry), islice(zip(keys, *found[1:], strict=True), begin, end))
        if may_hold_scratch("".join(keys)):
            yield from (entry for entry in entries if not is_scratch(entry.key))
        else:
            yield from entries
        if end < len(keys):
            return


class _Columns(NamedTuple):
    names: list[str]
    sizes: list[int]
    times_ns: list[int]
    etags: list[str]
    digests: Iterable[tuple[Digest, ...]]


def _columns(bucket: Bucket, rows: list[dict[str, Any]]) -> _Columns:
    """What the rows of a page say, field by field."""
    try:
        return _read(rows)
    except (AttributeError, KeyError, TypeError, ValueError):
        for row in rows:
            with suppress(AttributeError, KeyError, TypeError, ValueError):
                _read([row])
                continue
            raise _incomplete(bucket, f"the store listed {row!r}, which doesn't describe an object") from None
        raise


def _read(rows: list[dict[str, Any]]) -> _Columns:
    names = [row["name"] for row in rows]
    sizes = [row["size"] for row in rows]
    etags = [row["etag"] for row in rows]
    "".join(names).encode()
    "".join(etags)
    if set(map(type, sizes)) != {int} or not all(etags):
        raise TypeError
    times_ns = times_of_page([row["timeModified"] for row in rows])
    md5s = [row.get("md5") for row in rows]
    return _Columns(names, sizes, times_ns, etags, digests_of_page(Algorithm.MD5, md5s))


def _check(bucket: Bucket, names: list[str], last: str) -> None:
    """Refuse a name that isn't below the prefix, and one that doesn't come after the name before it."""
    found = [last, *names]
    if all(map(lt, found, names)) and all(map(str.startswith, names, repeat(bucket.prefix))):
        return
    for before, name in pairwise(found):
        if not name.startswith(bucket.prefix):
            raise _incomplete(bucket, f"the store listed {name!r}, which isn't below the prefix")
        if name <= before:
            raise _incomplete(bucket, f"the store listed {name!r} after {before!r}, which is out of order")


def _pages(bucket: Bucket, low: str, high: str | None) -> Iterator[_Page]:
    """The pages from `low` or a little before it; `high` only says which rows can be left out."""
    query = {"prefix": bucket.prefix, "fields": _FIELDS, "limit": str(_PAGE)}
    if low:
        query["start"] = _askable(bucket.prefix + low)
    if high is not None and _askable(bucket.prefix + high) == bucket.prefix + high:
        query["end"] = bucket.prefix + high
    while True:
        page = _page(bucket, query)
        yield page
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
