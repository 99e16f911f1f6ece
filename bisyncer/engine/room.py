"""How much memory bodies may take that are on their way at the same time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final

from bisyncer.endpoints.body import PART_SIZE

_BYTES: Final = 64 << 20
_SMALL: Final = 1 << 20  # a body up to here is bounded by the number of actions alone


class Room:
    """Bytes that the actions of a run share.

    A body that is sent in one request is whole in memory, and one in parts, at least a part of it.
    """

    def __init__(self, size: int = _BYTES) -> None:
        self._size = size
        self._free = size
        self._freed = threading.Condition()

    def of(self, size: int) -> AbstractContextManager[None]:
        """Wait until there is room for a body of `size` bytes, and hold it; a thread holds one at a time."""
        return nullcontext() if size <= _SMALL else self._held(min(size, PART_SIZE, self._size))

    @contextmanager
    def _held(self, size: int) -> Iterator[None]:
        with self._freed:
            self._freed.wait_for(lambda: self._free >= size)
            self._free -= size
        try:
            yield
        finally:
            with self._freed:
                self._free += size
                self._freed.notify_all()
