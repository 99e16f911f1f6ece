"""How far large bodies are that are on their way: who shows the progress asks, and nobody is told."""

from __future__ import annotations

import threading

from bisyncer.report.events import Moved


class Moving:
    """The bytes that have passed of bodies on their way, by key; safe between threads.

    An attempt that begins again counts from its own start, so no byte counts twice.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sizes: dict[str, int] = {}

    def pass_on(self, key: str, size: int) -> None:
        """So many bytes of the body have passed in this attempt."""
        with self._lock:
            self._sizes[key] = size

    def end(self, key: str) -> None:
        """The body is on its way no longer."""
        with self._lock:
            self._sizes.pop(key, None)

    def moved(self) -> Moved:
        """What has passed so far."""
        with self._lock:
            return Moved(len(self._sizes), sum(self._sizes.values()))
