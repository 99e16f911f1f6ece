"""How ancestors are read and written, and what is never written."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import pairwise
from operator import lt

from sqlalchemy import Connection, func, select, update

from bisyncer.errors import BisyncerError
from bisyncer.model import Algorithm, Ancestor, Done, Recorded, Side, Verdict
from bisyncer.state import rows, schema
from bisyncer.state.database import CHUNK, Database, chunks
from bisyncer.state.records import ConflictState

COLUMNS = (
    '"key", path1_size, path1_mtime_ns, path1_stamp, path2_size, path2_mtime_ns, path2_stamp, sha256, md5'
)
# Two of one kind that differ say nothing; they aren't recorded either.
ETAGS = frozenset({Algorithm.ETAG_MD5, Algorithm.ETAG_PARTS})
_OVER_OLD_ONES = (
    'ON CONFLICT (pair_id, "key") DO UPDATE SET path1_size = excluded.path1_size, '
    "path1_mtime_ns = excluded.path1_mtime_ns, path1_stamp = excluded.path1_stamp, "
    "path2_size = excluded.path2_size, path2_mtime_ns = excluded.path2_mtime_ns, "
    "path2_stamp = excluded.path2_stamp, sha256 = excluded.sha256, md5 = excluded.md5"
)
_INSERT = f"INSERT INTO ancestor (pair_id, {COLUMNS}) "
_UPSERT_ANCESTOR = f"{_INSERT} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) {_OVER_OLD_ONES}"
_DELETE_ANCESTOR = 'DELETE FROM ancestor WHERE pair_id = ? AND "key" = ?'


class Ancestors:
    """What both sides of each pair held when they last agreed, read in order of key."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def recorded(self, pair_id: int, low: str = "", high: str | None = None) -> Generator[Recorded]:
        """Yield the ancestors with low <= key < high as rows, in strictly increasing order of key.

        They are one consistent snapshot, streamed: memory stays flat. Raises `StateUnusable` where a
        damaged database gives them out of order, since a merge would take the gaps for deletions.
        """
        statement = f'{_select(self._database)} AND "key" >= ? '
        parameters: tuple[object, ...] = (pair_id, low)
        if high is not None:
            statement += 'AND "key" < ? '
            parameters = (pair_id, low, high)
        statement = self._database.sql(statement + 'ORDER BY "key"')
        last = ""
        with closing(self._database.batches(statement, parameters)) as found:
            for batch in found:
                keys = [last, *(row[0] for row in batch)]
                try:
                    ordered = all(map(lt, keys, keys[1:]))
                except TypeError as error:
                    raise self._database.corrupt(str(error)) from error
                if not ordered:
                    at = next(key for before, key in pairwise(keys) if not before < key)
                    raise self._database.corrupt(f"its keys are out of order at {at!r}")
                last = keys[-1]
                yield from batch

    def recall(self, row: Recorded) -> Ancestor:
        """The ancestor that a row is; raises `StateUnusable` where a damaged database gave none."""
        try:
            return rows.recall(row)
        except (AttributeError, TypeError, ValueError) as error:
            raise self._database.corrupt(str(error)) from error

    def all(self, pair_id: int, low: str = "", high: str | None = None) -> Generator[Ancestor]:
        """Yield the ancestors as `recorded` does, as values."""
        with closing(self.recorded(pair_id, low, high)) as found:
            yield from map(self.recall, found)

    def boundaries(
        self, pair_id: int, keys: int, low: str = "", high: str | None = None
    ) -> Iterator[tuple[str, str]]:
        """Yield where the ancestors with low < key < high part after every `keys` of them, in order.

        Each place is told by the last key before it and the first behind it.
        """
        below = "" if high is None else 'AND "key" < ? '
        statement = self._database.sql(
            f'SELECT "key" FROM ancestor WHERE pair_id = ? AND "key" > ? {below}'  # noqa: S608 -- our own text
            f'ORDER BY "key" LIMIT 2 OFFSET {keys - 1}'
        )
        while True:
            parameters = (pair_id, low) if high is None else (pair_id, low, high)
            with self._database.read() as connection:
                found = [row[0] for row in connection.exec_driver_sql(statement, parameters)]
            if len(found) < 2:
                return
            low, following = found
            yield low, following

    def of(self, pair_id: int, keys: Collection[str]) -> dict[str, Ancestor]:
        """The ancestors of those of `keys` that have one."""
        found: dict[str, Ancestor] = {}
        every = _select(self._database)
        with self._database.read() as connection:
            for chunk in chunks(keys, CHUNK):
                statement = f'{every} AND "key" IN ({", ".join("?" * len(chunk))})'
                for row in connection.exec_driver_sql(self._database.sql(statement), (pair_id, *chunk)):
                    found[row[0]] = self.recall(tuple(row))
        return found

    def count(self, pair_id: int) -> int:
        """How many keys are recorded."""
        statement = select(func.count()).where(schema.ancestor.c.pair_id == pair_id)
        with self._database.read() as connection:
            return connection.execute(statement).scalar_one()


def _select(database: Database) -> str:
    """Every ancestor of a pair, as `rows.recall` takes it; conditions on its key may be added."""
    md5 = "encode(md5, 'hex')" if database.postgresql else "lower(hex(md5))"
    columns = COLUMNS
    for side in Side:
        stamp = f"{side}_stamp"
        columns = columns.replace(stamp, f"CASE {stamp} WHEN '{rows.IS_MD5}' THEN {md5} ELSE {stamp} END")
    return f"SELECT {columns} FROM ancestor WHERE pair_id = ? "  # noqa: S608 -- our own text


def write_ancestors(
    database: Database,
    connection: Connection,
    pair_id: int,
    ancestors: Mapping[str, Ancestor | None],
    now: int,
    *,
    left: Collection[str] = (),
) -> None:
    """Upsert or delete ancestors; an open conflict whose other version is gone is thereby settled.

    The keys of `left` lose their record and are still there, so that they settle nothing.
    """
    held = [rows.ancestor(pair_id, ancestor) for ancestor in ancestors.values() if ancestor is not None]
    gone = [key for key, ancestor in ancestors.items() if ancestor is None]
    write_rows(database, connection, pair_id, held, gone, now=now, left=left)


def write_rows(
    database: Database,
    connection: Connection,
    pair_id: int,
    held: Sequence[tuple[object, ...]],
    gone: Sequence[str],
    *,
    now: int,
    left: Collection[str] = (),
) -> None:
    """Do what `write_ancestors` says with the rows of the keys that are held, and the keys that are gone."""
    database.many(connection, _UPSERT_ANCESTOR, held)
    database.many(connection, _DELETE_ANCESTOR, [(pair_id, key) for key in gone])
    table = schema.conflict.c
    for chunk in chunks([key for key in gone if key not in left], CHUNK):
        connection.execute(
            update(schema.conflict)
            .where(
                table.pair_id == pair_id,
                table.state == ConflictState.OPEN.value,
                table.kept_as.in_(chunk),
            )
            .values(state=ConflictState.SETTLED.value, resolved_ns=now)
        )


def write_selected(
    database: Database, connection: Connection, select: str, parameters: tuple[object, ...]
) -> None:
    """Write the ancestors that a query gives, in the order of their columns, its pair first."""
    connection.exec_driver_sql(database.sql(f"{_INSERT} {select} {_OVER_OLD_ONES}"), parameters)


def judge(key: str, ancestor: Ancestor) -> None:
    """Raise where an ancestor can't be what two stores returned for `key`: a bug; nothing is written."""
    if not key == ancestor.key == ancestor.path1.key == ancestor.path2.key:
        raise BisyncerError(
            f"An ancestor of {ancestor.key!r} was about to be recorded for {key!r}: this is a bug."
        )
    told = dict(ancestor.path1.digests)
    for algorithm, value in ancestor.path2.digests:
        if algorithm not in ETAGS and told.get(algorithm, value) != value:
            raise BisyncerError(
                f"Both sides of {key!r} were about to be recorded as equal, and their {algorithm} differs: "
                "this is a bug."
            )


def judged(done: Iterable[Done]) -> dict[str, Ancestor | None]:
    """The ancestors that actions which were done leave, each judged."""
    ancestors: dict[str, Ancestor | None] = {}
    for outcome in done:
        key = outcome.planned.action.key
        if outcome.ancestor is not None:
            judge(key, outcome.ancestor)
        ancestors[key] = outcome.ancestor
        if (origin := outcome.planned.action.origin) is not None:
            ancestors[origin.key] = None
        if outcome.kept is not None and (loser := outcome.kept.loser) is not None:
            judge(loser.key, loser)
            ancestors[loser.key] = loser
    return ancestors


def left_alone(done: Iterable[Done]) -> frozenset[str]:
    """The keys that are forgotten since a filter leaves them out; the plan gave each a reason."""
    actions = (outcome.planned.action for outcome in done)
    return frozenset(a.key for a in actions if a.verdict is Verdict.FORGET and a.reason is not None)
