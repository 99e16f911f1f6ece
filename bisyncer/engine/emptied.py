"""The directories from which a run took the last file: they are removed, where the other side has none.

Only what the run itself emptied is looked at, and only an empty directory can be removed. In a bucket a
directory is its marker, where markers are synced at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor
from contextlib import closing, suppress
from itertools import islice
from typing import Final

from bisyncer.endpoints.base import Endpoint, NameRules
from bisyncer.engine.scan import closable
from bisyncer.engine.shards import below
from bisyncer.errors import EndpointError
from bisyncer.model import DELETES, MOVES, OCCUPIED, Done, Outcome, Side

MOST: Final = 10_000  # directories remembered at once


class Emptied:
    """Directories that may be empty now; with `markers`, also those of buckets."""

    def __init__(self, endpoints: Mapping[Side, Endpoint], *, markers: bool) -> None:
        self._endpoints = endpoints
        self._markers = markers
        self._sides = frozenset(side for side in Side if markers or self._is_tree(side))
        self._noted: set[tuple[Side, str]] = set()

    @property
    def is_full(self) -> bool:
        """Whether it is time for a sweep."""
        return len(self._noted) >= MOST

    def note(self, outcome: Outcome) -> None:
        """Remember the directory out of which a key was deleted or moved."""
        action = outcome.planned.action
        side = action.verdict.side
        if not isinstance(outcome, Done) or side not in self._sides:
            return
        if action.verdict in DELETES.values():
            gone = action.key
        elif action.verdict in MOVES.values() and action.origin is not None:
            gone = action.origin.key
        else:
            return
        if directory := _above(gone):
            self._noted.add((side, directory))

    def sweep(self, pool: Executor) -> None:
        """Remove those that are empty, and the ones above them that then are."""
        waiting, self._noted = self._noted, set()
        # A directory goes by the last one below it that goes, whichever that is.
        for _ in pool.map(lambda place: self._remove(*place), waiting):
            pass

    def _remove(self, side: Side, directory: str) -> None:
        with suppress(EndpointError):  # what can't be removed stays, as a directory that is still in use does
            while directory and self._removed(side, directory):
                directory = _above(directory)

    def _removed(self, side: Side, directory: str) -> bool:
        """Whether a directory isn't there, or not any more, so that the one above may be empty."""
        endpoint = self._endpoints[side]
        found = endpoint.stat(directory)
        if found is None:
            return True
        if found.stamp == OCCUPIED or (not self._is_tree(side) and self._has_more(endpoint, directory)):
            return False
        if (self._markers or self._is_tree(side.other)) and self._endpoints[side.other].stat(directory):
            return False
        endpoint.delete(directory, expect=found)
        return True

    def _has_more(self, endpoint: Endpoint, directory: str) -> bool:
        """Whether a bucket has more below a directory than its marker."""
        with closing(closable(endpoint.scan(*below(directory[:-1])))) as items:
            return len(list(islice(items, 2))) > 1

    def _is_tree(self, side: Side) -> bool:
        return self._endpoints[side].capabilities.names is NameRules.TREE


def _above(key: str) -> str:
    """The directory that a key or a directory lies in, as a key; empty for what lies in the root."""
    above = key.rstrip("/").rpartition("/")[0]
    return f"{above}/" if above else ""
