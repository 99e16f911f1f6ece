"""Pages of ListObjects: asked for one by one, parsed around boto3, and followed to the end.

boto3 signs and sends; each page goes around its parser to `listing.py`, see `pages_parsed`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from threading import Lock
from typing import Any, NamedTuple

from bisyncer.endpoints import listing
from bisyncer.endpoints.backoff import persist
from bisyncer.endpoints.s3_error import SDK_ERRORS, Kind, Trouble
from bisyncer.errors import ListingIncomplete


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


@dataclass(slots=True)
class Known:
    """What the answers of a store have told so far; None: nothing yet.

    Who asks for it takes the lock first: listings that begin together would all ask else.
    """

    tree: bool | None = None  # it keeps keys as paths of directories
    by_code_point: bool | None = None  # if so, it sorts the names in a directory by code point
    lock: Lock = field(default_factory=Lock)


class Where(NamedTuple):
    """What is listed: the keys below `prefix`; `place` names it in errors.

    `ask` sends one request. `version` is that of ListObjects: 1, 2, or auto. `unordered` says that the store
    is known to have an order of its own; what else becomes known of it is in `known`.
    """

    prefix: str
    place: str
    ask: Callable[..., Any]
    judge: Callable[[Exception], Trouble]
    known: Known
    version: str = "auto"
    unordered: bool = False


def keeps_a_tree(headers: Mapping[str, str]) -> bool:
    """Whether an answer comes from a store that keeps keys as paths of directories.

    SeaweedFS does. It lists directory by directory, so 'a/b' comes before 'a.b'; and it takes 'a//b' and
    'a', backslash, 'b' for 'a/b'.
    """
    return headers.get("server", "").startswith("SeaweedFS")


Pages = Iterator[tuple[listing.Page, Mapping[str, str]]]


def pages(where: Where, start_after: str, again: Callable[[], bool]) -> Pages:
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
            page, headers = ask_page(where, "list_objects_v2", arguments, again=again())
        except Unknown as error:
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
            raise broken_off(where, gives)
        arguments["ContinuationToken"] = page.token


def _first_version(where: Where, start_after: str, again: Callable[[], bool]) -> Pages:
    """All pages of a server that has no ListObjectsV2: each is asked for by the last key before it."""
    arguments = {"Prefix": where.prefix, "EncodingType": "url"}
    if start_after:
        arguments["Marker"] = start_after
    while True:
        try:
            page, headers = ask_page(where, "list_objects", arguments, again=again())
        except Unknown as error:
            raise ListingIncomplete(str(error)) from None
        yield page, headers
        if not page.truncated:
            return
        marker = page.token or (page.rows[-1].key if page.rows else None)
        if marker is None or marker == arguments.get("Marker"):
            raise broken_off(where, "no marker" if marker is None else "the same marker again")
        if not is_text(marker):
            raise ListingIncomplete(
                f"{where.place}: the listing goes on after {marker!r}, which isn't UTF-8 and can't be asked "
                "for. Rename that object."
            )
        arguments["Marker"] = marker


def _of_the_first(page: listing.Page) -> bool:
    """Whether a server that doesn't know the parameter of the second version answered as to the first."""
    return page.truncated and page.token is None and not page.counted


class Unknown(Exception):
    """The server doesn't know this version of ListObjects."""


def ask_page(
    where: Where, operation: str, arguments: Mapping[str, str | int], *, again: bool
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
                raise Unknown(sentence) from None
            raise ListingIncomplete(sentence) from None

    answer = persist(ask) if again else ask()
    if "Page" not in answer:
        raise ListingIncomplete(
            f"{where.place}: can't be listed to its end: {answer['Malformed']}. Nothing is concluded "
            "from it; run again."
        )
    page: listing.Page = answer["Page"]
    for row in page.rows:
        if not row[0].startswith(where.prefix):
            raise ListingIncomplete(
                f"{where.place}: the store listed {row.key!r}, which isn't below the prefix. Its listing "
                "can't be trusted."
            )
    return page, answer["ResponseMetadata"]["HTTPHeaders"]


def broken_off(where: Where, gives: str) -> ListingIncomplete:
    """The exception for a store that says that more follows, and not how to ask for it."""
    return ListingIncomplete(
        f"{where.place}: the listing breaks off: the store says that more keys follow, and gives {gives} to "
        "ask for them. Nothing is concluded from it; run again."
    )


def is_text(key: str) -> bool:
    """Whether a key is UTF-8."""
    try:
        key.encode()
    except UnicodeEncodeError:
        return False
    return True
