"""The beginnings that the keys of a bucket have in common, from few looks into its listing.

A bucket has no folders that could be read one by one, but a listing of it can begin anywhere. So where keys
that begin alike end, the next ones are asked for; and beginnings that many keys have are parted again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from os.path import commonprefix
from typing import Final, NamedTuple

from bisyncer.endpoints.outline import Folder
from bisyncer.errors import EndpointError
from bisyncer.model import Item

FEW: Final = 10_000  # keys: as many are not parted
ENOUGH: Final = 16  # beginnings that many keys have: more are not looked for
LOOKS: Final = 64  # at most; each is a page of a listing
PAGE: Final = 1_000  # keys

Scan = Callable[[str], Iterator[Item]]  # yields what lies in a bucket from a key on


class _Beginning(NamedTuple):
    text: str
    keys: Sequence[str]  # the first of those that begin so; all, where they are fewer than a page

    @property
    def common(self) -> bool:
        return len(self.keys) >= PAGE


class _Looks:
    """Looks into a listing; when there were enough of them, it seems to be at its end."""

    def __init__(self, scan: Scan) -> None:
        self._scan = scan
        self._left = LOOKS

    def behind(self, text: str) -> Sequence[str]:
        """The first keys behind all that begin with `text`."""
        text = text.rstrip("\U0010ffff")
        self._left -= 1
        if not text or self._left < 0:
            return ()
        following = ord(text[-1]) + 1  # surrogates are no characters
        low = text[:-1] + chr(0xE000 if following == 0xD800 else following)
        return _first(self._scan, low, PAGE)


def _first(scan: Scan, low: str, keys: int) -> Sequence[str]:
    """So many keys from `low` on."""
    return [item[0] for item in islice(scan(low), keys)]


def sampled(scan: Scan) -> Sequence[Folder]:
    """Beginnings of keys and how many keys each has at the least, in order; none where there are few keys.

    It is a guess as that of a tree's folders is, and costs some pages of a listing.
    """
    looks = _Looks(scan)
    try:
        first = _first(scan, "", FEW)
        if len(first) < FEW:
            return ()
        done, to_part = list[_Beginning](), deque([_Beginning("", first)])
        while to_part and len(to_part) < ENOUGH:
            for part in _parts(looks, to_part.popleft()):
                (to_part if part.common else done).append(part)
    except EndpointError:
        return ()  # the listing tells what is wrong
    return [Folder(each.text, FEW if each.common else len(each.keys)) for each in sorted([*done, *to_part])]


def _parts(looks: _Looks, whole: _Beginning) -> Iterator[_Beginning]:
    """Yield the beginnings that are a little longer than that of `whole`, in order."""
    length = _differing(looks, whole)
    keys = whole.keys
    while keys := [key for key in keys if key.startswith(whole.text)]:
        text = keys[0][:length]
        if len(text) < length:  # the one key that is no more than what all begin with
            keys = keys[1:]
            continue
        yield _Beginning(text, [key for key in keys if key.startswith(text)])
        keys = looks.behind(text)


def _differing(looks: _Looks, whole: _Beginning) -> int:
    """The least number of characters by which the keys of `whole` differ."""
    first, last = whole.keys[0], whole.keys[-1]
    least, most = len(whole.text) + 1, len(commonprefix([first, last])) + 1  # noqa: RUF071 -- by character
    while least < most:
        length = (least + most) // 2
        behind = looks.behind(last[:length])
        if behind and behind[0].startswith(whole.text):
            most = length
        else:
            least = length + 1
    return least
