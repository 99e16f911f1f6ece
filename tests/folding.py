"""Stores that fold case: a tree, made of one that doesn't, and one in memory.

Few kernels that tests run on have a file system that does. What the system calls answer here is what ext4
answers in a directory with the flag `+F`: a new spelling of a name that is there is that file, and renaming
it to itself does nothing.
"""

from __future__ import annotations

import os
import threading
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bisyncer.endpoints import linux, memory
from bisyncer.endpoints.base import Capabilities, Source
from bisyncer.endpoints.memory import MemoryEndpoint
from bisyncer.errors import Clash
from bisyncer.model import Entry, Side
from tests.world import ONE, Hooked, World

_stat, _open, _rename, _link, _rename2 = os.stat, os.open, os.rename, os.link, linux._rename


def fold(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def spelled(name: Any, directory: int | None) -> Any:
    """The name that is there for `name`; `name` itself where there is none, or it is a path."""
    if directory is None or not isinstance(name, str) or name == ".":
        return name
    opened = _open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=directory)
    try:
        names = os.listdir(opened)  # noqa: PTH208 -- by descriptor
    finally:
        os.close(opened)
    return next((each for each in names if fold(each) == fold(name)), name)


def fold_case(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every call that names a file by its directory find it by any spelling."""

    def by_any_name(call: Callable[..., Any]) -> Callable[..., Any]:
        def called(name: Any, *more: Any, dir_fd: int | None = None, **named: Any) -> Any:
            return call(spelled(name, dir_fd), *more, dir_fd=dir_fd, **named)

        return called

    for name in ("stat", "open", "unlink", "mkdir", "rmdir"):
        monkeypatch.setattr(os, name, by_any_name(getattr(os, name)))

    def rename(old: str, new: str, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None) -> None:
        there = spelled(new, dst_dir_fd)
        _rename(spelled(old, src_dir_fd), there, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    def link(old: str, new: str, **named: Any) -> None:
        _link(spelled(old, named["src_dir_fd"]), spelled(new, named["dst_dir_fd"]), **named)

    def rename2(from_fd: int, old: str, to_fd: int, new: str, flag: int) -> None:
        _rename2(from_fd, spelled(old, from_fd), to_fd, spelled(new, to_fd), flag)

    monkeypatch.setattr(os, "rename", rename)
    monkeypatch.setattr(os, "link", link)
    monkeypatch.setattr(linux, "_rename", rename2)


class Folding(Hooked):
    """A store in memory that finds a key by any spelling of its segments, and refuses what it can't hold."""

    def __init__(self, name: str) -> None:
        super().__init__(MemoryEndpoint(name))
        self.tree = True
        self._store = memory.store(name)
        self._alone = threading.Lock()

    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, folds_case=True, server_copy=False)

    def spelled(self, key: str) -> str:
        """The key that is there for `key`, each segment as it is spelled where anything is below it."""
        segments = key.split("/")
        for depth in range(1, len(segments) + 1):
            for held in self._store.contents():
                there = held.split("/")
                if len(there) >= depth and list(map(fold, there[:depth])) == list(
                    map(fold, segments[:depth])
                ):
                    segments[:depth] = there[:depth]
                    break
        return "/".join(segments)

    def write(self, key: str, source: Source, *, expect: Entry | None) -> Entry:
        with self._alone:
            self._refuse(key)
            return super().write(key, source, expect=expect)

    def move(self, key: str, new_key: str, *, expect: Entry) -> Entry:
        with self._alone:
            if fold(key) != fold(new_key):
                self._refuse(new_key)
            elif key.rpartition("/")[0] != new_key.rpartition("/")[0]:
                raise Clash(f"{new_key}: a directory is spelled otherwise")
            return super().move(key, new_key, expect=expect)

    def _refuse(self, key: str) -> None:
        if (there := self.spelled(key)) != key:
            raise Clash(f"{key}: is spelled {there!r} here, and can't be both. Rename one of the two.")


def folding_world(folder: Path, side: Side = ONE) -> World:
    """A world of which one side folds case."""
    world = World(folder)
    folding = Folding(f"{'one' if side is ONE else 'two'}-{world.number}")
    world.hooked[side] = folding
    world.endpoints = world.hooked
    return world
