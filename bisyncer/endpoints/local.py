"""LocalEndpoint: a directory tree, on a disk of this host or on a network mount.

What it promises, and where a window remains:

- A key never leads out of the root, and no symbolic link inside it is followed, unless the pair follows them
  for reading (`tree.py`). What a key stands for is done by `files.py`, `links.py` or `directory.py`.
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

import os
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING

from bisyncer.endpoints import mounts
from bisyncer.endpoints.aside import Asides
from bisyncer.endpoints.base import Capabilities, Endpoint, NameRules, Probe, Source, Twin, Upload
from bisyncer.endpoints.directory import Directories, is_directory
from bisyncer.endpoints.files import Files
from bisyncer.endpoints.links import Links, is_link, refuse_other_kind
from bisyncer.endpoints.local_probe import free_bytes, look_into, try_exchange, try_names
from bisyncer.endpoints.outline import Folder, outline
from bisyncer.endpoints.pace import Pace
from bisyncer.endpoints.tree import (
    MAX_KEY_BYTES,
    SCHEME,
    Explained,
    Tree,
)
from bisyncer.endpoints.unsynced import Unsynced
from bisyncer.endpoints.walk import Walk
from bisyncer.errors import (
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
        self._read_only = read_only
        self._unsynced = Unsynced()
        beside = None if self._trash_at is None else Tree(self._trash_at, self._unsynced.add, links=links)
        self._tree = Tree(self._path, self._unsynced.add, beside, links=links)
        self._tree.folds_case = folds_case
        self._asides = Asides(owner, self._unsynced.add)
        self._directories = Directories(self._tree, self._unsynced.add)
        self._files = Files(self._tree, self._asides, self._unsynced, now_ns, metadata=metadata)
        self._links = (
            Links(self._tree, self._asides, self._unsynced, now_ns) if links is LinkMode.KEEP else None
        )
        self._lists_directories = directories
        self._apart = None if apart is None else apart.removeprefix(SCHEME)
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
                self._files.check(key)
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
            mount=mount.point,
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
            fresh=self._unsynced.add,
            directories=self._lists_directories and not in_trash,  # there they are of no user
            apart=self._apart,
        ).items()

    def outline(self) -> Sequence[Folder]:
        """The folders of a high level, from a few directories."""
        return outline(self._tree)

    def stat(self, key: str) -> Entry | None:
        """The entry of `key`; None also where a directory is, or a file stands above it."""
        with Explained(self._tree.place(key)):
            if is_directory(key):
                return self._directories.stat(key)
            return self._of(key).stat(key)

    def read(
        self, key: str, *, expect: Entry, start: int = 0, stop: int | None = None
    ) -> AbstractContextManager[Source]:
        """Open `key` for reading; the end of its bytes is only given if no write touched it meanwhile."""
        with Explained(self._tree.place(key)):
            if is_directory(key):
                return self._directories.read(key)
            return self._of(key).read(key, expect, start, stop)

    def read_many(self, expect: Sequence[Entry]) -> Generator[bytes | None]:
        """Read files one after the other; their directory stays open for all that follow each other in it."""
        return self._files.read_many(expect)

    def write(self, key: str, source: Source, *, expect: Entry | None) -> Entry:
        """Write a file of our own beside `key`, then put it in place."""
        with Explained(self._tree.place(key)):
            if is_directory(key):
                return self._directories.make(key, source)
            return self._of(key).write(key, source, expect)

    def delete(self, key: str, *, expect: Entry) -> None:
        """Take `key` out of the tree, look at what was taken, and only then remove it."""
        with Explained(self._tree.place(key)):
            if is_directory(key):
                self._directories.remove(key)
                return
            self._of(key).delete(key, expect)
        self._tidy(key)

    def copy_from(
        self,
        source: Endpoint,  # noqa: ARG002 -- nothing is copied inside
        key: str,  # noqa: ARG002 -- nothing is copied inside
        *,
        entry: Entry,  # noqa: ARG002 -- nothing is copied inside
        expect: Entry | None,  # noqa: ARG002 -- nothing is copied inside
    ) -> Entry | None:
        """None: the content goes through here, where it is hashed."""
        return None

    def move(self, key: str, new_key: str, *, expect: Entry) -> Entry:
        """Rename the file, look at what arrived, and rename it back where it isn't the version expected."""
        with Explained(self._tree.place(key)):
            moved = self._of(key, new_key).move(key, new_key, expect)
        self._tidy(key)
        return moved

    def keep(self, key: str, new_key: str, *, expect: Entry) -> Twin:
        """Make a second link to the file; where there are none, a copy of it that outlasts a power cut."""
        with Explained(self._tree.place(key)):
            return self._of(key, new_key).keep(key, new_key, expect)

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

    def _of(self, key: str, new_key: str | None = None) -> Files | Links:
        """The kind that a key is of, which that of a new key must be too."""
        if self._links is None:
            return self._files
        if new_key is not None:
            refuse_other_kind(key, new_key)
        return self._links if is_link(key) and self._links.owns(key) else self._files

    def _tidy(self, key: str) -> None:
        """Remove directories above a key of the trash that are empty; elsewhere they are the user's."""
        *above, _ = key.split("/")
        if above[:1] == [TRASH]:
            self._tree.prune(above)


def _real(path: str) -> str:
    real = os.path.realpath(path)
    try:
        real.encode()
    except UnicodeEncodeError:
        raise UsageError(
            f"{real!r}: the name of this root is not valid UTF-8. Rename it, or mount it elsewhere."
        ) from None
    return real


if TYPE_CHECKING:
    _: type[Endpoint] = LocalEndpoint
