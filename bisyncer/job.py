"""The configuration of one pair: what a run is to do, to which roots, and how far it may go."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from bisyncer.model import Mode, Problem, Side


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
    bounds: Bounds = ANY_VERSION

    @property
    def rule(self) -> Resolve:
        """What says which version of a conflict keeps the name."""
        return self.conflict_resolve if self.resync_mode is Resolve.NONE else self.resync_mode

    @property
    def replaces_loser(self) -> bool:
        """Whether the version that loses the name is replaced, rather than kept beside it."""
        return self.conflict_loser is Loser.DELETE or self.resync_mode is not Resolve.NONE


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
    account_key_file: str | None = None
    sas_env: str | None = None
    sas_file: str | None = None
    connection_string_env: str | None = None
    connection_string_file: str | None = None
    account_key: Secret | None = None
    sas: Secret | None = None
    connection_string: Secret | None = None
    access_tier: str | None = None  # Hot | Cool | Cold | Archive: of what is written; None: the account's
    tenant_id: str | None = None
    client_id: str | None = None  # of a service principal, or of a managed identity without a secret
    client_secret_env: str | None = None
    client_secret_file: str | None = None
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
    shards: int | None = None  # ranges of keys to list by; None: by the number of keys
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
