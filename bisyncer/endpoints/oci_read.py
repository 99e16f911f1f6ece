"""Bodies received."""

from __future__ import annotations

from typing import Any

from oci._vendor import requests
from urllib3.exceptions import HTTPError

from bisyncer.endpoints.oci_bucket import Bucket
from bisyncer.endpoints.oci_error import Failed, Kind, one_line
from bisyncer.endpoints.oci_object import entry
from bisyncer.errors import Transient
from bisyncer.model import Entry

_PIECE = 1 << 20
_CUT = (HTTPError, OSError, requests.exceptions.RequestException)


class Reading:
    """A body being read."""

    def __init__(self, place: str, found: Entry, answer: Any) -> None:
        self.entry = found
        self._place = place
        self._answer = answer
        self._unread = found.size

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


def open_reading(bucket: Bucket, key: str, expect: Entry) -> Reading:
    """Open the version of `key` that `expect` says; raises `Changed`, `Transient` or `Rejected`."""
    path = bucket.object(bucket.name(key))
    headers = {"if-match": expect.stamp, "accept-encoding": "identity"}
    try:
        answer = bucket.client.ask("get", "GET", path, headers=headers, stream=True)
    except Failed as error:
        if error.trouble.kind in {Kind.STALE, Kind.MISSING}:
            raise bucket.changed(key, expect) from None
        raise error.trouble.error(bucket.place(key)) from None
    return Reading(bucket.place(key), entry(key, answer.headers), answer)
