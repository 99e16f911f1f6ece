"""A pair of two places with a state of its own, run as often as a test wants."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from bisyncer.endpoints.base import Endpoint
from bisyncer.engine import pairing, session
from bisyncer.job import Job
from bisyncer.model import Side, Summary
from bisyncer.state.store import Store
from tests.places import Place, held
from tests.world import ONE, TWO, Heard, Hooked, carried_out, new_state

AT_REST = (
    3  # runs after which a pair that nobody writes to is equal: two that act, and one that has nothing to do
)


class Pair:
    """Two places under one pair, hooked so that a test can act at the right instant."""

    def __init__(self, folder: Path, one: Place, two: Place, **changes: Any) -> None:
        self.places: Mapping[Side, Place] = {ONE: one, TWO: two}
        remotes = {remote.name: remote for place in (one, two) for remote in place.remotes}
        self.job = Job("p", one.root, two.root, remotes=tuple(remotes.values()), transfers=4)
        self.job = replace(self.job, **changes)
        self.state = Store.open(new_state(folder))
        self.stop = threading.Event()
        self._open()

    def _open(self) -> None:
        self.hooked = {side: Hooked(end) for side, end in pairing.open_pair(self.job, self.state).items()}
        self.endpoints: Mapping[Side, Endpoint] = self.hooked

    def close(self) -> None:
        for endpoint in self.endpoints.values():
            endpoint.close()
        self.state.close()

    def reopen(self) -> None:
        """Open both sides anew, as the next process would: requests count from nothing."""
        for endpoint in self.endpoints.values():
            endpoint.close()
        self._open()

    def init(self) -> tuple[str, ...]:
        """Record the pair; return the warnings."""
        return pairing.init(self.job, self.endpoints, self.state).warnings

    def run(self, **changes: Any) -> Summary:
        job = replace(self.job, **changes)
        return session.run(job, self.endpoints, self.state, Heard(), stop=self.stop)

    def align(self) -> Summary:
        """Record the pair and make the first alignment."""
        self.init()
        return self.run(resync=True)

    def settle(self) -> Summary:
        """Run until a run does nothing, and return that run's summary."""
        for _ in range(AT_REST):
            summary = self.run()
            assert not summary.halts, summary.halts
            if not carried_out(summary) and not summary.problem_count:
                return summary
        raise AssertionError(f"no rest after {AT_REST} runs: {carried_out(summary)} {summary.problems}")

    def held(self) -> dict[str, bytes]:
        """What both sides hold, which must be the same."""
        one, two = held(self.places[ONE]), held(self.places[TWO])
        assert one == two
        return one


@contextmanager
def paired(folder: Path, one: Place, two: Place, **changes: Any) -> Iterator[Pair]:
    """A pair, closed in the end."""
    pair = Pair(folder, one, two, **changes)
    try:
        yield pair
    finally:
        pair.close()
