"""A process that can be stopped, or overtaken by somebody else, before or after each of its system calls."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import pytest

from bisyncer.endpoints import linux

CALLS = (
    *((os, name) for name in ("open", "dup", "stat", "fstat", "write", "utime", "fsync", "fchmod", "fchown")),
    *((os, name) for name in ("rename", "link", "unlink", "mkdir", "rmdir", "listdir", "scandir")),
    *((linux, name) for name in ("exchange", "rename_new", "syncfs")),
)


class Killed(BaseException):
    """What SIGKILL does, as far as a test in one process can: nothing after it happens."""


class Steps:
    """Counts the system calls of a block; kills it around call `kill_at`, or does `act` before `act_at`.

    `kill_at` 2n is before call n, and 2n + 1 is after it. Closing descriptors stays possible, as the
    kernel does it for a dead process.
    """

    def __init__(
        self,
        kill_at: int | None = None,
        *,
        act_at: int | None = None,
        act: Callable[[], None] = lambda: None,
    ) -> None:
        self.names: list[str] = []
        self.killed = False
        self._kill_at = kill_at
        self._act_at = act_at
        self._act = act
        self._acting = False
        self._patches = pytest.MonkeyPatch()

    def __enter__(self) -> Self:
        for module, name in CALLS:
            self._patches.setattr(module, name, self._wrapped(getattr(module, name), name))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._patches.undo()
        return isinstance(error, Killed)

    def _wrapped(self, call: Callable[..., Any], name: str) -> Callable[..., Any]:
        def step(*args: Any, **kwargs: Any) -> Any:
            if self._acting:
                return call(*args, **kwargs)
            if self.killed:
                raise Killed
            number = len(self.names)
            self.names.append(name)
            if number == self._act_at:
                self._acting = True
                self._act()
                self._acting = False
            self._die_at(2 * number)
            try:
                result = call(*args, **kwargs)
            except OSError:
                self._die_at(2 * number + 1)
                raise
            if self._kill_at == 2 * number + 1:
                if name in {"open", "dup"}:
                    os.close(result)
                elif name == "scandir":
                    result.close()
            self._die_at(2 * number + 1)
            return result

        return step

    def _die_at(self, point: int) -> None:
        if point == self._kill_at:
            self.killed = True
            raise Killed
