"""What travels beside a blob's content, under rclone's names; Azure has it as headers.

Metadata is `x-ms-meta-NAME`, where names are C# identifiers that are told apart without regard to case, and
all of it together has up to 8 KiB. What can't be a header's value, or such a name, is left out.
https://learn.microsoft.com/rest/api/storageservices/setting-and-retrieving-properties-and-metadata-for-blob-resources
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from bisyncer.endpoints.azure_object import MTIME, metadata, parse_mtime
from bisyncer.endpoints.base import Source
from bisyncer.endpoints.body import content_type
from bisyncer.endpoints.fields import STANDARD, sendable

_META: Final = "x-ms-meta-"
_NAME = re.compile("[a-z_][a-z0-9_]*")
_STORES_OWN: Final = "hdi_"  # marks of a hierarchical namespace: one that travels would make a directory
_MOST_BYTES: Final = 8 << 10  # of all names and values of metadata


def told(headers: Mapping[str, str]) -> Mapping[str, str]:
    """What travels, from the headers of the answer to HEAD or GET; names in lower case."""
    found = {name.removeprefix(_META): value for name, value in _fields(headers).items() if name != MTIME}
    for name in STANDARD:
        if value := headers.get(name):
            found[name] = value
    return found


def sent(source: Source, key: str) -> dict[str, str]:
    """The headers of a blob that is to be written: what travels with `source`, and its time.

    A source without a media type gets the one that the end of `key` tells.
    """
    given = sendable(source.metadata)
    headers = {f"x-ms-blob-{name}": given.pop(name) for name in STANDARD if name in given}
    headers.setdefault("x-ms-blob-content-type", content_type(key))
    own = metadata(source.entry.mtime_ns)
    room = _MOST_BYTES - sum(map(_size, own.items()))
    for field, value in given.items():
        size = len(field) + len(value)
        if not _can_hold(field) or f"{_META}{field}" == MTIME or size > room:
            continue
        own[f"{_META}{field}"] = value
        room -= size
    return {**headers, **own}


def kept(headers: Mapping[str, str], mtime_ns: int | None) -> dict[str, str]:
    """The metadata of a copy, as headers: all of the blob's, and a time of the content if it has none."""
    fields = _fields(headers)
    return fields if parse_mtime(fields.get(MTIME)) is not None else {**fields, **metadata(mtime_ns)}


def http_fields(headers: Mapping[str, str]) -> dict[str, str]:
    """The fields that HTTP itself has, of a blob, as headers to write them with."""
    return {f"x-ms-blob-{name}": value for name in STANDARD if (value := headers.get(name))}


def _can_hold(field: str) -> bool:
    return _NAME.fullmatch(field) is not None and not field.startswith(_STORES_OWN)


def _fields(headers: Mapping[str, str]) -> dict[str, str]:
    found = {name.lower(): value for name, value in headers.items()}
    return {
        name: value
        for name, value in found.items()
        if name.startswith(_META) and not name.startswith(_META + _STORES_OWN)
    }


def _size(field: tuple[str, str]) -> int:
    name, value = field
    return len(name) - len(_META) + len(value)
