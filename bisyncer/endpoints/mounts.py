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


class _Line(NamedTuple):
    """A line of mountinfo: `root` is the directory of the file system that is seen at `point`."""

    number: str
    parent: str
    device: str
    root: str
    point: str
    filesystem: str


def mount_of(path: str) -> Mount:
    """The mount that holds `path`, an absolute path without links.

    A directory that is bound to its own place is no mount: what is seen there is what was there before, and a
    service gets such binds for each directory that its unit makes writable.
    """
    try:
        with _MOUNTS.open(encoding="utf-8", errors="surrogateescape") as lines:
            mounts = list(map(_read, lines))
    except OSError:
        return Mount(_point_of(path), "unknown")  # not on Linux
    found = None
    for mount in mounts:
        # Of two mounts on one point, the later one hides the earlier.
        if _is_below(path, mount.point) and (found is None or len(mount.point) >= len(found.point)):
            found = mount
    by_number = {mount.number: mount for mount in mounts}
    while found is not None and (above := by_number.get(found.parent)) and _is_seen_there(above, found):
        found = above
    return Mount("/", "unknown") if found is None else Mount(found.point, found.filesystem)


def _read(line: str) -> _Line:
    # https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html
    mount, _, system = line.partition(" - ")
    number, parent, device, *places = mount.split(" ")[:5]
    root, point = (_ESCAPE.sub(lambda code: chr(int(code[1], 8)), place) for place in places)
    return _Line(number, parent, device, root, point, system.split(" ")[0])


def _is_seen_there(above: _Line, mount: _Line) -> bool:
    """Whether the mount `above` shows the same directory at the point of `mount` by itself."""
    if above.number == mount.number or above.device != mount.device:
        return False
    if not _is_below(mount.point, above.point):
        return False
    below = mount.point.removeprefix(above.point.rstrip("/")).strip("/")
    return mount.root == (os.path.join(above.root, below) if below else above.root)  # noqa: PTH118 -- of no path here


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
