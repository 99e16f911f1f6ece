"""The conflicts that runs have met: what stood against what, what each is kept as, and how it ended."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from sqlalchemy import Connection, insert, select, update

from bisyncer.errors import UsageError
from bisyncer.model import Ancestor, Done, Entry, Kept, Side
from bisyncer.state import fence, rows, schema
from bisyncer.state.ancestors import judge, write_ancestors
from bisyncer.state.database import CHUNK, Database, chunks
from bisyncer.state.fence import Fence
from bisyncer.state.records import Conflict, ConflictState, Pair, conflict_of, select_conflicts

_PRUNE = 'DELETE FROM "conflict" WHERE pair_id = ? AND state IN (?, ?) AND detected_ns < ?'


class Conflicts:
    """The conflicts of all pairs in one database."""

    def __init__(self, database: Database, now_ns: Callable[[], int]) -> None:
        self._database = database
        self._now_ns = now_ns

    def told(self, pair: str | None = None, *, state: str | None = "open") -> list[Conflict]:
        """Those of the pair of that name, or of all, in `state` (None: in any), oldest first."""
        statement = select_conflicts().order_by(schema.conflict.c.id)
        if pair is not None:
            statement = statement.where(schema.pair.c.name == pair)
        if state is not None:
            statement = statement.where(schema.conflict.c.state == state)
        with self._database.read() as connection:
            return [conflict_of(row) for row in connection.execute(statement)]

    def one(self, id: int) -> Conflict | None:  # noqa: A002 -- it's what the column is called
        """The conflict with this number."""
        with self._database.read() as connection:
            row = connection.execute(select_conflicts().where(schema.conflict.c.id == id)).first()
            return None if row is None else conflict_of(row)

    def unrecorded(self, pair: Pair, most: int | None) -> list[tuple[int, str]]:
        """The open ones of whose other version nothing is recorded: each number, and that key."""
        table, kept = schema.conflict.c, schema.ancestor.c
        recorded = select(kept.key).where(kept.pair_id == pair.id, kept.key == table.kept_as).exists()
        open_ = select(table.id, table.kept_as).where(
            table.pair_id == pair.id, table.state == ConflictState.OPEN.value, table.kept_as.is_not(None)
        )
        with self._database.read() as connection:
            found = connection.execute(open_.where(~recorded).order_by(table.id.desc()).limit(most))
            return [(number, key) for number, key in found]

    def is_recorded(self, pair: Pair, kept_as: str, since: int) -> bool:
        """Whether a run from `since` on has recorded one whose other version is kept as that."""
        table = schema.conflict.c
        found = select(table.id).where(
            table.pair_id == pair.id, table.kept_as == kept_as, table.run_id >= since
        )
        with self._database.read() as connection:
            return connection.execute(found.limit(1)).first() is not None

    def record(self, run: int, key: str, kept: Kept, kept_as: str, lease: Fence) -> int:
        """Record one that an earlier run has settled; return its number."""
        with self._database.write(durable=True) as connection:
            fence.hold(connection, lease, lease.pair_id)
            met = {"pair_id": lease.pair_id, "run_id": run, "detected_ns": self._now_ns()}
            return self.write(connection, met, key, kept, kept_as)

    def resolve(
        self,
        id: int,  # noqa: A002 -- it's what the column is called
        resolution: str,
        ancestors: Mapping[str, Ancestor | None],
        lease: Fence,
    ) -> None:
        """Mark an open one as resolved by a person, with the ancestors that its resolution left.

        Raises `LeaseLost`, or `UsageError` where the conflict isn't open; nothing is written then.
        """
        for key, ancestor in ancestors.items():
            if ancestor is not None:
                judge(key, ancestor)
        now = self._now_ns()
        table = schema.conflict.c
        with self._database.write(durable=True) as connection:
            row = connection.execute(select(table.pair_id, table.state).where(table.id == id)).first()
            if row is None or row.state != ConflictState.OPEN.value:
                raise UsageError(f"Conflict {id} is not open: see `bisyncer conflicts list`.")
            fence.hold(connection, lease, row.pair_id)
            connection.execute(
                update(schema.conflict)
                .where(table.id == id)
                .values(state=ConflictState.RESOLVED.value, resolved_ns=now, resolution=resolution)
            )
            write_ancestors(self._database, connection, lease.pair_id, ancestors, now)

    def settle(self, pair: Pair, ids: Collection[int], lease: Fence) -> None:
        """Settle those whose other version is gone from both sides."""
        table = schema.conflict.c
        with self._database.write() as connection:
            fence.hold(connection, lease, pair.id)
            for chunk in chunks(ids, CHUNK):
                connection.execute(
                    update(schema.conflict)
                    .where(table.id.in_(chunk), table.state == ConflictState.OPEN.value)
                    .values(state=ConflictState.SETTLED.value, resolved_ns=self._now_ns())
                )

    def write(
        self, connection: Connection, fixed: Mapping[str, object], key: str, kept: Kept, kept_as: str
    ) -> int:
        """Keep one that a run has settled, and return its number; `fixed` is the same for all of the run."""
        columns = _columns(key, kept.winner, kept.path1, kept.path2, kept_as)
        number: int = connection.execute(
            insert(schema.conflict)
            .values(state=ConflictState.OPEN.value, **fixed, **columns)
            .returning(schema.conflict.c.id)
        ).scalar_one()
        return number

    def write_settled(
        self, connection: Connection, fixed: Mapping[str, object], done: Iterable[Done], now: int
    ) -> None:
        """Keep those that wait for nobody: a loser that was replaced, an edit of what was deleted."""
        if found := [{**fixed, **each} for each in _settled_at_once(done, now)]:
            connection.execute(insert(schema.conflict), found)

    def prune(self, connection: Connection, pair_id: int, before_ns: int) -> None:
        """Drop those that waited for nobody, and were met before that."""
        told = ConflictState.REPLACED.value, ConflictState.SURVIVED.value
        self._database.execute(connection, _PRUNE, (pair_id, *told, before_ns))


def _settled_at_once(done: Iterable[Done], now: int) -> Iterator[dict[str, object]]:
    for outcome in done:
        action, kept = outcome.planned.action, outcome.kept
        if kept is not None and kept.loser is None:
            row = _columns(action.key, kept.winner, kept.path1, kept.path2, outcome.trashed)
            yield row | {"state": ConflictState.REPLACED.value, "resolved_ns": now}
        elif action.survivor is not None:
            row = _columns(action.key, action.survivor, action.path1, action.path2, None)
            yield row | {"state": ConflictState.SURVIVED.value, "resolved_ns": now}


def _columns(
    key: str, winner: Side, path1: Entry | None, path2: Entry | None, kept_as: str | None
) -> dict[str, object]:
    """The columns of a conflict that say what met, and what came of it."""
    columns: dict[str, object] = {"key": key, "kept_as": kept_as, "winner": winner.value}
    for side, entry in ((Side.PATH1, path1), (Side.PATH2, path2)):
        names = (f"{side}_size", f"{side}_mtime_ns", f"{side}_stamp", f"{side}_digests")
        columns.update(zip(names, rows.facts(entry), strict=True))
    return columns
