"""What OCI says about an object, as an Entry."""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

from bisyncer.endpoints.mtime import MTIME, parse_mtime, time_ns
from bisyncer.model import Algorithm, Digest, Entry

PREFIX = "opc-meta-"  # of the names of an object's own metadata fields


def entry(key: str, headers: Mapping[str, str]) -> Entry:
    """The entry of an object from the headers of HEAD or GET."""
    mtime_ns = parse_mtime(headers.get(PREFIX + MTIME))
    if mtime_ns is None:
        mtime_ns = time_ns(parsedate_to_datetime(headers["last-modified"]))
    return Entry(
        key, int(headers["content-length"]), mtime_ns, headers["etag"], digests(headers.get("content-md5"))
    )


def digests(md5: object) -> tuple[Digest, ...]:
    """The digest that a Base64 MD5 is; none for an object that was sent in parts.

    It is of the content, whether or not the store encrypts it.
    """
    try:
        raw = binascii.a2b_base64(md5, strict_mode=True) if isinstance(md5, str) else b""
    except ValueError:
        return ()
    return (Digest(Algorithm.MD5, raw.hex()),) if len(raw) == 16 else ()


def listed_time_ns(text: str) -> int:
    """The field timeModified of a listing, as '2026-11-21T08:00:00.000Z'."""
    return time_ns(datetime.fromisoformat(text))
