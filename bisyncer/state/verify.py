"""Is all of a state what we wrote: every row of every table is read, and held against what it must be."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from sqlalchemy import func, select

from bisyncer.errors import StateUnusable
from bisyncer.model import Algorithm, Ancestor
from bisyncer.state import schema
from bisyncer.state.database import CURE
from bisyncer.state.store import Store

_HEX = {Algorithm.SHA256: 64, Algorithm.MD5: 32}  # digits of a digest
_OWNER = re.compile("[0-9a-f]{8}")
_ALL = 2**63 - 1


class Verified(NamedTuple):
    """What was found: the rows of each table, and what is broken, a clause each."""

    rows: dict[str, int]
    broken: tuple[str, ...]


def verify(store: Store) -> Verified:
    """Read everything; changes nothing. One thing that is broken keeps no other from being looked at."""
    broken: list[str] = []
    counts: dict[str, int] = {}
    for look in (_pages, _references, _counts, _pairs, _ancestors, _history, _waiting):
        try:
            for told in look(store):
                if isinstance(told, str):
                    broken.append(told)
                else:
                    counts[told[0]] = told[1]
        except StateUnusable as error:
            broken.append(str(error).removesuffix(f" {CURE}"))
    return Verified(counts, tuple(dict.fromkeys(broken)))


_Look = Iterator[str | tuple[str, int]]


def _pages(store: Store) -> _Look:
    """SQLite looks at its own file; PostgreSQL has no such question that needs no extension."""
    if store.database.postgresql:
        return
    with store.database.read() as connection:
        for (told,) in connection.exec_driver_sql("PRAGMA integrity_check"):
            if told != "ok":
                yield f"its file: {' '.join(str(told).split())}"


def _references(store: Store) -> _Look:
    """Every row belongs to a row that is there. A database sees to it, as long as it isn't damaged."""
    with store.database.read() as connection:
        for table in schema.metadata.sorted_tables:
            for key in table.foreign_keys:
                parent = select(key.column).where(key.column == key.parent).exists()
                lost = connection.execute(select(func.count()).select_from(table).where(~parent)).scalar_one()
                if lost:
                    yield f"{lost} rows of table {table.name} belong to no {key.column.table.name}"


def _counts(store: Store) -> _Look:
    with store.database.read() as connection:
        for table in schema.metadata.sorted_tables:
            yield (
                table.name,
                connection.execute(select(func.count()).select_from(table)).scalar_one(),
            )


def _pairs(store: Store) -> _Look:
    for pair in store.pairs():
        deque(store.uploads.of_pair(pair.id), maxlen=0)
        if _OWNER.fullmatch(pair.owner) is None:
            yield f"the owner of pair {pair.name} is {pair.owner!r}, not 8 hex digits"


def _ancestors(store: Store) -> _Look:
    for pair in store.pairs():
        # That they are read in strict order is seen to by the reading itself.
        for ancestor in store.ancestors.all(pair.id):
            if (wrong := _wrong(ancestor)) is not None:
                yield f"the ancestor of {ancestor.key!r} in pair {pair.name} {wrong}"
                break


def _wrong(ancestor: Ancestor) -> str | None:
    """What can't be about an ancestor; None where nothing is."""
    one, two = ancestor.path1, ancestor.path2
    if not isinstance(one.size, int) or one.size != two.size or one.size < 0:
        return f"has the sizes {one.size} and {two.size}"
    for algorithm, value in one.digests:
        if len(value) != _HEX[algorithm]:
            return f"has a {algorithm} of {len(value)} hex digits"
    return None


def _history(store: Store) -> _Look:
    """What isn't a value of ours is told by the reading itself."""
    for run in store.runs.newest(limit=_ALL):
        deque(store.actions_of(run.id), maxlen=0)
    yield from ()


def _waiting(store: Store) -> _Look:
    store.conflicts.told(state=None)
    store.problems.told()
    yield from ()
