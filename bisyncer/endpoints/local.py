"""LocalEndpoint: a directory tree, on a disk of this host or on a network mount.

What it promises, and where a window remains:

- A key never leads out of the root, and no symbolic link inside it is followed (`tree.py`).
- Readers see the old file or the new one, whole, and at every instant one of the two.
- A file that somebody changed after it was looked at is never lost; how, and what remains where the file
  system has no RENAME_EXCHANGE, is told in `aside.py`.
- A program that keeps a file open across its replacement goes on writing into the old version, which is
  gone when it closes it; so with every tool that replaces files by renaming.
- An edit that leaves size, inode and mtime as they were, made between the last look and the exchange, is
  not seen. That takes a program that sets the mtime back within microseconds, or, before Linux 6.13, two
  edits of the same size within one tick of the kernel's clock (up to 10 ms).
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from bisyncer.endpoints import mounts
from bisyncer.endpoints.aside import CREATE, PREFIX, Asides, Spot, is_temporary
from bisyncer.endpoints.base import Capabilities, Endpoint, NameRules, Probe, Source, Twin, Upload
from bisyncer.endpoints.directory import Directories, is_directory
from bisyncer.endpoints.links import Links, is_link, refuse_other_kind
from bisyncer.endpoints.local_probe import free_bytes, look_into, try_exchange, try_names
from bisyncer.endpoints.local_read import Reading, whole
from bisyncer.endpoints.local_write import adopt, fill, mode_of, restore
from bisyncer.endpoints.outline import Folder, outline
from bisyncer.endpoints.pace import Pace
from bisyncer.endpoints.spelling import other_spelling
from bisyncer.endpoints.tree import (
    LIST,
    MAX_KEY_BYTES,
    SCHEME,
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
from bisyncer.endpoints.unsynced import Unsynced, sync_names
from bisyncer.endpoints.walk import Walk
from bisyncer.errors import (
    Blocked,
    Changed,
    Clash,
    EndpointError,
    NoFile,
    Rejected,
    UsageError,
)
from bisyncer.job import LinkMode
from bisyncer.model import ALL_CONDITIONS, TRASH, Entry, Item

CAPABILITIES = Capabilities(
    names=NameRules.TREE,
    max_key_bytes=MAX_KEY_BYTES,
    conditional_write=True,
    conditional_delete=True,
    whole_directories=True,
    listed_mtime=True,
    atomic_move=True,
)

_FOLDS = (
    "finds a name in upper and lower case alike, so it can't hold two that differ in nothing else; such "
    "names of the other side are told as problems."
)
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# Linux writes back what is dirty for 30 s, and looks every 5 s: dirty_expire_centisecs in
# https://docs.kernel.org/admin-guide/sysctl/vm.html
_WRITTEN_BACK_NS = 60 * 10**9


class LocalEndpoint:
    """The tree below `path`; `owner` is 8 hex digits that mark the temporaries of its pair.

    `trash_at` is the directory in which it has its trash; None: in its own root.
    With `metadata`, the mode and the owner of a file go with its content, and come back with it. With
    `read_only`, a scan sweeps nothing. With `directories`, it tells of each directory too; that is a key that
    ends in '/'. `links` says what becomes of symbolic links; none is followed into the root `apart`.
    `folds_case` is what an earlier probe found.
    """

    def __init__(
        self,
        path: str,
        *,
        owner: str,
        trash_at: str | None = None,
        metadata: bool = True,
        read_only: bool = False,
        directories: bool = False,
        links: LinkMode = LinkMode.SKIP,
        apart: str | None = None,
        folds_case: bool = False,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._path = _real(path)
        self._trash_at = None if trash_at is None else _real(trash_at)
        self._now_ns = now_ns
        self._metadata = metadata
        self._read_only = read_only
        self._unsynced = Unsynced()
        beside = None if self._trash_at is None else Tree(self._trash_at, self._unsynced.add, links=links)
        self._tree = Tree(self._path, self._unsynced.add, beside, links=links)
        self._tree.folds_case = folds_case
        self._asides = Asides(owner, self._unsynced.add)
        self._links = Links(self._tree, self._asides, now_ns) if links is LinkMode.KEEP else None
        self._lists_directories = directories
        self._apart = None if apart is None else apart.removeprefix(SCHEME)
        self._directories = Directories(self._tree, self._unsynced.add)
        self._conditional_write = True
        self._capabilities: tuple[tuple[bool, bool], Capabilities] | None = None

    @property
    def root(self) -> str:
        """`file://` and the real path of the root."""
        return self._tree.root

    @property
    def capabilities(self) -> Capabilities:
        """What a tree can hold; a probe learns whether the file system can exchange names, and folds case."""
        found = self._conditional_write, self._tree.folds_case
        if self._capabilities is None or self._capabilities[0] != found:
            able = replace(CAPABILITIES, conditional_write=found[0], folds_case=found[1])
            self._capabilities = found, able
        return self._capabilities[1]

    @property
    def requests(self) -> Mapping[str, int]:
        """Nothing: a tree is not asked by requests."""
        return {}

    def heed(self, pace: Pace) -> None:
        """Nothing is requested, so nothing is too much."""

    def refusal(self, key: str) -> str | None:
        """Why this store can't hold `key`."""
        try:
            if self._links is not None and is_link(key):
                self._links.check(key)
            else:
                _segments(key)
        except Rejected as error:
            return str(error)
        return None

    def overlaps(self, other: Endpoint) -> bool:
        """Whether one root is or contains the other, by name or by what is mounted there."""
        if not other.root.startswith(SCHEME):
            return False
        theirs = other.root.removeprefix(SCHEME)
        return mounts.contains(self._path, theirs) or mounts.contains(theirs, self._path)

    def probe(self, *, scratch: bool = False) -> Probe:
        """Look whether the root is a directory that can be listed and, with `scratch`, written."""
        for path in (self._path, self._trash_at):
            if path is not None:
                look_into(path)
        skew_ns = None
        if scratch:
            self._conditional_write, skew_ns = try_exchange(self._tree, self._asides, self._now_ns)
        else:
            try_names(self._tree, self._path)
        mount = mounts.mount_of(self._path)
        return Probe(
            mounted=mount.point != "/",
            filesystem=mount.filesystem,
            conditional_write=self._conditional_write,
            conditional_delete=True,
            conditions=ALL_CONDITIONS._replace(folds_case=self._tree.folds_case),
            skew_ns=skew_ns,
            free_bytes=free_bytes(self._path),
            remarks=(_FOLDS,) if self._tree.folds_case else (),
        )

    def scan(self, low: str = "", high: str | None = None) -> Iterator[Item]:
        """Yield what lies in the range; leftovers of this owner's dead runs are swept on the way."""
        asides = None if self._read_only else self._asides
        in_trash = low.startswith(TRASH + "/") and high is not None and high <= TRASH + "0"
        tree = self._tree.holding([TRASH]) if in_trash else self._tree
        return Walk(
            tree,
            asides,
            low,
            high,
            self._now_ns,
            directories=self._lists_directories and not in_trash,  # there they are of no user
            apart=self._apart,
        ).items()

    def outline(self) -> Sequence[Folder]:
        """The folders of a high level, from a few directories."""
        return outline(self._tree)

    def stat(self, key: str) -> Entry | None:
        """The entry of `key`; None also where a directory is, or a file stands above it."""
        if is_directory(key):
            with Explained(self._place(key)):
                return self._directories.stat(key)
        if (links := self._links_of(key)) is not None:
            with Explained(self._place(key)):
                return links.stat(key)
        *above, name = _segments(key)
        with Explained(self._place(key)), self._tree.directory(above, follow=True) as directory:
            seen = None if directory is None else self._tree.look(directory, name, key)
        if seen is None or stat.S_ISDIR(seen.st_mode):
            return None
        if self._links is not None and stat.S_ISLNK(seen.st_mode):
            return None  # it has a key of its own
        if not stat.S_ISREG(seen.st_mode):
            raise NoFile(key, kind(seen))
        return make_entry(key, seen, self._now_ns())

    def read(
        self, key: str, *, expect: Entry, start: int = 0, stop: int | None = None
    ) -> AbstractContextManager[Source]:
        """Open `key` for reading; the end of its bytes is only given if no write touched it meanwhile."""
        if is_directory(key):
            with Explained(self._place(key)):
                return nullcontext(self._directories.read(key))
        if (links := self._links_of(key)) is not None:
            with Explained(self._place(key)):
                return nullcontext(links.read(key, expect, start, stop))
        opened, seen = self._open(key, expect)
        try:
            with Explained(self._place(key)):
                self._note_read(opened, seen)
        except BaseException:
            os.close(opened)
            raise
        reading = Reading(opened, key, self._place(key), seen, now_ns=self._now_ns(), start=start, stop=stop)
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
                    if directory is None or (self._links is not None and is_link(entry.key)):
                        yield None
                    else:
                        yield whole(directory, entry, flags, self._note_read)

    def _note_read(self, opened: int, seen: os.stat_result) -> None:
        """Let a flush sync what somebody wrote a moment ago.

        Were its content recorded, and undone by a power cut, the next run would take that for an edit.
        """
        if self._now_ns() - seen.st_ctime_ns < _WRITTEN_BACK_NS:
            self._unsynced.add_read(opened)

    def write(self, key: str, source: Source, *, expect: Entry | None) -> Entry:
        """Write a file of our own beside `key`, then put it in place."""
        if is_directory(key):
            with Explained(self._place(key)):
                return self._directories.make(key, source)
        if (links := self._links_of(key)) is not None:
            with Explained(self._place(key)):
                return links.write(key, source, expect)
        *above, name = _segments(key)
        with Explained(self._place(key)), self._tree.directory(above, make=expect is None) as directory:
            if directory is None:
                raise Changed(f"{key}: its directory is gone. Run again.")
            replaced = self._check(directory, name, key, expect)
            with self._asides.temporary() as temporary:
                place = _Place(directory, name, key, expect, replaced)
                return self._write(place, temporary, source)

    def delete(self, key: str, *, expect: Entry) -> None:
        """Take `key` out of the tree, look at what was taken, and only then remove it."""
        if is_directory(key):
            with Explained(self._place(key)):
                self._directories.remove(key)
            return
        if (links := self._links_of(key)) is not None:
            with Explained(self._place(key)):
                links.delete(key, expect)
            self._tidy(key.split("/")[:-1])
            return
        *above, name = _segments(key)
        with Explained(self._place(key)), self._tree.directory(above) as directory:
            if directory is None:
                raise Changed(f"{key}: is gone already. Run again.")
            with self._asides.alone(key):
                seen = self._expected(directory, name, key, expect)
                self._asides.take(directory, name, key, seen)
        self._tidy(above)

    def copy_from(
        self,
        source: Endpoint,  # noqa: ARG002
        key: str,  # noqa: ARG002
        *,
        entry: Entry,  # noqa: ARG002
        expect: Entry | None,  # noqa: ARG002
    ) -> Entry | None:
        """None: the content goes through here, where it is hashed."""
        return None

    def move(self, key: str, new_key: str, *, expect: Entry) -> Entry:
        """Rename the file, look at what arrived, and rename it back where it isn't the version expected."""
        if (links := self._renamed(key, new_key)) is not None:
            with Explained(self._place(key)):
                moved_link = links.move(key, new_key, expect)
            self._tidy(key.split("/")[:-1])
            return moved_link
        *above, name = _segments(key)
        *new_above, new_name = _segments(new_key)
        with (
            Explained(self._place(key)),
            self._tree.directory(above) as directory,
            self._asides.both_alone(key, new_key),
        ):
            if directory is None:
                raise Changed(f"{key}: its directory is gone. Run again.")
            seen = self._expected(directory, name, key, expect)
            with self._tree.directory(new_above, make=True) as new_directory:
                assert new_directory is not None, "it was made"
                here, there = Spot(directory, name, key), Spot(new_directory, new_name, new_key)
                if above == new_above and self._is_one_file(directory, name, new_name):
                    self._asides.respell(here, there)
                else:
                    self._make_room(new_directory, new_name, new_key)
                    self._asides.move(here, there, seen)
                moved = look(new_directory, new_name)
        if moved is None or identity(moved) != identity(seen):
            raise Changed(f"{new_key}: was written to as soon as it was in place. Run again.")
        self._tidy(above)
        return make_entry(new_key, moved, self._now_ns())

    def keep(self, key: str, new_key: str, *, expect: Entry) -> Twin:
        """Make a second link to the file; where there are none, a copy of it."""
        if (links := self._renamed(key, new_key)) is not None:
            with Explained(self._place(key)):
                twin = links.keep(key, new_key, expect)
            if twin.entry is expect:  # it was made anew: as below
                self.flush()
            return twin
        *above, name = _segments(key)
        *new_above, new_name = _segments(new_key)
        with (
            Explained(self._place(key)),
            self._tree.directory(above) as directory,
            self._asides.both_alone(key, new_key),
        ):
            if directory is None:
                raise Changed(f"{key}: its directory is gone. Run again.")
            seen = self._expected(directory, name, key, expect)
            now: os.stat_result | None = seen
            with self._tree.directory(new_above, make=True) as new_directory:
                assert new_directory is not None, "it was made"
                there = look(new_directory, new_name)
                if there is None or not os.path.samestat(there, seen):
                    self._make_room(new_directory, new_name, new_key)
                    here = Spot(directory, name, key)
                    now = self._asides.link(here, Spot(new_directory, new_name, new_key), seen)
        if now is not None:
            entry = make_entry(key, now, self._now_ns())
            return Twin(entry, entry._replace(key=new_key))
        with self.read(key, expect=expect) as source:
            twin = Twin(expect, self.write(new_key, source, expect=None))
        # Else a power cut could take the copy after the original was deleted. Its bytes are synced already.
        tree = self._tree.holding(new_above)
        with Explained(self._place(key)):
            for depth in range(len(new_above) + 1):
                with tree.directory(new_above[:depth]) as directory:
                    if directory is not None:
                        sync_names(directory)
        return twin

    def delete_many(self, expect: Sequence[Entry]) -> frozenset[str]:  # noqa: ARG002 -- there are no requests
        """A tree deletes one at a time."""
        return frozenset()

    def abort(self, upload: Upload) -> None:
        """Nothing is sent in parts; what a killed run left is swept by the next scan."""

    def flush(self) -> None:
        """Sync every file system that was written to since the last flush."""
        self._unsynced.sync(self.root)

    def close(self) -> None:
        """Let go of the root and of what waits for a flush."""
        self._unsynced.close()
        self._tree.close()

    def _check(self, directory: int, name: str, key: str, expect: Entry | None) -> os.stat_result | None:
        """Look before anything is transferred: what can't succeed should cost nothing."""
        if expect is None:
            self._make_room(directory, name, key)
            return None
        return self._expected(directory, name, key, expect)

    def _expected(self, directory: int, name: str, key: str, expect: Entry) -> os.stat_result:
        """The look at a key that found what is expected; raises `Changed` where it didn't."""
        seen = look(directory, name)
        if seen is None:
            raise Changed(f"{key}: is gone. Run again.")
        if self._tree.links is LinkMode.FOLLOW and stat.S_ISLNK(seen.st_mode):
            raise Rejected(f"{key}: {THROUGH_A_LINK}")
        if not is_expected(seen, expect):
            raise Changed(f"{key}: changed since it was looked at. Run again.")
        return seen

    def _make_room(self, directory: int, name: str, key: str) -> None:
        """See that nothing has the name of a new file; a link that is kept is another key."""
        if self._links is not None and (seen := look(directory, name)) and stat.S_ISLNK(seen.st_mode):
            raise Rejected(f"{key}: a symbolic link has its name. Rename one of the two.")
        _make_room(directory, name, key)

    def _links_of(self, key: str) -> Links | None:
        """The symbolic links of this tree, where the key is that of one."""
        if self._links is None or not is_link(key):
            return None
        with Explained(self._place(key)):
            return self._links if self._links.owns(key) else None

    def _renamed(self, key: str, new_key: str) -> Links | None:
        """The same for a key that gets another name; that must be of the same kind."""
        if self._links is not None:
            refuse_other_kind(key, new_key)
        return self._links_of(key)

    def _tidy(self, above: list[str]) -> None:
        """Remove directories of the trash that are empty; elsewhere they are the user's."""
        if above[:1] == [TRASH]:
            self._tree.prune(above)

    def _place(self, key: str) -> str:
        """A key as errors name it: which of two trees fails is half of what an operator must know."""
        return f"{self._path}/{key}"

    def _is_one_file(self, directory: int, name: str, new_name: str) -> bool:
        """Whether a file that is listed as `name` is what is found as `new_name`, which isn't listed."""
        return (
            self._tree.folds_case
            and look(directory, new_name) is not None
            and other_spelling(directory, new_name) == name
        )

    def _open(self, key: str, expect: Entry) -> tuple[int, os.stat_result]:
        *above, name = _segments(key)
        with Explained(self._place(key)), self._tree.directory(above, follow=True) as directory:
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

    def _write(self, place: _Place, temporary: str, source: Source) -> Entry:
        directory, name, key, expect, replaced = place
        mode = mode_of(source.metadata) if self._metadata else None
        # Readable by nobody else until it has the mode that it is to have.
        secret = replaced is not None or mode is not None
        opened = os.open(temporary, CREATE, 0o600 if secret else 0o666, dir_fd=directory)
        try:
            try:
                fill(opened, source, key)
                if replaced is not None:
                    adopt(opened, replaced)
                if self._metadata:
                    restore(opened, source.metadata, mode)
                # The data is on its disk before the name is: else a power cut can leave the name with an
                # empty file, which for a name that the state doesn't know yet is a new version that may
                # win over the good one. Sixteen threads at once lose a third of their files/s by it.
                os.fsync(opened)
                written = os.fstat(opened)
                with self._asides.alone(key):
                    if expect is None:
                        self._place_new(place, temporary)
                    else:
                        seen = self._expected(directory, name, key, expect)
                        self._asides.replace(directory, temporary, name, key, seen)
            except BaseException:
                with suppress(OSError):  # what can't be removed now, the next scan sweeps
                    os.unlink(temporary, dir_fd=directory)
                raise
            now = os.fstat(opened)
        finally:
            os.close(opened)
        if identity(now) != identity(written):
            raise Changed(f"{key}: was written to as soon as it was in place. Run again.")
        return make_entry(key, now, self._now_ns())

    def _place_new(self, place: _Place, temporary: str) -> None:
        """Give a new file its name; only where that is taken, look by what, and whether it gives way."""
        directory, name, key = place[:3]
        try:
            self._asides.place(directory, temporary, name, key)
        except Changed:
            self._make_room(directory, name, key)
            self._asides.place(directory, temporary, name, key)


class _Place(NamedTuple):
    """Where a file goes, and what is to be there when it does."""

    directory: int
    name: str
    key: str
    expect: Entry | None
    replaced: os.stat_result | None


def _real(path: str) -> str:
    real = os.path.realpath(path)
    try:
        real.encode()
    except UnicodeEncodeError:
        raise UsageError(
            f"{real!r}: the name of this root is not valid UTF-8. Rename it, or mount it elsewhere."
        ) from None
    return real


def _parent(entry: Entry) -> str:
    return entry.key.rpartition("/")[0]


def _segments(key: str) -> list[str]:
    segments = split(key)
    if PREFIX in key and any(map(is_temporary, segments)):
        raise Rejected(f"{key}: has the form of bisyncer's own temporary names. Rename it.")
    return segments


def _make_room(directory: int, name: str, key: str) -> None:
    """See that nothing has the name; an empty directory gives way, as it holds no version of anything.

    Without that, a bucket where `a/b` is deleted and `a` is made could never be followed.
    """
    seen = look(directory, name)
    if seen is None:
        return
    if not stat.S_ISDIR(seen.st_mode):
        other = other_spelling(directory, name)
        if other is not None:
            raise Clash(f"{key}: is spelled {other!r} here, and can't be both. Rename one of the two.")
        raise Changed(f"{key}: exists, and was expected not to. Run again.")
    try:
        os.rmdir(name, dir_fd=directory)
    except OSError:
        raise Blocked(
            f"{key}: a directory of that name has {_any_name(directory, name)!r} in it. Rename one of the "
            "two."
        ) from None


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


if TYPE_CHECKING:
    _: type[Endpoint] = LocalEndpoint
