"""Requests that an endpoint has sent, counted by kind, and heard of where they fail."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping

from bisyncer.endpoints.pace import Pace


class Requests:
    """Counts of requests by kind; any thread may count. `pace` hears of those that fail and may go again."""

    def __init__(self) -> None:
        self.pace = Pace()  # until whoever asks has one
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def count(self, kind: str) -> None:
        """One more request of `kind`."""
        with self._lock:
            self._counts[kind] += 1

    def counts(self) -> Mapping[str, int]:
        """The counts so far."""
        with self._lock:
            return dict(self._counts)
