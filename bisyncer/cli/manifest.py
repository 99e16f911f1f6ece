"""A manifest of changed keys, as inotify, a backup or a deploy script writes it: one a line."""

from __future__ import annotations

import fcntl
import os
import posixpath
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO, Final

from bisyncer.errors import UsageError
from bisyncer.job import Scope
from bisyncer.model import Problem

MAX_KEYS: Final = 10_000  # a listing of everything costs less than looking at more keys one by one
_LONGEST: Final = 1 << 16  # bytes of a line; no file system and no store has names as long
_LOCK_WAIT_S: Final = 60.0
_LOCK_STEP_S: Final = 0.05
_PIECE: Final = 1 << 16


def read_manifest(name: str, roots: Sequence[str], *, null: bool = False) -> Scope:
    """The keys that the file `name` lists ('-': the standard input); all keys where it lists too many.

    A line is a key, or an absolute path below one of `roots`, the trees of the pair; a '/' at its end says
    that it is a folder. Empty lines and those that begin with '#' are no keys (`./#x` is one); with `null`,
    each name ends in a NUL, and every other byte is part of it. Lines that name no key of the pair become
    problems. A file is read under a shared flock: a writer that holds it while it appends isn't cut.

    Raises `UsageError` where it can't be read.
    """
    keys: dict[str, None] = {}
    refused: list[Problem] = []
    with _opened(name) as stream:
        for record in _records(stream, b"\0" if null else b"\n"):
            if not record or (not null and record.startswith(b"#")):
                continue
            found = _key(record, roots)
            if isinstance(found, Problem):
                refused.append(found)
            elif found == "":
                return Scope()  # the root itself
            else:
                keys[found] = None
            if len(keys) + len(refused) > MAX_KEYS:
                return Scope()
    return Scope(keys=tuple(keys), refused=tuple(refused))


def local_roots(*roots: str) -> tuple[str, ...]:
    """Those of `roots` that are trees, as absolute paths, as they are spelled and as they really are."""
    paths: dict[str, None] = {}
    for root in roots:
        path = root.removeprefix("file://")
        if path == root and (":" in root.partition("/")[0] or "://" in root):
            continue  # a store, or a remote of the config
        paths[os.path.abspath(path)] = None  # noqa: PTH100 -- text: links in it are part of the spelling
        paths[os.path.realpath(path)] = None
    return tuple(paths)


@contextmanager
def _opened(name: str) -> Iterator[BinaryIO]:
    if name == "-":
        yield sys.stdin.buffer
        return
    try:
        with open(name, "rb") as stream:  # noqa: PTH123 -- a name may hold bytes that are no text
            _lock(stream, name)
            yield stream
    except OSError as error:
        raise UsageError(
            f"--files-from: {name} can't be read: {error.strerror}. Nothing was changed."
        ) from error


def _lock(stream: BinaryIO, name: str) -> None:
    """Wait for writers that append under an exclusive flock; closing the file gives the lock back."""
    ends_s = time.monotonic() + _LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > ends_s:
                raise UsageError(
                    f"--files-from: another process has held the lock of {name} for {_LOCK_WAIT_S:g} s. "
                    "Nothing was changed. See what holds it, and run again."
                ) from None
            time.sleep(_LOCK_STEP_S)
        else:
            return


def _records(stream: BinaryIO, separator: bytes) -> Iterator[bytes]:
    """Yield what stands between the separators, and what follows the last one."""
    rest = b""
    while piece := stream.read(_PIECE):
        *whole, rest = (rest + piece).split(separator)
        yield from whole
        if len(rest) > _LONGEST:
            raise UsageError(
                f"--files-from: a line has more than {_LONGEST:,} bytes, so this is no list of keys. Nothing "
                "was changed. Lists that end names in NUL need --files-from-null."
            )
    yield rest


def _key(record: bytes, roots: Sequence[str]) -> str | Problem:
    """The key that a line names; '' for the root itself."""
    try:
        text = record.decode("utf-8")
    except UnicodeDecodeError:
        told = record.decode("utf-8", "backslashreplace")
        return Problem(told, "is not valid UTF-8, so no bucket can hold it. Rename it.")
    if not roots or not text.startswith("/"):
        while text.startswith("./"):
            text = text[2:].lstrip("/")
        return "" if text == "." else text
    folder = "/" if text.endswith("/") else ""
    path = posixpath.normpath("/" + text.lstrip("/"))
    for root in roots:
        if path == root:
            return ""
        if path.startswith(root.rstrip("/") + "/"):
            return path[len(root.rstrip("/")) + 1 :] + folder
    return Problem(text, f"is named by --files-from and lies outside of the pair ({' and '.join(roots)}).")
