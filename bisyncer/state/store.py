"""The memory of all pairs: what is written of several tables at once, and the way to each of them.

One writer at a time commits; any number of threads may read. What belongs together is one short transaction;
sweeping what tells nobody anything is not, and may be cut short anywhere. Each method raises `StateUnusable`
or `BisyncerError` where the database fails.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from heapq import merge

from sqlalchemy import (
    Connection,
    bindparam,
    delete,
    insert,
    select,
    update,
)

from bisyncer.errors import UsageError
from bisyncer.model import (
    Conditions,
    Done,
    Mode,
    Outcome,
    Planned,
    Problem,
    Raced,
    RunOutcome,
    Side,
    Verdict,
    Waits,
)
from bisyncer.state import fence, rows, schema
from bisyncer.state.actions import QUIET, Actions
from bisyncer.state.agreed import AgreedKeys, AgreedRows
from bisyncer.state.ancestors import Ancestors, judged, left_alone, write_ancestors, write_rows
from bisyncer.state.conflicts import Conflicts
from bisyncer.state.database import Database
from bisyncer.state.fence import Fence
from bisyncer.state.history import Deed, History
from bisyncer.state.migrate import bring_to_head
from bisyncer.state.places import Span
from bisyncer.state.problems import Problems
from bisyncer.state.records import (
    ActionRow,
    ActionState,
    Pair,
    pair_of,
)
from bisyncer.state.runs import Runs
from bisyncer.state.seals import Seals
from bisyncer.state.settled import SettledRows
from bisyncer.state.uploads import Uploads

RUNS_KEPT = 1000  # a pair; of older ones, only what changed something is kept ...
ACTIONS_KEPT_NS = 90 * 24 * 3600 * 10**9  # ... and that for 90 days: who deleted it, when, and why


_PRUNE_RUNS = (
    "DELETE FROM run WHERE pair_id = ? AND id <= "
    "(SELECT id FROM run WHERE pair_id = ? ORDER BY id DESC LIMIT 1 OFFSET ?) AND (started_ns < ? OR NOT "
    "(EXISTS (SELECT 1 FROM action WHERE run_id = run.id) OR "
    "EXISTS (SELECT 1 FROM history WHERE run_id = run.id)))"
)

# Made once: making it takes longer than asking it.
_PAIR_OF = select(schema.run.c.pair_id).where(schema.run.c.id == bindparam("run"))


class Store:
    """The state database, open and at the newest schema; safe to share between threads."""

    def __init__(self, database: Database, now_ns: Callable[[], int]) -> None:
        self.database = database
        self.now_ns = now_ns
        self.ancestors = Ancestors(database)
        self.runs = Runs(database)
        self.actions = Actions(database)
        self.agreed = AgreedRows(database)
        self.conflicts = Conflicts(database, now_ns)
        self.history = History(database)
        self.problems = Problems(database)
        self.uploads = Uploads(database, now_ns)
        self.seals = Seals(database)

    @classmethod
    def open(cls, url: str, *, now_ns: Callable[[], int] = time.time_ns) -> Store:
        """Open the state at `url`, making it or bringing its schema up where needed.

        Raises `StateUnusable` where it can't be opened, written or understood, and `SchemaAhead` where
        a newer bisyncer wrote it.
        """
        database = Database.open(url)
        try:
            bring_to_head(database)
        except BaseException:
            database.close()
            raise
        return cls(database, now_ns)

    def close(self) -> None:
        """Close every connection."""
        self.database.close()

    def pair(self, name: str) -> Pair | None:
        """The pair called `name`."""
        with self.database.read() as connection:
            row = connection.execute(select(schema.pair).where(schema.pair.c.name == name)).first()
            return None if row is None else pair_of(row)

    def pairs(self) -> list[Pair]:
        """Every pair, by name."""
        with self.database.read() as connection:
            return [
                pair_of(row) for row in connection.execute(select(schema.pair).order_by(schema.pair.c.name))
            ]

    def add_pair(self, name: str, path1: str, path2: str, mode: Mode) -> Pair:
        """Record a new pair; raises `UsageError` where the name is taken."""
        with self.database.write() as connection:
            taken = select(schema.pair.c.id).where(schema.pair.c.name == name)
            if connection.execute(taken).first() is not None:
                raise UsageError(f"There is a pair called {name} already: choose another name.")
            row = connection.execute(
                insert(schema.pair)
                .values(
                    name=name,
                    owner=secrets.token_hex(4),
                    path1=path1,
                    path2=path2,
                    mode=mode.value,
                )
                .returning(schema.pair)
            ).one()
        return pair_of(row)

    def record_conditions(self, pair: Pair, conditions: tuple[Conditions, Conditions]) -> Pair:
        """Remember what each store was found to honour."""
        words = {
            f"{side}_conditions": " ".join(name for name in Conditions._fields if getattr(found, name))
            for side, found in zip(Side, conditions, strict=True)
        }
        with self.database.write() as connection:
            row = connection.execute(
                update(schema.pair).where(schema.pair.c.id == pair.id).values(words).returning(schema.pair)
            ).one()
        return pair_of(row)

    def record_mode(self, pair: Pair, mode: Mode, lease: Fence) -> Pair:
        """Remember that a whole run has been made in this mode."""
        with self.database.write() as connection:
            fence.hold(connection, lease, pair.id)
            row = connection.execute(
                update(schema.pair)
                .where(schema.pair.c.id == pair.id)
                .values(mode=mode.value)
                .returning(schema.pair)
            ).one()
        return pair_of(row)

    def begin_alignment(self, pair: Pair, lease: Fence, mode: Mode) -> Pair:
        """Forget all the pair's ancestors, and remember that its first alignment has begun.

        From then on any run goes on from whatever ancestors are committed. `mode` is recorded as that of the
        last run until the alignment is whole.
        """
        # Durable: a power cut that brought the old ancestors back would let the next run take what is
        # missing on one side for deleted, which is what an alignment is asked for to prevent.
        with self.database.write(durable=True) as connection:
            fence.hold(connection, lease, pair.id)
            connection.execute(delete(schema.ancestor).where(schema.ancestor.c.pair_id == pair.id))
            # With no ancestors nothing can look deleted, so it doesn't matter what the seals say.
            connection.execute(delete(schema.seal).where(schema.seal.c.pair_id == pair.id))
            connection.execute(
                insert(schema.seal), [{"pair_id": pair.id, "side": side.value} for side in Side]
            )
            row = connection.execute(
                update(schema.pair)
                .where(schema.pair.c.id == pair.id)
                .values(aligned_ns=self.now_ns(), mode=mode.value)
                .returning(schema.pair)
            ).one()
        return pair_of(row)

    def forget_pair(self, pair: Pair, lease: Fence) -> None:
        """Drop a pair with all that is known of it; its number and those of its runs aren't used again."""
        with self.database.write(durable=True) as connection:
            fence.hold(connection, lease, pair.id)
            connection.execute(delete(schema.pair).where(schema.pair.c.id == pair.id))

    def begin_run(
        self,
        pair: Pair,
        lease: Fence,
        *,
        dry_run: bool,
        resync: bool,
        scope: str | None = None,
        started_ns: int | None = None,
    ) -> int:
        """Record that a run begins, and return its number; raises `LeaseLost` where another has the pair.

        `started_ns`, by the run's own clock, is the instant that its names tell; None: now.

        `scope` says in words which part it looks at; None: all of the pair.

        Since nobody else can be running, runs of the pair that have no outcome were killed: they
        become interrupted, and what they had planned and not done is dropped. Only the conflicts among it
        stay: one of them may have been settled, and not recorded.
        """
        table = schema.run.c
        with self.database.write() as connection:
            fence.hold(connection, lease, pair.id)
            killed = connection.execute(
                select(table.id, table.dry_run).where(table.pair_id == pair.id, table.outcome.is_(None))
            ).all()
        for number, was_dry in killed:
            self._sweep(number, dry_run=was_dry, but=Verdict.CONFLICT)
        now = self.now_ns()
        with self.database.write() as connection:
            fence.hold(connection, lease, pair.id)
            if killed:
                connection.execute(
                    update(schema.run)
                    .where(table.id.in_([number for number, _ in killed]))
                    .values(outcome=RunOutcome.INTERRUPTED.value, ended_ns=now)
                )
            begun: int = connection.execute(
                insert(schema.run)
                .values(
                    pair_id=pair.id,
                    started_ns=now if started_ns is None else started_ns,
                    dry_run=dry_run,
                    resync=resync,
                    scope=None if scope is None else rows.tellable(scope),
                )
                .returning(table.id)
            ).scalar_one()
        return begun

    def commit(
        self, run: int, outcomes: Sequence[Outcome], lease: Fence, lost: Collection[str] = ()
    ) -> list[tuple[int, str]]:
        """Write what came of some actions, all in one transaction; return the new conflicts (id, key).

        An action that was done makes its ancestor, and ends its problem; one that failed or raced
        keeps its old ancestor, unless its key is one of `lost`, and is a problem. Raises `LeaseLost`,
        having written nothing, where
        another run has taken the pair over.
        """
        done = [outcome for outcome in outcomes if isinstance(outcome, Done)]
        ancestors = judged(done)
        kept = [
            (outcome.planned.action.key, outcome.kept, outcome.kept.loser.key)
            for outcome in done
            if outcome.kept is not None and outcome.kept.loser is not None
        ]
        now = self.now_ns()
        finished: list[tuple[object, ...]] = []
        dropped: list[tuple[object, ...]] = []
        troubled: list[Problem] = []
        deeds: list[Deed] = []
        for outcome in outcomes:
            if isinstance(outcome, Waits):
                continue  # as if it had not been planned
            if isinstance(outcome, Done):
                # At once, not at the end of the run: the space of a million actions is for the ancestors.
                dropped.append((run, outcome.planned.seq))
                if outcome.planned.action.verdict not in QUIET:
                    before = outcome.trashed and f"the version before went to {outcome.trashed}"
                    deeds.append(Deed(outcome.planned, before))
                continue
            state = ActionState.RACED if isinstance(outcome, Raced) else ActionState.FAILED
            sentence = rows.tellable(outcome.problem.sentence)
            troubled.append(outcome.problem)
            finished.append((state.value, sentence, now, run, outcome.planned.seq))
        # Durable where there are conflicts: no later run could find out that a person should look.
        with self.database.write(durable=bool(kept)) as connection:
            fence.hold(connection, lease, _pair_of(connection, run))
            known = ancestors | dict.fromkeys(lost)
            left = left_alone(done).union(lost)
            write_ancestors(self.database, connection, lease.pair_id, known, now, left=left)
            met = {"pair_id": lease.pair_id, "run_id": run, "detected_ns": now}
            conflicts = [
                (self.conflicts.write(connection, met, key, settled, kept_as), key)
                for key, settled, kept_as in kept
            ]
            self.conflicts.write_settled(connection, met, done, now)
            self.problems.end(connection, lease.pair_id, list(ancestors))
            self.problems.write(connection, lease.pair_id, run, troubled, now)
            self.actions.finish(connection, finished, dropped)
            self.history.add(connection, run, deeds, now)
        return conflicts

    def settle(self, run: int, span: Span, lease: Fence) -> SettledRows:
        """Write the actions of that span that only the state must learn, in one transaction; return them.

        What the plan says of them is what both stores returned, so their rows are carried over as they are.
        All else is as in `commit`: each is judged, ends its problem, and is dropped from the plan. Raises
        `LeaseLost`, having written nothing, where another run has taken the pair over.
        """
        with self.database.write() as connection:
            fence.hold(connection, lease, _pair_of(connection, run))
            settled = SettledRows.read(self.database, connection, run, span)
            if settled:
                held, gone, left = settled.ancestors(lease.pair_id)
                write_rows(self.database, connection, lease.pair_id, held, gone, now=self.now_ns(), left=left)
                self.problems.end(connection, lease.pair_id, settled.keys())
                settled.drop(self.database, connection, run, span)
        return settled

    def agree(self, run: int, planned: Sequence[Planned]) -> None:
        """Take actions for what they turned out to be: keys that both sides hold alike, and no actions."""
        if not planned:
            return
        with self.database.write() as connection:
            self.agreed.add(connection, run, planned)
            self.actions.finish(connection, (), [(run, each.seq) for each in planned])

    def record(self, run: int, span: Span, lease: Fence) -> AgreedKeys:
        """Make ancestors of the keys of that span that both sides hold alike, in one transaction.

        Each ends its problem. Raises as `settle` does.
        """
        with self.database.write() as connection:
            fence.hold(connection, lease, _pair_of(connection, run))
            keys = self.agreed.carry_over(connection, run, span, lease.pair_id)
            self.problems.end(connection, lease.pair_id, keys.keys)
        return keys

    def drop_piece(self, run: int, piece: int) -> None:
        """Take all of a piece out of the plan: it is to be planned anew."""
        self.actions.drop_piece(run, piece)
        self.agreed.drop_piece(run, piece)

    def actions_of(self, run: int) -> Iterator[ActionRow]:
        """Yield what is kept of a run's actions, in the order of its plan; a page at a time."""
        return merge(self.actions.of_run(run), self.history.of_run(run), key=lambda action: action.seq)

    def hold(self, run: int, problems: Sequence[Problem]) -> None:
        """Record problems that belong to no action: places that can't be read, names that can't be kept."""
        if not problems:
            return
        with self.database.write() as connection:
            pair_id = _pair_of(connection, run)
            self.problems.write(connection, pair_id, run, problems, self.now_ns())

    def end_run(self, run: int, outcome: RunOutcome, summary: Mapping[str, object]) -> None:
        """Record how the run ended, and drop what tells nobody anything any more.

        A run that looked at everything ends the problems that it did not meet.
        """
        table = schema.run.c
        with self.database.read() as connection:
            begun = connection.execute(
                select(table.pair_id, table.dry_run, table.scope).where(table.id == run)
            ).first()
        if begun is None:
            return  # it failed before it was recorded, so there is nothing to end
        pair_id, dry_run, scope = begun
        # What a run that failed had settled of conflicts may not be recorded: a later one looks.
        self._sweep(run, dry_run=dry_run, but=Verdict.CONFLICT if outcome is RunOutcome.FAILED else None)
        with self.database.write() as connection:
            ended = connection.execute(
                update(schema.run)
                .where(table.id == run, table.outcome.is_(None))
                .values(ended_ns=self.now_ns(), outcome=outcome.value, summary=json.dumps(summary))
            )
            if ended.rowcount == 0:
                return  # paused, taken over, and called interrupted by the run that did so
            if scope is None and not dry_run and outcome in {RunOutcome.SUCCESS, RunOutcome.UNFINISHED}:
                self.problems.end_others(connection, pair_id, run)
            old_ns = self.now_ns() - ACTIONS_KEPT_NS
            self.conflicts.prune(connection, pair_id, old_ns)
            self.database.execute(connection, _PRUNE_RUNS, (pair_id, pair_id, RUNS_KEPT, old_ns))

    def drop_conflicts_left(self, runs: Collection[int]) -> None:
        """Drop the conflicts that these runs had planned: what became of each is known."""
        for run in runs:
            self._sweep(run, dry_run=False)

    def _sweep(self, run: int, *, dry_run: bool, but: Verdict | None = None) -> None:
        """Drop what a run planned and tells nobody anything, but for one verdict."""
        self.actions.sweep(run, dry_run=dry_run, but=but)
        self.agreed.sweep(run)


def _pair_of(connection: Connection, run: int) -> int:
    pair_id: int = connection.execute(_PAIR_OF, {"run": run}).scalar_one()
    return pair_id
