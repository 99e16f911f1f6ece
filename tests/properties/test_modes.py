"""Random sequences in each mode: what is written, what is kept, and where they come to rest."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bisyncer.errors import Transient
from bisyncer.job import Scope
from bisyncer.model import Mode, Side, Summary
from tests.world import ONE, TWO, World, carried_out

WRITES = frozenset({"write", "delete", "move", "keep", "copy_from"})
KEYS = st.sampled_from(["a", "b", "d/e"])
SIDES = st.sampled_from(Side)

Step = tuple[Any, ...]
PEOPLE: tuple[st.SearchStrategy[Step], ...] = (
    st.tuples(st.just("write"), SIDES, KEYS),
    st.tuples(st.just("write"), SIDES, KEYS),
    st.tuples(st.just("delete"), SIDES, KEYS),
    st.tuples(st.just("rename"), SIDES, KEYS, KEYS),
    st.tuples(st.just("touch"), SIDES, KEYS),
    st.tuples(st.just("same"), KEYS),
)
RUNS: tuple[st.SearchStrategy[Step], ...] = (
    st.just(("run",)),
    st.just(("resync",)),
    st.just(("part",)),
    st.tuples(st.just("crash"), SIDES, st.integers(1, 6)),
    st.tuples(st.just("fail"), SIDES, KEYS),
    st.tuples(st.just("leave_out"), st.sampled_from([(), ("a",), ("d/**",)]), st.booleans()),
)
STEPS = st.lists(st.one_of(*PEOPLE, *RUNS), max_size=8)
MODES = st.lists(st.tuples(st.sampled_from(Mode), STEPS.map(lambda steps: steps[:4])), min_size=2, max_size=3)

EXAMPLES = settings(print_blob=True, suppress_health_check=list(HealthCheck), database=None)


class Crash(BaseException):
    """The process is gone; nothing of ours may catch this."""


class People:
    """A pair in some mode, those who write to both sides, and what each run did to them."""

    def __init__(self, world: World, mode: Mode) -> None:
        self.world = world
        self.mode = mode
        self.tokens = count(1)
        self.alive: set[str] = set()
        self.settled = mode  # the mode of the last whole run
        self.exclude: tuple[str, ...] = ()
        self.delete_excluded = False
        world.init()
        self.run(resync=True)

    def take(self, step: Step) -> None:
        name, *arguments = step
        getattr(self, name)(*arguments)
        lost = self.alive - set(self.standing())
        assert not lost, f"lost: {lost}"

    def write(self, side: Side, key: str) -> None:
        self.release(side, key)
        token = f"<{next(self.tokens):04}>"
        self.world.put(side, {key: token})
        self.alive.add(token)

    def same(self, key: str) -> None:
        self.write(ONE, key)
        self.release(TWO, key)
        self.world.put(TWO, {key: self.world.held(ONE)[key]})

    def delete(self, side: Side, key: str) -> None:
        if key in self.world.held(side):
            self.release(side, key)
            self.world.remove(side, key)

    def rename(self, side: Side, key: str, new_key: str) -> None:
        if key in self.world.held(side) and key != new_key:
            self.release(side, new_key)
            self.world.rename(side, key, new_key)

    def touch(self, side: Side, key: str) -> None:
        if key in self.world.held(side):
            self.world.touch(side, key)

    def leave_out(self, exclude: tuple[str, ...], delete: bool) -> None:
        """Change the filters; what they leave out is deleted from path2 where the mode is a mirror."""
        self.exclude, self.delete_excluded = exclude, delete

    def resync(self) -> None:
        self.run(resync=True)

    def part(self) -> None:
        self.run(scope=Scope(prefix="d"))

    def crash(self, side: Side, nth: int) -> None:
        """The process dies right after the n-th change of a side."""
        left = [nth]

        def die(_method: str, _key: str) -> None:
            left[0] -= 1
            if left[0] == 0:
                raise Crash

        self.world.hooked[side].after = die
        try:
            self.run()
        except Crash:
            self.world.reopen_state()
        finally:
            self.world.hooked[side].after = lambda _method, _key: None

    def fail(self, side: Side, key: str) -> None:
        """One key can't be handled while the run goes on."""

        def refuse(method: str, at: str) -> None:
            if at == key and method != "scan":
                raise Transient("input/output error")

        self.run(meanwhile=(side, refuse))

    def run(
        self, *, meanwhile: tuple[Side, Callable[[str, str], None]] | None = None, **changes: Any
    ) -> Summary:
        """Run once, and see that no side was written or lost a key that this mode leaves alone."""
        before = {side: self.world.held(side) for side in Side}
        first = changes.get("resync") or self.mode is not self.settled
        written: list[str] = []

        def seen(side: Side) -> Callable[[str, str], None]:
            def see(method: str, key: str) -> None:
                if method in WRITES and side not in self.mode.writes:
                    written.append(f"{method} {key}")
                if meanwhile is not None and meanwhile[0] is side:
                    meanwhile[1](method, key)

            return see

        for side in Side:
            self.world.hooked[side].before = seen(side)
        try:
            deletes = self.delete_excluded and self.mode is Mode.MIRROR
            summary = self.world.run(mode=self.mode, exclude=self.exclude, delete_excluded=deletes, **changes)
        finally:
            for side in Side:
                self.world.hooked[side].before = lambda _method, _key: None
            assert written == []
            if first or self.mode is self.mode.without_deletions:
                for side in Side:
                    assert before[side].keys() <= self.world.held(side).keys(), "a key was deleted"
        if "scope" not in changes:
            self.settled = self.mode
        return summary

    def rest(self) -> None:
        """Run until there is nothing to do, with all keys in."""
        self.exclude = ()
        for _ in range(3):
            first = self.mode is not self.settled
            if not carried_out(self.run()) and not first:
                break
        assert self.world.plan(mode=self.mode) == []
        assert not self.alive - set(self.standing())
        one, two = self.world.held(ONE), self.world.held(TWO)
        if self.mode is Mode.COPY:
            assert one == {key: two.get(key) for key in one}
        else:
            assert one == two

    def release(self, side: Side, key: str) -> None:
        """Somebody is about to write over or delete what stands there."""
        token = self.world.held(side).get(key, "")
        if self.standing().count(token) == 1:
            self.alive.discard(token)

    def standing(self) -> list[str]:
        """Every token wherever it stands, trash included."""
        found = (each for side in Side for each in (self.world.held(side), self.world.trash(side)))
        return [token for each in found for token in each.values()]


@contextmanager
def people(mode: Mode, *, tree: bool) -> Iterator[People]:
    with tempfile.TemporaryDirectory(prefix="bisyncer-modes-") as folder:
        world = World(Path(folder))
        world.hooked[ONE].tree = tree
        try:
            yield People(world, mode)
        finally:
            world.close()


@settings(EXAMPLES, max_examples=60)
@given(mode=st.sampled_from([Mode.MIRROR, Mode.COPY, Mode.DUAL_COPY]), tree=st.booleans(), steps=STEPS)
def test_a_mode_writes_what_it_may_keeps_what_it_replaces_and_comes_to_rest(
    mode: Mode, tree: bool, steps: list[Step]
) -> None:
    with people(mode, tree=tree) as pair:
        for step in steps:
            pair.take(step)
        pair.rest()


@settings(EXAMPLES, max_examples=30)
@given(tree=st.booleans(), legs=MODES)
@example(
    tree=False,
    legs=[
        (Mode.COPY, [("write", ONE, "a"), ("run",), ("delete", ONE, "a"), ("run",)]),
        (Mode.MIRROR, [("run",), ("run",)]),
        (Mode.BISYNC, [("delete", TWO, "a"), ("run",)]),
    ],
)
def test_a_change_of_the_mode_deletes_nothing_by_itself(
    tree: bool, legs: list[tuple[Mode, list[Step]]]
) -> None:
    with people(Mode.BISYNC, tree=tree) as pair:
        for mode, steps in legs:
            pair.mode = mode
            for step in steps:
                pair.take(step)
        pair.rest()
