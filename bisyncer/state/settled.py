"""What a plan says of keys whose stores are left as they are: its rows become those of ancestors.

A first alignment of sides that are equal already has nothing else, a million times; so they go from table to
table as tuples, and values are made of them only where somebody asks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection

from bisyncer.model import Action, Ancestor, Verdict
from bisyncer.state import rows
from bisyncer.state.ancestors import judge
from bisyncer.state.database import Database
from bisyncer.state.places import Span

IN_STATE = (Verdict.NOTHING, Verdict.LEAVE, Verdict.RECORD, Verdict.FORGET)

_WITHIN = (
    "FROM action WHERE run_id = ? AND seq >= ? AND seq < ? AND state = 'planned' "
    f"AND verdict IN ({', '.join(repr(verdict.value) for verdict in IN_STATE)})"
)
_READ = (
    'SELECT seq, "key", verdict, delta1, delta2, agreement, path1_size, path1_mtime_ns, path1_stamp, '
    "path1_digests, path2_size, path2_mtime_ns, path2_stamp, path2_digests, winner, sentence, origin_key, "
    f"origin_size, origin_mtime_ns, origin_stamp, origin_digests {_WITHIN} ORDER BY seq"
)
_DROP = f"DELETE {_WITHIN}"


class _Ancestors(NamedTuple):
    """The rows of keys that both sides hold, the keys that are gone, and those of them that are left out."""

    held: list[tuple[object, ...]]
    gone: list[str]
    left: frozenset[str]


class SettledRows:
    """The actions of one span that only the state must learn; the values are made anew each time."""

    def __init__(self, found: Sequence[Sequence[Any]]) -> None:
        self._rows = found

    @classmethod
    def read(cls, database: Database, connection: Connection, run: int, span: Span) -> SettledRows:
        """Those that still wait."""
        found = connection.exec_driver_sql(database.sql(_READ), (run, *span))
        return cls(found.cursor.fetchall() if found.cursor is not None else ())

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Action]:
        return (rows.planned(row).action for row in self._rows)

    def of(self, verdicts: Collection[Verdict]) -> SettledRows:
        """Those of them that are one of `verdicts`."""
        return SettledRows([row for row in self._rows if rows.VERDICTS[row[2]] in verdicts])

    def keys(self) -> list[str]:
        """Their keys."""
        return [row[1] for row in self._rows]

    def counts(self) -> dict[Verdict, int]:
        """How many of each verdict there are."""
        return {rows.VERDICTS[word]: count for word, count in Counter(row[2] for row in self._rows).items()}

    def ancestors(self, pair_id: int) -> _Ancestors:
        """What they leave in the state, each judged; raises where one can't be what two stores returned."""
        held: list[tuple[object, ...]] = []
        gone: list[str] = []
        left: list[str] = []
        for (
            _, key, verdict, _, _, _, size1, mtime1, stamp1, digests1, size2, mtime2, stamp2, digests2, _,
            sentence, *_,
        ) in self._rows:  # fmt: skip
            if size1 is None or size2 is None or stamp1 is None or stamp2 is None:
                gone.append(key)
                if verdict == Verdict.FORGET and sentence is not None:
                    left.append(key)
            elif _weak(digests1) and _weak(digests2):
                held.append((pair_id, key, size1, mtime1, stamp1, size2, mtime2, stamp2, None, None))
            else:
                path1 = rows.held(key, size1, mtime1, stamp1, digests1)
                path2 = rows.held(key, size2, mtime2, stamp2, digests2)
                ancestor = Ancestor(key, path1, path2)
                judge(key, ancestor)
                held.append(rows.ancestor(pair_id, ancestor))
        return _Ancestors(held, gone, frozenset(left))

    def drop(self, database: Database, connection: Connection, run: int, span: Span) -> None:
        """Take them out of the plan, at once: the space of a million records is for the ancestors."""
        connection.exec_driver_sql(database.sql(_DROP), (run, *span))


def _weak(digests: str | None) -> bool:
    """Whether these say nothing that an ancestor records: there are none, or it is one ETag."""
    return digests is None or (digests.startswith("etag-") and " " not in digests)
