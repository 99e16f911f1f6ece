"""The content of a new file of a tree, and whose it is."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from contextlib import suppress

from bisyncer.endpoints.base import Source
from bisyncer.errors import Changed

_PIECE = 1 << 20  # bytes taken from a source at a time
_OCTAL = re.compile("[0-7]{1,7}")
_NUMBER = re.compile("[0-9]{1,10}")


def fill(opened: int, source: Source, key: str) -> None:
    """Write all of the source, and give the file the source's mtime."""
    entry = source.entry
    size = 0
    while piece := source.read(_PIECE):
        size += len(piece)
        if size > entry.size:
            break
        rest = memoryview(piece)
        while rest:
            rest = rest[os.write(opened, rest) :]
    if size != entry.size:
        raise Changed(f"{key}: gave {size} bytes or more where {entry.size} were listed. Run again.")
    if entry.mtime_ns is not None:
        with suppress(OverflowError):  # a time in an object's metadata may be any number
            os.utime(opened, ns=(entry.mtime_ns, entry.mtime_ns))


def adopt(opened: int, replaced: os.stat_result) -> None:
    """Take over the owner, as far as we may, and the mode of the file that is replaced.

    Not its set-user-ID and set-group-ID bits: this content comes from elsewhere.
    """
    mine = os.fstat(opened)
    if (mine.st_uid, mine.st_gid) != (replaced.st_uid, replaced.st_gid):
        with suppress(OSError):  # EINVAL where an owner isn't mapped, ENOSYS or ENOTSUP where there are none
            os.fchown(opened, replaced.st_uid, replaced.st_gid)
    os.fchmod(opened, stat.S_IMODE(replaced.st_mode) & ~(stat.S_ISUID | stat.S_ISGID))


def mode_of(metadata: Mapping[str, str]) -> int | None:
    """The permission bits that metadata tells; None where it tells none.

    Never set-user-ID, set-group-ID or sticky: whoever may write an object could hand out rights with them.
    """
    text = metadata.get("mode", "")
    return int(text, 8) & 0o777 if _OCTAL.fullmatch(text) else None


def restore(opened: int, metadata: Mapping[str, str], mode: int | None) -> None:
    """Give a file the owner that its content came with, as far as we may, and its mode."""
    uid, gid = (
        int(text) if _NUMBER.fullmatch(text := metadata.get(name, "")) else -1 for name in ("uid", "gid")
    )
    if (uid, gid) != (-1, -1):
        with suppress(OSError, OverflowError):  # another host's numbers may be nobody's here
            os.fchown(opened, uid, gid)
    if mode is not None:
        os.fchmod(opened, mode)
