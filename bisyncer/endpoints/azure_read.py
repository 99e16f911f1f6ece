"""Bodies received, in one request each."""

from __future__ import annotations

from azure.core.exceptions import AzureError
from urllib3.exceptions import HTTPError

from bisyncer.endpoints.azure_container import Container
from bisyncer.endpoints.azure_metadata import told
from bisyncer.endpoints.azure_object import entry
from bisyncer.endpoints.body import PART_SIZE
from bisyncer.errors import EndpointError, Transient
from bisyncer.model import Entry

_PIECE = 1 << 20


class Reading:
    """A body being read, from byte `start` on, and before `stop`."""

    def __init__(self, container: Container, key: str, expect: Entry, start: int, stop: int | None) -> None:
        self._container = container
        self._expect = expect
        self._answer = container.opened(key, expect, start, stop)
        self.entry = entry(key, self._answer.headers)
        try:
            container.check_filled(key, self._answer.headers)
        except EndpointError:
            self.close()
            raise
        self.metadata = told(self._answer.headers)
        self._piece = memoryview(b"")
        size = self.entry.size
        self._unread = max(0, (size if stop is None else min(stop, size)) - start)
        self._is_large = self._unread > PART_SIZE

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes; raises `Transient` instead of an end that comes too early."""
        if size < 0:
            return b"".join(iter(lambda: self.read(_PIECE), b""))
        while not self._piece:
            try:
                following = next(self._answer.pieces, None)
            except AzureError as error:
                raise self._cut(self._container.client.failure(error).trouble.sentence) from None
            except HTTPError as error:  # what the SDK doesn't take for one of its own: TLS that breaks off
                raise self._cut(f"{' '.join(str(error).split())}.") from None
            if following is None:
                self._end()
                return b""
            self._piece = memoryview(following)
        given, self._piece = self._piece[:size], self._piece[size:]
        self._unread -= len(given)
        return bytes(given)

    def close(self) -> None:
        """Give back the connection; one with unread bytes is closed."""
        self._answer.close()

    def _end(self) -> None:
        if self._unread:
            raise self._cut(f"{self._unread} bytes are missing.")
        # Nothing in Azure's documentation says that a body which takes long to send stays one version.
        if self._is_large:
            self._container.look(self.entry.key, self._expect)

    def _cut(self, reason: str) -> Transient:
        place = self._container.place(self.entry.key)
        return Transient(f"{place}: the store stopped in the middle of the blob: {reason} Run again.")
