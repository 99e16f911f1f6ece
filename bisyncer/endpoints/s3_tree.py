"""The listing of a bucket whose store keeps keys as paths of directories: SeaweedFS.

A range is asked for as spans of its order (`tree_order.py`), and sorted in memory. What StartAfter means was
found by trying: a listing begins after what is named and after all that lies below it. A page is followed by
the next in this way and never by its token: with that, a page that ends with an object that has others below
it is followed by what comes after these.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from functools import partial
from itertools import islice
from operator import itemgetter, lt

from bisyncer.endpoints import tree_order
from bisyncer.endpoints.listing import Page, Row
from bisyncer.endpoints.s3_page import Unknown, Where, ask_page, broken_off
from bisyncer.endpoints.tree_order import Spans
from bisyncer.errors import ListingIncomplete

# What isn't asked for: that which such a store takes for something else, or XML can't hold.
_NOT_ASKED = re.compile(r"(?<![^/])\.{0,2}(?=/)|[\x00-\x1f\x7f\\\ud800-\udfff\ufffe\uffff]")
_HIGHEST = "\U0010ffff"
_LONGEST = 1024  # bytes of a name
_PAGE = 1000  # keys, which is what a page has where nothing else is asked for
_LOWER = re.compile("[a-z]")
_key = itemgetter(0)


class Disorder(Exception):
    """The store doesn't list in the order of directories."""


def check_order(where: Where) -> None:
    """Raise `Disorder` where the store sorts names as its database does in some language.

    A range of such a listing may be in order, and still lack keys.
    """
    with where.known.lock:
        # The first name alone has such a letter most often, and a page of one key costs next to nothing.
        if where.known.by_code_point is None and (told := _by_code_point(where, 1)) is not None:
            where.known.by_code_point = told
        elif where.known.by_code_point is None:
            where.known.by_code_point = _by_code_point(where, _PAGE)
    if where.known.by_code_point is False:
        raise Disorder


def _by_code_point(where: Where, most: int) -> bool | None:
    """Whether names are sorted by code point, by the first `most` of them; None: these don't tell."""
    names = map(_key, _page(where, where.prefix, "", most=most).rows)
    found = next(filter(None, (_LOWER.search(name, len(where.prefix)) for name in names)), None)
    if found is None:
        return None  # where there is no letter that has a capital, there is no telling
    same, name = found.string[: found.start()], found.string
    upper = f"{same}{found[0].upper()}{name[found.end() :]}"  # before the name by code point alone
    if _holds(where, same, upper, name, most):
        return True
    return False if _holds(where, same, "", name, most) else None


def _holds(where: Where, prefix: str, start_after: str, name: str, most: int) -> bool:
    return name in map(_key, _page(where, prefix, start_after, most=most).rows)


def rows(where: Where, low: str, high: str | None) -> Iterator[list[Row]]:
    """Yield the rows with low <= key < high by code point; raises `Disorder` before the first, if ever."""
    wanted = tree_order.spans(where.prefix, low, high)
    return tree_order.by_code_point(wanted, partial(_listed, where))


def _listed(where: Where, spans: Spans) -> Iterator[list[Row]]:
    for run in tree_order.runs(spans):
        yield from _run(where, run)


def _run(where: Where, run: Spans) -> Iterator[list[Row]]:
    prefix = _askable(where, tree_order.common(run))
    start_after = _just_before(where, run[0].start)
    token = last = ""
    left = run
    while left:
        page = _page(where, prefix, start_after, token)
        places = [row[0].replace("/", "\0") for row in page.rows]
        if places and (places[0] <= last or not _increase(places) or "\0" in "".join(map(_key, page.rows))):
            raise Disorder
        yield [row for span in left for row in page.rows[_from(places, span.start) : _from(places, span.end)]]
        if not page.truncated:
            return
        if page.token is None and (where.version != "1" or not places):
            raise broken_off(where, "no token")
        if not places:
            if page.token == token:
                raise broken_off(where, "the same token again")
            token = page.token or ""
            continue
        token, last, key = "", places[-1], page.rows[-1].key
        left = tree_order.after(left, key)
        if left and left[0].start != f"{last}\0":
            start_after = _just_before(where, left[0].start)
        else:
            start_after = key if key.endswith("/") else f"{key}/"


def _page(where: Where, prefix: str, start_after: str, token: str = "", most: int = _PAGE) -> Page:
    """One page; what may pass is tried again here, as nothing is given before all of a range was read."""
    arguments: dict[str, str | int] = {"Prefix": prefix, "EncodingType": "url"}
    if most != _PAGE:
        arguments["MaxKeys"] = most
    if where.version == "1":
        operation, after = "list_objects", "Marker"
    else:
        operation, after = "list_objects_v2", "StartAfter"
    if token:
        arguments["Marker" if where.version == "1" else "ContinuationToken"] = token
    elif start_after and start_after.startswith(prefix):
        arguments[after] = start_after
    try:
        return ask_page(where, operation, arguments, again=True)[0]
    except Unknown as error:
        raise ListingIncomplete(str(error)) from None


def _increase(places: list[str]) -> bool:
    return all(map(lt, places, islice(places, 1, None)))


def _from(places: list[str], bound: str | None) -> int:
    return len(places) if bound is None else bisect_left(places, bound)


def _just_before(where: Where, place: str) -> str:
    """A text to start after, so that a listing begins with what is at `place`, or a little earlier.

    What lies below a directory of that name is passed over, which is no loss: it's before the place too.
    """
    name = place.rstrip("\0")
    if not name:
        return ""
    head, end = name[:-1], ord(name[-1])
    before = {ord("0"): ord("."), 0xE000: 0xD7FF}.get(end, max(end - 1, 0))
    near = _askable(
        where, f"{head}{chr(before)}{_HIGHEST}".replace("\0", "/") if before else head.replace("\0", "/")
    )
    while len(near.encode()) > _LONGEST:
        near = near.rstrip("/")[: near.rstrip("/").rfind("/") + 1]
    return near


def _askable(where: Where, text: str) -> str:
    """As much of a text as the store takes for what it says."""
    odd = _NOT_ASKED.search(text, len(where.prefix))
    return text[: odd.start()] if odd else text
