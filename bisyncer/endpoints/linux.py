"""System calls of Linux that Python's `os` has no function for.

Each raises the `OSError` that the kernel reported; where the C library lacks the call, `ENOSYS`, so that
callers meet one kind of "not supported" only.
"""

from __future__ import annotations

import ctypes
import errno
import os
from typing import Final

# What a kernel, a file system or a C library answers that doesn't have a call or a flag of it.
UNSUPPORTED: Final = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP})

_RENAME_NOREPLACE = 1
_RENAME_EXCHANGE = 2

_libc = ctypes.CDLL(None, use_errno=True)
_renameat2 = getattr(_libc, "renameat2", None)
if _renameat2 is not None:
    _renameat2.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
_syncfs = getattr(_libc, "syncfs", None)
if _syncfs is not None:
    _syncfs.argtypes = (ctypes.c_int,)

HAS_SYNCFS: Final = _syncfs is not None


def exchange(from_fd: int, from_name: str, to_fd: int, to_name: str) -> None:
    """Let two names trade places in one step; both must exist."""
    _rename(from_fd, from_name, to_fd, to_name, _RENAME_EXCHANGE)


def rename_new(from_fd: int, from_name: str, to_fd: int, to_name: str) -> None:
    """Rename, refusing with `FileExistsError` to replace anything."""
    _rename(from_fd, from_name, to_fd, to_name, _RENAME_NOREPLACE)


def syncfs(fd: int) -> None:
    """Return when all of the file system that holds `fd` is on its device."""
    if _syncfs is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if _syncfs(fd) != 0:
        raise _failure()


def _rename(from_fd: int, from_name: str, to_fd: int, to_name: str, flag: int) -> None:
    if _renameat2 is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if _renameat2(from_fd, os.fsencode(from_name), to_fd, os.fsencode(to_name), flag) != 0:
        raise _failure()


def _failure() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))
