"""What a power cut could still undo in a tree: what we wrote, and what somebody wrote a moment ago."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Final

from bisyncer.endpoints import linux
from bisyncer.errors import Transient

# Linux writes back what is dirty for 30 s, and looks every 5 s: dirty_expire_centisecs in
# https://docs.kernel.org/admin-guide/sysctl/vm.html
WRITTEN_BACK_NS: Final = 60 * 10**9

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class Unsynced:
    """The file systems with changes that a power cut could still undo."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[int, int] = {}  # device -> a directory or a file on it
        self._failed = False

    def add(self, directory: int) -> None:
        """Note that a name in `directory` changed, or that somebody has just written something there."""
        if not linux.HAS_SYNCFS:
            sync_names(directory)
            return
        # Opened now and not at the flush: a descriptor only reports the errors that came after it.
        self._note(directory, lambda: os.open(".", _DIRECTORY, dir_fd=directory))

    def add_read(self, opened: int) -> None:
        """Note that a file that is open was written to by somebody, a moment before it was read."""
        if not linux.HAS_SYNCFS:
            os.fsync(opened)
            return
        self._note(opened, lambda: os.dup(opened))

    def _note(self, opened: int, again: Callable[[], int]) -> None:
        device = os.fstat(opened).st_dev
        with self._lock:
            if device not in self._open:
                self._open[device] = again()

    def sync(self, root: str) -> None:
        """Return when all that was noted is on its device.

        After one failure it fails for ever: the kernel forgets which pages it dropped, so a second
        success would say nothing about what was written before the first.
        """
        with self._lock:
            waiting, self._open = self._open, {}
            try:
                for opened in waiting.values():
                    linux.syncfs(opened)
            except OSError as error:
                self._failed = True
                raise Transient(f"{root}: can't be made durable: {os.strerror(error.errno or 0)}.") from error
            finally:
                for opened in waiting.values():
                    os.close(opened)
            if self._failed:
                raise Transient(f"{root}: an earlier write was not made durable. Check the disk; run again.")

    def close(self) -> None:
        """Forget what was noted."""
        with self._lock:
            waiting, self._open = self._open, {}
            for opened in waiting.values():
                os.close(opened)


def sync_names(directory: int) -> None:
    """Return when the names in a directory are on its device."""
    opened = os.open(".", _DIRECTORY, dir_fd=directory)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
