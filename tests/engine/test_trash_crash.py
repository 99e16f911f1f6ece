"""A run over two trees dies at every system call: each version is in its place or in the trash."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from bisyncer.engine import pairing, session
from bisyncer.job import Job
from bisyncer.model import TRASH, Side
from bisyncer.report.events import Silent
from tests.desk import held, put
from tests.endpoints.steps import Steps
from tests.world import new_state, open_state

OLD_NS = 1_500_000_000_000_000_000
PARTS = 4  # of the test, so that several processes can share it
EDITED, DELETED = "replaced by the run", "deleted by the run"


class Trees:
    """Two aligned trees; then on one a file is edited and another deleted."""

    def __init__(self, folder: Path) -> None:
        self.one, self.two = folder / "one", folder / "two"
        for tree in (self.one, self.two):
            tree.mkdir(parents=True)
        self.job = Job("p", str(self.one), str(self.two), transfers=1)
        self.store = open_state(new_state(folder))
        put(self.one, {"a": "1", "b": "2", "d/edited": EDITED, "d/deleted": DELETED})
        for path in self.one.rglob("*"):
            os.utime(path, ns=(OLD_NS, OLD_NS))
        ends = pairing.open_pair(self.job, self.store)
        pairing.init(self.job, ends, self.store)
        self.run(resync=True)
        put(self.one, {"d/edited": "the edit"})
        os.utime(self.one / "d/edited", ns=(OLD_NS + 1, OLD_NS + 1))
        (self.one / "d/deleted").unlink()

    def run(self, steps: Steps | None = None, *, resync: bool = False) -> dict[str, int]:
        ends = pairing.open_pair(self.job, self.store)
        job = replace(self.job, resync=resync)
        try:
            if steps is None:
                return dict(session.run(job, ends, self.store, Silent(), stop=threading.Event()).actions)
            with steps:
                session.run(job, ends, self.store, Silent(), stop=threading.Event())
            return {}
        finally:
            for end in ends.values():
                end.close()

    def trash(self, side: Side) -> list[str]:
        tree = self.one if side is Side.PATH1 else self.two
        return [path.read_text() for path in (tree / TRASH).rglob("*") if path.is_file()]


@pytest.mark.parametrize("part", range(PARTS))
def test_killed_at_any_system_call_of_a_run_no_version_is_lost(tmp_path: Path, part: int) -> None:
    counted = Trees(tmp_path / "counted")
    steps = Steps()
    counted.run(steps)
    counted.store.close()
    assert len(steps.names) > 50

    for kill_at in range(part, 2 * len(steps.names), PARTS):
        trees = Trees(tmp_path / str(kill_at))
        trees.run(Steps(kill_at))
        assert {EDITED, DELETED} <= {*held(trees.two).values(), *trees.trash(Side.PATH2)}, kill_at
        trees.run()

        assert held(trees.one) == held(trees.two) == {"a": "1", "b": "2", "d/edited": "the edit"}, kill_at
        assert {EDITED, DELETED} == set(trees.trash(Side.PATH2)), kill_at
        assert trees.trash(Side.PATH1) == []
        assert not any(trees.run().values())
        trees.store.close()
