"""The Endpoint protocol, and what an endpoint says about itself.

Rules, each a test of the contract suite that every store's tests inherit:

1. A scan is strictly increasing by code point of the key.
2. A local walk sorts each directory with '/' added to the names of directories.
3. `expect` is what the plan was made from. If the store holds something else, `Changed` is raised and
   nothing is overwritten that wasn't seen. `expect=None` means: must not exist.
4. A write returns the entry as the store now has it, and readers see the old object or the new, whole.
5. Callers ask `capabilities`, never for a type.
6. Errors say whether they are worth trying again: `Transient` or not.
9. What can't be read is yielded in its place as an `Unreadable`, not skipped and not raised.
10. Every key is yielded exactly as the store has it.
11. A listing that isn't whole raises `ListingIncomplete`; it never just ends.
12. A copy, a move or a second name on the server is on the same conditions as a write and a delete, and what
   came back is verified as for a write. Where it is more than one request, a crash in between leaves both
   keys.
13. A store sends each request once: what may pass is raised as `Transient`, and `resilient.py` tries again.
   Only what would make a large body go again is repeated where it is sent: its parts, and the request that
   publishes them, each time on its condition; and so are the looks that settle a lost answer.
14. Many deletions in one request are each on the condition of a deletion. Only what the store says plainly is
   told as deleted; whatever else it says, or doesn't, is left to `delete`.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

from bisyncer.endpoints.outline import Folder
from bisyncer.endpoints.pace import Pace
from bisyncer.model import ALL_CONDITIONS, Algorithm, Conditions, Entry, Item


class NameRules(StrEnum):
    """Which keys a store can hold."""

    TREE = "tree"  # a directory tree: no empty, '.' or '..' segment, no file below a file
    BUCKET = "bucket"  # any text up to a number of bytes


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a store can promise.

    `conditional_write` and `conditional_delete`: the condition is tested by the store in the same
    step as the deed; otherwise a look right before it leaves a window. `max_key_bytes` is the longest
    key in UTF-8 bytes, its prefix already taken off.
    """

    names: NameRules
    max_key_bytes: int
    conditional_write: bool
    conditional_delete: bool
    atomic_parts: bool = True  # tests the condition of a body in parts in the step that publishes it
    ordered_listing: bool = True  # lists by code point; otherwise a listing is sorted on disk first
    one_process: bool = False  # another process that opens this root finds another place
    ranged_listing: bool = True  # a scan of a range reads what lies in it; otherwise much more
    whole_directories: bool = False  # a scan that begins or ends within a directory reads all names in it
    folds_case: bool = False  # finds a name in upper and lower case alike, so it can't hold both
    listed_mtime: bool = False  # a listing tells the time of the content, not that of its upload
    listed_digests: tuple[Algorithm, ...] = ()  # what a listing may tell of the content
    server_copy: bool = False  # copies from a root of the same account without bytes through here
    atomic_move: bool = False  # a move is one step; otherwise a copy and then a deletion
    max_object_bytes: int | None = None  # None: no limit of the store's own
    single_put_bytes: int | None = None  # a larger body is sent in parts; None: never in parts
    deletes_at_once: int = 1  # the most deletions that go in one request, each on its own condition


@dataclass(frozen=True, slots=True)
class Probe:
    """What a look at an endpoint's root found."""

    mount: str | None  # where what holds the root is mounted; None where nothing is mounted by nature
    filesystem: str  # the type of file system, or the name of the service
    conditional_write: bool
    conditional_delete: bool
    conditions: Conditions = ALL_CONDITIONS  # the same in full, for who opens this endpoint again
    skew_ns: int | None = None  # how far the store's clock is ahead of ours; None: it tells none
    free_bytes: int | None = None  # left on the file system; None for a bucket
    versioned: bool = False  # the store itself keeps what is replaced or deleted, as far as is known
    remarks: tuple[str, ...] = ()  # sentences about limits of this very store that an operator should know

    @property
    def mounted(self) -> bool | None:
        """Whether the root is on another mount than '/'; None where nothing is mounted by nature."""
        return None if self.mount is None else self.mount != "/"

    @property
    def place(self) -> str:
        """On which mount the root is, in words; of a bucket, its service."""
        if self.mount is None:
            return self.filesystem
        where = f"the mount {self.mount}" if self.mounted else "the root file system"
        return f"{self.filesystem}, on {where}"


class Twin(NamedTuple):
    """One version under two names: the entry of each, as the store now has it.

    `entry` is what to expect at the first name from now on: a second link moves the stamp of a file. That of
    `copy` holds as long as nothing is done to the first name, for the same reason. `found` says that it was
    made by an attempt before this one, of which it may be unclear what became.
    """

    entry: Entry
    copy: Entry
    found: bool = False


class Upload(NamedTuple):
    """An upload in parts that was begun: the key it is for, and the store's name for it."""

    key: str
    id: str


class Uploads(Protocol):
    """Who remembers the uploads in parts that are under way, so that those of a killed run can be aborted.

    Both methods may be called from several threads, and return when what they were told is kept.
    """

    def began(self, upload: Upload) -> None:
        """An upload was begun, and no part of it was sent yet."""
        ...

    def ended(self, upload: Upload) -> None:
        """An upload was published or aborted."""
        ...


class Forgetful:
    """Uploads that nobody remembers: for who opens a root without a state."""

    def began(self, upload: Upload) -> None:
        """Forget it."""

    def ended(self, upload: Upload) -> None:
        """Nothing was kept."""


FORGETFUL = Forgetful()


class Source(Protocol):
    """An object being read: its bytes, and the entry as the store gave it when it was opened.

    `entry.mtime_ns` is the time of the content where the store keeps one (an object's `mtime`
    metadata), not of the upload.
    """

    @property
    def entry(self) -> Entry:
        """The entry as the store gave it when the object was opened."""
        ...

    @property
    def metadata(self) -> Mapping[str, str]:
        """What travels beside the content, under rclone's names (https://rclone.org/docs/#metadata).

        `mode` (octal), `uid` and `gid`; of a bucket's object also content-type, cache-control and the like,
        and every field of its own. Never `mtime`, which is the entry's.
        """
        ...

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes; b'' at the end.

        Raises `Changed` instead of the end where the object changed while it was read, so that a torn
        read can't be taken for a whole one: a writer publishes nothing before it has seen the end.
        """
        ...


class Endpoint(Protocol):
    """One side of a pair: a tree or a bucket. Every method may be called from several threads."""

    @property
    def root(self) -> str:
        """The root as a canonical URL; two roots that are the same place have the same text."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What this store can promise."""
        ...

    @property
    def requests(self) -> Mapping[str, int]:
        """Requests sent so far by kind (list, get, put, ...); empty where nothing is requested."""
        ...

    def heed(self, pace: Pace) -> None:
        """Let `pace` hear of each request that fails and may be repeated, and the parts of bodies go by it.

        Each request as a whole waits for its turn at whoever calls a method.
        """
        ...

    def refusal(self, key: str) -> str | None:
        """Why this store can never hold `key`, as a sentence about it; None where it can."""
        ...

    def overlaps(self, other: Endpoint) -> bool:
        """Whether one of the two roots is, or lies inside, the other."""
        ...

    def probe(self, *, scratch: bool = False) -> Probe:
        """Look whether the root is there and can be used.

        With `scratch`, also write, replace and delete an object of our own to learn whether
        conditions are honoured; it is never left behind and never listed.

        Raises `RootMissing`, `AccessDenied` or `Transient`.
        """
        ...

    def scan(self, low: str = "", high: str | None = None) -> Iterator[Item]:
        """Yield every item with low <= key < high once, in strictly increasing order of key.

        A tree tells nothing of what lies in `TRASH`, unless the range begins in it.
        Raises `ListingIncomplete` where the listing can't be read to its end.
        """
        ...

    def outline(self) -> Sequence[Folder]:
        """Folders and about how many keys each holds, in order of key, at the cost of no request.

        A guess to cut a first listing by; empty where nothing can be told so cheaply.
        """
        ...

    def stat(self, key: str) -> Entry | None:
        """The entry of `key` as it is now; None only where the store says that it isn't there."""
        ...

    def read(
        self, key: str, *, expect: Entry, start: int = 0, stop: int | None = None
    ) -> AbstractContextManager[Source]:
        """Open `key` for reading from byte `start` on, and before `stop`, if that is not None.

        Raises `Changed` where it isn't what `expect` says.
        """
        ...

    def read_many(self, expect: Sequence[Entry]) -> Generator[bytes | None]:
        """Yield the whole content of each, where it is at hand and as expected, one after the other.

        None: `read` has to tell what is there, or why it can't be read. A bucket has nothing at hand.
        """
        ...

    def write(self, key: str, source: Source, *, expect: Entry | None) -> Entry:
        """Write all of `source` to `key`, keeping its mtime and metadata; return the new entry."""
        ...

    def copy_from(self, source: Endpoint, key: str, *, entry: Entry, expect: Entry | None) -> Entry | None:
        """Copy the version `entry` of `source` to `key` inside the store, with its mtime and metadata.

        Returns the new entry, or None where these two can't: then nothing was done, and the content has to
        go through here. Raises `Changed` where the source isn't `entry`, or `key` isn't as expected.
        """
        ...

    def move(self, key: str, new_key: str, *, expect: Entry) -> Entry:
        """Give `key` the name `new_key`, which must be free, and return its entry there.

        Raises `Changed` where `key` isn't what `expect` says or `new_key` is taken, and `Rejected` where
        this store can't move it.
        """
        ...

    def keep(self, key: str, new_key: str, *, expect: Entry) -> Twin:
        """Give the version at `key` a second name, `new_key`, which must be free; it outlasts the first one.

        Raises `Changed` where `key` isn't what `expect` says or `new_key` is taken by another version, and
        `Rejected` where this store can't.
        """
        ...

    def delete(self, key: str, *, expect: Entry) -> None:
        """Delete `key`; raises `Changed` where it isn't what `expect` says, or is gone."""
        ...

    def delete_many(self, expect: Sequence[Entry]) -> frozenset[str]:
        """Delete what is as expected in one request; return the keys that the store says it has deleted.

        Up to `capabilities.deletes_at_once` keys, each once. Of the others nothing is known: they may be gone
        too, and `delete` finds out. Raises `EndpointError` where nothing is known of any.
        """
        ...

    def abort(self, upload: Upload) -> None:
        """Take back what a killed run left of an upload in parts; one that is gone already is fine.

        Raises `Transient`, or `Rejected` where that can't be.
        """
        ...

    def flush(self) -> None:
        """Return when all that was written and deleted so far would outlast a power cut."""
        ...

    def close(self) -> None:
        """Give back connections and descriptors."""
        ...
