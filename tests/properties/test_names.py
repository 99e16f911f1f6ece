"""Names never overwrite each other: people give any name on either side, and one side may fold case."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bisyncer.job import MatchNames, Policy
from bisyncer.model import Side
from tests.folding import Folding, fold, folding_world
from tests.world import ONE, TWO, World

ALIKE = ["a", "A", "caf\u00e9", "cafe\u0301", "CAF\u00c9", "d/a", "D/a", "d/A"]
HOSTILE = ["..", ".", "../a", "a//b", "/a", "B /a", " b", "...", "n" * 300, "n" * 1024, "\x01", "a/b", "~"]
KEYS = st.sampled_from([*ALIKE * 4, *HOSTILE])
POLICIES = st.builds(
    Policy,
    match_names=st.sampled_from(list(MatchNames)),
    fix_case=st.booleans(),
    track_renames=st.booleans(),
)
DEEDS = st.sampled_from([*["write"] * 5, "delete", "run"])
STEPS = st.lists(st.tuples(DEEDS, st.sampled_from(list(Side)), KEYS), min_size=4, max_size=14)


class People:
    """Who write a text of their own each time, and what must still stand somewhere."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.alive: set[str] = set()
        self._written = 0

    def write(self, side: Side, key: str) -> None:
        key = self._spelled(side, key)
        self._written += 1
        token = f"<{self._written}>"
        self._release(side, key)
        self._world.put(side, {key: token})
        self.alive.add(token)

    def delete(self, side: Side, key: str) -> None:
        key = self._spelled(side, key)
        if key in self._world.held(side):
            self._release(side, key)
            self._world.remove(side, key)

    def standing(self) -> list[str]:
        held = (each for side in Side for each in (self._world.held(side), self._world.trash(side)))
        return [token for each in held for token in each.values()]

    def _spelled(self, side: Side, key: str) -> str:
        endpoint = self._world.endpoints[side]
        return endpoint.spelled(key) if isinstance(endpoint, Folding) else key

    def _release(self, side: Side, key: str) -> None:
        token = self._world.held(side).get(key, "")
        if self.standing().count(token) == 1:
            self.alive.discard(token)


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(policy=POLICIES, steps=STEPS, folds=st.booleans())
def test_no_name_overwrites_another_and_what_differs_at_rest_is_told(
    policy: Policy, steps: Sequence[tuple[str, Side, str]], folds: bool
) -> None:
    with tempfile.TemporaryDirectory(prefix="bisyncer-names-") as folder:
        world = folding_world(Path(folder)) if folds else World(Path(folder))
        people = People(world)
        try:
            world.init()
            world.run(policy=policy, resync=True)
            for what, side, key in steps:
                if what == "run":
                    world.run(policy=policy)
                elif what == "delete":
                    people.delete(side, key)
                elif not folds or side is TWO or world.endpoints[ONE].refusal(key) is None:
                    people.write(side, key)
                assert people.alive <= set(people.standing())

            for _ in range(4):
                summary = world.run(policy=policy)

            assert people.alive <= set(people.standing())
            one, two = world.held(ONE), world.held(TWO)
            told = {problem.key for problem in summary.problems}
            assert {key for key in one.keys() | two.keys() if one.get(key) != two.get(key)} <= told
            if folds:
                assert len({fold(key) for key in one}) == len(one)
        finally:
            world.close()
