"""Directories of a tree as entries of their own: keys that end in '/'.

They hold nothing, so nothing of them can be lost: making one is idempotent, and the kernel removes none that
isn't empty.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext

from bisyncer.endpoints.base import Source
from bisyncer.endpoints.tree import LIST, THROUGH_A_LINK, Tree, look, split
from bisyncer.errors import Changed, Rejected
from bisyncer.job import LinkMode
from bisyncer.model import DIRECTORY, OCCUPIED, Entry

_FULL = {errno.ENOTEMPTY, errno.EEXIST}


def is_directory(key: str) -> bool:
    """Whether a key stands for a directory."""
    return key.endswith("/")


def directory_entry(key: str, *, occupied: bool) -> Entry:
    """The entry of a directory: it has no time, as that moves with whatever is done inside."""
    return Entry(key, 0, None, OCCUPIED if occupied else DIRECTORY)


class Directories:
    """The directories of one tree, by their keys."""

    def __init__(self, tree: Tree, touched: Callable[[int], None]) -> None:
        """`touched` is told of each directory from which another one was removed."""
        self._tree = tree
        self._touched = touched

    def stat(self, key: str) -> Entry | None:
        """The entry of a directory; None where there is none, or something else has the name."""
        *above, name = split(key[:-1])
        with self._tree.directory(above, follow=True) as directory:
            seen = None if directory is None else self._tree.look(directory, name, key)
            if directory is None or seen is None or not stat.S_ISDIR(seen.st_mode):
                return None
            return directory_entry(key, occupied=self._is_occupied(directory, name))

    def _is_occupied(self, directory: int, name: str) -> bool:
        opened = os.open(name, self._tree.reading(LIST), dir_fd=directory)
        try:
            with os.scandir(opened) as found:
                return next(found, None) is not None
        finally:
            os.close(opened)

    def read(self, key: str) -> AbstractContextManager[Source]:
        """The content of a directory, which is none; raises `Changed` where it isn't there."""
        entry = self.stat(key)
        if entry is None:
            raise Changed(f"{key}: the directory is gone. Run again.")
        return nullcontext(_Nothing(entry._replace(stamp=DIRECTORY)))

    def make(self, key: str, source: Source) -> Entry:
        """Make a directory, and those above it."""
        if source.entry.size or source.read(1):
            raise Rejected(
                f"{key}: its name ends in '/' and it has content, so no tree can hold it. Rename it."
            )
        with self._tree.directory(split(key[:-1]), make=True):
            return directory_entry(key, occupied=False)

    def remove(self, key: str) -> None:
        """Remove a directory; raises `Changed` where it isn't empty, or is gone."""
        *above, name = split(key[:-1])
        with self._tree.directory(above) as directory:
            if directory is None or not self._tree.is_spelled(directory, name):
                raise Changed(f"{key}: is gone already. Run again.")
            seen = look(directory, name)
            if seen is not None and stat.S_ISLNK(seen.st_mode) and self._tree.links is LinkMode.FOLLOW:
                raise Rejected(f"{key}: {THROUGH_A_LINK}")
            try:
                os.rmdir(name, dir_fd=directory)
            except OSError as error:
                if error.errno in _FULL:
                    raise Changed(f"{key}: isn't empty any more, and stays.") from None
                if error.errno in {errno.ENOENT, errno.ENOTDIR}:
                    raise Changed(f"{key}: is no directory any more. Run again.") from None
                raise
            self._touched(directory)


class _Nothing:
    """A source without a byte."""

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.metadata: Mapping[str, str] = {}

    def read(self, size: int = -1, /) -> bytes:  # noqa: ARG002 -- there is nothing of any size
        return b""
