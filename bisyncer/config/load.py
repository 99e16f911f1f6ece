"""Find the config file, read it, and lay environment and flags over it: flag beats environment beats file.

Everything in the file is judged at once, so that a misspelt key of one pair is told by every command; a
secret that is missing is told only for the pair that needs it.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from platformdirs import user_config_dir

from bisyncer.config import parser, setting, urls
from bisyncer.config.config import PAIR_NAME, ROOTS, Config
from bisyncer.config.environment import REMOTE_NAME, TOP, VARIABLE, environment, remote_flag
from bisyncer.config.lines import line_of, line_of_error
from bisyncer.config.relative import absolute_file, absolute_root, absolute_state
from bisyncer.config.setting import PREFIX
from bisyncer.config.values import Given, Values, meant
from bisyncer.errors import UsageError
from bisyncer.job import Remote

FILE_NAME: Final = "bisyncer.toml"
SYSTEM_FILE: Final = Path("/etc/bisyncer") / FILE_NAME

_TABLES = ("pairs", "remotes")
_TOP_COUNTED: Final = {setting.STATE.name: absolute_state, setting.RCLONE_CONFIG.name: absolute_file}


def load(
    asked: Path | None,
    *,
    flags: Mapping[str, object] | None = None,
    state: str | None = None,
    rclone_config: str | None = None,
    remotes: Sequence[str] = (),
    new_pair: bool = False,
) -> Config:
    """Read the config for one command.

    `flags` are settings of pairs by name, `remotes` texts of the shape NAME.KEY=VALUE. A file that was
    named and isn't there is refused, but for a `new_pair`, which is about to be written to it: then the flags
    are about that pair.
    """
    path, exists = find(asked, new_pair=new_pair)
    text, tables = _read(path) if exists else ("", {})
    top: dict[str, Given] = {}
    pairs: dict[str, dict[str, Given]] = {}
    stores: dict[str, dict[str, Given]] = {}
    for key, value in tables.items():
        if key in {each.name for each in TOP}:
            counted = _TOP_COUNTED[key](value, path.parent) if isinstance(value, str) else value
            top[key] = Given(counted, f"{path}:{line_of(text, (key,))}: {key}")
        elif key in _TABLES:
            into = pairs if key == "pairs" else stores
            into.update(_subtables(path, text, key, value, flags or {}))
        else:
            words = (*(each.name for each in TOP), *_TABLES)
            raise UsageError(f"{path}:{line_of(text, (key,))}: unknown key '{key}'{meant(key, words)}")
    if state is not None and urls.has_password(state):
        raise UsageError(
            f"{setting.STATE.flag} holds a password, which the list of processes shows to all on this host. "
            f"Give the URL by {PREFIX}STATE or the config file, or the password by PGPASSWORD or ~/.pgpass."
        )
    env_pairs, env_stores, env_top = environment(stores, [remote_flag(each) for each in remotes])
    top.update(env_top)
    for each, asked_for in ((setting.STATE, state), (setting.RCLONE_CONFIG, rclone_config)):
        if asked_for is not None:
            top[each.name] = Given(_TOP_COUNTED[each.name](asked_for, Path.cwd()), each.flag)
    for name, given in [*env_stores, *(remote_flag(each) for each in remotes)]:
        stores.setdefault(name, {}).update(given)
    by_flag = {name: Given(value, "--" + name.replace("_", "-")) for name, value in (flags or {}).items()}
    _check_roots(pairs, env_pairs)
    _check_roots({} if new_pair else pairs, by_flag)
    overrides = env_pairs | by_flag
    name = setting.FILTERS_FILE.name
    if name in overrides:
        value, where = overrides[name]
        overrides[name] = Given(_counted("pairs", name, value, Path.cwd()), where)
    store_values = {name: Values(setting.REMOTE, given) for name, given in stores.items()}
    values = Values(TOP, top)
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


def find(asked: Path | None, *, new_pair: bool = False) -> tuple[Path, bool]:
    """The config file in use and whether it is there; where none is, the one that would be written."""
    named = asked or (Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None)
    if named is not None:
        origin = "--config" if asked else VARIABLE
        exists = _exists(named)
        if not exists and not new_pair:
            raise UsageError(f"{named}, named by {origin}, isn't there. Name the file that holds the pairs.")
        if exists and named.is_dir():
            raise UsageError(f"{named}, named by {origin}, is a folder. Name the file that holds the pairs.")
        return named, exists
    own = Path(user_config_dir("bisyncer")) / FILE_NAME
    for path in (Path(FILE_NAME), own):
        # What this user may not even look at, such as in the folder of who called sudo, isn't theirs.
        with suppress(PermissionError):
            if path.exists():
                return path, True
    # Where a file is about to be written, it isn't the one that the host's services share.
    there = not new_pair or os.access(SYSTEM_FILE.parent, os.X_OK)
    return (SYSTEM_FILE, True) if there and _exists(SYSTEM_FILE) else (own, False)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:
        raise UsageError(
            f"{path} can't be looked at: {error.strerror}. See how it is named, and let this user search the "
            "folders above it."
        ) from error


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


def _subtables(
    path: Path, text: str, kind: str, tables: object, flags: Mapping[str, object]
) -> dict[str, dict[str, Given]]:
    """The tables below [pairs] or [remotes], each key with its place; a root may come by one of `flags`."""
    if not isinstance(tables, dict):
        raise UsageError(f"{path}:{line_of(text, (kind,))}: '{kind}' is no table; write [{kind}.NAME].")
    allowed = PAIR_NAME if kind == "pairs" else REMOTE_NAME
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
                raise UsageError(f"{at}: unknown key '{key}' in {table}{meant(key, known)}")
            found[name][key] = Given(_counted(kind, key, value, path.parent), f"{at}: {key} in {table}")
        missing = [each for each in ("path1", "path2") if kind == "pairs" and each not in keys]
        if missing and not all(each in flags or os.environ.get(PREFIX + each.upper()) for each in missing):
            raise UsageError(f"{here}: {table} has no {' and no '.join(missing)}; a pair has two roots.")
    return found


def _counted(kind: str, key: str, value: object, folder: Path) -> object:
    """A value with a relative path in it counted from `folder`."""
    if not isinstance(value, str) or not value:
        return value
    if kind == "remotes":
        counts = key.endswith("_file") and value[0] != "~"
        return absolute_file(value, folder) if counts else value
    if key in {each.name for each in ROOTS}:
        return absolute_root(value, folder)
    return absolute_file(value, folder) if key == setting.FILTERS_FILE.name else value


def _check_roots(pairs: Mapping[str, object], overrides: dict[str, Given]) -> None:
    """A root that comes from outside the file can only be meant for one pair."""
    for each in ROOTS:
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
