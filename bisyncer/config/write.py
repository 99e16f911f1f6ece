"""Put a new pair into the config file, and leave every other byte of it as it is."""

from __future__ import annotations

import os
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

import tomlkit

from bisyncer.config.relative import absolute_state
from bisyncer.errors import UsageError


def add_pair(
    path: Path,
    name: str,
    values: Mapping[str, object],
    *,
    remotes: Sequence[str] = (),
    top: Mapping[str, str | None] | None = None,
) -> None:
    """Append [pairs.NAME] with these values, and the remotes that flags described (NAME.KEY=VALUE).

    What `top` has goes to the top where the file names none: a pair is of no use with another state, or
    without its remotes. The file is replaced in one step, with its mode kept; it is made where there is none.
    """
    before = _text(path)
    known = tomllib.loads(before)
    missing = {key: value for key, value in (top or {}).items() if value is not None and key not in known}
    if missing:
        before = tomlkit.dumps(missing) + ("\n" + before if before else "")
    tables = _tables(name, values, remotes, known=_remote_names(before))
    gap = "" if not before else "\n" if before.endswith("\n") else "\n\n"
    after = before + gap + tables
    try:
        tomllib.loads(after)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(
            f"{path} is written in a way that a pair can't be added to ({error}). Add it yourself: {tables!r}"
        ) from error
    try:
        _replace(path, after)
    except OSError as error:
        raise UsageError(
            f"The pair '{name}' can't be written to {path}: {error.strerror}. Name another file "
            "with --config."
        ) from error


def refuse_closed(path: Path) -> None:
    """Raise `UsageError` where this user can put no file at `path`, before anything else is begun."""
    folder = path.resolve().parent
    while not os.path.lexists(folder):  # says no, and raises nothing, where it may not look
        folder = folder.parent
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(
            f"The pair can't be written to {path}: {folder} is no folder that this user may write in. "
            "Nothing was touched. Name another file with --config."
        )


def refuse_unwritten(path: Path, remotes: Sequence[str], state: str | None) -> None:
    """Raise `UsageError` where a new pair would be tried with settings that the file has otherwise.

    They aren't written over, so the pair's next command would go by others.
    """
    known = tomllib.loads(_text(path))
    for flag in remotes:
        target, _, text = flag.partition("=")
        remote, _, key = target.rpartition(".")
        there = known.get("remotes", {}).get(remote)
        if there is not None and str(there.get(key, "")).lower() != text.lower():
            raise UsageError(
                f"--remote {target}: {path} has [remotes.{remote}] already, and a new pair goes by what "
                f"stands there. Change {key} there, or describe a remote of another name."
            )
    there = known.get("state", state)
    if state is not None and not _is_same(absolute_state(str(there), path.parent), state):
        raise UsageError(
            f"--state: {path} names another state, by which all its pairs go. Leave --state out, or name "
            "another file with --config."
        )


def _is_same(one: str, other: str) -> bool:
    """Whether two database URLs name one database, by what is written."""
    return os.path.normpath(one) == os.path.normpath(other)


def _tables(name: str, values: Mapping[str, object], remotes: Sequence[str], known: set[str]) -> str:
    document = tomlkit.document()
    stores = tomlkit.table(is_super_table=True)
    for flag in remotes:
        target, _, text = flag.partition("=")
        remote, _, key = target.rpartition(".")
        if remote in known:
            continue
        if remote not in stores:
            stores[remote] = tomlkit.table()
        stores[remote][key] = text
    if stores:
        document["remotes"] = stores
    pair = tomlkit.table()
    for key, value in values.items():
        pair[key] = list(value) if isinstance(value, tuple) else value
    pairs = tomlkit.table(is_super_table=True)
    pairs[name] = pair
    document["pairs"] = pairs
    return tomlkit.dumps(document)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise UsageError(f"{path} can't be read: {error.strerror}. See its owner and mode.") from error


def _remote_names(text: str) -> set[str]:
    return set(tomllib.loads(text).get("remotes", {}))


def _replace(path: Path, text: str) -> None:
    target = path.resolve()  # a link stays a link
    target.parent.mkdir(parents=True, exist_ok=True)
    mode = target.stat().st_mode & 0o7777 if target.exists() else 0o644
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(mode)
        Path(temporary).replace(target)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
