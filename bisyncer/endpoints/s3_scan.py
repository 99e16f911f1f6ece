"""The listing of a bucket: every key below a prefix once, in order, or `ListingIncomplete`.

boto3 signs and sends; each page goes around its parser to `listing.py`, see `pages_parsed`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import chain
from operator import lt
from typing import Any, NamedTuple

from bisyncer.endpoints import listing
from bisyncer.endpoints.backoff import persist
from bisyncer.endpoints.s3_error import SDK_ERRORS, Kind, Trouble
from bisyncer.endpoints.s3_object import listed_digests, listed_time_ns
from bisyncer.endpoints.scratch import is_scratch
from bisyncer.endpoints.spool import in_order
from bisyncer.errors import ListingIncomplete
from bisyncer.model import Entry, Item, Unreadable

_NOT_IN_XML = re.compile("[\x00-\x1f\x7f\ufffe\uffff]")
_HIGHEST = "\U0010ffff"
_LONGEST = 1024  # bytes of a name


def pages_parsed(client: Any) -> None:
    """Let `client` parse the pages of ListObjects by `listing.py`, into the answer's field `Page`."""
    # botocore itself parses each answer once more, to see whether it is an error with status 200. It calls
    # handlers of an event that is named with '*' earlier, so it finds the small body that is left to it.
    client.meta.events.register("before-parse.*.ListObjectsV2", partial(_parse, counted=True))
    client.meta.events.register("before-parse.*.ListObjects", partial(_parse, counted=False))


def _parse(
    response_dict: dict[str, Any], customized_response_dict: dict[str, Any], *, counted: bool, **_: object
) -> None:
    if response_dict["status_code"] != 200:
        return
    try:
        customized_response_dict["Page"] = listing.parse(response_dict["body"], counted=counted)
    except listing.Malformed as error:
        # The body is left to botocore, which says so itself where it isn't XML at all.
        customized_response_dict["Malformed"] = str(error)
    else:
        response_dict["body"] = b"<ListBucketResult/>"


class Where(NamedTuple):
    """What is listed: the keys below `prefix`; `place` names it in errors.

    `ask` sends one request. `version` is that of ListObjects: 1, 2, or auto. `unordered` says that the store
    is known to have an order of its own.
    """

    prefix: str
    place: str
    ask: Callable[..., Any]
    judge: Callable[[Exception], Trouble]
    version: str = "auto"
    unordered: bool = False


def scan(where: Where, low: str, high: str | None) -> Iterator[Item]:
    """Yield the items with low <= key < high; raises `ListingIncomplete`, or `Transient`."""
    cut = len(where.prefix)
    last = ""
    odd: list[str] = []
    for name, size, etag, last_modified in _rows(where, low, high):
        key = name[cut:]
        if key < low or not key or is_scratch(key):
            continue
        if high is not None and key >= high:
            break
        if "\0" in key or not (key.isascii() or _is_text(key)):
            odd.append(key)
            continue
        if odd:
            yield from _unreadable(odd, last, key)
            odd = []
        try:
            mtime_ns = listed_time_ns(last_modified)
        except ValueError:
            raise ListingIncomplete(
                f"{where.place}: the store listed {key!r} with the time {last_modified!r}, which is none. "
                "Its listing can't be trusted."
            ) from None
        yield Entry(key, size, mtime_ns, etag, listed_digests(etag))
        last = key
    yield from _unreadable(odd, last or low, high)


def _rows(where: Where, low: str, high: str | None) -> Iterator[listing.Row]:
    """The rows from `low` or a little before it, in order; `high` only says which can be left out."""
    start_after = _just_before(where.prefix + low) if low and not where.unordered else ""
    sorting = where.unordered
    # Of a listing that is sorted nothing is given before its end, so what may pass is repeated page by page.
    pages = _pages(where, start_after, lambda: sorting)
    last = ""
    for page, headers in pages:
        names = [last, *(row.key for row in page.rows)]
        if where.unordered or keeps_a_tree(headers) or not _is_increasing(names):
            if not last:  # nothing was given yet, so it isn't too late to sort
                sorting = True
                whole = _pages(where, "", lambda: True) if start_after else chain([(page, headers)], pages)
                yield from _sorted(whole, where, low, high)
                return
            raise ListingIncomplete(
                f"{where.place}: the store doesn't list keys in order (between {names[1]!r} and "
                f"{names[-1]!r}). bisyncer syncs such stores only where it knows them. Nothing was "
                "concluded from this listing."
            )
        last = names[-1]
        yield from page.rows


def _sorted(
    pages: Iterable[tuple[listing.Page, object]], where: Where, low: str, high: str | None
) -> Iterator[listing.Row]:
    """The rows of the range from a store with an order of its own, where no range can be asked for."""
    cut = len(where.prefix)
    last = ""
    for row in in_order(
        row
        for page, _ in pages
        for row in page.rows
        if low <= row.key[cut:] and (high is None or row.key[cut:] < high)
    ):
        if row.key == last:
            raise ListingIncomplete(
                f"{where.place}: the store listed {last!r} twice. Nothing is concluded from it; run again."
            )
        last = row.key
        yield row


_Pages = Iterator[tuple[listing.Page, Mapping[str, str]]]


def _pages(where: Where, start_after: str, again: Callable[[], bool]) -> _Pages:
    """All pages, each with its HTTP headers; a listing that isn't whole raises `ListingIncomplete`.

    `again` says, page by page, whether one that fails in a way that may pass is asked for again.
    """
    if where.version == "1":
        yield from _first_version(where, start_after, again)
        return
    arguments = {"Prefix": where.prefix, "EncodingType": "url"}
    if start_after:
        arguments["StartAfter"] = start_after
    while True:
        try:
            page, headers = _page(where, "list_objects_v2", arguments, again=again())
        except _Unknown as error:
            if where.version == "2" or "ContinuationToken" in arguments:
                raise ListingIncomplete(str(error)) from None
            yield from _first_version(where, start_after, again)
            return
        if where.version == "auto" and "ContinuationToken" not in arguments and _of_the_first(page):
            yield from _first_version(where, start_after, again)
            return
        yield page, headers
        if not page.truncated:
            return
        if page.token is None or page.token == arguments.get("ContinuationToken"):
            gives = "no token" if page.token is None else "the same token again"
            raise _broken_off(where, gives)
        arguments["ContinuationToken"] = page.token


def _first_version(where: Where, start_after: str, again: Callable[[], bool]) -> _Pages:
    """All pages of a server that has no ListObjectsV2: each is asked for by the last key before it."""
    arguments = {"Prefix": where.prefix, "EncodingType": "url"}
    if start_after:
        arguments["Marker"] = start_after
    while True:
        try:
            page, headers = _page(where, "list_objects", arguments, again=again())
        except _Unknown as error:
            raise ListingIncomplete(str(error)) from None
        yield page, headers
        if not page.truncated:
            return
        marker = page.token or (page.rows[-1].key if page.rows else None)
        if marker is None or marker == arguments.get("Marker"):
            raise _broken_off(where, "no marker" if marker is None else "the same marker again")
        if not _is_text(marker):
            raise ListingIncomplete(
                f"{where.place}: the listing goes on after {marker!r}, which isn't UTF-8 and can't be asked "
                "for. Rename that object."
            )
        arguments["Marker"] = marker


def _of_the_first(page: listing.Page) -> bool:
    """Whether a server that doesn't know the parameter of the second version answered as to the first."""
    return page.truncated and page.token is None and not page.counted


class _Unknown(Exception):
    """The server doesn't know this version of ListObjects."""


def _page(
    where: Where, operation: str, arguments: Mapping[str, str], *, again: bool
) -> tuple[listing.Page, Mapping[str, str]]:
    """One page, with its HTTP headers."""

    def ask() -> Any:
        try:
            return where.ask(operation, **arguments)
        except SDK_ERRORS as error:
            trouble = where.judge(error)
            if trouble.kind in {Kind.PASSING, Kind.RACE}:
                raise trouble.passing(where.place) from None
            sentence = f"{where.place}: can't be listed to its end: {trouble.sentence}"
            if trouble.kind is Kind.UNSUPPORTED:
                raise _Unknown(sentence) from None
            raise ListingIncomplete(sentence) from None

    answer = persist(ask) if again else ask()
    if "Page" not in answer:
        raise ListingIncomplete(
            f"{where.place}: can't be listed to its end: {answer['Malformed']}. Nothing is concluded "
            "from it; run again."
        )
    page: listing.Page = answer["Page"]
    for row in page.rows:
        if not row.key.startswith(where.prefix):
            raise ListingIncomplete(
                f"{where.place}: the store listed {row.key!r}, which isn't below the prefix. Its listing "
                "can't be trusted."
            )
    return page, answer["ResponseMetadata"]["HTTPHeaders"]


def _broken_off(where: Where, gives: str) -> ListingIncomplete:
    return ListingIncomplete(
        f"{where.place}: the listing breaks off: the store says that more keys follow, and gives {gives} to "
        "ask for them. Nothing is concluded from it; run again."
    )


def keeps_a_tree(headers: Mapping[str, str]) -> bool:
    """Whether an answer comes from a store that keeps keys as paths of directories.

    SeaweedFS does. It lists directory by directory, so 'a/b' comes before 'a.b'; and it takes 'a//b' and
    'a', backslash, 'b' for 'a/b'.
    """
    return headers.get("server", "").startswith("SeaweedFS")


def _is_increasing(names: list[str]) -> bool:
    if all(map(lt, names, names[1:])):
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


def _is_text(key: str) -> bool:
    try:
        key.encode()
    except UnicodeEncodeError:
        return False
    return True


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
