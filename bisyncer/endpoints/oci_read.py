"""Bodies received, whole or from some byte on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from oci._vendor import requests
from urllib3.exceptions import HTTPError

from bisyncer.endpoints.oci_bucket import Bucket
from bisyncer.endpoints.oci_error import Failed, Kind, one_line
from bisyncer.endpoints.oci_object import TELLS, entry, fields
from bisyncer.errors import Transient
from bisyncer.model import Entry

_PIECE = 1 << 20
_CUT = (HTTPError, OSError, requests.exceptions.RequestException)
_RANGE = re.compile(r"bytes ([0-9]+)-([0-9]+)/([0-9]+)")


class Reading:
    """A body being read; `unread` bytes of it are to come."""

    def __init__(
        self, place: str, found: Entry, metadata: Mapping[str, str], answer: Any, unread: int
    ) -> None:
        self.entry = found
        self.metadata = metadata
        self._place = place
        self._answer = answer
        self._unread = unread

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes; raises `Transient` instead of an end that comes too early."""
        if size < 0:
            return b"".join(iter(lambda: self.read(_PIECE), b""))
        try:
            piece: bytes = self._answer.raw.read(size, decode_content=False)
        except _CUT as error:
            raise self._cut(one_line(str(error))) from None
        if not piece and size and self._unread:
            raise self._cut(f"{self._unread} bytes are missing")
        self._unread -= len(piece)
        return piece

    def close(self) -> None:
        """Give back the connection; one with unread bytes is closed."""
        if self._unread:
            self._answer.close()
        else:
            self._answer.raw.release_conn()

    def _cut(self, reason: str) -> Transient:
        return Transient(
            f"{self._place}: the store stopped in the middle of the object ({reason}). Run again."
        )


def open_reading(bucket: Bucket, key: str, expect: Entry, start: int, stop: int | None) -> Reading:
    """Open the version of `key` that `expect` says; raises `Changed`, `Transient` or `Rejected`."""
    path, place = bucket.object(bucket.name(key)), bucket.place(key)
    headers = {"if-match": expect.stamp, "accept-encoding": "identity"}
    # No range begins at the end, so there the version is only looked at.
    kind, method = ("get", "GET") if start == 0 or start < expect.size else ("head", "HEAD")
    stop = expect.size if stop is None else min(stop, expect.size)
    if (start or stop < expect.size) and method == "GET":
        headers["range"] = f"bytes={start}-{stop - 1 if stop < expect.size else ''}"
    try:
        answer = bucket.client.send(kind, method, path, headers=headers, stream=True, tells=TELLS)
    except Failed as error:
        if error.trouble.kind in {Kind.STALE, Kind.MISSING}:
            raise bucket.changed(key, expect) from None
        raise error.trouble.error(place) from None
    found, metadata = entry(key, answer.headers), fields(answer.headers)
    if found.stamp != expect.stamp:
        answer.close()
        raise bucket.changed(key, expect)
    if "range" not in headers:
        return Reading(place, found, metadata, answer, found.size if method == "GET" else 0)
    given = _RANGE.fullmatch(answer.headers.get("content-range", ""))
    if given is None or [int(given[1]), int(given[2]) + 1, int(given[3])] != [start, stop, expect.size]:
        answer.close()
        raise Transient(f"{place}: the store gave other bytes than those from {start} on. Run again.")
    whole = found._replace(size=int(given[3]), digests=expect.digests)  # its headers tell of the range
    return Reading(place, whole, metadata, answer, stop - start)
