"""Find the config file, read it, and lay environment and flags over it: flag beats environment beats file.

Everything in the file is judged at once, so that a misspelt key of one pair is told by every command; a
secret that is missing is told only for the pair that needs it.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar, cast

from platformdirs import user_config_dir

from bisyncer.config import parser, rclone_file, setting, urls
from bisyncer.config.lines import line_of, line_of_error
from bisyncer.config.mode import refuse_unfit
from bisyncer.config.setting import PREFIX, Setting, Shape
from bisyncer.core.filters import Filters
from bisyncer.endpoints.open import REMOTE_SCHEMES, remote_name
from bisyncer.errors import UsageError
from bisyncer.job import Bounds, FilterFile, Job, Limits, Loser, Policy, Remote, Retention

T = TypeVar("T")

VARIABLE: Final = "BISYNCER_CONFIG"
FILE_NAME: Final = "bisyncer.toml"
SYSTEM_FILE: Final = Path("/etc/bisyncer") / FILE_NAME

_TABLES = ("pairs", "remotes")
_CLOSE = 0.75  # how alike two words are where one is a misspelling of the other
_REMOTE_PREFIX = PREFIX + "REMOTES_"
_PAIR_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_REMOTE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_. +@-]{0,63}")
_NOT_LOCAL = re.compile(r"[\w+@][\w. +@-]*:")
_TOP = (setting.STATE, setting.RCLONE_CONFIG)
_ROOTS = (setting.PATH1, setting.PATH2, setting.BACKUP_DIR1, setting.BACKUP_DIR2)


class Given(NamedTuple):
    """A value as it was written, and where: `file:line: key in [table]`, a variable or a flag."""

    value: object
    where: str


class Values:
    """The parsed settings of one table."""

    def __init__(self, table: Sequence[Setting[object]], given: Mapping[str, Given]) -> None:
        """Parse what was given, and the defaults of the rest; raises `UsageError` for a bad value."""
        self._given = given
        self._parsed: dict[str, object] = {}
        for each in table:
            if each.name in given:
                value, where = given[each.name]
                try:
                    self._parsed[each.name] = each.parse(value)
                except parser.Unfit as error:
                    raise UsageError(f"{where}: {error}.") from error
            elif each.default is not None:
                self._parsed[each.name] = each.parse(each.default)

    def __getitem__(self, wanted: Setting[T]) -> T:
        return cast("T", self._parsed[wanted.name])

    def get(self, wanted: Setting[T]) -> T | None:
        """The value, or None where it has no default and wasn't given."""
        return cast("T | None", self._parsed.get(wanted.name))

    def given(self, wanted: Setting[object]) -> bool:
        """Whether the value was given, and isn't a default."""
        return wanted.name in self._given

    def where(self, wanted: Setting[object]) -> str:
        """Where the value was given; its bare name where it wasn't."""
        return self._given[wanted.name].where if wanted.name in self._given else wanted.name

    def fields(self) -> dict[str, object]:
        """All that is set, by name."""
        return dict(self._parsed)


@dataclass(frozen=True, slots=True)
class Config:
    """All that was wished for. `path` is the file in use, or where a new one would be written."""

    path: Path
    exists: bool
    state: str
    remotes: Mapping[str, Remote]
    pairs: Mapping[str, Values]
    overrides: Mapping[str, Given]  # settings of pairs that came from the environment and from flags
    remotes_where: Mapping[str, Values]
    rclone_config: str | None = None  # None: the file that rclone would read

    def pair(self, name: str) -> Values:
        """The settings of a pair; raises `UsageError` where the config has no such pair."""
        if name in self.pairs:
            return self.pairs[name]
        if not self.exists:
            raise UsageError(
                f"There is no pair '{name}', since there is no config file yet; {self.path} would be one. "
                "Write it, or make a pair with `bisyncer init PATH1 PATH2`."
            )
        known = ", ".join(self.pairs) or "none"
        raise UsageError(
            f"{self.path} has no pair '{name}' (there: {known}). Name one of these, or add [pairs.{name}]."
        )

    def with_pair(self, name: str, path1: str, path2: str) -> Config:
        """The same, with one more pair: the roots as given, the rest from environment and flags."""
        if not _PAIR_NAME.fullmatch(name):
            raise UsageError(
                f"'{name}' can't be the name of a pair. Use up to 64 letters, digits, '.', '_' and '-', "
                "beginning with a letter or digit."
            )
        if name in self.pairs:
            raise UsageError(
                f"{self.path} has a pair '{name}' already. Give another with --name, or run "
                f"`bisyncer init {name}` for the one that is there."
            )
        here = Path.cwd()
        given = dict(self.overrides)
        given["path1"] = Given(absolute_root(path1, here), "PATH1")
        given["path2"] = Given(absolute_root(path2, here), "PATH2")
        return replace(self, pairs={**self.pairs, name: Values(setting.PAIR, given)})

    def job(
        self, name: str, *, dry_run: bool = False, resync: bool = False, force: Iterable[str] = ()
    ) -> Job:
        """All of one pair for one run; raises `UsageError` where a secret it needs is missing."""
        values = self.pair(name)
        path1, path2 = values[setting.PATH1], values[setting.PATH2]
        roots = [root for each in _ROOTS if (root := values.get(each)) is not None]
        self._check_secrets(roots)
        remotes = {**self.remotes, **self._of_rclone(roots)}
        limit = values[setting.MAX_DELETE]
        job = Job(
            pair=name,
            path1=path1,
            path2=path2,
            mode=values[setting.MODE],
            remotes=tuple(remotes.values()),
            policy=Policy(
                compare=values[setting.COMPARE],
                modify_window_ns=values[setting.MODIFY_WINDOW],
                conflict_resolve=values[setting.CONFLICT_RESOLVE],
                conflict_loser=values[setting.CONFLICT_LOSER],
                conflict_suffix=_suffixes(values),
                resync_mode=values[setting.RESYNC_MODE],
                track_renames=values[setting.TRACK_RENAMES],
                match_names=values[setting.MATCH_NAMES],
                fix_case=values[setting.FIX_CASE],
                create_empty_dirs=values[setting.CREATE_EMPTY_DIRS],
                bounds=_bounds(values),
            ),
            limits=Limits(
                max_delete_percent=limit.percent,
                max_delete_count=limit.number,
                force=frozenset(force),
                max_skew_ns=values[setting.MAX_SKEW],
            ),
            strict=values[setting.STRICT],
            trash=_trash(values),
            backup_dir1=values.get(setting.BACKUP_DIR1),
            backup_dir2=values.get(setting.BACKUP_DIR2),
            exclude=values[setting.EXCLUDE],
            include=values[setting.INCLUDE],
            filter_file=_filter_file(values),
            delete_excluded=values[setting.DELETE_EXCLUDED],
            exclude_if_present=values.get(setting.EXCLUDE_IF_PRESENT),
            check_file=values.get(setting.CHECK_FILE),
            require_mount=values[setting.REQUIRE_MOUNT],
            transfers=values[setting.TRANSFERS],
            links=values[setting.LINKS],
            remove_empty_dirs=self._removes_empty(values),
            metadata=values[setting.METADATA],
            require_conditional=values[setting.REQUIRE_CONDITIONAL],
            bwlimit=values[setting.BWLIMIT],
            max_duration_ns=values[setting.MAX_DURATION],
            dry_run=dry_run,
            resync=resync,
        )
        refuse_unfit(job, values.where)
        return job

    def _removes_empty(self, values: Values) -> bool:
        removes: bool = values[setting.REMOVE_EMPTY_DIRS]
        if values[setting.CREATE_EMPTY_DIRS] and not removes:
            raise UsageError(
                f"{values.where(setting.REMOVE_EMPTY_DIRS)}: with create_empty_dirs, a directory that was "
                "left behind empty would be made again on the other side. Switch one of the two."
            )
        return removes

    def stale_after_ns(self, name: str) -> int | None:
        """The age of the last good run from which a pair is stale; None: never, or a pair of no config."""
        return self.pairs[name][setting.STALE_AFTER] if name in self.pairs else None

    def _of_rclone(self, roots: Iterable[str]) -> dict[str, Remote]:
        """The remotes of these roots that this config hasn't, and rclone's has; it is read only for them."""
        found: dict[str, Remote] = {}
        for root in roots:
            name = remote_name(root)
            if name is None or name in self.remotes:
                continue
            from bisyncer.config.rclone_remote import remote_of  # noqa: PLC0415 -- most configs don't need it

            file = rclone_file.read(self.rclone_config)
            remote = remote_of(name, file, self.remotes)
            if remote is None:
                ours, theirs = (", ".join(sorted(each)) or "none" for each in (self.remotes, file.sections))
                nor = f"; {file.missing}" if file.missing else f", nor in {file.path} (there: {theirs})"
                raise UsageError(
                    f"{root}: no remote named '{name}' in the config (there: {ours}){nor}. Add "
                    f"[remotes.{name}], name the rclone.conf that has it with rclone_config, or write "
                    f"./{root} for a directory of that name."
                )
            found[name] = remote
        return found

    def _check_secrets(self, roots: Iterable[str]) -> None:
        """See that what the remotes of these roots name is there, before anything is begun."""
        for root in roots:
            word, _, rest = root.partition(":")
            name = REMOTE_SCHEMES.get(word.lower(), word) if rest.startswith("//") else word
            if name not in self.remotes_where:
                continue
            values = self.remotes_where[name]
            for each in setting.REMOTE:
                value = values.get(each)
                if each.name.endswith("_env") and value is not None and not os.environ.get(str(value)):
                    raise UsageError(
                        f"{values.where(each)}: the environment has no {value}. Set it, or name the variable "
                        "that holds the secret."
                    )
                if each.name.endswith("_file") and value is not None and not _is_readable(str(value)):
                    raise UsageError(
                        f"{values.where(each)}: {value} isn't there or can't be read. Put the secret "
                        "there, or name the file that holds it."
                    )


def load(
    asked: Path | None,
    *,
    flags: Mapping[str, object] | None = None,
    state: str | None = None,
    rclone_config: str | None = None,
    remotes: Sequence[str] = (),
    may_be_missing: bool = False,
) -> Config:
    """Read the config for one command.

    `flags` are settings of pairs by name, `remotes` texts of the shape NAME.KEY=VALUE. A file that was
    named and isn't there is refused, but for `may_be_missing`: then it will be written.
    """
    path, exists = find(asked, may_be_missing=may_be_missing)
    text, tables = _read(path) if exists else ("", {})
    top: dict[str, Given] = {}
    pairs: dict[str, dict[str, Given]] = {}
    stores: dict[str, dict[str, Given]] = {}
    for key, value in tables.items():
        if key in {each.name for each in _TOP}:
            counted = _TOP_COUNTED[key](value, path.parent) if isinstance(value, str) else value
            top[key] = Given(counted, f"{path}:{line_of(text, (key,))}: {key}")
        elif key in _TABLES:
            into = pairs if key == "pairs" else stores
            into.update(_subtables(path, text, key, value))
        else:
            words = (*(each.name for each in _TOP), *_TABLES)
            raise UsageError(f"{path}:{line_of(text, (key,))}: unknown key '{key}'{_meant(key, words)}")
    env_pairs, env_stores, env_top = _environment(stores)
    top.update(env_top)
    for each, asked_for in ((setting.STATE, state), (setting.RCLONE_CONFIG, rclone_config)):
        if asked_for is not None:
            top[each.name] = Given(_TOP_COUNTED[each.name](asked_for, Path.cwd()), each.flag)
    for name, given in [*env_stores, *(_remote_flag(each) for each in remotes)]:
        stores.setdefault(name, {}).update(given)
    overrides = env_pairs | {
        name: Given(value, "--" + name.replace("_", "-")) for name, value in (flags or {}).items()
    }
    _check_roots(pairs, overrides)
    name = setting.FILTERS_FILE.name
    if name in overrides:
        value, where = overrides[name]
        overrides[name] = Given(_counted("pairs", name, value, Path.cwd()), where)
    store_values = {name: Values(setting.REMOTE, given) for name, given in stores.items()}
    values = Values(_TOP, top)
    return Config(
        path=path,
        exists=exists,
        state=values.get(setting.STATE) or urls.default_state(),
        rclone_config=values.get(setting.RCLONE_CONFIG),
        remotes={name: _remote(name, values) for name, values in store_values.items()},
        pairs={name: Values(setting.PAIR, given | overrides) for name, given in pairs.items()},
        overrides=overrides,
        remotes_where=store_values,
    )


def _suffixes(values: Values) -> tuple[str, str]:
    """The suffixes as given; unset, the names of versions that say their side end in path1 and path2."""
    if values[setting.CONFLICT_LOSER] is Loser.PATHNAME and not values.given(setting.CONFLICT_SUFFIX):
        return ("path", "path")
    return values[setting.CONFLICT_SUFFIX]


def find(asked: Path | None, *, may_be_missing: bool = False) -> tuple[Path, bool]:
    """The config file in use and whether it is there; where none is, the one that would be written."""
    named = asked or (Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None)
    if named is not None:
        origin = "--config" if asked else VARIABLE
        if not named.exists() and not may_be_missing:
            raise UsageError(f"{named}, named by {origin}, isn't there. Name the file that holds the pairs.")
        if named.is_dir():
            raise UsageError(f"{named}, named by {origin}, is a folder. Name the file that holds the pairs.")
        return named, named.exists()
    own = Path(user_config_dir("bisyncer")) / FILE_NAME
    for path in (Path(FILE_NAME), own, SYSTEM_FILE):
        if path.exists():
            return path, True
    return own, False


def absolute_root(root: str, folder: Path) -> str:
    """A root with a relative directory counted from `folder`; URLs and remotes as they are."""
    if not root.strip() or _NOT_LOCAL.match(root) or parser.ON_THE_SPOT.match(root) or root[0] == "/":
        return root  # an empty one is no name of the folder itself: it is refused
    if root == "~" or root.startswith("~/"):
        return str(Path(root).expanduser())
    return os.path.normpath(folder.absolute() / root)


def absolute_state(url: str, folder: Path) -> str:
    """A database URL with a relative file counted from `folder`: one state, wherever a command is run."""
    start = "sqlite:///"
    if not url.startswith(start) or url == start:
        return url
    return start + str(folder.absolute() / url.removeprefix(start))


def absolute_file(file: str, folder: Path) -> str:
    """A file counted from `folder`."""
    return str(folder.absolute() / Path(file).expanduser()) if file.strip() else file


_TOP_COUNTED: Final = {setting.STATE.name: absolute_state, setting.RCLONE_CONFIG.name: absolute_file}


def _read(path: Path) -> tuple[str, dict[str, object]]:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise UsageError(f"{path}:{line}: this isn't UTF-8. Save the file as UTF-8 text.") from error
    except OSError as error:
        raise UsageError(f"{path} can't be read: {error.strerror}. See its owner and mode.") from error
    try:
        return text, tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line, sentence = line_of_error(text, error)
        raise UsageError(f"{path}:{line}: this isn't TOML: {sentence}.") from error


def _subtables(path: Path, text: str, kind: str, tables: object) -> dict[str, dict[str, Given]]:
    """The tables below [pairs] or [remotes], each key with its place."""
    if not isinstance(tables, dict):
        raise UsageError(f"{path}:{line_of(text, (kind,))}: '{kind}' is no table; write [{kind}.NAME].")
    allowed = _PAIR_NAME if kind == "pairs" else _REMOTE_NAME
    known = [each.name for each in (setting.PAIR if kind == "pairs" else setting.REMOTE)]
    found: dict[str, dict[str, Given]] = {}
    for name, keys in tables.items():
        table = f"[{kind}.{name}]"
        here = f"{path}:{line_of(text, (kind, name))}"
        if not allowed.fullmatch(name):
            raise UsageError(
                f"{here}: '{name}' can't be a name in [{kind}]. Use up to 64 letters, digits, '.', '_' and "
                "'-', beginning with a letter or digit."
            )
        if not isinstance(keys, dict):
            raise UsageError(f"{here}: '{name}' is no table; write {table} and its keys below it.")
        found[name] = {}
        for key, value in keys.items():
            at = f"{path}:{line_of(text, (kind, name, key))}"
            if key not in known:
                raise UsageError(f"{at}: unknown key '{key}' in {table}{_meant(key, known)}")
            found[name][key] = Given(_counted(kind, key, value, path.parent), f"{at}: {key} in {table}")
        missing = [each for each in ("path1", "path2") if kind == "pairs" and each not in keys]
        if missing and not all(os.environ.get(PREFIX + each.upper()) for each in missing):
            raise UsageError(f"{here}: {table} has no {' and no '.join(missing)}; a pair has two roots.")
    return found


def _bounds(values: Values) -> Bounds:
    bounds = Bounds(
        values[setting.MIN_SIZE], values[setting.MAX_SIZE], values[setting.MIN_AGE], values[setting.MAX_AGE]
    )
    for least, most, name in (
        (bounds.min_size, bounds.max_size, setting.MAX_SIZE),
        (bounds.min_age_ns, bounds.max_age_ns, setting.MAX_AGE),
    ):
        if least is not None and most is not None and least > most:
            raise UsageError(
                f"{values.where(name)}: it is less than {name.name.replace('max', 'min')}, so no version is "
                "within both. Set one of them otherwise."
            )
    return bounds


def _filter_file(values: Values) -> FilterFile | None:
    """The file of patterns, read anew by each command; raises `UsageError` at a line that is none."""
    named = values.get(setting.FILTERS_FILE)
    if named is None:
        return None
    try:
        text = Path(named).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "this isn't UTF-8"
        raise UsageError(
            f"{values.where(setting.FILTERS_FILE)}: {named} can't be read: {why}. Without it, keys that it "
            "leaves out would be synced; name the file that has the patterns."
        ) from error
    file = FilterFile(named, tuple(line.removesuffix("\r") for line in text.split("\n")))
    try:
        Filters(file=file)
    except ValueError as error:
        raise UsageError(f"{error}.") from error
    return file


def _is_readable(path: str) -> bool:
    return os.access(Path(path).expanduser(), os.R_OK)


def _counted(kind: str, key: str, value: object, folder: Path) -> object:
    """A value with a relative path in it counted from `folder`."""
    if kind != "pairs" or not isinstance(value, str) or not value:
        return value
    if key in {each.name for each in _ROOTS}:
        return absolute_root(value, folder)
    return absolute_file(value, folder) if key == setting.FILTERS_FILE.name else value


def _environment(
    stores: Mapping[str, Mapping[str, Given]],
) -> tuple[dict[str, Given], list[tuple[str, dict[str, Given]]], dict[str, Given]]:
    """The settings in the environment: of pairs, of remotes, and of the top level.

    A variable that is no setting is refused, as a key of the file is: misspelt, it would be a guard that
    isn't there. What a remote names as the place of a secret is let through.
    """
    secrets = {
        str(given.value) for keys in stores.values() for key, given in keys.items() if key.endswith("_env")
    }
    by_variable = {each.variable: each for each in (*setting.PAIR, *_TOP)}
    pairs: dict[str, Given] = {}
    remotes: list[tuple[str, dict[str, Given]]] = []
    top: dict[str, Given] = {}
    for variable, value in os.environ.items():
        if not variable.startswith(PREFIX) or variable == VARIABLE or variable in secrets or not value:
            continue
        each = by_variable.get(variable)
        if each is not None:
            into = top if each in _TOP else pairs
            into[each.name] = Given(_from_environment(each, value), variable)
        elif variable.startswith(_REMOTE_PREFIX):
            name, key = _remote_variable(variable, stores)
            remotes.append((name, {key: Given(value, variable)}))
        else:
            words = (*by_variable, VARIABLE)
            meant = _meant(variable, words, same=PREFIX)
            raise UsageError(f"{variable} is in the environment and is no setting{meant}")
    return pairs, remotes, top


def _from_environment(each: Setting[object], value: str) -> object:
    """A list is written with commas in the environment."""
    if each.shape is Shape.MANY:
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _remote_variable(variable: str, stores: Iterable[str]) -> tuple[str, str]:
    """Which remote and which key BISYNCER_REMOTES_MINIO_ENDPOINT_URL names."""
    rest = variable.removeprefix(_REMOTE_PREFIX)
    for each in sorted(setting.REMOTE, key=lambda known: -len(known.name)):
        name = rest.removesuffix("_" + each.name.upper())
        if name not in {rest, ""}:
            same = [store for store in stores if re.sub(r"\W", "_", store).upper() == name]
            return (same[0] if same else name.lower()), each.name
    keys = ", ".join(each.name.upper() for each in setting.REMOTE)
    raise UsageError(
        f"{variable} is in the environment and is no setting; write {_REMOTE_PREFIX}NAME_ and one of: {keys}."
    )


def _remote_flag(flag: str) -> tuple[str, dict[str, Given]]:
    """Which remote and which key `--remote minio.endpoint_url=http://...` names."""
    target, equals, value = flag.partition("=")
    name, dot, key = target.rpartition(".")
    known = [each.name for each in setting.REMOTE]
    # What stands after '=' isn't repeated: it may be a secret that was meant for another place.
    if not equals or not dot or not _REMOTE_NAME.fullmatch(name):
        raise UsageError("--remote: write NAME.KEY=VALUE, such as minio.endpoint_url=http://127.0.0.1:9000.")
    if key not in known:
        raise UsageError(f"--remote: unknown key '{key}' of a remote{_meant(key, known)}")
    return name, {key: Given(value, f"--remote {target}")}


def _check_roots(pairs: Mapping[str, object], overrides: dict[str, Given]) -> None:
    """A root that comes from outside the file can only be meant for one pair."""
    for each in _ROOTS:
        key = each.name
        if key not in overrides:
            continue
        value, where = overrides[key]
        if len(pairs) > 1:
            raise UsageError(
                f"{where}: the config has {len(pairs)} pairs, and they can't share a root. "
                "Set it in the file."
            )
        overrides[key] = Given(absolute_root(str(value), Path.cwd()) if value else value, where)


def _trash(values: Values) -> Retention:
    """Which sides have a trash: one whose place is named has."""
    trash = values[setting.TRASH]
    for each, name in ((setting.BACKUP_DIR1, "path1"), (setting.BACKUP_DIR2, "path2")):
        if values.get(each) is None:
            continue
        if getattr(trash, name) is False:
            raise UsageError(
                f"{values.where(each)}: says where {name} has its trash, and trash says that it has none. "
                "Leave one of the two out."
            )
        trash = replace(trash, **{name: True})
    return trash


def _remote(name: str, values: Values) -> Remote:
    kind = str(values.fields()["type"])
    for each in setting.REMOTE:
        if values.given(each) and each not in setting.OF_TYPE[kind]:
            words = ", ".join(known.name for known in setting.OF_TYPE[kind])
            raise UsageError(
                f"{values.where(each)}: a remote of type {kind} has no {each.name}. Known here: {words}."
            )
    if kind == "oci" and values.given(setting.STORAGE_CLASS):
        try:
            parser.choice(parser.StorageTier)(values[setting.STORAGE_CLASS])
        except parser.Unfit as error:
            raise UsageError(f"{values.where(setting.STORAGE_CLASS)}: {error}.") from error
    exclusive = (setting.SSE_CUSTOMER_ENV, setting.SSE_CUSTOMER_FILE, setting.SSE)
    both = [each for each in exclusive if values.given(each)]
    if len(both) > 1:
        raise UsageError(
            f"{values.where(both[1])}: {both[0].name} is given too, and an object is encrypted with one key. "
            "Leave one out."
        )
    fields: dict[str, Any] = values.fields()
    return Remote(name=name, **fields)


def _meant(word: str, known: Iterable[str], *, same: str = "") -> str:
    """The end of a sentence about an unknown word; `same` is what all begin with, and tells nothing."""
    words = list(known)
    close = get_close_matches(
        word.removeprefix(same), [each.removeprefix(same) for each in words], n=1, cutoff=_CLOSE
    )
    return f"; did you mean '{same}{close[0]}'?" if close else f". Known here: {', '.join(words)}."
