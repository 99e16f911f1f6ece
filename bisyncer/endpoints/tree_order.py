"""The order of a store that keeps keys as paths of directories, and what a range of keys is in it.

Such a store lists directory by directory: 'a/b' comes before 'a.b', which sorts before it by code point. In
other words it sorts by the *place* of a key, in which NUL stands for each '/'. A range of keys by code point
is a few spans of places: a listing that asks for these reads no more than what lies in the range.

No key may hold a NUL, begin with '/' or have '//' in it, as none in such a store does.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from operator import itemgetter, lt
from os.path import commonprefix
from typing import Any, Final, NamedTuple, TypeVar

HELD_ROWS: Final = 50_000  # in memory at a time, about 20 MB

R = TypeVar("R", bound=tuple[Any, ...])  # a named tuple that begins with the key
_key = itemgetter(0)


class Span(NamedTuple):
    """The places from `start` on and before `end`; None: all that follow."""

    start: str
    end: str | None


Spans = Sequence[Span]  # they increase, and none touches another

ALL: Final[Spans] = (Span("", None),)


def place(key: str) -> str:
    """What sorts as the store sorts `key`."""
    return key.replace("/", "\0")


def spans(prefix: str, low: str, high: str | None) -> Spans:
    """Where the names lie that have low <= key < high, the key being what follows the prefix.

    The prefix is empty, or ends in '/'.
    """
    found = without(ALL if high is None else _below(prefix + high), _below(prefix + low))
    return within(found, Span(place(prefix), f"{place(prefix[:-1])}\x01")) if prefix else found


def _below(key: str) -> Spans:
    """Where the keys lie that sort before `key` by code point."""
    end = place(key)
    found: list[Span] = []
    start = ""
    for at, character in enumerate(end):
        # What lies in a directory 'x/' sorts after 'x.y', and is listed before it.
        if "\0" < character < "/" and at and end[at - 1] != "\0":
            found.append(Span(start, end[:at] + "\0"))
            start = end[:at] + "\x01"
    found.append(Span(start, end))
    found += reversed(_beside(end))
    return [span for span in found if span.end is None or span.start < span.end]


def _beside(place_: str) -> Spans:
    """Where the keys lie that sort before a place by code point and are listed after it: 'x.y' for 'x/z'."""
    return [
        Span(place_[:at] + "\x01", place_[:at] + "/")
        for at, character in enumerate(place_)
        if character == "\0"
    ]


def without(spans: Iterable[Span], others: Spans) -> Spans:
    """What is in `spans` and in none of the others."""
    left: list[Span] = []
    for start, end in spans:
        begin: str | None = start
        for other in others:
            if begin is None or (other.end is not None and other.end <= begin):
                continue
            if end is not None and other.start >= end:
                break
            if begin < other.start:
                left.append(Span(begin, other.start))
            begin = other.end
        if begin is not None and (end is None or begin < end):
            left.append(Span(begin, end))
    return left


def within(spans: Spans, other: Span) -> Spans:
    """What is in `spans` and in the other."""
    return without([other], without(ALL, spans))


def after(spans: Spans, key: str) -> Spans:
    """What is in `spans` and listed after `key`."""
    return without(spans, [Span("", place(key) + "\0")])


def runs(spans: Spans) -> Iterator[Spans]:
    """Cut `spans` where it's worth a request of its own to leave out what lies between.

    It isn't where that is a directory with the name of a file, or what sorts between the name of a directory
    and what is in it: most often there is nothing.
    """
    run: list[Span] = []
    for span in spans:
        if run and not _is_narrow(run[-1].end or "", span.start):
            yield run
            run = []
        run.append(span)
    if run:
        yield run


def _is_narrow(start: str, end: str) -> bool:
    return start[:-1] == end[:-1] and (start[-1:], end[-1:]) in {("\0", "\x01"), ("\x01", "/")}


def common(run: Spans) -> str:
    """What all keys of a run begin with."""
    start, end = run[0].start, run[-1].end
    if end is None:
        return ""
    shared = commonprefix([start, end])  # noqa: RUF071 -- by character is what is meant
    if end == f"{shared}\x01" and start.startswith(f"{shared}\0"):
        shared += "\0"  # all that is in one directory
    return shared.replace("\0", "/")


def by_code_point(
    wanted: Spans, listed: Callable[[Spans], Iterator[list[R]]], held_rows: int = HELD_ROWS
) -> Iterator[list[R]]:
    """Yield the rows of `wanted` by code point, a list at a time.

    `listed` gives the rows of spans as the store has them in order, a page at a time. Where more come than
    are to be held, those that sort before the last of them are completed by what the store would list later,
    and given. It's asked for by itself, and of each directory once.
    """
    held: list[R] = []
    while wanted:
        pages = listed(wanted)
        read = 0
        last = ""
        for page in pages:
            held += page
            read += len(page)
            if read >= held_rows:
                last = page[-1][0]
                break
        _sort(held)
        if not last:
            break
        wanted = after(wanted, last)
        for span in _beside(place(last)):
            beside = within(wanted, span)
            if beside:
                yield _taken(held, span.start.replace("\0", "/"))
                yield from by_code_point(beside, listed, held_rows)
                wanted = without(wanted, [span])
        yield _taken(held, last + "\0")
    yield held


def _sort(rows: list[R]) -> None:
    keys = list(map(_key, rows))
    if not all(map(lt, keys, islice(keys, 1, None))):
        rows.sort(key=_key)


def _taken(rows: list[R], bound: str) -> list[R]:
    """Take those before `bound` out of sorted rows."""
    count = bisect_left(rows, bound, key=_key)
    taken = rows[:count]
    del rows[:count]
    return taken
