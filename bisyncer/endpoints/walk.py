"""A tree as an ordered listing, in memory of one directory a level.

Every directory is read whole, as names only, and sorted with '/' added to the names of directories: that
is the order of the keys below it. A file is looked at when its turn comes, so that what is yielded is
as fresh as can be. At most one directory is open at a time, however deep the tree.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from typing import Final

from bisyncer.endpoints.aside import PREFIX, Asides, is_temporary
from bisyncer.endpoints.directory import directory_entry
from bisyncer.endpoints.tree import LIST, Tree, kind, make_entry
from bisyncer.errors import EndpointError, ListingIncomplete, Transient
from bisyncer.model import TRASH, Item, Unreadable

_AFTER_SLASH: Final = "0"  # the code point after '/': all keys below 'd' are less than 'd0'
_CLOSED: Final = -1


class _Level:
    """One directory on the way down: the names in it that are still to come."""

    __slots__ = ("broken", "names", "occupied", "odd", "prefix")

    def __init__(self, prefix: str, names: list[str], odd: dict[str, str], *, occupied: bool) -> None:
        self.prefix = prefix
        self.occupied = occupied  # whether anything is in it, in the range or not
        self.names = iter(names)
        self.odd = odd  # names that can't be keys, escaped, and why
        self.broken: str | None = None  # why the directory couldn't be opened again, if so


class Walk:
    """One scan of a tree; `items` may be asked for once."""

    def __init__(
        self,
        tree: Tree,
        asides: Asides | None,
        low: str,
        high: str | None,
        now_ns: Callable[[], int],
        *,
        directories: bool = False,
    ) -> None:
        """With `directories`, each directory below the root is an item too, before what is in it."""
        self._tree = tree
        self._asides = asides  # None: what dead runs left is passed over, and not swept
        self._low = low
        self._high = high
        self._now_ns = now_ns
        self._directories = directories
        self._in_trash = low.startswith(TRASH + "/")  # else what lies there isn't told
        self._directory = _CLOSED  # the one that is open: that of the deepest level, or none

    def items(self) -> Iterator[Item]:
        """Yield what lies in the range, in order; a place that reaches into it comes first."""
        high = self._high
        last = ""
        try:
            levels = [self._root()]
            while levels:
                level = levels[-1]
                for name in level.names:
                    key = level.prefix + name
                    if high is not None and key >= high:
                        return
                    if key <= last:
                        raise self._disorder(key, last)
                    last = key
                    item = self._item(level, name, key)
                    if isinstance(item, _Level):
                        if self._directories and key >= self._low:
                            yield directory_entry(key, occupied=item.occupied)
                        levels.append(item)
                        break
                    if item is not None:
                        yield item
                else:
                    levels.pop()
                    self._close()
        finally:
            self._close()

    def _disorder(self, key: str, last: str) -> ListingIncomplete:
        return ListingIncomplete(
            f"{self._tree.root}: {key!r} was listed after {last!r}, so the file system listed a directory "
            "wrongly. Nothing was changed. Run again."
        )

    def _item(self, level: _Level, name: str, key: str) -> Item | _Level | None:
        """What `name` is; a level to go down to, or None where there is nothing to tell."""
        if self._directory == _CLOSED and level.broken is None:
            self._reopen(level)
        if level.broken is not None:
            return Unreadable(key, level.broken)
        if name[-1] == "/":
            return self._descend(name, key)
        if name in level.odd:
            return Unreadable(key, level.odd[name])
        try:
            seen = os.stat(name, dir_fd=self._directory, follow_symlinks=False)
        except FileNotFoundError:
            return None  # deleted since the directory was read
        except OSError as error:
            return Unreadable(key, _sentence(error))
        if stat.S_ISREG(seen.st_mode):
            return make_entry(key, seen, self._now_ns()) if key >= self._low else None
        if stat.S_ISDIR(seen.st_mode):
            return Unreadable(key, "became a directory while it was listed. Run again.")
        return Unreadable(key, kind(seen), skipped=True)

    def _root(self) -> _Level:
        try:
            root = self._tree.open_root()
            try:
                self._directory = os.open(".", LIST, dir_fd=root)
            finally:
                os.close(root)
            return self._read("")
        except Transient as error:
            raise ListingIncomplete(f"{error} Nothing was changed.") from error
        except OSError as error:
            raise ListingIncomplete(
                f"{self._tree.root}: can't be listed: {_sentence(error)} Nothing was changed."
            ) from error

    def _descend(self, name: str, key: str) -> _Level | Unreadable | None:
        """Go one level down; None where the directory is gone."""
        try:
            below = os.open(name[:-1], LIST, dir_fd=self._directory)
        except FileNotFoundError:
            return None
        except OSError as error:
            return Unreadable(key, _sentence(error))
        self._close()
        self._directory = below
        try:
            return self._read(key)
        except OSError as error:
            self._close()
            return Unreadable(key, _sentence(error))

    def _read(self, prefix: str) -> _Level:
        names, temporaries = self._names()
        if temporaries and self._asides is not None:
            # A sweep may put a version back under a name that wasn't there: read again.
            for name in temporaries:
                self._asides.sweep(self._directory, name)
            names, _ = self._names()
        odd = _escape(names)
        names.sort()
        low, occupied = self._low, bool(names)
        if prefix < low:
            names = [name for name in names if (prefix + name).rstrip("/") + _AFTER_SLASH > low]
        return _Level(prefix, names, odd, occupied=occupied)

    def _names(self) -> tuple[list[str], list[str]]:
        names, temporaries = _names(self._directory)
        if not self._in_trash and TRASH + "/" in names:
            names.remove(TRASH + "/")
        return names, temporaries

    def _reopen(self, level: _Level) -> None:
        """Come back to a directory from below; where it isn't there any more, what is left in it isn't."""
        segments = level.prefix.split("/")[:-1]
        try:
            with self._tree.directory(segments) as directory:
                if directory is None:
                    level.broken = "its directory went away while it was listed. Run again."
                else:
                    self._directory = os.open(".", LIST, dir_fd=directory)
        except EndpointError as error:
            level.broken = str(error)
        except OSError as error:
            level.broken = _sentence(error)

    def _close(self) -> None:
        if self._directory != _CLOSED:
            os.close(self._directory)
            self._directory = _CLOSED


def _names(directory: int) -> tuple[list[str], list[str]]:
    """The names in a directory, with '/' after those of directories; and those of temporaries."""
    names: list[str] = []
    temporaries: list[str] = []
    with os.scandir(directory) as found:
        for entry in found:
            name = entry.name
            if name.startswith(PREFIX) and is_temporary(name):
                temporaries.append(name)
            elif entry.is_dir(follow_symlinks=False):
                names.append(name + "/")
            else:
                names.append(name)
    return names, temporaries


def _escape(names: list[str]) -> dict[str, str]:
    """Put an escaped text in the place of each name that isn't valid text; return these, and why.

    Where another name reads the same as an escaped one, both go: one key can't stand for two files.
    """
    undecodable = {name for name in names if not name.isascii() and not _is_text(name)}
    if not undecodable:
        return {}
    readings = [os.fsencode(name.rstrip("/")).decode("utf-8", "backslashreplace") for name in undecodable]
    odd = dict.fromkeys(readings, "its name is not valid UTF-8, so no bucket can hold it. Rename it.")
    kept = []
    for name in names:
        if name in undecodable:
            continue
        if name.rstrip("/") in odd:
            readings.append(name.rstrip("/"))
        else:
            kept.append(name)
    for escaped in odd:
        if readings.count(escaped) > 1:
            odd[escaped] = (
                f"more than one name in its directory reads {escaped!r} when what is not valid UTF-8 is "
                "escaped. Rename all of them."
            )
    names[:] = [*kept, *odd]
    return odd


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _sentence(error: OSError) -> str:
    return f"{os.strerror(error.errno or 0)}. Look at its permissions and its file system, and run again."
