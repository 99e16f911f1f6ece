"""Settings that come in variables of the environment, and of remotes in flags."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from bisyncer.config import setting
from bisyncer.config.relative import absolute_file
from bisyncer.config.setting import PREFIX, Setting, Shape
from bisyncer.config.values import Given, meant
from bisyncer.errors import UsageError

VARIABLE: Final = "BISYNCER_CONFIG"
TOP: Final = (setting.STATE, setting.RCLONE_CONFIG)  # settings of the top level
REMOTE_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_. +@-]{0,63}")

_REMOTE_PREFIX = PREFIX + "REMOTES_"


def environment(
    stores: Mapping[str, Mapping[str, Given]], flags: Iterable[tuple[str, Mapping[str, Given]]] = ()
) -> tuple[dict[str, Given], list[tuple[str, dict[str, Given]]], dict[str, Given]]:
    """The settings in the environment: of pairs, of remotes, and of the top level.

    A variable that is no setting is refused, as a key of the file is: misspelt, it would be a guard that
    isn't there. What a remote names as the place of a secret is let through, be it in the file, by one of
    `flags` or in a variable.
    """
    tables = (*stores.values(), *(keys for _, keys in flags))
    secrets = {str(given.value) for keys in tables for key, given in keys.items() if key.endswith("_env")}
    secrets |= {
        value
        for variable, value in os.environ.items()
        if variable.startswith(_REMOTE_PREFIX) and variable.endswith("_ENV")
    }
    by_variable = {each.variable: each for each in (*setting.PAIR, *TOP)}
    pairs: dict[str, Given] = {}
    remotes: list[tuple[str, dict[str, Given]]] = []
    top: dict[str, Given] = {}
    for variable, value in os.environ.items():
        if not variable.startswith(PREFIX) or variable == VARIABLE or variable in secrets or not value:
            continue
        each = by_variable.get(variable)
        if each is not None:
            into = top if each in TOP else pairs
            into[each.name] = Given(_from_environment(each, value), variable)
        elif variable.startswith(_REMOTE_PREFIX):
            name, key = _remote_variable(variable, stores)
            remotes.append((name, {key: Given(value, variable)}))
        else:
            words = (*by_variable, VARIABLE)
            end = meant(variable, words, same=PREFIX)
            raise UsageError(f"{variable} is in the environment and is no setting{end}")
    return pairs, remotes, top


def _from_environment(each: Setting[object], value: str) -> object:
    """A list is written with commas in the environment; those in the braces of a pattern part nothing."""
    if each.shape is Shape.MANY:
        return [part.strip() for part in _parts(value) if part.strip()]
    return value


def _parts(value: str) -> list[str]:
    parts, depth = [""], 0
    for letter in value:
        depth += {"{": 1, "}": -1}.get(letter, 0)
        if letter == "," and depth <= 0:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


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


def remote_flag(flag: str) -> tuple[str, dict[str, Given]]:
    """Which remote and which key `--remote minio.endpoint_url=http://...` names."""
    target, equals, value = flag.partition("=")
    name, dot, key = target.rpartition(".")
    known = [each.name for each in setting.REMOTE]
    # What stands after '=' isn't repeated: it may be a secret that was meant for another place.
    if not equals or not dot or not REMOTE_NAME.fullmatch(name):
        raise UsageError("--remote: write NAME.KEY=VALUE, such as minio.endpoint_url=http://127.0.0.1:9000.")
    if key not in known:
        raise UsageError(f"--remote: unknown key '{key}' of a remote{meant(key, known)}")
    if key.endswith("_file") and value[:1] != "~":
        value = absolute_file(value, Path.cwd())
    return name, {key: Given(value, f"--remote {target}")}


def counted_remote_flag(flag: str) -> str:
    """The same flag, with a relative file in it counted from here: it may go into a config elsewhere."""
    name, given = remote_flag(flag)
    [(key, (value, _))] = given.items()
    return f"{name}.{key}={value}"
