"""What can be set: one table, from which the file, the environment, the flags and the docs page are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from itertools import chain
from typing import Final, Generic, NamedTuple, TypeVar

from bisyncer.config import parser, urls
from bisyncer.job import LinkMode, Loser, MatchNames, Resolve
from bisyncer.model import Mode

T_co = TypeVar("T_co", covariant=True)

PREFIX: Final = "BISYNCER_"


class Shape(StrEnum):
    """How a setting is given as a flag and in the environment."""

    ONE = "one"  # --transfers 8
    MANY = "many"  # --exclude A --exclude B; commas between the values in the environment
    SWITCH = "switch"  # --require-mount, --no-require-mount


class Setting(NamedTuple, Generic[T_co]):
    """One key of the config. `default` is written as in the file; None: not set, and the reader gets None."""

    name: str
    parse: Callable[[object], T_co]
    default: object
    metavar: str
    help: str
    shape: Shape = Shape.ONE

    @property
    def flag(self) -> str:
        """Its name on the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return PREFIX + self.name.upper()


# fmt: off
STATE: Final = Setting("state", urls.state_url, None, "URL",
    "The state database: sqlite:///FILE (four slashes before an absolute path), or "
    "postgresql+psycopg://USER@HOST/NAME. Unset, it is a file in the user's state folder.")

RCLONE_CONFIG: Final = Setting("rclone_config", parser.text, None, "FILE",
    "The rclone.conf in which remotes are looked for that aren't in this file. Unset, it is the one that "
    "rclone would read: $RCLONE_CONFIG, else rclone/rclone.conf in the user's config folder, else "
    "~/.rclone.conf.")

PATH1: Final = Setting("path1", parser.root, None, "ROOT",
    "The first root: a directory, s3://BUCKET/PREFIX, azure://CONTAINER/PREFIX, "
    "oci://BUCKET@NAMESPACE/PREFIX, or REMOTE:BUCKET/PREFIX for a remote of this file or of an rclone.conf. "
    "A relative directory counts from the folder of the config file.")
PATH2: Final = Setting("path2", parser.root, None, "ROOT", "The second root, written like the first.")
MODE: Final = Setting("mode", parser.choice(Mode), "bisync", "MODE",
    "How the pair is reconciled: bisync, both ways, deletions too; mirror, path2 becomes path1's exact copy "
    "and path1 is never written; copy, as mirror and nothing is deleted; dual-copy, new and changed both "
    "ways, nothing is deleted.")
DELETE_EXCLUDED: Final = Setting("delete_excluded", parser.switch, False, "", # noqa: FBT003 -- a default, as the file writes it
    "In the mode mirror, what the filters leave out is deleted from path2 too. Look at a plan first.",
    Shape.SWITCH)
COMPARE: Final = Setting("compare", parser.evidence, "auto", "WHAT",
    "What may tell that content differs: any of size, mtime, hash; or auto, whatever each store can tell. "
    "The size always counts.",
    Shape.MANY)
MODIFY_WINDOW: Final = Setting("modify_window", parser.window_ns, "0s", "DURATION",
    "Times this close together count as equal; 1d at the most.")
EXCLUDE: Final = Setting("exclude", parser.patterns, [], "PATTERN",
    "Gitignore patterns of keys to leave alone on both sides.", Shape.MANY)
INCLUDE: Final = Setting("include", parser.patterns, [], "PATTERN",
    "Gitignore patterns; where any are given, every key that none of them has is left alone.", Shape.MANY)
FILTERS_FILE: Final = Setting("filters_file", parser.text, None, "FILE",
    "A file of gitignore patterns, or of rclone's '- ' and '+ ' lines; a relative one counts from the folder "
    "of the config file.")
EXCLUDE_IF_PRESENT: Final = Setting("exclude_if_present", parser.file_name, None, "NAME",
    "A directory that holds a file of this name, on either side, is left alone on both.")
MIN_SIZE: Final = Setting("min_size", parser.size, "off", "SIZE",
    "A key is left alone while a side holds a smaller version: 100K, 10M or 1G, in powers of 1024.")
MAX_SIZE: Final = Setting("max_size", parser.size, "off", "SIZE",
    "A key is left alone while a side holds a larger version.")
MIN_AGE: Final = Setting("min_age", parser.age, "off", "DURATION",
    "A version that was written more recently waits for a later run, and is no problem.")
MAX_AGE: Final = Setting("max_age", parser.age, "off", "DURATION",
    "A version that was written longer ago is left alone.")
CHECK_FILE: Final = Setting("check_file", parser.file_key, None, "KEY",
    "A file that must be on both sides, or nothing is done.")
REQUIRE_MOUNT: Final = Setting("require_mount", parser.switch, False, "", # noqa: FBT003 -- a default, as the file writes it
    "Do nothing unless each local root lies on another mount than /.", Shape.SWITCH)
MAX_DELETE: Final = Setting("max_delete", parser.max_delete, "50%", "LIMIT",
    'How much of one side a run may delete: a percentage ("50%"), a count, both, or "off".', Shape.MANY)
MAX_SKEW: Final = Setting("max_skew", parser.duration_or_off, "15m", "DURATION",
    "Do nothing where times decide and a store's clock is further from this host's, or off.")
STRICT: Final = Setting("strict", parser.switch, False, "", # noqa: FBT003 -- as above
    "The first problem with a key ends the run: before any change where the plan finds it, else with what is "
    "done committed. Otherwise the other keys go on.", Shape.SWITCH)
CONFLICT_RESOLVE: Final = Setting("conflict_resolve", parser.choice(Resolve), "newer", "WHICH",
    "Which version of a conflict keeps the name: newer, older, larger, smaller, path1 or path2; or none, "
    "which chooses nobody: path1's stays, and the other is kept beside it, until a person decides.")
CONFLICT_LOSER: Final = Setting("conflict_loser", parser.choice(Loser), "num", "WHAT",
    "What becomes of the other version: num, kept beside the name with a number behind the suffix; "
    "pathname, with a suffix that says its side; delete, replaced by the winner and put into the trash.")
CONFLICT_SUFFIX: Final = Setting("conflict_suffix", parser.suffixes, "conflict", "WORD",
    'What the name of the other version ends with; or one suffix a side, as "here,there". {DateOnly}, '
    "{MacFriendlyTime} and {MacFriendlyTime24} are the date and the time of the run, in UTC. Unset, it is "
    "path1 or path2 with pathname.")
RESYNC_MODE: Final = Setting("resync_mode", parser.choice(Resolve), "none", "WHICH",
    "Which version a resync lets replace the other where both sides hold a key differently: newer, older, "
    "larger, smaller, path1 or path2; or none, which goes by conflict_resolve and conflict_loser.")
TRACK_RENAMES: Final = Setting("track_renames", parser.switch, True, "", # noqa: FBT003 -- as above
    "A renamed key is moved on the other side, not sent again and deleted.", Shape.SWITCH)
MATCH_NAMES: Final = Setting("match_names", parser.choice(MatchNames), "unicode", "HOW",
    "Which names that are new on either side are one name in two spellings: unicode, those that are one text "
    "in Unicode (NFC and NFD); folded, upper and lower case too; exact, neither. What a file system itself "
    "takes for one name always is.")
FIX_CASE: Final = Setting("fix_case", parser.switch, False, "", # noqa: FBT003 -- as above
    "A name that each side spells in its own way is renamed on path2 to the spelling of path1. Unset, both "
    "are problems, and neither is copied.", Shape.SWITCH)
TRASH: Final = Setting("trash", parser.trash, "keep=30d", "WHERE",
    "Which sides keep in .bisyncer-trash what a run replaces or deletes there: on, off, path1 or path2; and "
    "how long, as keep=30d or keep=forever behind a comma. Unset, trees do, and buckets that keep no "
    'versions of their own. In the file also a table: { path1 = true, keep = "30d" }.')
BACKUP_DIR1: Final = Setting("backup_dir1", parser.root, None, "ROOT",
    "Where path1 has its trash, if not in its own root: a root as path1 is one, outside of both.")
BACKUP_DIR2: Final = Setting("backup_dir2", parser.root, None, "ROOT", "The same for path2.")
TRANSFERS: Final = Setting("transfers", parser.transfers, 16, "N", "How many objects are moved at a time.")
LINKS: Final = Setting("links", parser.choice(LinkMode), "skip", "HOW",
    "Symbolic links in a tree: skip, they are left alone; keep, they are synced as links, in a bucket as "
    "objects named NAME.rclonelink; or follow, what they point to is synced.")
CREATE_EMPTY_DIRS: Final = Setting("create_empty_dirs", parser.switch, False, "", # noqa: FBT003 -- as above
    "Empty directories are synced too; in a bucket each is an empty object whose name ends in a slash.",
    Shape.SWITCH)
REMOVE_EMPTY_DIRS: Final = Setting("remove_empty_dirs", parser.switch, True, "", # noqa: FBT003 -- as above
    "A directory from which a run took the last file is removed, where the other side has none.",
    Shape.SWITCH)
METADATA: Final = Setting("metadata", parser.switch, True, "", # noqa: FBT003 -- as above
    "The mode, the owner and the group of files travel too.", Shape.SWITCH)
REQUIRE_CONDITIONAL: Final = Setting("require_conditional", parser.switch, False, "", # noqa: FBT003 -- as above
    "Do nothing unless each bucket itself tests the condition of each write and delete.", Shape.SWITCH)
BWLIMIT: Final = Setting("bwlimit", parser.bandwidth, "off", "LIMIT",
    'How many bytes a second a run moves, in rclone\'s words: "10M", a timetable such as '
    '"08:00,512k 18:00,10M 23:00,off" or "Mon-08:00,1M Sat-00:00,off" in local time, or "off". A bare number '
    "is KiB; B, K, M, G and T are powers of 1024.")
MAX_DURATION: Final = Setting("max_duration", parser.max_duration, "off", "DURATION",
    "A run takes up no more work after this long; what is left is done by the next run.")
STALE_AFTER: Final = Setting("stale_after", parser.duration_or_off, "off", "DURATION",
    "`bisyncer status` calls the pair stale when its last good run is older than this.")

# The settings of a pair, as its help and its reference page have them.
GROUPS: Final[Mapping[str, tuple[Setting[object], ...]]] = {
    "the pair": (PATH1, PATH2, MODE),
    "what counts as a change": (COMPARE, MODIFY_WINDOW),
    "what is left alone": (
        EXCLUDE,
        INCLUDE,
        FILTERS_FILE,
        DELETE_EXCLUDED,
        EXCLUDE_IF_PRESENT,
        MIN_SIZE,
        MAX_SIZE,
        MIN_AGE,
        MAX_AGE,
    ),
    "guards": (CHECK_FILE, REQUIRE_MOUNT, MAX_DELETE, MAX_SKEW, STRICT, REQUIRE_CONDITIONAL),
    "conflicts": (CONFLICT_RESOLVE, CONFLICT_LOSER, CONFLICT_SUFFIX, RESYNC_MODE),
    "names and kinds": (
        TRACK_RENAMES,
        MATCH_NAMES,
        FIX_CASE,
        LINKS,
        CREATE_EMPTY_DIRS,
        REMOVE_EMPTY_DIRS,
        METADATA,
    ),
    "the trash": (TRASH, BACKUP_DIR1, BACKUP_DIR2),
    "speed and time": (TRANSFERS, BWLIMIT, MAX_DURATION, STALE_AFTER),
}
PAIR: Final = tuple(chain.from_iterable(GROUPS.values()))

_ALL: Final[tuple[Setting[object], ...]] = (
    Setting("type", parser.remote_type, "s3", "TYPE",
        "The kind of store: s3, azure (also written azureblob), or oci (also written oracleobjectstorage)."),
    Setting("endpoint_url", urls.service_url, None, "URL",
        "Where the service is; unset, it is Amazon S3, the account's place in Azure, or OCI in the region."),
)
_REGION: Final = Setting("region", parser.text, None, "REGION", "The region of the bucket.")
_PROFILE: Final = Setting("profile", parser.text, None, "NAME",
    "The profile of the AWS config and credentials files, or of the OCI config file.")
STORAGE_CLASS: Final = Setting("storage_class", parser.text, None, "CLASS",
    "The storage class of new objects; for OCI, the storage tier: Standard, InfrequentAccess or Archive.")
SSE: Final = Setting("sse", parser.choice(parser.Encryption), None, "KIND",
    "Server-side encryption of new objects: AES256, aws:kms or aws:kms:dsse.")
_SSE_KMS: Final = Setting("sse_kms_key_id", parser.text, None, "KEY",
    "The KMS key for aws:kms; for OCI, the OCID of the master key.")
SSE_CUSTOMER_ENV: Final = Setting("sse_customer_key_env", parser.text, None, "VARIABLE",
    "The environment variable that holds a key of yours, 32 bytes in Base64, with which S3 encrypts (SSE-C).")
SSE_CUSTOMER_FILE: Final = Setting("sse_customer_key_file", parser.text, None, "FILE",
    "The file that holds such a key.")
_S3: Final[tuple[Setting[object], ...]] = (
    _REGION,
    _PROFILE,
    Setting("addressing_style", parser.addressing, "auto", "STYLE",
        "Where the bucket stands in a URL: path, virtual, or auto."),
    Setting("access_key_id_env", parser.text, None, "VARIABLE",
        "The environment variable that holds the access key id."),
    Setting("secret_access_key_env", parser.text, None, "VARIABLE",
        "The environment variable that holds the secret key."),
    Setting("secret_access_key_file", parser.text, None, "FILE", "The file that holds the secret key."),
    STORAGE_CLASS,
    SSE,
    _SSE_KMS,
    SSE_CUSTOMER_ENV,
    SSE_CUSTOMER_FILE,
    Setting("request_payer", parser.switch, False, "", # noqa: FBT003 -- a default, as the file writes it
        "Requests are paid for by who makes them: for buckets of others that ask for that.", Shape.SWITCH),
    Setting("list_version", parser.list_version, "auto", "VERSION",
        "The version of the listing request: 2, 1 for servers that haven't the other, or auto."),
)
_OCI: Final[tuple[Setting[object], ...]] = (
    Setting("auth", parser.choice(parser.Auth), "api_key", "KIND",
        "OCI: how requests are signed: api_key, security_token, instance_principal, resource_principal or "
        "oke_workload_identity."),
    Setting("config_file", parser.text, None, "FILE",
        "OCI: the config file with the profile; unset, ~/.oci/config."),
    Setting("namespace", parser.text, None, "NAME",
        "OCI: the namespace of the tenancy; unset, the service is asked."),
)
_AZURE: Final[tuple[Setting[object], ...]] = (
    Setting("account", parser.text, None, "NAME", "Azure: the storage account."),
    Setting("account_key_env", parser.text, None, "VARIABLE",
        "Azure: the environment variable that holds the account key."),
    Setting("account_key_file", parser.text, None, "FILE", "Azure: the file that holds the account key."),
    Setting("sas_env", parser.text, None, "VARIABLE",
        "Azure: the environment variable that holds a SAS token."),
    Setting("sas_file", parser.text, None, "FILE", "Azure: the file that holds a SAS token."),
    Setting("connection_string_env", parser.text, None, "VARIABLE",
        "Azure: the environment variable that holds a connection string; it names the account too."),
    Setting("connection_string_file", parser.text, None, "FILE",
        "Azure: the file that holds a connection string."),
    Setting("tenant_id", parser.text, None, "ID", "Azure: the tenant of a service principal."),
    Setting("client_id", parser.text, None, "ID",
        "Azure: the application of a service principal; without a secret, a managed identity."),
    Setting("client_secret_env", parser.text, None, "VARIABLE",
        "Azure: the environment variable that holds the secret of the service principal."),
    Setting("client_secret_file", parser.text, None, "FILE",
        "Azure: the file that holds the secret of the service principal."),
    Setting("access_tier", parser.choice(parser.AccessTier), None, "TIER",
        "Azure: the tier of what is written: Hot, Cool, Cold or Archive; unset, the account's."),
)
REMOTE: Final = (*_ALL, *_S3, *_OCI, *_AZURE)
OF_TYPE: Final = {
    "s3": (*_ALL, *_S3),
    "azure": (*_ALL, *_AZURE),
    "oci": (*_ALL, _REGION, _PROFILE, STORAGE_CLASS, _SSE_KMS, *_OCI),
}
# fmt: on
