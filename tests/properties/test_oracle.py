"""No user's write is ever lost: random people on both sides, random runs, crashes and interruptions.

Every write carries a token of its own. A token is released when a user writes over or deletes the last of it:
as long as it stands anywhere, on the other side, as a conflict copy or in the trash, it must go on standing
somewhere. So what a run replaces or deletes is in the trash, and so is what a person decides against who
resolves a conflict. Once nobody writes, two runs make both sides equal and the next run plans nothing.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any
from unittest import TestCase

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bisyncer.engine import session
from bisyncer.engine.kept_plan import KeptPlan, PlanWriter
from bisyncer.errors import Transient, Unfinished
from bisyncer.job import ANY_VERSION, Bounds, FilterFile, Loser, Policy, Resolve, Scope
from bisyncer.model import Side
from bisyncer.report.events import Silent
from tests.world import ONE, TWO, World

KEYS = st.sampled_from(["a", "b", "d/a", "d/b", "a.conflict1"])
SIDES = st.sampled_from(list(Side))
METHODS = st.sampled_from(["scan", "stat", "read", "write", "move", "keep", "copy_from", "delete"])
PARTS = st.one_of(
    st.sampled_from(["a", "d", "d/a"]).map(lambda prefix: Scope(prefix=prefix)),
    st.lists(st.sampled_from(["a", "b", "d", "d/", "d/a", "a.conflict1", "none"]), max_size=4).map(
        lambda keys: Scope(keys=tuple(keys))
    ),
)
FILTERS: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [
        {},
        {"exclude": ("b",)},
        {"exclude": ("d/**",)},
        {"exclude": ("*.conflict*",)},
        {"include": ("d/**", "a")},
        {"exclude_if_present": "b"},
        {"filter_file": FilterFile("filters", ("+ d/a", "- d/**", "- *.conflict*"))},
    ]
)
POLICIES = st.builds(
    Policy,
    conflict_resolve=st.sampled_from(Resolve),
    conflict_loser=st.sampled_from(Loser),
    conflict_suffix=st.sampled_from(
        [("conflict", "conflict"), ("conflict1", "conflict2"), ("here", "{DateOnly}")]
    ),
    resync_mode=st.sampled_from(Resolve),
)
BOUNDS = st.sampled_from(
    [
        ANY_VERSION,
        ANY_VERSION,
        Bounds(max_size=6),
        Bounds(min_size=7),
        Bounds(min_age_ns=3600 * 10**9),
        Bounds(max_age_ns=1),
    ]
)
NTH = st.integers(1, 6)
CALLS = st.tuples(
    SIDES, st.sampled_from(["read", "write", "move", "keep", "copy_from", "delete", "stat", "scan"])
)


class Crash(BaseException):
    """The process is gone."""


class Pair(RuleBasedStateMachine):
    """Two sides, the people who write to them, and what must still be there."""

    @initialize(tree=st.booleans(), policy=POLICIES)
    def begin(self, tree: bool, policy: Policy) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="bisyncer-oracle-")
        self.world = World(Path(self.folder.name))
        self.world.hooked[ONE].tree = tree
        for side in Side:
            self.world.hooked[side].with_seals = True
        self.policy = policy
        self.tokens = count(1)
        self.alive: set[str] = set()
        self.filters: dict[str, Any] = {}
        self.kept: KeptPlan | None = None
        self.world.init()
        self.run(resync=True)

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            self.at_rest()
        finally:
            self.world.close()
            self.folder.cleanup()

    # What people do.

    @rule(side=SIDES, key=KEYS, size=st.integers(1, 2))
    def write(self, side: Side, key: str, size: int = 1) -> None:
        token = f"<{next(self.tokens):04}>" * size
        self.release(side, key)
        self.world.put(side, {key: token})
        self.alive.add(token)

    @rule(side=SIDES, key=KEYS)
    def delete(self, side: Side, key: str) -> None:
        if key in self.world.held(side):
            self.release(side, key)
            self.world.remove(side, key)

    @rule(side=SIDES, key=KEYS, new_key=KEYS, keeps_time=st.booleans())
    def rename(self, side: Side, key: str, new_key: str, keeps_time: bool) -> None:
        held = self.world.held(side)
        if key not in held or key == new_key:
            return
        self.release(side, new_key)
        if keeps_time:
            self.world.rename(side, key, new_key)
        else:
            self.world.put(side, {new_key: held[key]})
            self.world.remove(side, key)

    @rule(side=SIDES, key=KEYS)
    def touch(self, side: Side, key: str) -> None:
        if key in self.world.held(side):
            self.world.touch(side, key)

    @rule(key=KEYS)
    def write_the_same_on_both_sides(self, key: str) -> None:
        token = f"<{next(self.tokens):04}>"
        for side in Side:
            self.release(side, key)
            self.world.put(side, {key: token})
        self.alive.add(token)

    @rule(filters=FILTERS)
    def change_filters(self, filters: dict[str, Any]) -> None:
        self.filters = filters

    @rule(bounds=BOUNDS)
    def change_bounds(self, bounds: Bounds) -> None:
        self.policy = replace(self.policy, bounds=bounds)

    # What bisyncer does.

    @rule(resync=st.sampled_from([False, False, False, True]))
    def run(self, resync: bool = False) -> None:
        self.world.run(policy=self.policy, resync=resync, **self.filters)

    @rule(scope=PARTS)
    def run_a_part(self, scope: Scope) -> None:
        self.world.run(policy=self.policy, **self.filters, scope=scope)

    @rule()
    def keep_a_plan(self) -> None:
        file = self.world.folder / "plan"
        writer = PlanWriter(file)
        job = replace(self.world.job, dry_run=True, policy=self.policy, **self.filters)
        session.run(job, self.world.endpoints, self.world.state, writer, stop=self.world.stop)
        writer.close()
        self.kept = KeptPlan.read(file)

    @precondition(lambda self: self.kept is not None)
    @rule(side=SIDES, method=METHODS, nth=st.integers(1, 20))
    def apply_the_plan(self, side: Side, method: str, nth: int) -> None:
        """What was planned some time ago is carried out now; the process may die meanwhile."""
        assert self.kept is not None
        left = [nth]

        def die(called: str, _key: str) -> None:
            left[0] -= called == method
            if left[0] <= 0:
                raise Crash

        self.world.hooked[side].after = die
        job = replace(
            self.world.job,
            policy=self.policy,
            **self.filters,
            scope=Scope(plan=self.kept.run),
        )
        try:
            session.run(
                job,
                self.world.endpoints,
                self.world.state,
                Silent(),
                stop=self.world.stop,
                kept=self.kept,
            )
        except Crash:
            self.world.reopen_state()
        finally:
            self.quiet()

    @rule(
        side=SIDES,
        method=METHODS,
        nth=NTH,
        late=st.booleans(),
        resync=st.sampled_from([False, False, True]),
        scope=st.one_of(st.just(Scope()), PARTS),
    )
    def crash(  # noqa: PLR0917 -- a crash has this many choices
        self, side: Side, method: str, nth: int, late: bool, resync: bool, scope: Scope
    ) -> None:
        """The process dies at the n-th call, before or after it took effect."""
        left = [nth]

        def die(called: str, _key: str) -> None:
            left[0] -= called == method
            if left[0] <= 0:
                raise Crash

        setattr(self.world.hooked[side], "after" if late else "before", die)
        try:
            if scope.words is None:
                self.run(resync)
            else:
                self.run_a_part(scope)
        except Crash:
            self.world.reopen_state()
        finally:
            self.quiet()

    @rule(
        key=KEYS, edited=SIDES, deletes_first=st.booleans(), called=CALLS, where=SIDES, deletes=st.booleans()
    )
    def run_while_somebody_writes(  # noqa: PLR0917 -- a race has this many choices
        self,
        key: str,
        edited: Side,
        deletes_first: bool,
        called: tuple[Side, str],
        where: Side,
        deletes: bool,
    ) -> None:
        """A key waits to be synced, and right before a call to a store about it somebody writes it again."""
        (self.delete if deletes_first else self.write)(edited, key)
        waiting = [True]

        def interfere(method: str, at: str) -> None:
            if waiting and method == called[1] and at.startswith(key):
                waiting.clear()
                (self.delete if deletes else self.write)(where, at)

        self.world.hooked[called[0]].before = interfere
        # One worker: what a user sees at the instant of writing is then what the oracle sees.
        try:
            self.world.run(policy=self.policy, transfers=1, **self.filters)
        finally:
            self.quiet()

    @rule(side=SIDES, method=METHODS, key=KEYS)
    def run_while_a_key_fails(self, side: Side, method: str, key: str) -> None:
        def fail(called: str, at: str) -> None:
            if (called, at) == (method, key) and called != "scan":
                raise Transient("input/output error")

        self.world.hooked[side].before = fail
        try:
            self.run()
        finally:
            self.quiet()

    @rule(nth=NTH)
    def interrupt(self, nth: int) -> None:
        left = [nth]

        def signal(_called: str, _key: str) -> None:
            left[0] -= 1
            if left[0] == 0:
                self.world.stop.set()

        self.world.hooked[TWO].before = signal
        try:
            self.run()
        finally:
            self.quiet()

    @precondition(lambda self: self.world.conflicts())
    @rule(keep=st.sampled_from(["path1", "path2", "newer", "both"]))
    def resolve(self, keep: str) -> None:
        conflict = self.world.conflicts()[0]
        with suppress(Unfinished):
            self.world.resolve(conflict.id, keep)

    # What always holds.

    @invariant()
    def nothing_is_lost(self) -> None:
        if hasattr(self, "world"):
            lost = self.alive - set(self.standing())
            assert not lost, f"lost: {lost}"

    def at_rest(self) -> None:
        self.filters = {}
        self.policy = replace(self.policy, bounds=ANY_VERSION)
        self.run()
        self.run()
        assert self.world.held(ONE) == self.world.held(TWO)
        self.nothing_is_lost()
        assert self.world.plan(policy=self.policy) == []
        assert self.world.state.problems.told("p") == []

    def quiet(self) -> None:
        self.world.stop.clear()
        for side in Side:
            self.world.hooked[side].before = lambda _method, _key: None
            self.world.hooked[side].after = lambda _method, _key: None

    def release(self, side: Side, key: str) -> None:
        """A user is about to write over or delete what stands there."""
        token = self.world.held(side).get(key, "")
        if self.standing().count(token) == 1:
            self.alive.discard(token)

    def standing(self) -> list[str]:
        """Every token wherever it stands, on either side, trash included."""
        found = (each for side in Side for each in (self.world.held(side), self.world.trash(side)))
        return [token for each in found for token in each.values()]


EXAMPLES = int(os.environ.get("SEQUENCES", "500"))
# So that several processes can share it; not at length, where a seed would begin each alike.
TESTS = 1 if "SEQUENCES" in os.environ else 4


def _part(number: int) -> type[TestCase]:
    """A part of the sequences, as a test of its own."""
    machine: Any = type(f"Pair{number}", (Pair,), {})
    machine.TestCase.settings = settings(
        max_examples=EXAMPLES // TESTS,
        stateful_step_count=12,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    part: type[TestCase] = machine.TestCase
    return part


globals().update({f"TestNoWriteIsEverLost{number}": _part(number) for number in range(TESTS)})
