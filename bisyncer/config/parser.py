"""What a value may be: a parser for each kind of setting.

A parser takes a value as TOML has it, or text from a flag or the environment, and raises `Unfit` with what
the value should have been; the loader adds where it stood.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Final, NamedTuple, TypeVar

from bisyncer.config.bandwidth import NoLimit, timetable
from bisyncer.config.size import NoSize
from bisyncer.config.size import size as bytes_of
from bisyncer.core.filters import Filters
from bisyncer.endpoints.open import refuse_unknown
from bisyncer.engine.suffix import DATES
from bisyncer.errors import UsageError
from bisyncer.job import Evidence, Limit, Retention
from bisyncer.model import Side

Choice = TypeVar("Choice", bound=StrEnum)


class Unfit(ValueError):
    """A value that a setting can't have; the text tells what it may be."""


class MaxDelete(NamedTuple):
    """The limits on deletions of one run; None is off."""

    percent: float | None
    number: int | None


class Auth(StrEnum):
    """How requests to OCI are signed, in the words of its command line."""

    API_KEY = "api_key"
    SECURITY_TOKEN = "security_token"  # noqa: S105 -- the name of a way, no token
    INSTANCE_PRINCIPAL = "instance_principal"
    RESOURCE_PRINCIPAL = "resource_principal"
    OKE_WORKLOAD_IDENTITY = "oke_workload_identity"


class Encryption(StrEnum):
    """Server-side encryption, in S3's words."""

    AES256 = "AES256"
    KMS = "aws:kms"
    KMS_DSSE = "aws:kms:dsse"


class StorageTier(StrEnum):
    """The storage tier of a new object, in OCI's words."""

    STANDARD = "Standard"
    INFREQUENT_ACCESS = "InfrequentAccess"
    ARCHIVE = "Archive"


class AccessTier(StrEnum):
    """The access tier of a new blob, in Azure's words."""

    HOT = "Hot"
    COOL = "Cool"
    COLD = "Cold"
    ARCHIVE = "Archive"


# A remote that stands in the root itself, as rclone may be told: `:s3,region=r:bucket`, `name,acl=x:bucket`.
ON_THE_SPOT: Final = re.compile(r":[\w-]+[,:]|[\w+@][\w. +@-]*,[\w.]+(?:=[^/]*)?[,:]")

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_UNITS_NS = {"ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86400 * 10**9}
_PERCENT = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*%")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_DATE = re.compile(r"\{[^{}]*\}")
_NOT_IN_NAMES = frozenset('/\\:*?"<>|')
_TRUE = ("true", "yes", "on", "1")
_FALSE = ("false", "no", "off", "0")
_MAX_TRANSFERS = 1024
_MAX_WINDOW_NS = _UNITS_NS["d"]
_MAX_NUMBER = 2**63 - 1  # what a database and a nanosecond clock can hold
_MAX_DIGITS = 40  # more in one number are no number that anybody means, and not all can be read
_REMOTE_TYPES = ("s3", "azure", "oci")
_RCLONE_TYPES = {"azureblob": "azure", "oracleobjectstorage": "oci"}


def text(value: object) -> str:
    """Some text without control characters."""
    if not isinstance(value, str):
        said = json.dumps(value, default=str) if isinstance(value, list) else _said(value)
        raise Unfit(f"{said} is no text; put it in quotes")
    if not value.strip():
        raise Unfit("it is empty; give it a value or leave it out")
    if _CONTROL.search(value):
        # Which isn't repeated here: it may be a secret, with the line end of its file.
        raise Unfit("it holds a control character, such as the end of a line; take that out")
    try:
        value.encode()
    except UnicodeEncodeError as error:  # a flag's or a variable's; a file that isn't text is refused whole
        raise Unfit("it isn't UTF-8, so no key and no config can hold it") from error
    return value


def root(value: object) -> str:
    """A root, which `open_endpoint` understands."""
    place = text(value)
    if place.lower().startswith("memory://"):
        raise Unfit(
            "memory:// holds nothing beyond this process; it is for tests. Name a directory or a bucket"
        )
    if ON_THE_SPOT.match(place):  # it isn't repeated: it may hold a secret
        raise Unfit(
            "it describes a remote on the spot, as rclone may be told; give the remote a name and write "
            "NAME:BUCKET/PREFIX, or ./ before the name of a directory"
        )
    try:
        refuse_unknown(place)
    except UsageError as error:
        raise Unfit(str(error).removesuffix(".")) from error
    return place


def switch(value: object) -> bool:
    """True or false, in the words that environments use."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in _TRUE + _FALSE:
        return value.lower() in _TRUE
    raise Unfit(f"{_said(value)} is neither true nor false")


def duration_ns(value: object) -> int:
    """A length of time with its unit: 500ms, 2s, 5m, 1h30m, 7d."""
    parts = _DURATION.findall(value) if isinstance(value, str) else []
    if not parts or "".join(number + unit for number, unit in parts) != value:
        raise Unfit(f"{_said(value)} is no duration; write numbers with units: 500ms, 2s, 5m, 1h30m or 7d")
    # Checked as floats: one with a thousand digits is infinite, and rounds to nothing.
    length = sum(float(number) * _UNITS_NS[unit] for number, unit in parts)
    if length > _MAX_NUMBER:
        raise Unfit(f"{_said(value)} is longer than any clock counts; write 290 years at the most, or off")
    return sum(round(float(number) * _UNITS_NS[unit]) for number, unit in parts)


def window_ns(value: object) -> int:
    """How far apart times may be and count as equal."""
    length = duration_ns(value)
    if length > _MAX_WINDOW_NS:
        raise Unfit(f"{_said(value)} would take edits of different days for one; write 1d at the most")
    return length


def duration_or_off(value: object) -> int | None:
    """A duration, or off."""
    return None if value == "off" else duration_ns(value)


def max_duration(value: object) -> int | None:
    """How long a run takes up work, or off."""
    length = duration_or_off(value)
    if length == 0:
        raise Unfit(f"{_said(value)} leaves no time for any work; write a longer one, or off for no end")
    return length


def size(value: object) -> int | None:
    """A number of bytes, or off."""
    try:
        return bytes_of(text(value))
    except NoSize as error:
        raise Unfit(str(error)) from error


def age(value: object) -> int | None:
    """How long ago something was written, or off."""
    length = duration_or_off(value)
    return length or None


def file_name(value: object) -> str:
    """The name of a file in any directory."""
    name = file_key(value)
    if "/" in name:
        raise Unfit(f"{name!r} is no name of a file; write one without '/', such as .nosync")
    return name


def bandwidth(value: object) -> tuple[Limit, ...]:
    """One limit, or a timetable of limits; empty: no limit."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    try:
        return timetable(text(value))
    except NoLimit as error:
        raise Unfit(str(error)) from error


def trash(value: object) -> Retention:
    """Which sides have a trash, and how long versions stay in it: on, off, a side, or a table of these."""
    if isinstance(value, dict):
        return _trash_table(value)
    words = ["on" if value else "off"] if isinstance(value, bool) else list(_words(value))
    sides = [word for word in words if word in list(Side)]
    on_off = [word.lower() in _TRUE for word in words if word.lower() in _TRUE + _FALSE]
    spans = [word.removeprefix("keep=") for word in words if word.startswith("keep=")]
    if not words or len(sides) + len(on_off) + len(spans) != len(words) or len(on_off) + bool(sides) > 1:
        raise Unfit(
            f"{_said(value)} doesn't say which sides have a trash; write on, off, path1 or path2, and "
            'keep=30d behind a comma; in the file also { path1 = true, keep = "30d" }'
        )
    keep_ns = _keep_ns(spans[-1]) if spans else Retention().keep_ns
    if on_off:
        return Retention(on_off[0], on_off[0], keep_ns)
    if sides:
        return Retention(Side.PATH1 in sides, Side.PATH2 in sides, keep_ns)
    return Retention(keep_ns=keep_ns)


def _trash_table(table: dict[str, object]) -> Retention:
    unknown = [key for key in table if key not in {*Side, "keep"}]
    if unknown:
        raise Unfit(f"'{unknown[0]}' is no key of it; it has path1, path2 and keep")
    asked = {side: switch(table[side]) if side in table else None for side in Side}
    keep_ns = _keep_ns(table["keep"]) if "keep" in table else Retention().keep_ns
    return Retention(asked[Side.PATH1], asked[Side.PATH2], keep_ns)


def _keep_ns(value: object) -> int | None:
    return None if value == "forever" else duration_ns(value)


def transfers(value: object) -> int:
    """A number of workers."""
    number = _count(value)
    if number is None or not 1 <= number <= _MAX_TRANSFERS:
        raise Unfit(f"{_said(value)} is no number from 1 to {_MAX_TRANSFERS}")
    return number


def choice(kind: type[Choice]) -> Callable[[object], Choice]:
    """Make a parser of one of the words of an enum."""

    def parse(value: object) -> Choice:
        if value not in list(kind):
            raise Unfit(f"{_said(value)} is none of: {', '.join(kind)}")
        return kind(str(value))

    return parse


def evidence(value: object) -> frozenset[Evidence]:
    """What may tell that content differs; `auto` is the empty set."""
    words = list(_words(value))
    if words == ["auto"]:
        return frozenset()
    if not words or any(word not in list(Evidence) for word in words):
        raise Unfit(
            f"{_said(value)} is not 'auto' and not a list of any of: {', '.join(Evidence)}",
        )
    return frozenset(Evidence(word) for word in words)


def max_delete(value: object) -> MaxDelete:
    """A percentage, a count, both, or off."""
    words = [value] if isinstance(value, int) and not isinstance(value, bool) else list(_words(value))
    if words == ["off"]:
        return MaxDelete(None, None)
    percents = [_percent(word) for word in words if _percent(word) is not None]
    counts = [_count(word) for word in words if _count(word) is not None]
    if not words or len(percents) + len(counts) != len(words) or len(percents) > 1 or len(counts) > 1:
        raise Unfit(
            f'{_said(value)} is no limit; write a percentage such as "50%", a count such as 10000, '
            'both as ["50%", 10000], or "off"',
        )
    return MaxDelete(percents[0] if percents else None, counts[0] if counts else None)


def patterns(value: object) -> tuple[str, ...]:
    """Gitignore patterns."""
    if not isinstance(value, list | tuple):
        raise Unfit(f'{_said(value)} is no list; write ["*.tmp", ".git/**"]')
    checked = tuple(text(pattern) for pattern in value)
    try:
        Filters(checked)
    except ValueError as error:
        raise Unfit(str(error).removeprefix("exclude: ")) from error
    return checked


def file_key(value: object) -> str:
    """The key of a file below both roots."""
    key = text(value)
    if key.startswith("/") or key.endswith("/") or {"", ".", ".."} & set(key.split("/")):
        raise Unfit(f"{key!r} names no file below a root; write a name such as .bisyncer-check")
    return key


def suffixes(value: object) -> tuple[str, str]:
    """What is put behind the names of conflict copies, of path1's and of path2's."""
    words = [_suffix(word) for word in _words(value)]
    if len(words) not in {1, 2}:
        raise Unfit(f"{_said(value)} is not one suffix, or two with a comma between them")
    return words[0], words[-1]


def _suffix(word: str) -> str:
    word = text(word)
    unknown = [each for each in _DATE.findall(word) if each not in DATES]
    if unknown:
        raise Unfit(
            f"{unknown[0]} is no date that a name can hold in every store; there are: {', '.join(DATES)}"
        )
    if set(word) & _NOT_IN_NAMES or word[-1] in ". " or len(word.encode()) > 64:
        raise Unfit(
            f"{word!r} can't end a name in every store; write up to 64 bytes without any of "
            f"{' '.join(sorted(_NOT_IN_NAMES))}, and no '.' or space at the end"
        )
    return word


def remote_type(value: object) -> str:
    """The kind of a remote; rclone's name for one of them means the same."""
    word = text(value)
    if word in _RCLONE_TYPES:
        return _RCLONE_TYPES[word]
    if word not in _REMOTE_TYPES:
        raise Unfit(
            f"{_said(word)} is no type of remote that this version knows; there are: "
            f"{', '.join(_REMOTE_TYPES)}"
        )
    return word


def addressing(value: object) -> str:
    """Where the bucket stands in a URL."""
    word = text(value)
    if word not in {"auto", "path", "virtual"}:
        raise Unfit(f"{_said(word)} is none of: auto, path, virtual")
    return word


def list_version(value: object) -> str:
    """Which request lists a bucket."""
    if str(value) not in {"auto", "1", "2"}:
        raise Unfit(f"{_said(value)} is none of: auto, 1, 2")
    return str(value)


def _words(value: object) -> Iterable[str]:
    """The words of a list, or of text with commas between them."""
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list | tuple | frozenset):
        return
    for item in value:
        yield from (part.strip() for part in str(item).split(",") if part.strip())


def _count(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    # isascii: isdecimal alone also takes digits of other scripts, which nobody means here.
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= _MAX_DIGITS:
        value = int(value)
    return value if isinstance(value, int) and 0 <= value <= _MAX_NUMBER else None


def _percent(word: object) -> float | None:
    match = _PERCENT.fullmatch(word) if isinstance(word, str) else None
    return float(match[1]) if match and float(match[1]) <= 100 else None


def _said(value: object) -> str:
    """A value as its file would write it."""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, list | tuple):
        return repr(value)
    if len(value) == 1:  # a flag that may be repeated, and wasn't
        return _said(value[0])
    return json.dumps(list(value), default=str)
