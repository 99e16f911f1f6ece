"""What a tree is and can do: looked at, and tried on two files of our own, which are removed again."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from itertools import islice

from bisyncer.endpoints import linux
from bisyncer.endpoints.aside import CREATE, Asides
from bisyncer.endpoints.spelling import folds_case
from bisyncer.endpoints.tree import SCHEME, Tree, explain
from bisyncer.errors import AccessDenied, RootMissing, Transient

_NAMES_TRIED = 32  # of the root, to see whether case is folded


def look_into(path: str) -> None:
    """Raise where `path` is no directory that can be listed."""
    place = SCHEME + path
    try:
        with os.scandir(path) as found:
            next(found, None)
    except (FileNotFoundError, NotADirectoryError):
        raise RootMissing(
            f"{place}: there is no such directory. Make it, mount it, or correct the root."
        ) from None
    except PermissionError:
        raise AccessDenied(f"{place}: this user may not list it. Allow that, or run as its owner.") from None
    except OSError as error:
        raise Transient(str(explain(error, place))) from error


def try_names(tree: Tree, path: str) -> None:
    """Learn from what is there whether case is folded; what an empty root can't tell, `init` found."""
    directory = tree.open_root()
    try:
        with suppress(OSError), os.scandir(path) as entries:
            found = folds_case(directory, (entry.name for entry in islice(entries, _NAMES_TRIED)))
            if found is not None:
                tree.folds_case = found
    finally:
        os.close(directory)


def try_exchange(tree: Tree, asides: Asides, now_ns: Callable[[], int]) -> tuple[bool, int]:
    """Whether two files of our own can trade places in the root, and how far its clock is ahead of ours.

    The files are gone afterwards. A file system on a network stamps files by the clock of its server.
    """
    directory = tree.open_root()
    try:
        with asides.temporary() as one, asides.temporary() as two:
            try:
                for name in (one, two):
                    os.close(os.open(name, CREATE, 0o600, dir_fd=directory))
                tree.folds_case = bool(folds_case(directory, [one]))
                made = os.stat(two, dir_fd=directory, follow_symlinks=False)
                skew_ns = made.st_mtime_ns - now_ns()
                return _can_exchange(directory, one, two), skew_ns
            finally:
                for name in (one, two):
                    with suppress(OSError):
                        os.unlink(name, dir_fd=directory)
    except OSError as error:
        if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            raise AccessDenied(
                f"{tree.root}: can't be written: {os.strerror(error.errno)}. Allow this user to write "
                "there, run as its owner, or mount it read-write."
            ) from None
        raise Transient(str(explain(error, tree.root))) from error
    finally:
        os.close(directory)


def free_bytes(path: str) -> int | None:
    """The bytes that are free where `path` lies; None: it doesn't tell."""
    try:
        found = os.statvfs(path)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize


def _can_exchange(directory: int, one: str, two: str) -> bool:
    try:
        linux.exchange(directory, one, directory, two)
    except OSError as error:
        if error.errno in linux.UNSUPPORTED:
            return False
        raise
    return True
