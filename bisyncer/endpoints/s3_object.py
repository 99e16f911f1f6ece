"""What S3 says about an object, as an Entry."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bisyncer.endpoints.mtime import MTIME, parse_mtime, time_ns
from bisyncer.model import Algorithm, Digest, Entry

_MD5 = re.compile("[0-9a-fA-F]{32}")


def is_md5(etag: str) -> bool:
    """Whether `etag` has the shape of an MD5."""
    return len(etag) == 32 and _MD5.fullmatch(etag) is not None


def listed_digests(etag: str) -> tuple[Digest, ...]:
    """The digests that an ETag alone is good for."""
    return (Digest(Algorithm.ETAG_MD5, etag.lower()),) if is_md5(etag) else ()


def listed_time_ns(text: str) -> int:
    """LastModified of a listing, as '2026-11-21T08:00:00.000Z'."""
    return time_ns(datetime.fromisoformat(text))


def entry(key: str, response: Mapping[str, Any]) -> Entry:
    """The entry of an object from the SDK's answer to HEAD or GET."""
    etag = response["ETag"].strip('"')
    mtime_ns = parse_mtime(response.get("Metadata", {}).get(MTIME))
    return Entry(
        key,
        response["ContentLength"],
        time_ns(response["LastModified"]) if mtime_ns is None else mtime_ns,
        etag,
        (Digest(Algorithm.MD5, etag.lower()),) if is_md5(etag) and not encrypted(response) else (),
    )


def encrypted(response: Mapping[str, Any]) -> bool:
    """Whether an object is encrypted in a way that makes its ETag something else than an MD5."""
    return response.get("ServerSideEncryption", "").startswith("aws:kms") or bool(
        response.get("SSECustomerAlgorithm")
    )
