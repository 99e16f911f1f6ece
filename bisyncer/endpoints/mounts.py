"""What is mounted where, and whether one directory lies inside another."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

_MOUNTS = Path("/proc/self/mountinfo")
_ESCAPE = re.compile(r"\\([0-7]{3})")


class Mount(NamedTuple):
    """A mount point and the type of its file system."""

    point: str
    filesystem: str


def mount_of(path: str) -> Mount:
    """The mount that holds `path`, an absolute path without links."""
    found = Mount("/", "unknown")
    try:
        with _MOUNTS.open(encoding="utf-8", errors="surrogateescape") as lines:
            for line in lines:
                # https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html
                mount, _, system = line.partition(" - ")
                point = _ESCAPE.sub(lambda code: chr(int(code[1], 8)), mount.split(" ")[4])
                # Of two mounts on one point, the later one hides the earlier.
                if len(point) >= len(found.point) and _is_below(path, point):
                    found = Mount(point, system.split(" ")[0])
    except OSError:
        return Mount(_point_of(path), "unknown")  # not on Linux
    return found


def contains(outer: str, inner: str) -> bool:
    """Whether `inner` is `outer` or lies inside it, under whatever name it is mounted."""
    if _is_below(inner, outer):
        return True
    place = Path(inner)
    return any(_is_same(above, Path(outer)) for above in (place, *place.parents))


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False  # one of them isn't there yet


def _is_below(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def _point_of(path: str) -> str:
    place = Path(path)
    return str(next(above for above in (place, *place.parents) if os.path.ismount(above)))
