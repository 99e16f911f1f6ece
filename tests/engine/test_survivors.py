"""An edit against a deletion: the edit survives, and is told."""

from __future__ import annotations

import pytest

from bisyncer.model import Side
from bisyncer.report.events import WouldAct
from tests.world import ONE, TWO, World, carried_out

TEN = {f"k{number}": "x" * (number + 1) for number in range(10)}


@pytest.fixture
def met(world: World) -> World:
    """path1 edited a key that path2 deleted, and the other way round."""
    world.align(TEN)
    world.put(ONE, {"k0": "edited in one"})
    world.remove(TWO, "k0")
    world.remove(ONE, "k1")
    world.put(TWO, {"k1": "edited in two"})
    return world


def test_the_edit_survives_and_is_listed_among_the_settled(met: World) -> None:
    summary = met.run()

    assert met.held(ONE) == met.held(TWO) == TEN | {"k0": "edited in one", "k1": "edited in two"}
    assert carried_out(summary) == {"copy-to-path1": 1, "copy-to-path2": 1}
    assert summary.survived == 2
    assert (summary.conflicts, met.conflicts()) == ((), [])
    found = {conflict.key: conflict for conflict in met.state.conflicts.told("p", state=None)}
    for key, side in (("k0", ONE), ("k1", TWO)):
        assert (found[key].state, found[key].winner, found[key].kept_as) == ("survived", side, None)
        assert found[key].met(side).size == len("edited in one")
    assert (found["k0"].path2, found["k1"].path1) == (None, None)
    assert met.plan() == []


def test_a_dry_run_tells_the_same_and_lists_nothing(met: World) -> None:
    summary = met.run(dry_run=True)

    assert summary.survived == 2
    assert met.state.conflicts.told("p", state=None) == []
    assert {event.action.survivor for event in met.heard.events if isinstance(event, WouldAct)} == set(Side)


def test_a_key_that_is_deleted_while_its_edit_is_copied_is_told_too(world: World) -> None:
    world.align(TEN)
    world.put(ONE, {"k0": "edited in one"})
    once = iter([True])

    def interfere(method: str, key: str) -> None:
        if (method, key) == ("keep", "k0") and next(once, False):
            world.remove(TWO, "k0")

    world.hooked[TWO].before = interfere
    summary = world.run()

    assert world.held(TWO)["k0"] == "edited in one"
    assert summary.survived == 1
    assert [conflict.state for conflict in world.state.conflicts.told("p", state=None)] == ["survived"]


def test_an_edit_of_what_is_there_and_a_new_key_survive_nothing(world: World) -> None:
    world.align(TEN)
    world.put(ONE, {"k0": "edited in one", "new": "in one"})
    world.remove(TWO, "k1")

    assert world.run().survived == 0
    assert world.state.conflicts.told("p", state=None) == []


def test_what_waits_for_nobody_is_forgotten_when_the_actions_of_its_run_are(
    met: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    met.run()
    met.put(ONE, {"k2": "written in one"})
    met.put(TWO, {"k2": "then in two"})
    met.run()
    now = met.state.now_ns()
    monkeypatch.setattr(met.state, "now_ns", lambda: now + 91 * 86400 * 10**9)

    met.run()

    assert [conflict.state for conflict in met.state.conflicts.told("p", state=None)] == ["open"]
