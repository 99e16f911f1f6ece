"""Requests that an endpoint has sent, counted by kind."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping


class Requests:
    """Counts of requests by kind; any thread may count."""

    def __init__(self) -> None:
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
