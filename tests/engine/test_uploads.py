"""Uploads in parts that a killed run left are aborted by the pair's next run, and nobody else's."""

from __future__ import annotations

import pytest

from bisyncer.endpoints.base import Upload
from bisyncer.engine.uploads import Remembered
from bisyncer.errors import Transient
from bisyncer.model import Mode
from tests.world import ONE, TWO, World


@pytest.fixture
def aborted(world: World, monkeypatch: pytest.MonkeyPatch) -> list[Upload]:
    world.align({"a": "1"})
    found: list[Upload] = []
    monkeypatch.setattr(world.hooked[TWO], "abort", found.append)
    return found


def begin(world: World, pair: str, upload: Upload) -> Remembered:
    known = world.state.pair(pair) or world.state.add_pair(pair, "file:///a", "file:///b", Mode.BISYNC)
    uploads = Remembered(world.state, known.id, TWO)
    uploads.began(upload)
    return uploads


def test_what_a_killed_run_left_is_aborted_once(world: World, aborted: list[Upload]) -> None:
    begin(world, "p", Upload("large", "id-1"))
    begin(world, "other", Upload("large", "id-2"))

    world.run(dry_run=True)
    assert aborted == []
    world.run()
    world.run()

    assert aborted == [Upload("large", "id-1")]


def test_what_ended_is_not_aborted(world: World, aborted: list[Upload]) -> None:
    begin(world, "p", Upload("large", "id-1")).ended(Upload("large", "id-1"))

    world.run()

    assert aborted == []


def test_what_can_not_be_aborted_stops_nothing_and_is_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.align({"a": "1"})
    begin(world, "p", Upload("large", "id-1"))
    asked: list[Upload] = []

    def busy(upload: Upload) -> None:
        asked.append(upload)
        raise Transient("busy")

    monkeypatch.setattr(world.hooked[TWO], "abort", busy)
    world.put(ONE, {"b": "2"})

    assert world.run().exit_code == 0
    first = len(asked)
    assert first
    assert world.run().exit_code == 0
    assert len(asked) == 2 * first
