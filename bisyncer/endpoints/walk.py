"""A tree as an ordered listing, in memory of one directory a level.

Every directory is read whole, as names only, and sorted with '/' added to the names of directories: that
is the order of the keys below it. A file is looked at when its turn comes, so that what is yielded is
as fresh as can be. At most one directory is open at a time, however deep the tree.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Final

from bisyncer.endpoints.aside import PREFIX, Asides, is_temporary
from bisyncer.endpoints.directory import directory_entry
from bisyncer.endpoints.links import BOTH
from bisyncer.endpoints.tree import LIST, Tree, dangling, is_version, kind, look, make_entry
from bisyncer.endpoints.unsynced import WRITTEN_BACK_NS
from bisyncer.errors import EndpointError, ListingIncomplete, Transient
from bisyncer.job import LinkMode
from bisyncer.model import LINK_SUFFIX, TRASH, Item, Unreadable

_AFTER_SLASH: Final = "0"  # the code point after '/': all keys below 'd' are less than 'd0'
_CLOSED: Final = -1


class _Level:
    """One directory on the way down: the names in it that are still to come."""

    __slots__ = ("broken", "followed", "links", "names", "occupied", "odd", "place", "prefix")

    def __init__(self, prefix: str, names: list[str], odd: dict[str, str | None], *, occupied: bool) -> None:
        self.prefix = prefix
        self.occupied = occupied  # whether anything is in it, in the range or not
        self.names = iter(names)
        self.odd = odd  # names that can't be keys, escaped, and why; None: that of a link, which can
        self.links: Collection[str] = ()  # names of links among them, as they are listed
        self.followed = False  # whether a link leads here
        self.place: tuple[int, int] | None = None  # which directory it is, where links are followed
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
        fresh: Callable[[int], None],
        directories: bool = False,
        apart: str | None = None,
    ) -> None:
        """With `directories`, each directory below the root is an item too, before what is in it.

        `fresh` is told of each directory in which something was written a moment ago. No link is followed
        into the directory `apart`.
        """
        self._tree = tree
        self._asides = asides  # None: what dead runs left is passed over, and not swept
        self._low = low
        self._high = high
        self._now_ns = now_ns
        self._fresh = fresh
        self._fresh_level: _Level | None = None  # the last one that was told
        self._directories = directories
        self._apart = apart
        self._in_trash = low.startswith(TRASH + "/")  # else what lies there isn't told
        self._levels: list[_Level] = []
        self._directory = _CLOSED  # the one that is open: that of the deepest level, or none

    def items(self) -> Iterator[Item]:  # noqa: C901, PLR0912 -- what runs for each key is written out
        """Yield what lies in the range, in order; a place that reaches into it comes first."""
        low, high, now_ns = self._low, self._high, self._now_ns
        last = ""
        try:
            levels = self._levels
            levels.append(self._root())
            while levels:
                level = levels[-1]
                prefix, odd = level.prefix, level.odd
                for name in level.names:
                    key = prefix + name
                    if high is not None and key >= high:
                        return
                    if key <= last:
                        raise self._disorder(key, last)
                    last = key
                    # What nearly all names are: anything else, and what is odd about a file, is for `_item`.
                    if not odd and name[-1] != "/" and self._directory != _CLOSED:
                        try:
                            seen = os.stat(name, dir_fd=self._directory, follow_symlinks=False)
                        except OSError:
                            pass
                        else:
                            if stat.S_ISREG(seen.st_mode):
                                if key >= low:
                                    now = now_ns()
                                    if now - seen.st_ctime_ns < WRITTEN_BACK_NS:
                                        self._tell_fresh(level)
                                    yield make_entry(key, seen, now)
                                continue
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
            why = level.odd[name]
            return self._link(level, name, key) if why is None else Unreadable(key, why)
        try:
            seen = os.stat(name, dir_fd=self._directory, follow_symlinks=False)
        except FileNotFoundError:
            return None  # deleted since the directory was read
        except OSError as error:
            return Unreadable(key, _sentence(error))
        if stat.S_ISREG(seen.st_mode):
            return self._entry(level, key, seen)
        if stat.S_ISDIR(seen.st_mode):
            return Unreadable(key, "became a directory while it was listed. Run again.")
        return Unreadable(key, kind(seen), skipped=True)

    def _entry(self, level: _Level, key: str, seen: os.stat_result) -> Item | None:
        if key < self._low:
            return None
        now = self._now_ns()
        if now - seen.st_ctime_ns < WRITTEN_BACK_NS:
            self._tell_fresh(level)
        return make_entry(key, seen, now)

    def _tell_fresh(self, level: _Level) -> None:
        """Tell of the directory that is open, once for all that is fresh in it."""
        if self._fresh_level is not level:
            self._fresh_level = level
            self._fresh(self._directory)

    def _link(self, level: _Level, name: str, key: str) -> Item | None:
        """A link that is kept as a link, or the file that one points to."""
        keep = self._tree.links is LinkMode.KEEP
        own = name.removesuffix(LINK_SUFFIX) if keep else name
        try:
            seen = os.stat(own, dir_fd=self._directory, follow_symlinks=not keep)
        except OSError as error:
            if look(self._directory, own) is None:
                return None  # deleted since the directory was read
            return Unreadable(key, dangling(self._directory, own, error))
        if keep != stat.S_ISLNK(seen.st_mode) or stat.S_ISDIR(seen.st_mode):
            return Unreadable(key, "became something else while it was listed. Run again.")
        if not is_version(seen):
            return Unreadable(key, kind(seen), skipped=True)
        return self._entry(level, key, seen)

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
            below = os.open(name[:-1], self._tree.reading(LIST), dir_fd=self._directory)
        except FileNotFoundError:
            return None
        except OSError as error:
            return Unreadable(key, _sentence(error))
        above = self._levels[-1]
        followed = above.followed or name in above.links
        self._close()
        self._directory = below
        if self._tree.links is LinkMode.FOLLOW and (round_again := self._leads_astray(followed=followed)):
            self._close()
            return Unreadable(key, round_again)
        try:
            return self._read(key, followed=followed)
        except OSError as error:
            self._close()
            return Unreadable(key, _sentence(error))

    def _leads_astray(self, *, followed: bool) -> str | None:
        """Why the directory that is open, by way of a link, isn't gone down into; None where it is."""
        if not followed:
            return None
        place = _place(self._directory)
        round_again = next((level for level in self._levels if level.place == place), None)
        if round_again is not None:
            where = round_again.prefix.rstrip("/") or "the root"
            return f"is reached by a symbolic link and is {where} again, without end. Remove the link."
        if self._apart is not None:
            real = Path(f"/proc/self/fd/{self._directory}").readlink()
            if real.is_relative_to(self._apart):
                return "is reached by a symbolic link and is in the other root of this pair. Remove the link."
        return None

    def _read(self, prefix: str, *, followed: bool = False) -> _Level:
        names, temporaries, links = self._names(prefix)
        if followed:
            temporaries = []  # nothing is written through links
        if temporaries and self._asides is not None:
            # A sweep may put a version back under a name that wasn't there: read again.
            for name in temporaries:
                self._asides.sweep(self._directory, name)
            names, _, links = self._names(prefix)
        odd: dict[str, str | None] = {**dict.fromkeys(links), **_escape(names), **_clashes(names, links)}
        names.sort()
        low, occupied = self._low, bool(names)
        if prefix < low:
            names = [name for name in names if (prefix + name).rstrip("/") + _AFTER_SLASH > low]
        level = _Level(prefix, names, odd, occupied=occupied)
        level.links, level.followed = links, followed
        if self._tree.links is LinkMode.FOLLOW:
            level.place = _place(self._directory)
        return level

    def _names(self, prefix: str) -> tuple[list[str], list[str], Collection[str]]:
        links: set[str] = set()
        if self._tree.links is LinkMode.SKIP:
            # Whether a directory that is an item is empty, all names in it tell.
            high = None if self._directories else self._high
            names, temporaries = _names(self._directory, _below(prefix, self._low), _below(prefix, high))
        else:
            names, temporaries = _names_and_links(self._directory, self._tree.links, links)
        if not self._in_trash and TRASH + "/" in names:
            names.remove(TRASH + "/")
        return names, temporaries, links

    def _reopen(self, level: _Level) -> None:
        """Come back to a directory from below; where it isn't there any more, what is left in it isn't."""
        segments = level.prefix.split("/")[:-1]
        try:
            with self._tree.directory(segments, follow=True) as directory:
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


def _below(prefix: str, bound: str | None) -> str:
    """What a bound says of the names in one directory; empty where it says nothing."""
    return bound.removeprefix(prefix) if bound is not None and bound.startswith(prefix) else ""


def _names(directory: int, low: str = "", high: str = "") -> tuple[list[str], list[str]]:
    """The names in a directory, with '/' after those of directories; and those of temporaries.

    Most names out of the range are left out: where a large directory is cut into ranges, it is read for each
    of them, and to sort all its names would cost more than to read them.
    """
    with os.scandir(directory) as found:
        some: Iterable[os.DirEntry[str]] = found
        if low or high:
            some = (
                entry
                for entry in found
                if (entry.name + _AFTER_SLASH > low and (not high or entry.name < high))
                # Where what isn't text sorts is told later; a temporary may stand for any name.
                or not entry.name.isascii()
                or entry.name.startswith(PREFIX)
            )
        names = [entry.name + "/" if entry.is_dir(follow_symlinks=False) else entry.name for entry in some]
    ours = [name for name in names if name.startswith(PREFIX)]
    temporaries = {name for name in ours if is_temporary(name.removesuffix("/"))}
    if temporaries:
        names = [name for name in names if name not in temporaries]
    return names, [name.removesuffix("/") for name in temporaries]


def _names_and_links(directory: int, mode: LinkMode, links: set[str]) -> tuple[list[str], list[str]]:
    """The names as `_names` gives them, where links are no mere names; those of links go to `links` too."""
    names: list[str] = []
    temporaries: list[str] = []
    with os.scandir(directory) as found:
        for entry in found:
            name = entry.name
            if name.startswith(PREFIX) and is_temporary(name):
                temporaries.append(name)
                continue
            if entry.is_symlink():
                if mode is LinkMode.KEEP:
                    name += LINK_SUFFIX
                elif _leads_to_directory(entry):
                    name += "/"
                links.add(name)
            elif entry.is_dir(follow_symlinks=False):
                name += "/"
            names.append(name)
    return names, temporaries


def _leads_to_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # what is wrong with it, a look at it will tell


def _clashes(names: list[str], links: Collection[str]) -> dict[str, str]:
    """Leave each name once; return those that a link and a file have, and why none of the two is a key."""
    if not links or len(names) == len(set(names)):
        return {}
    twice = {name for name, times in Counter(names).items() if times > 1}
    names[:] = set(names)
    return dict.fromkeys(twice, BOTH)


def _place(directory: int) -> tuple[int, int]:
    seen = os.fstat(directory)
    return seen.st_dev, seen.st_ino


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
