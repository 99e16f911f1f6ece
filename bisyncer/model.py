"""The nouns: frozen values and enums that every room shares.

Values that exist once a key are named tuples, which Python builds several times faster than frozen
dataclasses; values that exist once a run are frozen dataclasses. The value of an enum is spelled the
same in code, database, command line, JSON and metrics.
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

    PATH1 = "path1"
    PATH2 = "path2"

    @property
    def other(self) -> Side:
        """The side across."""
        return Side.PATH2 if self is Side.PATH1 else Side.PATH1


class Algorithm(StrEnum):
    """What a digest was computed with."""

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

    ABSENT = "absent"
    NEW = "new"
    UNCHANGED = "unchanged"
    TOUCHED = "touched"
    CHANGED = "changed"
    DELETED = "deleted"
    UNREADABLE = "unreadable"


class Agreement(StrEnum):
    """The two sides against each other."""

    SAME = "same"
    DIFFERENT = "different"
    UNKNOWN = "unknown"


class Verdict(StrEnum):
    """What is to be done about a key."""

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


_WRITES: Mapping[Verdict, Side] = {
    Verdict.COPY_TO_PATH1: Side.PATH1,
    Verdict.COPY_TO_PATH2: Side.PATH2,
    Verdict.MOVE_ON_PATH1: Side.PATH1,
    Verdict.MOVE_ON_PATH2: Side.PATH2,
    Verdict.DELETE_FROM_PATH1: Side.PATH1,
    Verdict.DELETE_FROM_PATH2: Side.PATH2,
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
    upload in parts, but not in the step that publishes it, and `folds_case` that it finds a name in upper and
    lower case alike.
    """

    put: bool = True
    complete: bool = True  # of an upload in parts
    delete: bool = True
    copy: bool = True  # inside the store
    versions: bool = False
    torn: bool = False
    folds_case: bool = False


ALL_CONDITIONS = Conditions()


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


class LinkMode(StrEnum):
    """What becomes of symbolic links in a tree."""

    SKIP = "skip"  # left alone
    FOLLOW = "follow"  # what they point to is synced as if it were there; nothing is written through them
    KEEP = "keep"  # synced as links: as `NAME.rclonelink`, with the text of the link as content


class Resolve(StrEnum):
    """Which version of a conflict keeps the name; `none` leaves it to a person, path1's there meanwhile."""

    NONE = "none"
    NEWER = "newer"
    OLDER = "older"
    LARGER = "larger"
    SMALLER = "smaller"
    PATH1 = "path1"
    PATH2 = "path2"


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


class MatchNames(StrEnum):
    """Which keys that are new on either side are taken for two spellings of one name.

    What a store itself takes for one name is always one.
    """

    EXACT = "exact"
    UNICODE = "unicode"
    FOLDED = "folded"


class Loser(StrEnum):
    """What becomes of the version that loses the name: kept beside it under a name, or put into the trash."""

    NUM = "num"
    PATHNAME = "pathname"
    DELETE = "delete"


class Evidence(StrEnum):
    """What may tell that content differs."""

    SIZE = "size"
    MTIME = "mtime"
    HASH = "hash"


@dataclass(frozen=True, slots=True)
class Bounds:
    """Which versions are taken up, by size and by age; None: any."""

    min_size: int | None = None
    max_size: int | None = None
    min_age_ns: int | None = None
    max_age_ns: int | None = None


ANY_VERSION = Bounds()


@dataclass(frozen=True, slots=True)
class Policy:
    """How to compare, and what to do about conflicts.

    An empty `compare` is `auto`: whatever each store can tell, and content where that isn't enough.
    `restless` names the sides whose stamps move without the content: a tree's do, a bucket's don't.
    `undated` names those whose listing tells when an object was uploaded, not the time of its content.
    `mode` is the one whose table decides.
    `conflict_suffix` is what the name of a losing version ends with: one from path1, one from path2.
    `resync_mode` is for a resync alone; `none` there leaves what differs to the other rules.
    With `create_empty_dirs`, a directory in which nothing is synced is a key that ends in '/'; between two
    buckets such keys are objects like any other.
    """

    mode: Mode = Mode.BISYNC
    compare: frozenset[Evidence] = frozenset()
    modify_window_ns: int = 0
    conflict_resolve: Resolve = Resolve.NEWER
    conflict_loser: Loser = Loser.NUM
    conflict_suffix: tuple[str, str] = ("conflict", "conflict")
    resync_mode: Resolve = Resolve.NONE
    restless: frozenset[Side] = frozenset()
    undated: frozenset[Side] = frozenset()
    track_renames: bool = True
    match_names: MatchNames = MatchNames.UNICODE
    fix_case: bool = False
    create_empty_dirs: bool = False

    @property
    def rule(self) -> Resolve:
        """What says which version of a conflict keeps the name."""
        return self.conflict_resolve if self.resync_mode is Resolve.NONE else self.resync_mode

    @property
    def replaces_loser(self) -> bool:
        """Whether the version that loses the name is replaced, rather than kept beside it."""
        return self.conflict_loser is Loser.DELETE or self.resync_mode is not Resolve.NONE

    bounds: Bounds = ANY_VERSION


@dataclass(frozen=True, slots=True)
class Limits:
    """What to refuse. A limit of None is off; `force` names the gates opened for this run."""

    max_delete_percent: float | None = 50.0
    max_delete_count: int | None = None
    floor: int = 10  # keys recorded: below it, the guards about the whole side don't look
    max_skew_ns: int | None = 900 * 10**9  # of a store's clock, where times decide
    force: frozenset[str] = frozenset()


class Secret:
    """Text that is never shown: neither by a log, nor a traceback, nor an error."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text, for who sends it to its store."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(***)"


@dataclass(frozen=True, slots=True)
class Remote:
    """A named store of the config: where it is and how to speak to it.

    Secrets come from the SDK's own chain, or from the environment variables or files named here; or they
    were read from an rclone.conf, and are a `Secret` here.
    """

    name: str
    type: str = "s3"  # s3 | azure | oci | local
    root: str | None = None  # where the remote begins: for local and alias remotes of an rclone.conf
    endpoint_url: str | None = None
    region: str | None = None
    profile: str | None = None
    addressing_style: str = "auto"  # auto | path | virtual
    access_key_id_env: str | None = None
    secret_access_key_env: str | None = None
    secret_access_key_file: str | None = None
    storage_class: str | None = None
    sse: str | None = None  # AES256 | aws:kms | aws:kms:dsse
    sse_kms_key_id: str | None = None
    access_key_id: str | None = None
    secret_access_key: Secret | None = None
    session_token: Secret | None = None
    sse_customer_key_env: str | None = None  # of 32 bytes in Base64, for SSE-C
    sse_customer_key_file: str | None = None
    sse_customer_key: Secret | None = None
    request_payer: bool = False  # requests are paid for by who asks
    list_version: str = "auto"  # auto | 1 | 2: of ListObjects; auto: 2, and 1 where the server hasn't that
    # OCI alone:
    auth: str = "api_key"  # in the words of the OCI command line
    config_file: str | None = None
    namespace: str | None = None
    # Azure alone:
    account: str | None = None
    account_key_env: str | None = None
    sas_env: str | None = None
    connection_string_env: str | None = None
    account_key: Secret | None = None
    sas: Secret | None = None
    connection_string: Secret | None = None
    access_tier: str | None = None  # Hot | Cool | Cold | Archive: of what is written; None: the account's
    tenant_id: str | None = None
    client_id: str | None = None  # of a service principal, or of a managed identity without a secret
    client_secret_env: str | None = None
    client_secret: Secret | None = None


@dataclass(frozen=True, slots=True)
class Retention:
    """Whether each side keeps what a run replaces or deletes there, and how long.

    None of a side: it does where nothing else keeps it, which is in trees and in buckets without versions.
    `keep_ns` of None: for ever.
    """

    path1: bool | None = None
    path2: bool | None = None
    keep_ns: int | None = 30 * 86400 * 10**9

    def side(self, side: Side) -> bool | None:
        """What is asked for on `side`."""
        return self.path1 if side is Side.PATH1 else self.path2


class Limit(NamedTuple):
    """A line of a bandwidth timetable: from then on, so many bytes a second; None: no limit.

    `weekday` is 0 for Monday, or None for every day; `minute` counts from midnight, local time.
    """

    weekday: int | None
    minute: int
    bytes_per_s: int | None


@dataclass(frozen=True, slots=True)
class Scope:
    """Which keys of a pair a run looks at: all, unless a prefix or some keys are named.

    `prefix` stands for that key and all below it. A name in `keys` that is a folder stands for all below it.
    `refused` are names that can't be keys here; they are the run's problems. `plan` is the run whose kept
    plan is applied: then its keys are looked at, and no plan is made.
    """

    prefix: str | None = None
    keys: tuple[str, ...] | None = None
    refused: tuple[Problem, ...] = ()
    plan: int | None = None

    @property
    def words(self) -> str | None:
        """The scope in words; None: all of the pair."""
        if self.prefix is not None:
            return f"prefix {self.prefix}"
        if self.keys is not None:
            return f"{len(self.keys)} named"
        if self.plan is not None:
            return f"plan of run {self.plan}"
        return None


ALL_KEYS = Scope()


class FilterFile(NamedTuple):
    """A file of patterns, line by line as it was read."""

    path: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Job:
    """All of one pair for one run."""

    pair: str
    path1: str  # the root as the user wrote it
    path2: str
    mode: Mode = Mode.BISYNC
    remotes: tuple[Remote, ...] = ()
    policy: Policy = field(default_factory=Policy)
    limits: Limits = field(default_factory=Limits)
    trash: Retention = field(default_factory=Retention)
    backup_dir1: str | None = None  # a root in which path1 has its trash; None: its own
    backup_dir2: str | None = None
    exclude: tuple[str, ...] = ()
    include: tuple[str, ...] = ()  # none: all keys
    filter_file: FilterFile | None = None
    delete_excluded: bool = False  # of a mirror: what the filters leave out is deleted from path2
    exclude_if_present: str | None = None  # a directory that holds a file of this name is left alone
    check_file: str | None = None
    require_mount: bool = False
    transfers: int = 16
    metadata: bool = True  # mode, uid and gid of files travel
    links: LinkMode = LinkMode.SKIP
    remove_empty_dirs: bool = True  # those that a run emptied, and the other side hasn't
    require_conditional: bool = False
    strict: bool = False  # the first problem ends the run
    bwlimit: tuple[Limit, ...] = ()
    max_duration_ns: int | None = None
    dry_run: bool = False
    resync: bool = False
    scope: Scope = ALL_KEYS

    def backup_dir(self, side: Side) -> str | None:
        """Where `side` has its trash; None: in its own root."""
        return self.backup_dir1 if side is Side.PATH1 else self.backup_dir2


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
    """What a run did: the report of CLI.md, section 4, as values.

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
    conflicts: tuple[tuple[int, str], ...]  # (id, key) of those found by this run
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
