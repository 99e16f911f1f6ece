"""How far a large body is can be asked for while it is on its way."""

from __future__ import annotations

from bisyncer.endpoints.body import PART_SIZE
from bisyncer.engine.moving import Moving
from bisyncer.model import RunOutcome
from bisyncer.report.events import Event, Moved, Phase, PhaseBegan
from tests.world import ONE, TWO, World

LARGE = PART_SIZE + 1


def test_an_attempt_that_begins_again_counts_no_byte_twice() -> None:
    moving = Moving()
    moving.pass_on("k", 5)
    moving.pass_on("other", 1)
    moving.pass_on("k", 2)
    assert moving.moved() == Moved(2, 3)
    moving.end("k")
    moving.end("k")
    assert moving.moved() == Moved(1, 1)


def test_bytes_of_a_large_body_are_seen_while_it_moves_and_no_more_when_it_has_ended(world: World) -> None:
    world.align({"a": "1"})
    world.put(ONE, {"large": "x" * LARGE, "small": "x" * PART_SIZE})
    seen: list[Moved] = []

    def look(method: str, _key: str) -> None:
        if method == "write":
            seen.append(applying(world.heard.events).moved())

    world.hooked[TWO].after = look

    assert world.run().outcome is RunOutcome.SUCCESS
    assert Moved(1, LARGE) in seen
    assert all(each in {Moved(), Moved(1, LARGE)} for each in seen)
    assert applying(world.heard.events).moved() == Moved()


def applying(events: list[Event]) -> PhaseBegan:
    """The start of the last apply."""
    return [event for event in events if isinstance(event, PhaseBegan) and event.phase is Phase.APPLY][-1]
