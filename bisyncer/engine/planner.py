"""A piece of a pair, planned by itself: its streams are joined, and what is to be done is spooled."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

from bisyncer.core.compare import as_recorded, may_agree, undisputed
from bisyncer.core.directories import merge_directories
from bisyncer.core.filters import Filters
from bisyncer.core.merge import Agreed, PassedOver, merge
from bisyncer.endpoints.base import Endpoint
from bisyncer.engine.alike import Alike
from bisyncer.engine.left_alone import LeftAlone
from bisyncer.engine.marked import Marked
from bisyncer.engine.part import Named
from bisyncer.engine.plan import make_plan
from bisyncer.engine.scan import Scan
from bisyncer.engine.shards import Shard
from bisyncer.job import Job, Policy
from bisyncer.model import (
    PROBLEMS_SHOWN,
    Entry,
    Problem,
    Recorded,
    Side,
    Tally,
    Triple,
    Unreadable,
    Verdict,
)
from bisyncer.report.events import Reporter
from bisyncer.state.places import first_of
from bisyncer.state.store import Store

SPOOLED = 1000  # actions written to the plan at once


@dataclass(slots=True)
class Draft:
    """What planning a piece came to; its actions are in the state."""

    tally: Tally = field(default_factory=Tally)
    held: int = 0  # keys that are problems
    problems: list[Problem] = field(default_factory=list)  # the first PROBLEMS_SHOWN of these
    places: dict[Side, list[Problem]] = field(default_factory=dict)  # that could not be read
    # Places that reach into the piece from before it: the piece before has told of them, if there is one.
    reaching: dict[Side, list[Unreadable]] = field(default_factory=dict)


@dataclass(slots=True)
class _Places:
    """The places in a plan that a piece has not given away yet."""

    first: int

    def take(self, number: int) -> int:
        """Give so many away; return the first of them."""
        self.first += number
        return self.first - number


@dataclass(frozen=True, slots=True)
class Planner:
    """Plans the pieces of one run; safe to share between threads. `go_on` raises where the run is to stop."""

    job: Job
    policy: Policy
    pair_id: int
    run: int
    endpoints: Mapping[Side, Endpoint]
    store: Store
    marked: Marked | None
    alike: Alike
    now_ns: Callable[[], int]
    go_on: Callable[[], None]

    def shard(self, number: int, shard: Shard, reporter: Reporter, *, ahead: bool) -> Draft:
        """Plan a range of keys, the piece `number`; with `ahead`, each listing has a thread of its own.

        Raises `ListingIncomplete`.
        """
        draft = Draft()
        one, two = self._scans(draft, reporter)
        passed = PassedOver(as_recorded(self.policy.restless))
        places = _Places(first_of(number))
        with (
            closing(self._recorded(shard)) as recorded,
            closing(one.items(shard, ahead=ahead)) as path1,
            closing(two.items(shard, ahead=ahead)) as path2,
        ):
            joined = merge_directories if self.policy.create_empty_dirs else merge
            triples = joined(
                recorded,
                path1,
                path2,
                recall=self.store.ancestors.recall,
                passed=passed,
                agreed=self._agreed(places, draft),
            )
            self._spool(places, triples, draft)
        draft.tally.ancestors += passed.keys
        draft.tally.unchanged += passed.keys
        draft.places = {Side.PATH1: one.problems, Side.PATH2: two.problems}
        draft.reaching = {Side.PATH1: one.reaching, Side.PATH2: two.reaching}
        return draft

    def named(self, number: int, keys: Named, reporter: Reporter) -> Draft:
        """Plan keys that were looked at one by one."""
        draft = Draft()
        one, two = self._scans(draft, reporter)
        joined = merge_directories if self.policy.create_empty_dirs else merge
        items = (scan.counted([keys.items[side]]) for side, scan in ((Side.PATH1, one), (Side.PATH2, two)))
        triples = joined(keys.ancestors, *items, recall=lambda ancestor: ancestor)
        self._spool(_Places(first_of(number)), triples, draft)
        draft.places = {Side.PATH1: one.problems, Side.PATH2: two.problems}
        return draft

    def _agreed(self, places: _Places, draft: Draft) -> Agreed | None:
        """What an alignment does with keys that both sides hold alike; None: they are actions as all others.

        So they are where a dry run is to show them, and where some may yet be left alone.
        """
        if not self.job.resync or self.job.dry_run or self._left_alone(draft).any:
            return None

        def take(entries: Sequence[tuple[Entry, Entry]]) -> Sequence[tuple[Entry, Entry]]:
            self.go_on()
            found, others = self.alike.part(entries)
            if found:
                alike = [undisputed(one, two) for one, two in found]
                self.store.agreed.spool(self.run, alike, places.take(len(alike)))
                draft.tally.verdicts[Verdict.RECORD] += len(alike)
            return others

        return Agreed(may_agree, take)

    def _left_alone(self, draft: Draft) -> LeftAlone:
        first = self.policy.mode is not self.job.mode
        return LeftAlone(self.policy.bounds, self.marked, self.now_ns, draft.tally, first=first)

    def _recorded(self, shard: Shard) -> Generator[Recorded]:
        if not self.job.resync:  # a resync is the same table, read with no ancestors
            yield from self.store.ancestors.recorded(self.pair_id, shard.low, shard.high)

    def _scans(self, draft: Draft, reporter: Reporter) -> tuple[Scan, Scan]:
        filters = Filters.of(self.job)
        scan = partial(
            Scan,
            tally=draft.tally,
            reporter=reporter,
            directories=self.policy.create_empty_dirs,
            marked=self.marked,
            go_on=self.go_on,
        )
        return (
            scan(self.endpoints[Side.PATH1], Side.PATH1, filters),
            scan(self.endpoints[Side.PATH2], Side.PATH2, Filters() if self.job.delete_excluded else filters),
        )

    def _spool(self, places: _Places, triples: Iterable[Triple], draft: Draft) -> None:
        actions = make_plan(
            triples,
            policy=self.policy,
            endpoints=self.endpoints,
            excluded=Filters.of(self.job).excluded,
            tally=draft.tally,
            left_alone=self._left_alone(draft),
        )
        while batch := list(islice(actions, SPOOLED)):
            self.go_on()
            held = [
                Problem(action.key, action.reason)
                for action in batch
                if action.verdict is Verdict.HOLD and action.reason is not None
            ]
            self.store.hold(self.run, held)
            draft.held += len(held)
            draft.problems += held[: PROBLEMS_SHOWN - len(draft.problems)]
            planned = [action for action in batch if action.verdict is not Verdict.HOLD]
            self.store.actions.spool(self.run, planned, places.take(len(planned)))
        self.go_on()
