"""Bodies on their way to a store: read whole, or in parts that a few threads send in bounded memory."""

from __future__ import annotations

import mimetypes
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from functools import lru_cache, partial
from typing import TypeVar

from bisyncer.endpoints.all_or_none import insist, results
from bisyncer.endpoints.base import Source
from bisyncer.endpoints.counts import Requests
from bisyncer.endpoints.pace import PARTS
from bisyncer.errors import Changed

PART_SIZE = 8 << 20

_MEMORY = 64 << 20
_PIECE = 1 << 20
# Python's own table only: with the system's, two hosts would give one object two types.
_TYPES = mimetypes.MimeTypes()

T = TypeVar("T")


def content_type(key: str) -> str:
    """The media type that browsers are to be told, by the end of the name."""
    _, dot, end = key.rpartition("/")[2].lstrip(".").partition(".")
    return _type_of(dot + end)


@lru_cache(maxsize=1024)
def _type_of(end: str) -> str:
    return _TYPES.guess_type(f"name{end}")[0] or "application/octet-stream"


def part_size(size: int, most_parts: int) -> int:
    """The size of each part but the last, for a body of `size` bytes in at most `most_parts`."""
    least = -(-size // most_parts)
    return max(PART_SIZE, -(-least // _PIECE) * _PIECE)


def whole(source: Source) -> bytes:
    """All bytes of `source`; raises `Changed` where they aren't as many as its entry says."""
    size = source.entry.size
    pieces: list[bytes] = []
    held = 0
    # In as few pieces as the source has: one is the body itself, and more are joined beside it.
    while held <= size and (piece := source.read(max(size - held, _PIECE))):
        pieces.append(piece)
        held += len(piece)
    if held != size:
        raise _resized(source)
    return b"".join(pieces)


class Parts:
    """Threads and memory that all uploads of one endpoint share; `requests` has the pace at which they go."""

    def __init__(self, name: str, requests: Requests) -> None:
        self._requests = requests
        self._threads = ThreadPoolExecutor(PARTS, thread_name_prefix=name)
        self._free = _MEMORY
        self._freed = threading.Condition()

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown()

    def send(self, source: Source, size: int, part: Callable[[int, bytes], T]) -> list[T]:
        """Read `source` in order and let threads call `part` with each number, from 1, and its bytes.

        Each waits for its turn at the store. One that raises `Transient` is sent again, a few times and with
        pauses, until another one fails for good. When this returns or raises, no call is under way any more.
        Raises `Changed` where the source isn't as long as its entry says, or says so itself; and whatever
        `part` raises.
        """
        sending: list[Future[T]] = []
        share = self._requests.pace.parts
        over = threading.Event()
        unsent = source.entry.size

        try:
            while not over.is_set():
                with ExitStack() as memory:
                    memory.callback(self._give, self._take(size))
                    data = _next(source, size, unsent)
                    unsent -= len(data)
                    if not data:
                        break
                    number = len(sending) + 1
                    deed = partial(insist, partial(part, number, data), share, over)
                    sending.append(self._threads.submit(_held, memory.pop_all(), deed))
        except BaseException:
            over.set()
            raise
        finally:
            wait(sending)
        return results(sending)

    def _take(self, size: int) -> int:
        """Wait for memory for a part of `size` bytes; one that is larger than all there is goes alone."""
        size = min(size, _MEMORY)
        with self._freed:
            self._freed.wait_for(lambda: self._free >= size)
            self._free -= size
        return size

    def _give(self, size: int) -> None:
        with self._freed:
            self._free += size
            self._freed.notify_all()


def _held(memory: ExitStack, deed: Callable[[], T]) -> T:
    with memory:
        return deed()


def _next(source: Source, size: int, unsent: int) -> bytes:
    """Read `size` bytes, or the `unsent` ones that are left of the body; none at its end."""
    pieces = []
    missing = size
    while missing > 0 and (piece := source.read(missing)):
        pieces.append(piece)
        missing -= len(piece)
    if (size - missing > unsent) or (missing > 0 and size - missing < unsent):
        raise _resized(source)
    return b"".join(pieces)


def _resized(source: Source) -> Changed:
    return Changed(
        f"{source.entry.key!r} has another size than the {source.entry.size} bytes that were listed. Run "
        "again."
    )
