"""The nouns: frozen values and enums that every room shares.

Values that exist once a key are named tuples, which Python builds several times faster than frozen
dataclasses; values that exist once a run are frozen dataclasses. The value of an enum is spelled the
same in code, database, command line and JSON.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

from bisyncer.errors import Halt

# The folder or prefix below each root that holds what runs replaced and deleted; nothing in it is synced.
TRASH: Final = ".bisyncer-trash"

# The folder or prefix below each root that holds the seals of its pairs; nothing in it is synced either.
SEALS: Final = ".bisyncer-seal"

# The stamps of a directory in a tree, under a key that ends in '/': one in which nothing is, and any other.
DIRECTORY: Final = "directory"
OCCUPIED: Final = "occupied directory"

# What the key of a symbolic link ends with, where links are kept: rclone's word for it.
LINK_SUFFIX: Final = ".rclonelink"


class Side(StrEnum):
    """One of the two roots of a pair."""

    __hash__ = str.__hash__

    PATH1 = "path1"
    PATH2 = "path2"

    @property
    def other(self) -> Side:
        """The side across."""
        return Side.PATH2 if self is Side.PATH1 else Side.PATH1


class Algorithm(StrEnum):
    """What a digest was computed with."""

    __hash__ = str.__hash__

    SHA256 = "sha256"
    MD5 = "md5"
    # An S3 ETag in the shape of an MD5, or the Content-MD5 of an Azure blob. Equal to an MD5 it proves equal
    # content; unequal it proves nothing, since ETags under SSE-KMS and SSE-C have the same shape, and a
    # Content-MD5 may be an uploader's mistaken claim.
    # https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html
    ETAG_MD5 = "etag-md5"
    # An S3 ETag in the shape of an MD5 of the parts' MD5s and their number. It proves what ETAG_MD5 proves,
    # and only of contents cut at the same places: equal to another, equal content; unequal, nothing.
    ETAG_PARTS = "etag-parts"


class Digest(NamedTuple):
    """A content hash: lower-case hex, with its algorithm."""

    algorithm: Algorithm
    value: str


class Entry(NamedTuple):
    """What one side says about one key.

    `stamp` is opaque text that changes when the object does (ETag, inode and ctime); it may only be
    compared with an earlier stamp of the same side. `digests` are the only evidence about content that
    may be compared across sides.
    """

    key: str
    size: int
    mtime_ns: int | None
    stamp: str
    digests: tuple[Digest, ...] = ()


class Unreadable(NamedTuple):
    """A place that a listing could not see, or that holds what is not synced; it stands in key order.

    A prefix ending in '/' covers every key below it. Any other prefix covers that very key and every
    key below `prefix/`. `skipped` says that nothing is wrong: a symbolic link or a socket, by design
    left alone; it becomes a problem only for a key that it stands in the way of.
    """

    prefix: str
    sentence: str
    skipped: bool = False

    def covers(self, key: str) -> bool:
        """Whether `key` is hidden by this place."""
        if self.prefix.endswith("/"):
            return key.startswith(self.prefix)
        return key == self.prefix or key.startswith(self.prefix + "/")

    def hides_link(self, key: str) -> bool:
        """Whether `key` is what this place would be, were it a link that is kept."""
        return self.skipped and key == self.prefix + LINK_SUFFIX


Item = Entry | Unreadable


class Ancestor(NamedTuple):
    """What both sides held when the key was last known to agree."""

    key: str
    path1: Entry
    path2: Entry

    def side(self, side: Side) -> Entry:
        """The entry recorded for `side`."""
        return self.path1 if side is Side.PATH1 else self.path2


# An ancestor as the state reads it: its key; size, mtime_ns and stamp of path1, and of path2; SHA-256 and MD5
# of the content, as bytes. Most are only compared in a run, so that nothing is made of them.
Recorded = tuple[str, int, int | None, str, int, int | None, str, bytes | None, bytes | None]


class Triple(NamedTuple):
    """One key seen three ways; any of the three may be missing."""

    key: str
    ancestor: Ancestor | None
    path1: Item | None
    path2: Item | None


class Delta(StrEnum):
    """One side against the ancestor.

    `touched` means that the stamp moved and the size didn't: only the content can tell whether the
    side is unchanged or changed.
    """

    __hash__ = str.__hash__

    ABSENT = "absent"
    NEW = "new"
    UNCHANGED = "unchanged"
    TOUCHED = "touched"
    CHANGED = "changed"
    DELETED = "deleted"
    UNREADABLE = "unreadable"


class Agreement(StrEnum):
    """The two sides against each other."""

    __hash__ = str.__hash__

    SAME = "same"
    DIFFERENT = "different"
    UNKNOWN = "unknown"


class Verdict(StrEnum):
    """What is to be done about a key."""

    __hash__ = str.__hash__

    NOTHING = "nothing"
    COPY_TO_PATH1 = "copy-to-path1"
    COPY_TO_PATH2 = "copy-to-path2"
    MOVE_ON_PATH1 = "move-on-path1"
    MOVE_ON_PATH2 = "move-on-path2"
    DELETE_FROM_PATH1 = "delete-from-path1"
    DELETE_FROM_PATH2 = "delete-from-path2"
    RECORD = "record"
    FORGET = "forget"
    LEAVE = "leave"
    CHECK = "check"
    CONFLICT = "conflict"
    HOLD = "hold"

    @property
    def side(self) -> Side | None:
        """The side that a copy, a move or a delete writes; None for every other verdict."""
        return _WRITES.get(self)


# What writes a side, by that side.
COPIES: Mapping[Side, Verdict] = {Side.PATH1: Verdict.COPY_TO_PATH1, Side.PATH2: Verdict.COPY_TO_PATH2}
MOVES: Mapping[Side, Verdict] = {Side.PATH1: Verdict.MOVE_ON_PATH1, Side.PATH2: Verdict.MOVE_ON_PATH2}
DELETES: Mapping[Side, Verdict] = {
    Side.PATH1: Verdict.DELETE_FROM_PATH1,
    Side.PATH2: Verdict.DELETE_FROM_PATH2,
}

_WRITES: Mapping[Verdict, Side] = {
    verdict: side for writing in (COPIES, MOVES, DELETES) for side, verdict in writing.items()
}

_SURVIVORS: Mapping[tuple[Verdict, Delta, Delta], Side] = {
    (Verdict.COPY_TO_PATH2, Delta.CHANGED, Delta.DELETED): Side.PATH1,
    (Verdict.COPY_TO_PATH1, Delta.DELETED, Delta.CHANGED): Side.PATH2,
}


def survivor(verdict: Verdict, delta1: Delta, delta2: Delta) -> Side | None:
    """The side whose edit is copied to the other, which had deleted the key; None for all else."""
    return _SURVIVORS.get((verdict, delta1, delta2))


PROBLEMS_SHOWN = 100  # a report lists this many; `bisyncer problems` lists all


class Action(NamedTuple):
    """A verdict about a key, with the facts that it was made from; data, nothing here acts.

    `reason` is a sentence where the verdict is `hold`. `winner` is set on a conflict once it is known
    which side keeps the name. `origin` is set on a move: what the side that is written holds under the old
    name, with the digests that both sides agreed on.
    """

    key: str
    verdict: Verdict
    delta1: Delta
    delta2: Delta
    agreement: Agreement | None
    path1: Entry | None
    path2: Entry | None
    reason: str | None = None
    winner: Side | None = None
    origin: Entry | None = None

    @property
    def recorded_key(self) -> str:
        """The key by which it is recorded: of a move, the old name."""
        return self.key if self.origin is None else self.origin.key

    @property
    def survivor(self) -> Side | None:
        """The side whose edit survives a deletion on the other; None where that isn't what it is."""
        return survivor(self.verdict, self.delta1, self.delta2)

    def entry(self, side: Side) -> Entry | None:
        """The entry that `side` held when the plan was made."""
        return self.path1 if side is Side.PATH1 else self.path2


class Planned(NamedTuple):
    """An action as the plan keeps it: `seq` is its place in the run's plan.

    `again` says that the key moved under the first action, and that this is what a second look found.
    """

    seq: int
    action: Action
    again: bool = False


class Problem(NamedTuple):
    """A key and a sentence: recorded and told, never raised."""

    key: str
    sentence: str


class Kept(NamedTuple):
    """A conflict as it was settled by a run: who kept the name, and where the other version is.

    The entries are what each side held when they met: `path1` and `path2` of the key itself before
    the winner was copied over. `loser` is the ancestor of the conflict name, both sides holding it; None:
    the other version was not kept beside the winner, and is where the store keeps what is replaced.
    """

    winner: Side
    path1: Entry
    path2: Entry
    loser: Ancestor | None


class Done(NamedTuple):
    """An action that was carried out. `ancestor` is what both stores returned; None: the key is gone."""

    planned: Planned
    ancestor: Ancestor | None
    kept: Kept | None = None
    size: int = 0  # bytes that went through
    trashed: str | None = None  # the name in the trash of what was replaced or deleted


class Failed(NamedTuple):
    """An action that was not carried out, and why; the key keeps its old ancestor.

    `passing` says that the store failed in a way that may pass, and was tried several times.
    """

    planned: Planned
    problem: Problem
    passing: bool = False


class Waits(NamedTuple):
    """An action that is left for a later run, and is no problem: somebody may still be writing the key."""

    planned: Planned


class Raced(NamedTuple):
    """An action whose store held something else than was seen, twice; the next run decides afresh."""

    planned: Planned
    problem: Problem


Outcome = Done | Failed | Raced | Waits


class Conditions(NamedTuple):
    """What a store was found to do itself: the requests whose condition it tests in the step of the deed.

    `versions` says that it also keeps what is replaced or deleted, `torn` that it tests the condition of an
    upload in parts, but not in the step that publishes it, `folds_case` that it finds a name in upper and
    lower case alike, `batch` that it deletes many objects in one request, each on its condition, and `tree`
    that it keeps keys as paths of directories, though its answers don't say that it is such a store.
    """

    put: bool = True
    complete: bool = True  # of an upload in parts
    delete: bool = True
    copy: bool = True  # inside the store
    versions: bool = False
    torn: bool = False
    folds_case: bool = False
    batch: bool = False
    tree: bool = False


ALL_CONDITIONS = Conditions()
NO_CONDITIONS = Conditions(put=False, complete=False, delete=False, copy=False)


class Mode(StrEnum):
    """How a pair is reconciled: which sides are written, and whether anything is deleted."""

    BISYNC = "bisync"
    MIRROR = "mirror"
    COPY = "copy"
    DUAL_COPY = "dual-copy"

    @property
    def writes(self) -> frozenset[Side]:
        """The sides that a run may write; of any other it doesn't change a byte."""
        return _ONE_WAY if self in {Mode.MIRROR, Mode.COPY} else _BOTH_WAYS

    @property
    def without_deletions(self) -> Mode:
        """The mode that does the same and deletes nothing; what a first run in this mode goes by."""
        return _WITHOUT_DELETIONS.get(self, self)


_ONE_WAY = frozenset({Side.PATH2})
_BOTH_WAYS = frozenset(Side)
_WITHOUT_DELETIONS: Mapping[Mode, Mode] = {Mode.BISYNC: Mode.DUAL_COPY, Mode.MIRROR: Mode.COPY}


class Fold(NamedTuple):
    """Which differences between names are none: those of upper and lower case, those of Unicode's forms."""

    case: bool
    unicode: bool

    def folded(self, key: str) -> str:
        """What two keys have in common that are one name."""
        if key.isascii():
            return key.lower() if self.case else key
        if self.unicode:
            key = unicodedata.normalize("NFD", key)
        if self.case:
            key = key.casefold()
        return unicodedata.normalize("NFC", key) if self.unicode else key


@dataclass(slots=True)
class Tally:
    """Counts of one plan: all that a gate may look at.

    `scanned` counts entries by side, `ancestors` the keys recorded before the run, `changed` the keys
    by side whose content is another than recorded. `size` is bytes to be copied to each side, and `replaced`
    bytes there whose place they take.
    """

    scanned: dict[Side, int] = field(default_factory=lambda: dict.fromkeys(Side, 0))
    skipped: int = 0  # symbolic links and the like, left alone by design
    waiting: int = 0  # keys that are too young
    ahead: int = 0  # keys with a time to come, whose age can't be told
    ancestors: int = 0
    unchanged: int = 0
    changed: dict[Side, int] = field(default_factory=lambda: dict.fromkeys(Side, 0))
    verdicts: dict[Verdict, int] = field(default_factory=lambda: dict.fromkeys(Verdict, 0))
    size: dict[Side, int] = field(default_factory=lambda: dict.fromkeys(Side, 0))
    survived: int = 0  # edits of keys that the other side deleted
    replaced: dict[Side, int] = field(default_factory=lambda: dict.fromkeys(Side, 0))

    def add(self, other: Tally) -> None:
        """Count what another piece of the same plan came to."""
        for name in ("skipped", "waiting", "ahead", "ancestors", "unchanged", "survived"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for side in Side:
            self.scanned[side] += other.scanned[side]
            self.changed[side] += other.changed[side]
            self.size[side] += other.size[side]
            self.replaced[side] += other.replaced[side]
        for verdict, count in other.verdicts.items():
            self.verdicts[verdict] += count


class RunOutcome(StrEnum):
    """How a run ended."""

    SUCCESS = "success"
    UNFINISHED = "unfinished"
    HALTED = "halted"
    LEASED = "leased"
    NEEDS_RESYNC = "needs-resync"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run did: its report, as values.

    `actions` counts what was carried out (what would be, in a dry run), by the names of the report.
    `size` is bytes that went to each side. Times are ns since the epoch, UTC.
    """

    pair: str
    run: int
    mode: Mode
    outcome: RunOutcome
    started_ns: int
    ended_ns: int
    dry_run: bool
    resync: bool
    path1: str
    path2: str
    scanned: Mapping[Side, int]
    actions: Mapping[str, int]
    size: Mapping[Side, int]
    unchanged: int
    problems: tuple[Problem, ...]  # the first PROBLEMS_SHOWN
    problem_count: int
    conflicts: tuple[tuple[int | None, str], ...]  # (id, key) of those found by this run; no id in a dry one
    halts: tuple[Halt, ...]
    exit_code: int
    requests: Mapping[Side, Mapping[str, int]] = field(default_factory=dict)
    sentence: str | None = None  # why, where the outcome isn't success
    skipped: int = 0  # symbolic links and the like, left alone by design
    waiting: int = 0  # keys that are too young
    ahead: int = 0  # keys with a time to come, whose age can't be told
    scope: str | None = None  # the part that was looked at, in words; None: all of the pair
    left: int = 0  # keys that only path2 has, and that were left there
    survived: int = 0  # edits that were copied to a side that had deleted the key
