"""The regular files of one tree, by their keys."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import groupby

from bisyncer.endpoints.aside import CREATE, PREFIX, Asides, Spot, is_temporary
from bisyncer.endpoints.base import Source, Twin
from bisyncer.endpoints.links import is_link
from bisyncer.endpoints.local_read import Reading, whole
from bisyncer.endpoints.local_write import adopt, fill, mode_of, restore
from bisyncer.endpoints.spelling import other_spelling
from bisyncer.endpoints.tree import (
    LIST,
    THROUGH_A_LINK,
    Explained,
    Tree,
    identity,
    is_expected,
    kind,
    look,
    make_entry,
    split,
)
from bisyncer.endpoints.unsynced import WRITTEN_BACK_NS, Unsynced, sync_names
from bisyncer.errors import Blocked, Changed, Clash, EndpointError, NoFile, Rejected
from bisyncer.job import LinkMode
from bisyncer.model import Entry

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Files:
    """The regular files of one tree, by their keys; methods raise `OSError` for what the system refuses.

    With `metadata`, the mode and the owner of a file go with its content, and come back with it.
    """

    def __init__(
        self, tree: Tree, asides: Asides, unsynced: Unsynced, now_ns: Callable[[], int], *, metadata: bool
    ) -> None:
        self._tree = tree
        self._asides = asides
        self._unsynced = unsynced
        self._now_ns = now_ns
        self._metadata = metadata

    def check(self, key: str) -> None:
        """Raise `Rejected` where no tree can have a file of this key."""
        _segments(key)

    def stat(self, key: str) -> Entry | None:
        """The entry of a file; None also where a directory is, or a file stands above it."""
        *above, name = _segments(key)
        with self._tree.directory(above, follow=True) as directory:
            seen = None if directory is None else self._tree.look(directory, name, key)
            if directory is not None and seen is not None and self._is_fresh(seen):
                self._unsynced.add(directory)
        if seen is None or stat.S_ISDIR(seen.st_mode):
            return None
        if self._keeps_links and stat.S_ISLNK(seen.st_mode):
            return None  # it has a key of its own
        if not stat.S_ISREG(seen.st_mode):
            raise NoFile(key, kind(seen))
        return make_entry(key, seen, self._now_ns())

    def read(self, key: str, expect: Entry, start: int, stop: int | None) -> Reading:
        """Open a file; the end of its bytes is only given if no write touched it meanwhile."""
        opened, seen = self._open(key, expect)
        try:
            self._note_read(opened, seen)
        except BaseException:
            os.close(opened)
            raise
        place = self._tree.place(key)
        reading = Reading(opened, key, place, seen, now_ns=self._now_ns(), start=start, stop=stop)
        if self._metadata:
            reading.metadata = reading.told()
        return reading

    def read_many(self, expect: Sequence[Entry]) -> Generator[bytes | None]:
        """Read files one after the other; their directory stays open for all that follow each other in it."""
        flags = self._tree.reading(_READ)
        for parent, entries in groupby(expect, _parent):
            with ExitStack() as stack:
                directory = None
                with suppress(EndpointError, OSError):
                    above = split(parent) if parent else []
                    directory = stack.enter_context(self._tree.directory(above, follow=True))
                for entry in entries:
                    if directory is None or (self._keeps_links and is_link(entry.key)):
                        yield None
                    else:
                        yield whole(directory, entry, flags, self._note_read)

    def write(self, key: str, source: Source, expect: Entry | None) -> Entry:
        """Write a file of our own beside its place, then put it there."""
        *above, name = _segments(key)
        with self._tree.directory(above, make=expect is None) as directory:
            if directory is None:
                raise Changed(f"{key}: its directory is gone. Run again.")
            spot = Spot(directory, name, key)
            replaced = self._check(spot, expect)
            with self._asides.temporary() as temporary:
                return self._write(spot, temporary, source, expect, replaced)

    def delete(self, key: str, expect: Entry) -> None:
        """Take a file out of the tree, look at what was taken, and only then remove it."""
        *above, name = _segments(key)
        with self._tree.directory(above) as directory:
            if directory is None:
                raise Changed(f"{key}: is gone already. Run again.")
            spot = Spot(directory, name, key)
            with self._asides.alone(key):
                self._asides.take(spot, self._expected(spot, expect))

    def move(self, key: str, new_key: str, expect: Entry) -> Entry:
        """Rename a file, look at what arrived, and rename it back where it isn't the version expected."""
        *above, _ = _segments(key)
        *new_above, new_name = _segments(new_key)
        with (
            self._held(key, new_key, expect) as (here, seen),
            self._tree.directory(new_above, make=True) as new_directory,
        ):
            assert new_directory is not None, "it was made"
            there = Spot(new_directory, new_name, new_key)
            if above == new_above and self._is_one_file(here.directory, here.name, new_name):
                self._asides.respell(here, there)
            else:
                self._make_room(there)
                self._asides.move(here, there, seen)
            moved = look(new_directory, new_name)
        if moved is None or identity(moved) != identity(seen):
            raise Changed(f"{new_key}: was written to as soon as it was in place. Run again.")
        return make_entry(new_key, moved, self._now_ns())

    def keep(self, key: str, new_key: str, expect: Entry) -> Twin:
        """Make a second link to a file; where there are none, a copy of it."""
        *new_above, new_name = _segments(new_key)
        with self._held(key, new_key, expect) as (here, seen):
            now: os.stat_result | None = seen
            with self._tree.directory(new_above, make=True) as new_directory:
                assert new_directory is not None, "it was made"
                found = look(new_directory, new_name)
                if found is None or not os.path.samestat(found, seen):
                    there = Spot(new_directory, new_name, new_key)
                    self._make_room(there)
                    now = self._asides.link(here, there, seen)
        if now is not None:
            entry = make_entry(key, now, self._now_ns())
            return Twin(entry, entry._replace(key=new_key))
        with self.read(key, expect, 0, None) as source, Explained(self._tree.place(new_key)):
            twin = Twin(expect, self.write(new_key, source, None))
        # Else a power cut could take the copy after the original was deleted. Its bytes are synced already.
        tree = self._tree.holding(new_above)
        for depth in range(len(new_above) + 1):
            with tree.directory(new_above[:depth]) as directory:
                if directory is not None:
                    sync_names(directory)
        return twin

    @contextmanager
    def _held(self, key: str, new_key: str, expect: Entry) -> Iterator[tuple[Spot, os.stat_result]]:
        """Where a version is that is to get another name, and the look at it; both keys stay ours."""
        *above, name = _segments(key)
        with self._tree.directory(above) as directory, self._asides.both_alone(key, new_key):
            if directory is None:
                raise Changed(f"{key}: its directory is gone. Run again.")
            spot = Spot(directory, name, key)
            yield spot, self._expected(spot, expect)

    @property
    def _keeps_links(self) -> bool:
        return self._tree.links is LinkMode.KEEP

    def _note_read(self, opened: int, seen: os.stat_result) -> None:
        """Let a flush sync what somebody wrote a moment ago.

        Were its content recorded, and undone by a power cut, the next run would take that for an edit.
        """
        if self._is_fresh(seen):
            self._unsynced.add_read(opened)

    def _is_fresh(self, seen: os.stat_result) -> bool:
        return self._now_ns() - seen.st_ctime_ns < WRITTEN_BACK_NS

    def _check(self, spot: Spot, expect: Entry | None) -> os.stat_result | None:
        """Look before anything is transferred: what can't succeed should cost nothing."""
        if expect is None:
            self._make_room(spot)
            return None
        return self._expected(spot, expect)

    def _expected(self, spot: Spot, expect: Entry) -> os.stat_result:
        """The look at a file that found what is expected; raises `Changed` where it didn't."""
        seen = look(spot.directory, spot.name)
        if seen is None:
            raise Changed(f"{spot.key}: is gone. Run again.")
        if self._tree.links is LinkMode.FOLLOW and stat.S_ISLNK(seen.st_mode):
            raise Rejected(f"{spot.key}: {THROUGH_A_LINK}")
        if not is_expected(seen, expect):
            raise Changed(f"{spot.key}: changed since it was looked at. Run again.")
        return seen

    def _make_room(self, spot: Spot) -> None:
        """See that nothing has the name of a new file; an empty directory gives way.

        It holds no version of anything, and without that a bucket where `a/b` is deleted and `a` is made
        could never be followed. A link that is kept is another key.
        """
        directory, name, key = spot
        seen = look(directory, name)
        if seen is None:
            return
        if self._keeps_links and stat.S_ISLNK(seen.st_mode):
            raise Rejected(f"{key}: a symbolic link has its name. Rename one of the two.")
        if not stat.S_ISDIR(seen.st_mode):
            other = other_spelling(directory, name)
            if other is not None:
                raise Clash(f"{key}: is spelled {other!r} here, and can't be both. Rename one of the two.")
            raise Changed(f"{key}: exists, and was expected not to. Run again.")
        try:
            os.rmdir(name, dir_fd=directory)
        except OSError:
            held = _any_name(directory, name)
            raise Blocked(
                f"{key}: a directory of that name has {held!r} in it. Rename one of the two."
            ) from None

    def _is_one_file(self, directory: int, name: str, new_name: str) -> bool:
        """Whether a file that is listed as `name` is what is found as `new_name`, which isn't listed."""
        return (
            self._tree.folds_case
            and look(directory, new_name) is not None
            and other_spelling(directory, new_name) == name
        )

    def _open(self, key: str, expect: Entry) -> tuple[int, os.stat_result]:
        *above, name = _segments(key)
        with self._tree.directory(above, follow=True) as directory:
            if directory is None:
                raise Changed(f"{key}: its directory is gone. Run again.")
            try:
                opened = os.open(name, self._tree.reading(_READ), dir_fd=directory)
            except OSError as error:
                if error.errno in {errno.ELOOP, errno.ENXIO}:  # a link or a socket is there by now
                    raise Changed(f"{key}: is no file any more. Run again.") from None
                raise
        seen = os.fstat(opened)
        if is_expected(seen, expect):
            return opened, seen
        os.close(opened)
        raise Changed(f"{key}: changed since it was looked at. Run again.")

    def _write(
        self,
        spot: Spot,
        temporary: str,
        source: Source,
        expect: Entry | None,
        replaced: os.stat_result | None,
    ) -> Entry:
        mode = mode_of(source.metadata) if self._metadata else None
        # Readable by nobody else until it has the mode that it is to have.
        secret = replaced is not None or mode is not None
        opened = os.open(temporary, CREATE, 0o600 if secret else 0o666, dir_fd=spot.directory)
        try:
            try:
                fill(opened, source, spot.key)
                if replaced is not None:
                    adopt(opened, replaced)
                if self._metadata:
                    restore(opened, source.metadata, mode)
                # The data is on its disk before the name is: else a power cut can leave the name with an
                # empty file, which for a name that the state doesn't know yet is a new version that may
                # win over the good one. Sixteen threads at once lose a third of their files/s by it.
                os.fsync(opened)
                written = os.fstat(opened)
                with self._asides.alone(spot.key):
                    if expect is None:
                        self._place_new(spot, temporary)
                    else:
                        self._asides.replace(spot, temporary, self._expected(spot, expect))
            except BaseException:
                with suppress(OSError):  # what can't be removed now, the next scan sweeps
                    os.unlink(temporary, dir_fd=spot.directory)
                raise
            now = os.fstat(opened)
        finally:
            os.close(opened)
        if identity(now) != identity(written):
            raise Changed(f"{spot.key}: was written to as soon as it was in place. Run again.")
        return make_entry(spot.key, now, self._now_ns())

    def _place_new(self, spot: Spot, temporary: str) -> None:
        """Give a new file its name; only where that is taken, look by what, and whether it gives way."""
        try:
            self._asides.place(spot, temporary)
        except Changed:
            self._make_room(spot)
            self._asides.place(spot, temporary)


def _parent(entry: Entry) -> str:
    return entry.key.rpartition("/")[0]


def _segments(key: str) -> list[str]:
    segments = split(key)
    if PREFIX in key and any(map(is_temporary, segments)):
        raise Rejected(f"{key}: has the form of bisyncer's own temporary names. Rename it.")
    return segments


def _any_name(directory: int, name: str) -> str:
    """A name in a directory, to tell which one it is."""
    with suppress(OSError):
        opened = os.open(name, LIST, dir_fd=directory)
        try:
            with os.scandir(opened) as found:
                return next((entry.name for entry in found), "something")
        finally:
            os.close(opened)
    return "something"
