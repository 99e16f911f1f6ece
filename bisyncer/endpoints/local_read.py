"""A file of a tree while it is read, and a small one in one piece."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Final, Self

from bisyncer.endpoints.tree import Explained, is_expected, make_entry, untouched
from bisyncer.errors import Changed
from bisyncer.model import Entry

_OPEN_FILES: Final = "/proc/self/fd"


class Reading:
    """A file being read: its bytes end only where no write came between the opening and the end.

    It is its own context, at whose end the descriptor is closed.
    """

    def __init__(
        self,
        opened: int,
        key: str,
        place: str,
        seen: os.stat_result,
        *,
        now_ns: int,
        start: int,
        stop: int | None,
    ) -> None:
        self._opened = opened
        self._place = place
        self._seen = seen
        self._at = start
        size = self._seen.st_size
        self._left = max(0, (size if stop is None else min(stop, size)) - start)
        self.entry = make_entry(key, self._seen, now_ns)
        self.metadata: Mapping[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._opened)

    def told(self) -> Mapping[str, str]:
        """The mode and the owner of the file, as rclone writes them."""
        seen = self._seen
        return {"mode": f"{seen.st_mode:o}", "uid": str(seen.st_uid), "gid": str(seen.st_gid)}

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes; raises `Changed` instead of the end of a torn read."""
        wanted = self._left if size < 0 else min(size, self._left)
        if wanted == 0:
            if self._left == 0 and size != 0:
                self._check_end()
            return b""
        with Explained(self._place):
            piece = os.pread(self._opened, wanted, self._at)
            while size < 0 and 0 < len(piece) < wanted:  # one read() gives 2 GiB at most
                more = os.pread(self._opened, wanted - len(piece), self._at + len(piece))
                if not more:
                    break
                piece += more
        self._at += len(piece)
        self._left -= len(piece)
        if not piece or (size < 0 and self._left):
            raise self._torn()
        return piece

    def _check_end(self) -> None:
        with Explained(self._place):
            now = _asked_for(self._opened)
        if now is None or not untouched(self._seen, now):
            raise self._torn()

    def _torn(self) -> Changed:
        return Changed(f"{self.entry.key}: was written to while it was read. Run again.")


def _asked_for(opened: int) -> os.stat_result | None:
    """A look at an open file that NFS may not answer from its cache; None where the server has it no more.

    Opening it once more asks the server. Else a write of another host may not be seen for as long as nfs(5)
    lets attributes be cached ("close-to-open cache consistency").
    """
    try:
        again = os.open(f"{_OPEN_FILES}/{opened}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ESTALE} and os.access(_OPEN_FILES, os.F_OK):
            return None
        return os.fstat(opened)  # there is no /proc, or this user may not read the file any more
    try:
        return os.fstat(again)
    finally:
        os.close(again)


def whole(
    directory: int, entry: Entry, flags: int, note: Callable[[int, os.stat_result], None]
) -> bytes | None:
    """The content of a file, if it is as expected before it is read and after; `note` is told of it."""
    try:
        opened = os.open(entry.key.rpartition("/")[2], flags, dir_fd=directory)
        try:
            seen = os.fstat(opened)
            if not is_expected(seen, entry):
                return None
            note(opened, seen)
            content = os.pread(opened, seen.st_size, 0)
            return content if len(content) == seen.st_size and untouched(seen, os.fstat(opened)) else None
        finally:
            os.close(opened)
    except (OSError, ValueError):  # or no name of a file
        return None
