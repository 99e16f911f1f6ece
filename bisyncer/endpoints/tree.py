"""A directory tree: keys to directories and back, entries from looks, words for errors.

The one way to a key's directory is `Tree.directory`, which opens each segment of the key by itself. It
follows a symbolic link only for reading, and only where the pair says so; nothing is written through one, so
no key and no link that somebody plants leads a write out of the root.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from types import TracebackType
from typing import Final, NamedTuple

from bisyncer.endpoints.spelling import other_spelling
from bisyncer.errors import Blocked, Changed, Clash, EndpointError, Rejected, Transient
from bisyncer.job import LinkMode
from bisyncer.model import TRASH, Entry

SCHEME: Final = "file://"

MAX_SEGMENT_BYTES: Final = 255  # NAME_MAX of Linux

# Linux has no limit for a path that is opened segment by segment. This bound only keeps messages and
# database rows sane; a bucket's keys have 1,024 bytes.
MAX_KEY_BYTES: Final = 65_535

RACY_NS: Final = 2_000_000_000  # the coarsest mtime in use, that of FAT

# O_PATH opens a directory that may be searched but not listed, and costs no permission check for reading.
SEARCH: Final = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | getattr(os, "O_PATH", os.O_RDONLY)
LIST: Final = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_RDONLY

_LASTING = {
    errno.ENOSPC: "no space is left on its file system; free some",
    errno.EDQUOT: "the disk quota is used up; free some space or raise it",
    errno.EROFS: "its file system is mounted read-only; mount it read-write",
    errno.EACCES: "permission denied; let this user read and write it",
    errno.EPERM: "the file system does not permit this; look for an immutable flag or another owner",
    errno.ENAMETOOLONG: "its name is too long for this file system; rename it",
    errno.EILSEQ: "its name has characters that this file system can't hold; rename it",
    errno.EINVAL: "this file system refuses its name; rename it",
    errno.EFBIG: "it is larger than this file system can hold; leave it out with a filter",
    errno.EISDIR: "a directory is in its place; rename one of the two",
    errno.ENOTDIR: "a file is in the place of its directory; rename one of the two",
    errno.ELOOP: "a symbolic link is in its place, and links are not followed; move the link away",
    errno.EMLINK: "its directory can hold no more directories; tidy it",
}

THROUGH_A_LINK: Final = (
    "is a symbolic link, and nothing is written through links. Change what it points to, or put a file or a "
    "directory in its place."
)

_LAST_NS: Final = 2**63 - 1

_serial = count()
_new = tuple.__new__  # builds a named tuple without going through a call of Python's


class Identity(NamedTuple):
    """What tells one version of a file from another across a rename, which moves ctime and nothing else."""

    inode: int
    size: int
    mtime_ns: int


def identity(seen: os.stat_result) -> Identity:
    """The identity of the version that was looked at."""
    return Identity(seen.st_ino, seen.st_size, seen.st_mtime_ns)


def make_entry(key: str, seen: os.stat_result, now_ns: int) -> Entry:
    """The entry of a regular file as a look just found it.

    A version younger than the file system's clock can tell apart may be edited again without any trace.
    Its stamp gets a tail that no other stamp has, so that the next run looks at the content (git's rule
    for racy entries).
    """
    mtime_ns = seen.st_mtime_ns
    if not -_LAST_NS <= mtime_ns <= _LAST_NS:
        mtime_ns = _storable(mtime_ns)
    stamp = f"{seen.st_ino:x}:{seen.st_ctime_ns:x}"
    if mtime_ns > now_ns - RACY_NS:
        stamp = f"{stamp}~{now_ns:x}.{next(_serial):x}"
    return _new(Entry, (key, seen.st_size, mtime_ns, stamp, ()))


def _storable(mtime_ns: int) -> int:
    """A time in the 64 bits that a database column has: a file may carry one of the year 2400."""
    return max(-_LAST_NS, min(_LAST_NS, mtime_ns))


def is_version(seen: os.stat_result) -> bool:
    """Whether a look found what may be a version of a key: a file, or a link itself."""
    return stat.S_ISREG(seen.st_mode) or stat.S_ISLNK(seen.st_mode)


def is_expected(seen: os.stat_result, expect: Entry) -> bool:
    """Whether a look found the version that `expect` is about; the tail of a racy stamp says nothing."""
    return (
        is_version(seen)
        and seen.st_size == expect.size
        and _storable(seen.st_mtime_ns) == expect.mtime_ns
        and f"{seen.st_ino:x}:{seen.st_ctime_ns:x}" == expect.stamp.partition("~")[0]
    )


def untouched(seen: os.stat_result, now: os.stat_result) -> bool:
    """Whether two looks at an open file found no write between them."""
    return identity(now) == identity(seen) and now.st_ctime_ns == seen.st_ctime_ns


def look(directory: int, name: str) -> os.stat_result | None:
    """What `name` is, itself and not what it may point to; None where there is nothing."""
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None


def kind(seen: os.stat_result) -> str:
    """What a look found that isn't a regular file, in words."""
    mode = seen.st_mode
    if stat.S_ISLNK(mode):
        return "is a symbolic link; links are not followed"
    if stat.S_ISDIR(mode):
        return "is a directory"
    if stat.S_ISFIFO(mode):
        return "is a named pipe; only files are synced"
    if stat.S_ISSOCK(mode):
        return "is a socket; only files are synced"
    return "is a device; only files are synced"


def dangling(directory: int, name: str, error: OSError) -> str:
    """Why a link can't be followed, in words; what it points to may come back."""
    try:
        target = os.readlink(name, dir_fd=directory)
    except OSError:
        target = "?"
    if error.errno == errno.ENOENT:
        why = "which isn't there"
    elif error.errno == errno.ELOOP:
        why = "which leads back to it"
    else:
        why = f"which can't be looked at ({os.strerror(error.errno or 0)})"
    shown = target.encode(errors="surrogateescape").decode(errors="backslashreplace")
    return f"is a symbolic link to {shown}, {why}. Put it right, or remove the link."


def explain(error: OSError, place: str) -> EndpointError:
    """The error of a file system as a sentence about `place` that says whether to try again."""
    number = error.errno or 0
    if number in _LASTING:
        refused = Blocked if number in {errno.EISDIR, errno.ENOTDIR} else Rejected
        return refused(f"{place}: {_LASTING[number]}.")
    if number == errno.ENOENT:
        return Changed(f"{place}: it, or a directory on the way to it, went away meanwhile. Run again.")
    return Transient(f"{place}: {os.strerror(number)}. Look at its file system and run again.")


class Explained:
    """A block of which an `OSError` becomes the endpoint error that says the same."""

    __slots__ = ("_place",)

    def __init__(self, place: str) -> None:
        self._place = place

    def __enter__(self) -> None:
        """Nothing is to be done before."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, OSError):
            raise explain(error, self._place) from error


def split(key: str) -> list[str]:
    """The segments of a key; raises `Rejected` for a key that no tree can hold."""
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        raise Rejected(
            f"{key!r}: is not valid text, so no file can have it as its name. Rename it."
        ) from None
    if not 0 < size <= MAX_KEY_BYTES:
        raise Rejected(f"{key[:80]!r}: {size} bytes; a key in a tree has 1 to {MAX_KEY_BYTES}. Rename it.")
    if "\0" in key:
        raise Rejected(f"{key!r}: has a NUL character, which no file name can have. Rename it.")
    segments = key.split("/")
    for segment in segments:
        if segment in {"", ".", ".."}:
            raise Rejected(f"{key!r}: has the segment {segment!r}, which no file can be named. Rename it.")
        if size > MAX_SEGMENT_BYTES and len(segment.encode()) > MAX_SEGMENT_BYTES:
            raise Rejected(
                f"{key!r}: has a segment of {len(segment.encode())} bytes; a file name has up to "
                f"{MAX_SEGMENT_BYTES}. Rename it."
            )
    return segments


class Tree:
    """The root and the way to directories below it.

    The root stays open from the first use to `close`: a file system that is unmounted meanwhile can't be
    taken for the empty directory under its mount point. No other directory is kept open. Nobody may use it
    while it is closed.
    """

    def __init__(
        self,
        path: str,
        touched: Callable[[int], None],
        trash_at: Tree | None = None,
        links: LinkMode = LinkMode.SKIP,
    ) -> None:
        """`touched` is told of each directory in which another one was made; `trash_at` holds the trash."""
        self.links = links
        self.root = SCHEME + path
        self._trash_at = trash_at
        self._path = path
        self._touched = touched
        self._lock = threading.Lock()
        self._opened: int | None = None
        self.folds_case = False  # whether a name is found in upper and lower case alike
        self._spelled: set[tuple[int, int, str]] = set()  # directories of which that was looked at

    def close(self) -> None:
        """Let go of the root; the next use opens it again."""
        with self._lock:
            if self._opened is not None:
                os.close(self._opened)
                self._opened = None
        if self._trash_at is not None:
            self._trash_at.close()

    def place(self, key: str) -> str:
        """A key as errors name it: which of two trees fails is half of what an operator must know."""
        return f"{self._path}/{key}"

    def holding(self, segments: list[str]) -> Tree:
        """The tree that holds the directory that `segments` name: this one, or that with the trash."""
        return self._trash_at if self._trash_at is not None and segments[:1] == [TRASH] else self

    def directory(self, segments: list[str], *, make: bool = False, follow: bool = False) -> Opened:
        """Open the directory that `segments` name, for searching; None where it isn't there.

        With `make`, missing directories are made. Raises `Rejected` where something else is in the
        place of one of them, or only for a link or a special file without `make`: below a plain file
        there is certainly nothing, nor below a directory that is spelled otherwise. With `follow`, which is
        for reading alone, links are followed where this tree's are.
        """
        return Opened(self, segments, make=make, flags=self.reading(SEARCH) if follow else SEARCH)

    def reading(self, flags: int) -> int:
        """The flags to open something for reading with, which follow links where this tree's are followed."""
        return flags & ~os.O_NOFOLLOW if self.links is LinkMode.FOLLOW else flags

    def look(self, directory: int, name: str, key: str) -> os.stat_result | None:
        """What is listed as `name`; what it points to where this tree's links are followed.

        Raises `Rejected` for a link that points to nothing: what it stands for isn't known to be gone.
        """
        seen = look(directory, name)
        if seen is not None and not self.is_spelled(directory, name):
            return None
        if seen is None or not stat.S_ISLNK(seen.st_mode) or self.links is not LinkMode.FOLLOW:
            return seen
        try:
            return os.stat(name, dir_fd=directory)
        except OSError as error:
            raise Rejected(f"{key}: {dangling(directory, name, error)}") from None

    def prune(self, segments: list[str]) -> None:
        """Remove the directory that `segments` name and those above it, up to the first that isn't empty."""
        with suppress(OSError, EndpointError):
            for depth in range(len(segments), 0, -1):
                with self.holding(segments).directory(segments[: depth - 1]) as above:
                    if above is None:
                        return
                    os.rmdir(segments[depth - 1], dir_fd=above)

    def open_root(self) -> int:
        """A descriptor of the root, for the caller to close."""
        return os.dup(self.opened_root())

    def opened_root(self) -> int:
        """The descriptor of the root, which stays open until `close`."""
        if (opened := self._opened) is not None:
            return opened
        with self._lock:
            if self._opened is None:
                try:
                    # The root itself may be reached through links: it is the user who named it.
                    self._opened = os.open(self._path, SEARCH & ~os.O_NOFOLLOW)
                except OSError as error:
                    raise Transient(
                        f"{self.root}: can't be opened: {os.strerror(error.errno or 0)}. "
                        "Look whether it is mounted, and run again."
                    ) from error
            return self._opened

    def descend(self, segments: list[str], *, make: bool, flags: int) -> int | None:
        """Open the directory that `segments` name, for the caller to close; at least one is named."""
        root = directory = self.holding(segments).opened_root()
        for depth, segment in enumerate(segments, 1):
            place = "/".join([self._path, *segments[:depth]])
            try:
                below = self._enter(directory, segment, place, make=make, flags=flags)
                if below is not None and self.folds_case:
                    below = self._as_spelled(directory, segment, below, place, make=make)
            finally:
                if directory != root:
                    os.close(directory)
            if below is None:
                return None
            directory = below
        return directory

    def is_spelled(self, directory: int, name: str) -> bool:
        """Whether what is found as `name` is listed so; asked of the directory only where case is folded."""
        return not self.folds_case or other_spelling(directory, name) is None

    def _as_spelled(self, directory: int, segment: str, below: int, place: str, *, make: bool) -> int | None:
        """The directory `below`, if it is listed under this very name; else it is closed.

        With `make`, an empty one gives way to this spelling, as it holds no version of anything.
        """
        here = os.fstat(directory)
        known = (here.st_dev, here.st_ino, segment)
        if known in self._spelled:
            return below
        other = other_spelling(directory, segment)
        if other is None:
            self._spelled.add(known)
            return below
        os.close(below)
        if not make:
            return None
        try:
            os.rmdir(segment, dir_fd=directory)
        except OSError:
            raise Clash(
                f"{place}: is spelled {other!r} here, and can't be both. Rename one of the two."
            ) from None
        return self._enter(directory, segment, place, make=make, flags=SEARCH)

    def _enter(self, directory: int, segment: str, place: str, *, make: bool, flags: int) -> int | None:
        try:
            return os.open(segment, flags, dir_fd=directory)
        except FileNotFoundError:
            if not make:
                return None
        except OSError as error:
            self._check_absent(error, directory, segment, place, make=make)
            return None
        try:
            # What lay in a directory that few may search isn't to be had by all in the trash.
            os.mkdir(segment, 0o700 if segment == TRASH else 0o777, dir_fd=directory)
            self._touched(directory)
        except FileExistsError:
            pass  # another thread made it, or something else is there: opening it tells
        try:
            return os.open(segment, SEARCH, dir_fd=directory)
        except OSError as error:
            self._check_absent(error, directory, segment, place, make=make)
            return None

    def _check_absent(self, error: OSError, directory: int, segment: str, place: str, *, make: bool) -> None:
        """Return where `error` means that nothing can be below `segment`; raise what it means otherwise."""
        if error.errno in {errno.ENOTDIR, errno.ELOOP}:
            seen = look(directory, segment)
            if seen is not None and stat.S_ISREG(seen.st_mode):
                if not make:
                    return
                raise Blocked(f"{place}: is a file, so nothing can be below it. Rename one of the two.")
            if seen is not None and stat.S_ISLNK(seen.st_mode) and self.links is not LinkMode.SKIP:
                if self.links is LinkMode.KEEP and not make:
                    return  # a link has a key of its own, and nothing is below it
                raise Rejected(f"{place}: {THROUGH_A_LINK}")
            if seen is not None and not stat.S_ISDIR(seen.st_mode):
                raise Rejected(f"{place}: {kind(seen)}, so nothing below it is touched. Move it away.")
        raise explain(error, place) from error


class Opened:
    """A directory of a tree, open as long as the block runs; None where it isn't there."""

    __slots__ = ("_descriptor", "_flags", "_make", "_segments", "_tree")

    def __init__(self, tree: Tree, segments: list[str], *, make: bool, flags: int) -> None:
        self._tree = tree
        self._segments = segments
        self._make = make
        self._flags = flags
        self._descriptor: int | None = None  # what is to be closed: not the root

    def __enter__(self) -> int | None:
        if not self._segments:
            return self._tree.opened_root()
        self._descriptor = self._tree.descend(self._segments, make=self._make, flags=self._flags)
        return self._descriptor

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
