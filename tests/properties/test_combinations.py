"""All that a pair can be set to, drawn at random and changed at random between runs.

Beside what the sequences of `test_oracle` look at: no run removes a key for a deletion that nobody made, or
that a whole run has dealt with before; a side that the mode doesn't write isn't written; and whatever the
settings are, a few runs come to rest by them.
"""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from bisyncer.core.reserved import is_reserved
from bisyncer.endpoints.base import Endpoint, Source
from bisyncer.endpoints.memory import MemoryEndpoint
from bisyncer.engine import session
from bisyncer.engine.kept_plan import KeptPlan, PlanWriter
from bisyncer.errors import UsageError
from bisyncer.job import (
    Bounds,
    Evidence,
    FilterFile,
    Job,
    Limits,
    Loser,
    MatchNames,
    Policy,
    Resolve,
    Retention,
    Scope,
)
from bisyncer.model import Entry, Mode, RunOutcome, Side, Summary
from bisyncer.report.events import Reporter, WouldAct
from tests.properties.test_oracle import METHODS, SIDES, Crash, Pair
from tests.world import ONE, TWO, Heard, World, carried_out, line

HOUR_NS = 3600 * 10**9
RULES = st.sampled_from(Resolve)
JOBS: dict[str, st.SearchStrategy[Any]] = {
    "mode": st.sampled_from(Mode),
    "exclude": st.sampled_from([(), ("b",), ("d/**",), ("*.conflict*",)]),
    "include": st.sampled_from([(), (), ("d/**", "a")]),
    "filter_file": st.sampled_from([None, FilterFile("filters", ("+ d/a", "- d/**", "- *.conflict*"))]),
    "exclude_if_present": st.sampled_from([None, "b"]),
    "delete_excluded": st.booleans(),
    "trash": st.sampled_from([Retention(), Retention(), Retention(path1=False, path2=False)]),
    "strict": st.booleans(),
    "remove_empty_dirs": st.booleans(),
    "transfers": st.sampled_from([1, 4]),
    "limits": st.sampled_from([Limits(), Limits(max_delete_count=0), Limits(max_delete_count=1)]),
}
POLICIES: dict[str, st.SearchStrategy[Any]] = {
    "bounds": st.builds(
        Bounds,
        min_size=st.sampled_from([None, None, 7]),
        max_size=st.sampled_from([None, None, 6]),
        min_age_ns=st.sampled_from([None, None, HOUR_NS]),
        max_age_ns=st.sampled_from([None, None, 2 * HOUR_NS]),
    ),
    "compare": st.sampled_from([frozenset(), frozenset(), frozenset({Evidence.HASH})]),
    "conflict_resolve": RULES,
    "conflict_loser": st.sampled_from(Loser),
    "conflict_suffix": st.sampled_from([("conflict", "conflict"), ("conflict1", "conflict2")]),
    "resync_mode": RULES,
    "track_renames": st.booleans(),
    "match_names": st.sampled_from(MatchNames),
    "fix_case": st.booleans(),
    "create_empty_dirs": st.booleans(),
}
SETTINGS = {**JOBS, **POLICIES}
CHANGES = st.sampled_from(sorted(SETTINGS)).flatmap(lambda name: st.tuples(st.just(name), SETTINGS[name]))


class Watched(MemoryEndpoint):
    """A store in memory that tells which names the engine wrote, and which it took away."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.wrote: list[str] = []
        self.took: list[tuple[str, str | None]] = []  # with the new name, where it got one

    def write(self, key: str, source: Source, *, expect: Entry | None) -> Entry:
        self.wrote.append(key)
        return super().write(key, source, expect=expect)

    def copy_from(self, source: Endpoint, key: str, *, entry: Entry, expect: Entry | None) -> Entry | None:
        self.wrote.append(key)
        return super().copy_from(source, key, entry=entry, expect=expect)

    def move(self, key: str, new_key: str, *, expect: Entry) -> Entry:
        moved = super().move(key, new_key, expect=expect)
        self.took.append((key, new_key))
        self.wrote.append(new_key)
        return moved

    def delete(self, key: str, *, expect: Entry) -> None:
        super().delete(key, expect=expect)
        self.took.append((key, None))


@dataclass
class Settled(World):
    """A World whose every run goes by the settings as they are, by a clock that is set by hand."""

    settings: dict[str, Any] = field(default_factory=dict)
    clock_ns: int = 0
    latest_ns: int = 0  # that the clock ever told, before it was set
    # When somebody took a name away from a side, by a count of such deeds: not yet dealt with.
    removed: dict[tuple[Side, str], int] = field(default_factory=dict)
    deeds: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.clock_ns = time.time_ns()
        self.watched = {}
        for side in Side:
            self.stores[side]._now_ns = self.now_ns
            name = self.hooked[side].root.removeprefix("memory://")
            self.watched[side] = self.hooked[side].inner = Watched(name)

    def now_ns(self) -> int:
        self.clock_ns += 10**6
        return self.clock_ns

    def put(self, side: Side, contents: Any) -> None:
        super().put(side, contents)
        for key in contents:
            self.removed.pop((side, key), None)

    def remove(self, side: Side, *keys: str) -> None:
        super().remove(side, *keys)
        for key in keys:
            self.deeds += 1
            self.removed[side, key] = self.deeds

    def rename(self, side: Side, key: str, new_key: str) -> None:
        found = self.stores[side].entry(key)
        assert found is not None
        self.stores[side].put(new_key, self.stores[side].contents()[key], mtime_ns=found.mtime_ns)
        self.removed.pop((side, new_key), None)
        self.remove(side, key)

    def configured(self, **changes: Any) -> Job:
        changes.pop("policy", None)
        all_of_it = {**self.settings, **changes}
        policy = replace(Policy(), **{k: v for k, v in all_of_it.items() if k in POLICIES})
        rest = {k: v for k, v in all_of_it.items() if k not in POLICIES}
        mode = rest.get("mode", Mode.BISYNC)
        if mode is not Mode.MIRROR:  # as the config refuses what the mode can't keep to
            rest["delete_excluded"] = False
        if Side.PATH1 not in mode.writes and policy.resync_mode is not Resolve.NONE:
            policy = replace(policy, resync_mode=Resolve.PATH1)
        return replace(self.job, policy=policy, **rest)

    def run(self, **changes: Any) -> Summary:
        return self.go(self.configured(**changes), self.heard)

    def plan(self, **changes: Any) -> list[str]:
        heard = Heard()
        self.go(self.configured(dry_run=True, **changes), heard)
        return [line(event.action) for event in heard.events if isinstance(event, WouldAct)]

    def begins_a_mode(self) -> bool:
        """Whether the next whole run is the first in its mode, which deletes nothing."""
        pair = self.state.pair("p")
        return pair is not None and pair.mode is not self.settings.get("mode", Mode.BISYNC)

    def go(self, job: Job, reporter: Reporter, kept: KeptPlan | None = None) -> Summary:
        pair = self.state.pair("p")
        assert pair is not None
        first = job.resync or pair.mode is not job.mode
        started = self.deeds
        self.flush_watched(None, first=False)
        try:
            summary = session.run(
                job, self.endpoints, self.state, reporter, stop=self.stop, now_ns=self.now_ns, kept=kept
            )
        finally:
            self.flush_watched(job, first=first)
        whole = not job.dry_run and job.scope.words is None
        if whole and summary.outcome is RunOutcome.SUCCESS and not summary.waiting:
            self.removed = {at: deed for at, deed in self.removed.items() if deed > started}
        return summary

    def flush_watched(self, job: Job | None, *, first: bool) -> None:
        """See that what a run wrote and took away it may; without a job it was a person."""
        for side, watched in self.watched.items():
            taken, watched.took[:] = list(watched.took), []
            wrote, watched.wrote[:] = list(watched.wrote), []
            if job is not None:
                assert not job.dry_run or not (taken or wrote), "a dry run wrote"
                assert side in job.mode.writes or not (taken or wrote), f"{side} was written in {job.mode}"
            for key, to in taken:
                if is_reserved(key) or key.endswith("/"):
                    continue
                if job is None:
                    self.deeds += 1
                    self.removed[side, key] = self.deeds
                    continue
                assert self.may_take(job, side, key, to, first=first), (
                    f"{key} was taken from {side}, which nobody asked for"
                )
            for key in wrote:
                self.removed.pop((side, key), None)

    def may_take(self, job: Job, side: Side, key: str, to: str | None, *, first: bool) -> bool:
        if to is not None and job.policy.fix_case and to.casefold() == key.casefold():
            return True
        if first or job.mode in {Mode.COPY, Mode.DUAL_COPY}:
            return False
        return job.mode is Mode.MIRROR or (side.other, key) in self.removed


class Combined(Pair):
    """The same people, and whoever changes the settings."""

    world: Settled

    @initialize(
        tree=st.sampled_from([(), (ONE,), (TWO,), (ONE, TWO)]), drawn=st.lists(CHANGES, max_size=5).map(dict)
    )
    def begin(self, tree: tuple[Side, ...], drawn: dict[str, Any]) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="bisyncer-combined-")
        self.world = Settled(Path(self.folder.name))
        for side in Side:
            self.world.hooked[side].tree = side in tree
            self.world.hooked[side].with_seals = True
        self.policy = Policy()
        self.filters = {}
        self.tokens = count(1)
        self.alive: set[str] = set()
        self.visible: set[str] = set()  # of which somebody wrote over one that was there
        self.kept: KeptPlan | None = None
        self.world.settings = drawn
        self.world.init()
        self.run(resync=True)

    @rule(changes=st.lists(CHANGES, min_size=1, max_size=3))
    def change_settings(self, changes: list[tuple[str, Any]]) -> None:
        self.world.settings.update(changes)

    @rule(name=st.sampled_from(sorted(SETTINGS)))
    def leave_a_setting_out(self, name: str) -> None:
        self.world.settings.pop(name, None)

    @rule(hours=st.sampled_from([1, 2, 5, -3]))
    def time_passes(self, hours: int) -> None:
        """Or the clock of this host and both stores is set back."""
        self.world.latest_ns = max(self.world.latest_ns, self.world.clock_ns)
        self.world.clock_ns += hours * HOUR_NS + 1

    @rule(side=SIDES, name=st.sampled_from(["d/", "e/", "e/f/"]))
    def make_a_directory(self, side: Side, name: str) -> None:
        self.world.put(side, {name: ""})

    @rule(side=SIDES, name=st.sampled_from(["d/", "e/", "e/f/"]))
    def remove_a_directory(self, side: Side, name: str) -> None:
        if name in self.world.held(side):
            self.world.remove(side, name)

    @rule(side=SIDES)
    def spell_it_otherwise(self, side: Side) -> None:
        self.write(side, "A")

    @rule(side=SIDES)
    def delete_the_other_spelling(self, side: Side) -> None:
        self.delete(side, "A")

    @rule()
    def look_only(self) -> None:
        self.world.run(dry_run=True)

    @rule()
    def keep_a_plan(self) -> None:
        file = self.world.folder / "plan"
        writer = PlanWriter(file)
        self.world.go(self.world.configured(dry_run=True), writer)
        if writer.close() is not None:
            self.kept = KeptPlan.read(file)

    @precondition(lambda self: self.kept is not None)
    @rule(side=SIDES, method=METHODS, nth=st.integers(1, 20))
    def apply_the_plan(self, side: Side, method: str, nth: int) -> None:
        assert self.kept is not None
        left = [nth]

        def die(called: str, _key: str) -> None:
            left[0] -= called == method
            if left[0] <= 0:
                raise Crash

        self.world.hooked[side].after = die
        try:
            job = self.world.configured(scope=Scope(plan=self.kept.run))
            self.world.go(job, self.world.heard, self.kept)
        except UsageError:
            pass  # the mode is another one by now
        except Crash:
            self.world.reopen_state()
        finally:
            self.quiet()

    @invariant()
    def nothing_is_lost(self) -> None:
        if not hasattr(self, "world"):
            return
        lost = self.alive - set(self.standing())
        if self.world.settings.get("trash") == Retention(path1=False, path2=False):
            # What somebody wrote over or deleted elsewhere needn't be kept; nor what a mirror replaces.
            if Side.PATH1 not in self.world.settings.get("mode", Mode.BISYNC).writes:
                self.alive -= lost
                return
            self.alive -= lost & self.visible
            lost -= self.visible
        assert not lost, f"lost: {lost}"

    def release(self, side: Side, key: str) -> None:
        token = self.world.held(side).get(key, "")
        self.visible.add(token)
        super().release(side, key)

    def at_rest(self) -> None:
        """Come to rest by the settings as they are, and then with every key in."""
        self.quiet()
        settings = self.world.settings
        settings.update(strict=False, limits=Limits(force=frozenset({"max-delete", "identity"})))
        self.rests()
        for name in ("exclude", "include", "filter_file", "exclude_if_present", "delete_excluded", "bounds"):
            settings.pop(name, None)
        settings["match_names"], settings["fix_case"] = MatchNames.EXACT, False
        self.rests()
        assert self.world.state.problems.told("p") == []
        one, two = ({k: v for k, v in self.world.held(s).items() if k[-1] != "/"} for s in Side)
        if settings.get("mode") is Mode.COPY:
            assert one == {key: two.get(key) for key in one}
        else:
            assert one == two

    def rests(self) -> None:
        self.world.clock_ns = max(self.world.clock_ns, self.world.latest_ns) + HOUR_NS + 1
        for _ in range(4):
            first = self.world.begins_a_mode()
            if not carried_out(self.world.run()) and not first:
                break
        self.nothing_is_lost()
        assert self.world.plan() == []


Combined.TestCase.settings = settings(
    max_examples=int(os.environ.get("SEQUENCES", "100")),
    stateful_step_count=int(os.environ.get("STEPS", "14")),
    print_blob=True,
    suppress_health_check=list(HealthCheck),
    database=None,
)
TestCombinationsKeepWhatTheyShould = Combined.TestCase
del Pair
