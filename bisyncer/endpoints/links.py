"""Symbolic links as keys: `NAME.rclonelink`, with the link's text as content, as `rclone --links` has it.

The text is carried and never followed, so a link that points out of the root is as safe as any file. A link
is put in place, replaced and taken out as a file is.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Final, NamedTuple

from bisyncer.endpoints.aside import Asides, Spot, is_temporary
from bisyncer.endpoints.base import Source, Twin
from bisyncer.endpoints.tree import Tree, identity, is_expected, look, make_entry, split
from bisyncer.endpoints.unsynced import Unsynced
from bisyncer.errors import Changed, Rejected
from bisyncer.model import LINK_SUFFIX, Entry

BOTH: Final = "is the key of a symbolic link and the name of a file beside that link. Rename one of the two."

_LONGEST: Final = 4095  # bytes of a link's text on Linux


def is_link(key: str) -> bool:
    """Whether a key may stand for a link."""
    return key.endswith(LINK_SUFFIX) and _stem(key) is not None


def refuse_other_kind(key: str, new_key: str) -> None:
    """Raise `Rejected` where only one of two keys names a link: by its new name it would be another thing."""
    if is_link(key) != is_link(new_key):
        raise Rejected(f"{new_key}: a rename doesn't make a link of a file, nor a file of a link.")


class _Place(NamedTuple):
    """Where a link is or is to be: the segments above it, and its name."""

    above: list[str]
    name: str


class Links:
    """The symbolic links of one tree, by their keys."""

    def __init__(self, tree: Tree, asides: Asides, unsynced: Unsynced, now_ns: Callable[[], int]) -> None:
        self._tree = tree
        self._asides = asides
        self._unsynced = unsynced
        self._now_ns = now_ns

    def check(self, key: str) -> None:
        """Raise `Rejected` where no tree can have a link of this key."""
        _place(key)

    def owns(self, key: str) -> bool:
        """Whether a key that may stand for a link does, or would: a file that has the very name is a file.

        Raises `Rejected` where both are there.
        """
        place = _place(key)
        with self._tree.directory(place.above) as directory:
            if directory is None:
                return True
            link = look(directory, place.name)
            if not _is_there(directory, key.rpartition("/")[2]):
                return True
        if link is not None and stat.S_ISLNK(link.st_mode):
            raise Rejected(f"{key}: {BOTH}")
        return False

    def stat(self, key: str) -> Entry | None:
        """The entry of a link; None where there is none."""
        place = _place(key)
        with self._tree.directory(place.above) as directory:
            seen = None if directory is None else look(directory, place.name)
        if seen is None or not stat.S_ISLNK(seen.st_mode):
            return None
        return make_entry(key, seen, self._now_ns())

    def read(self, key: str, expect: Entry, start: int, stop: int | None) -> AbstractContextManager[Source]:
        """The text of a link; a link is never changed, only replaced, so what was read is one version."""
        with self._found(key, expect) as (spot, _):
            text = os.readlink(os.fsencode(spot.name), dir_fd=spot.directory)
            seen = _expected(spot, expect)  # it is still the one that was read
        return nullcontext(_Text(make_entry(key, seen, self._now_ns()), text[start:stop]))

    def write(self, key: str, source: Source, expect: Entry | None) -> Entry:
        """Make a link beside its place, then put it there."""
        text = _text(key, source)
        place = _place(key)
        with self._tree.directory(place.above, make=expect is None) as directory:
            if directory is None:
                raise Changed(f"{key}: its directory is gone. Run again.")
            spot = Spot(directory, place.name, key)
            with self._asides.temporary() as temporary:
                try:
                    made = _make(directory, temporary, text, source.entry.mtime_ns)
                    with self._asides.alone(key):
                        if expect is None:
                            _make_room(spot)
                            self._asides.place(spot, temporary)
                        else:
                            self._asides.replace(spot, temporary, _expected(spot, expect))
                except BaseException:
                    with suppress(OSError):  # what can't be removed now, the next scan sweeps
                        os.unlink(temporary, dir_fd=directory)
                    raise
            return self._arrived(spot, made)

    def delete(self, key: str, expect: Entry) -> None:
        """Take a link out of the tree, look at what was taken, and only then remove it."""
        with self._found(key, expect) as (spot, _), self._asides.alone(key):
            self._asides.take(spot, _expected(spot, expect))

    def move(self, key: str, new_key: str, expect: Entry) -> Entry:
        """Give a link another name."""
        new_place = _place(new_key)
        with (
            self._asides.both_alone(key, new_key),
            self._found(key, expect) as (here, seen),
            self._tree.directory(new_place.above, make=True) as directory,
        ):
            assert directory is not None, "it was made"
            there = Spot(directory, new_place.name, new_key)
            _make_room(there)
            self._asides.move(here, there, seen)
            return self._arrived(there, seen)

    def keep(self, key: str, new_key: str, expect: Entry) -> Twin:
        """Give a link a second name; where there are no hard links, make another one of its text."""
        new_place = _place(new_key)
        with self._asides.both_alone(key, new_key), self._found(key, expect) as (here, seen):
            now: os.stat_result | None = seen
            with self._tree.directory(new_place.above, make=True) as directory:
                assert directory is not None, "it was made"
                found = look(directory, new_place.name)
                if found is None or not os.path.samestat(found, seen):
                    there = Spot(directory, new_place.name, new_key)
                    _make_room(there)
                    now = self._asides.link(here, there, seen)
        if now is not None:
            entry = make_entry(key, now, self._now_ns())
            return Twin(entry, entry._replace(key=new_key))
        with self.read(key, expect, 0, None) as source:
            twin = Twin(expect, self.write(new_key, source, None))
        # Else a power cut could take the copy after the original was deleted.
        self._unsynced.sync(self._tree.root)
        return twin

    @contextmanager
    def _found(self, key: str, expect: Entry) -> Iterator[tuple[Spot, os.stat_result]]:
        place = _place(key)
        with self._tree.directory(place.above) as directory:
            if directory is None:
                raise Changed(f"{key}: its directory is gone. Run again.")
            spot = Spot(directory, place.name, key)
            yield spot, _expected(spot, expect)

    def _arrived(self, spot: Spot, made: os.stat_result) -> Entry:
        now = look(spot.directory, spot.name)
        if now is None or identity(now) != identity(made):
            raise Changed(f"{spot.key}: was written to as soon as it was in place. Run again.")
        return make_entry(spot.key, now, self._now_ns())


def _stem(key: str) -> str | None:
    """The name of the link that a key stands for; None where that can be no name."""
    name = key.removesuffix(LINK_SUFFIX).rpartition("/")[2]
    return None if name in {"", ".", ".."} else name


def _place(key: str) -> _Place:
    """Where the link of a key is; raises `Rejected` where it can't be in a tree."""
    *above, name = split(key.removesuffix(LINK_SUFFIX))
    if any(is_temporary(segment) for segment in (*above, name)):
        raise Rejected(f"{key}: has the form of bisyncer's own temporary names. Rename it.")
    return _Place(above, name)


def _is_there(directory: int, name: str) -> bool:
    try:
        return look(directory, name) is not None
    except OSError:
        return False  # too long to be the name of a file


def _expected(spot: Spot, expect: Entry) -> os.stat_result:
    seen = look(spot.directory, spot.name)
    if seen is None:
        raise Changed(f"{spot.key}: is gone. Run again.")
    if not stat.S_ISLNK(seen.st_mode) or not is_expected(seen, expect):
        raise Changed(f"{spot.key}: changed since it was looked at. Run again.")
    return seen


def _make_room(spot: Spot) -> None:
    """See that nothing has the name of a new link; an empty directory gives way, as to a file."""
    seen = look(spot.directory, spot.name)
    if seen is None:
        return
    if stat.S_ISLNK(seen.st_mode):
        raise Changed(f"{spot.key}: exists, and was expected not to. Run again.")
    try:
        os.rmdir(spot.name, dir_fd=spot.directory)
    except OSError:
        what = "a directory with files in it" if stat.S_ISDIR(seen.st_mode) else "a file"
        raise Rejected(f"{spot.key}: {what} is where this link belongs. Rename one of the two.") from None


def _text(key: str, source: Source) -> bytes:
    """All of a source, which must do for the text of a link."""
    text = bytearray()
    while len(text) <= _LONGEST and (piece := source.read(_LONGEST + 1)):
        text += piece
    if not 0 < len(text) <= _LONGEST or b"\0" in text:
        raise Rejected(
            f"{key}: its content can't be the text of a symbolic link, which has 1 to {_LONGEST} bytes and "
            "no NUL. Rename it if it is no link."
        )
    if len(text) != source.entry.size:
        raise Changed(f"{key}: gave {len(text)} bytes where {source.entry.size} were listed. Run again.")
    return bytes(text)


def _make(directory: int, temporary: str, text: bytes, time_ns: int | None) -> os.stat_result:
    os.symlink(text, os.fsencode(temporary), dir_fd=directory)
    if time_ns is not None:
        with suppress(OverflowError):  # a time in an object's metadata may be any number
            os.utime(temporary, ns=(time_ns, time_ns), dir_fd=directory, follow_symlinks=False)
    return os.stat(temporary, dir_fd=directory, follow_symlinks=False)


class _Text:
    """The text of a link as a source."""

    def __init__(self, entry: Entry, text: bytes) -> None:
        self.entry = entry
        self.metadata: Mapping[str, str] = {}
        self._text = text

    def read(self, size: int = -1, /) -> bytes:
        end = len(self._text) if size < 0 else size
        piece, self._text = self._text[:end], self._text[end:]
        return piece
