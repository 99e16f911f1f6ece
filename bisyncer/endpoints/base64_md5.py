"""MD5s in Base64, as some stores list them, in hex."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Final, cast

from bisyncer.model import Algorithm, Digest

_MD5S: Final = re.compile("(?:[A-Za-z0-9+/]{21}[AQgw]== )*")
_MD5_BYTES: Final = 16
_LENGTH: Final = 25  # of one of them, and a space
_HEX: Final = 2 * _MD5_BYTES
_STEP: Final = _HEX + 4  # two bytes more, where there is no padding

_new = tuple.__new__  # builds a named tuple without going through a call of Python's


def digests(algorithm: Algorithm, md5: object) -> tuple[Digest, ...]:
    """The digest that one of them is; none for what isn't one."""
    try:
        raw = binascii.a2b_base64(md5, strict_mode=True) if isinstance(md5, str) else b""
    except ValueError:
        return ()
    return (Digest(algorithm, raw.hex()),) if len(raw) == _MD5_BYTES else ()


def digests_of_page(algorithm: Algorithm, md5s: Sequence[object]) -> Iterable[tuple[Digest, ...]]:
    """The same for each of many, which are decoded at once if all of them are MD5s."""
    try:
        joined = " ".join([*cast("Sequence[str]", md5s), ""])
    except TypeError:
        joined = ""
    if len(joined) != _LENGTH * len(md5s) or not _MD5S.fullmatch(joined):
        return [digests(algorithm, md5) for md5 in md5s]
    text = binascii.a2b_base64(joined.replace("=", "A")).hex()
    values = [text[at : at + _HEX] for at in range(0, len(text), _STEP)]
    return zip(map(_new, repeat(Digest), zip(repeat(algorithm), values, strict=False)), strict=True)
