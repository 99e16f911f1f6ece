"""One action becomes one outcome: what a worker does with each, looking at what it expects to find.

Workers act on stores and return outcomes; they never write state and never print.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, TypeVar

from bisyncer.core.bounds import outside, waits
from bisyncer.core.compare import undisputed
from bisyncer.core.conflict import replaces
from bisyncer.endpoints.backoff import persist
from bisyncer.endpoints.base import Endpoint
from bisyncer.engine.deadline import Deadline
from bisyncer.engine.emptied import Emptied
from bisyncer.engine.keep import Taken, keep_both, kept_before, replace_loser
from bisyncer.engine.look import by_facts, judge, look
from bisyncer.engine.moving import Moving
from bisyncer.engine.plan import EXCLUDED
from bisyncer.engine.room import Room
from bisyncer.engine.transfer import agreed, transfer
from bisyncer.engine.trash import Trash
from bisyncer.errors import BisyncerError, Blocked, Changed, Clash, EndpointError, Rejected, Transient
from bisyncer.job import Policy
from bisyncer.model import (
    DELETES,
    DIRECTORY,
    MOVES,
    Action,
    Agreement,
    Ancestor,
    Done,
    Entry,
    Failed,
    Outcome,
    Planned,
    Problem,
    Raced,
    Side,
    Triple,
    Verdict,
    Waits,
)
from bisyncer.state.lease import Lease
from bisyncer.state.settled import IN_STATE

_T = TypeVar("_T")


class Task(NamedTuple):
    """What a thread takes up: one action, or deletions that go in one request.

    `left`: a request with other deletions has left it open what became of this one.
    """

    rows: Sequence[Planned]
    left: bool = False


class Ended(NamedTuple):
    """What came of tasks: outcomes, and deletions that are to be done one by one."""

    outcomes: Sequence[Outcome]
    left: Sequence[Planned] = ()


@dataclass(frozen=True, slots=True)
class Worker:
    """Performs one task at a time on each thread of the pool; `width` is the number of threads.

    `recorded` gives the ancestors of keys that have one. The lease is asked before every deed. Sides that are
    not in `keeping` keep nothing of what is replaced or deleted: those that are in it and not in `trash` are
    stores that keep it themselves. `at_once` says how many deletions of a kind are one task.
    """

    endpoints: Mapping[Side, Endpoint]
    policy: Policy
    width: int
    room: Room
    recorded: Callable[[Collection[str]], Mapping[str, Ancestor]]
    lease: Lease
    stop: Deadline
    trash: Mapping[Side, Trash] = field(default_factory=dict)
    keeping: frozenset[Side] = frozenset()
    taken: Taken = field(default_factory=Taken)
    now_ns: Callable[[], int] = time.time_ns
    emptied: Emptied | None = None  # None: directories that are emptied stay
    at_once: Mapping[Verdict, int] = field(default_factory=dict)
    moving: Moving = field(default_factory=Moving)

    def note(self, outcomes: Sequence[Outcome], pool: Executor) -> None:
        """Remember the directories that actions may have emptied."""
        if self.emptied is not None:
            for outcome in outcomes:
                self.emptied.note(outcome)
            if self.emptied.is_full:
                self.sweep(pool)

    def sweep(self, pool: Executor) -> None:
        """Remove the directories that were emptied; after a stop too, as what emptied them was done."""
        if self.emptied is not None:
            self.lease.assert_held()
            self.emptied.sweep(pool)

    def gone(self) -> str | None:
        """Why one of the stores is taken to be gone; None where both still answer, and it is the keys."""
        for endpoint in self.endpoints.values():
            try:
                endpoint.probe()
            except BisyncerError as error:
                return str(error)
        return None

    def carry_out(self, task: Task) -> Ended:
        """Perform what a task says."""
        if len(task.rows) > 1:
            return self._delete_many(task.rows)
        (planned,) = task.rows
        if task.left and self._is_gone(planned.action):
            return Ended((Done(planned, None),))
        return Ended((self.perform(planned),))

    def _delete_many(self, rows: Sequence[Planned]) -> Ended:
        """Delete from one side in one request what is gone from the other.

        Whatever the store doesn't say plainly to be deleted is left to be done alone, where it is found out.
        """
        side = _written(rows[0].action.verdict)
        sent = {planned.action.key: planned for planned in rows if self._may_go(planned.action, side.other)}
        entries = [entry for planned in sent.values() if (entry := planned.action.entry(side))]
        gone: frozenset[str] = frozenset()
        if entries and not self.stop.is_set():
            with suppress(EndpointError):
                gone = self._persist(lambda: self.endpoints[side].delete_many(entries))
        return Ended(
            [Done(sent[key], None) for key in sent if key in gone],
            [planned for planned in rows if planned.action.key not in gone],
        )

    def _may_go(self, action: Action, other: Side) -> bool:
        """Whether a deletion is to be carried out: not where the other side has the key, or doesn't tell."""
        if self.stop.is_set():
            return False
        try:
            return action.reason == EXCLUDED or self.endpoints[other].stat(action.key) is None
        except EndpointError:
            return False

    def _is_gone(self, action: Action) -> bool:
        """Whether neither side holds a key any more, as after a deletion whose answer was lost."""
        sides = (_written(action.verdict),) if action.reason == EXCLUDED else Side
        try:
            return all(self.endpoints[side].stat(action.key) is None for side in sides)
        except EndpointError:
            return False

    def perform(self, planned: Planned) -> Outcome:
        """Do what the action says; what the stores won't do becomes an outcome, not an error.

        A key that moved is looked at once more, since nothing that was seen of it holds any longer.
        """
        try:
            with self.room.of(_largest(planned.action)):
                return self._persist(lambda: self._once(planned))
        except Changed as error:
            if not planned.again and not _is_respelling(planned.action):
                return self._look_again(planned, error)
            if self._waits(planned):
                return Waits(planned)
            sentence = f"keeps changing while it is synced, and is looked at again next run: {error}"
            return Raced(planned, Problem(planned.action.key, sentence))
        except EndpointError as error:
            problem = Problem(planned.action.key, str(error))
            return Failed(planned, problem, passing=isinstance(error, Transient))

    def _look_again(self, planned: Planned, moved: Changed) -> Outcome:
        key = planned.action.key
        if planned.action.reason == EXCLUDED:
            # What path1 holds there is none of the run's business, so there is nothing to judge it by.
            return Raced(planned, Problem(key, f"was written to meanwhile, and is looked at again: {moved}"))
        triple = look(key, self.recorded([key]).get(key), self.endpoints)
        if self._is_young(triple):
            return Waits(planned)
        found = judge(triple, self.endpoints, self.policy)
        if found is None:
            # It came and went: neither side holds it. Of what it was renamed from the next run tells.
            gone = planned.action._replace(verdict=Verdict.FORGET, path1=None, path2=None, origin=None)
            return Done(Planned(planned.seq, gone, again=True), None)
        if outside(found, self.policy.bounds, self.now_ns()) is not None:
            return Waits(planned)  # it has outgrown them, and is left alone by the next plan
        again = Planned(planned.seq, found, again=True)
        if found.verdict in IN_STATE:
            kept = None
            if planned.action.verdict is Verdict.CONFLICT and found.verdict is Verdict.RECORD:
                kept = kept_before(planned, found, self.endpoints, self.taken)
            return Done(again, _settled(found), kept=kept)
        if found.verdict is Verdict.HOLD:
            return Failed(again, Problem(key, found.reason or str(moved)))
        if found.verdict in DELETES.values():
            # The gates counted no deletion of this key, so it waits for a plan that does.
            return Raced(planned, Problem(key, f"was deleted meanwhile, which the next run follows: {moved}"))
        return self.perform(again)

    def _waits(self, planned: Planned) -> bool:
        """Whether a key that keeps moving is one that somebody may still be writing."""
        if self.policy.bounds.min_age_ns is None:
            return False
        return self._is_young(look(planned.action.key, None, self.endpoints))

    def _is_young(self, triple: Triple) -> bool:
        found = by_facts(triple, self.policy)
        return found is not None and waits(found, self.policy.bounds, self.now_ns()) is not None

    def _persist(self, deed: Callable[[], _T]) -> _T:
        def held() -> _T:
            self.lease.assert_held()
            return deed()

        return persist(held, wait=self.stop.wait)

    def _once(self, planned: Planned) -> Outcome:
        verdict = planned.action.verdict
        if verdict is Verdict.CHECK:
            raise Changed(f"{planned.action.key!r} changed while it was compared.")
        if verdict is Verdict.CONFLICT:
            return self._settle(planned)
        if verdict in {Verdict.COPY_TO_PATH1, Verdict.COPY_TO_PATH2}:
            return self._copy(planned)
        if verdict in MOVES.values():
            return self._move(planned)
        return self._delete(planned)

    def _settle(self, planned: Planned) -> Done:
        """Settle a conflict; what a side wouldn't keep if it were replaced is kept beside the winner."""
        action = planned.action
        if replaces(action, self.policy, self.keeping):
            return replace_loser(planned, self.endpoints, self.trash)
        return keep_both(
            planned,
            self.endpoints,
            policy=self.policy,
            recorded=lambda name: name in self.recorded([name]) or not self.taken.add(name, action.key),
        )

    def _copy(self, planned: Planned) -> Done:
        action = planned.action
        to_side = _written(action.verdict)
        entry = action.entry(to_side.other)
        assert entry is not None, f"{action.verdict} of {action.key!r} has nothing to copy"
        landed = transfer(
            self.endpoints[to_side.other],
            entry,
            self.endpoints[to_side],
            action.key,
            expect=action.entry(to_side),
            keeper=self.trash.get(to_side),
            passed=partial(self.moving.pass_on, action.key),
        )
        both = {to_side: landed.target, to_side.other: landed.source}
        return Done(
            planned,
            agreed(action.key, both[Side.PATH1], both[Side.PATH2]),
            size=entry.size,
            trashed=landed.trashed,
        )

    def _move(self, planned: Planned) -> Done:
        """Move on one side what the other has renamed; what can't be moved is copied, the old name deleted.

        That the renamed version is still there isn't looked at: what is recorded is what was listed, with the
        content that both have, so a later edit of it is a change like any other.
        """
        action = planned.action
        side = _written(action.verdict)
        renamed = action.entry(side.other)
        assert action.origin is not None and renamed is not None, "a move has two names"
        if self.endpoints[side.other].stat(action.origin.key) is not None:
            raise Changed(f"{self.endpoints[side.other].root}: {action.origin.key!r} is there again.")
        try:
            moved = self.endpoints[side].move(action.origin.key, action.key, expect=action.origin)
        except Rejected as error:
            if action.agreement is Agreement.DIFFERENT or isinstance(error, Clash):
                raise
            return self._copy_renamed(planned, side, action.origin)
        if action.agreement is Agreement.DIFFERENT:
            return Done(planned, None)  # under one name now, which the next run finds new on both sides
        both = {side: moved._replace(digests=action.origin.digests), side.other: renamed}
        return Done(planned, agreed(action.key, *undisputed(both[Side.PATH1], both[Side.PATH2])))

    def _copy_renamed(self, planned: Planned, side: Side, origin: Entry) -> Done:
        """Copy what was renamed, and delete its old name, which may stand in the way of another copy.

        That loses no version, since the other side has it under the new name, where it can be read.
        """
        try:
            done = self._copy(planned)
        except Blocked:
            renamed = planned.action.entry(side.other)
            assert renamed is not None, "a move has two names"
            with self.endpoints[side.other].read(renamed.key, expect=renamed):
                self._remove(side, origin)
            raise
        with suppress(Changed):  # an edit of the old name is a new key from now on
            self._remove(side, origin)
        return done

    def _delete(self, planned: Planned) -> Done:
        action = planned.action
        from_side = _written(action.verdict)
        entry = action.entry(from_side)
        assert entry is not None, f"{action.verdict} of {action.key!r} has nothing to delete"
        # A listing may have missed a key; one look confirms that it is gone before the other side follows.
        other = self.endpoints[from_side.other]
        may_be_there = action.reason != EXCLUDED and other.refusal(action.key) is None
        if may_be_there and other.stat(action.key) is not None:
            raise Changed(f"{other.root}: {action.key!r} is there again.")
        return Done(planned, None, trashed=self._remove(from_side, entry))

    def _remove(self, side: Side, entry: Entry) -> str | None:
        """Remove a version from a side; return where in its trash it is kept."""
        if side in self.trash and entry.stamp != DIRECTORY:  # of which nothing is to be kept
            return self.trash[side].take(entry)
        self.endpoints[side].delete(entry.key, expect=entry)
        return None


def _is_respelling(action: Action) -> bool:
    """Whether a move is of a name that each side spells in its own way: then both contents were compared.

    Under its new name alone it would be copied, and the old one too by the next run.
    """
    return action.verdict in MOVES.values() and action.agreement is not None


def _largest(action: Action) -> int:
    """The size of the largest body that an action may move: a version that is replaced may be kept."""
    return max(
        action.path1.size if action.path1 else 0,
        action.path2.size if action.path2 else 0,
        action.origin.size if action.origin else 0,
    )


def _written(verdict: Verdict) -> Side:
    side = verdict.side
    assert side is not None, f"{verdict} writes no side"
    return side


def _settled(action: Action) -> Ancestor | None:
    """The ancestor of a key whose stores are left as they are: both hold it, or neither does."""
    if action.path1 is None or action.path2 is None:
        return None
    return agreed(action.key, *undisputed(action.path1, action.path2))
