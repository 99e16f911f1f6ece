"""Values to rows and back. Rows are plain tuples, in the order of the statements in `store.py`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from bisyncer.model import (
    Action,
    Agreement,
    Algorithm,
    Ancestor,
    Delta,
    Digest,
    Entry,
    Planned,
    Side,
    Verdict,
)

Facts = tuple[int | None, int | None, str | None, str | None]  # size, mtime_ns, stamp, digests

_NOTHING: Facts = (None, None, None, None)
_LARGEST = 2**63 - 1


def _bounded(number: int | None) -> int | None:
    """Bring `number` into 64 bits: a file may carry a time of the year 2400, no column holds it in ns."""
    if number is None or -_LARGEST <= number <= _LARGEST:
        return number
    return _LARGEST if number > 0 else -_LARGEST


def facts(entry: Entry | None) -> Facts:
    """The four columns of what one side of an action or a conflict holds."""
    if entry is None:
        return _NOTHING
    digests = " ".join(f"{digest.algorithm}:{digest.value}" for digest in entry.digests)
    return _bounded(entry.size), _bounded(entry.mtime_ns), entry.stamp, digests or None


def entry(
    key: str, size: int | None, mtime_ns: int | None, stamp: str | None, digests: str | None
) -> Entry | None:
    """What `facts` came from; no size: nothing."""
    return None if size is None or stamp is None else held(key, size, mtime_ns, stamp, digests)


def held(key: str, size: int, mtime_ns: int | None, stamp: str, digests: str | None) -> Entry:
    """What `facts` came from, where it wasn't nothing."""
    if digests is None:
        return Entry(key, size, mtime_ns, stamp)
    parts = (text.partition(":") for text in digests.split(" "))
    return Entry(
        key, size, mtime_ns, stamp, tuple(Digest(Algorithm(name), value) for name, _, value in parts)
    )


def action(planned: Action) -> tuple[Any, ...]:
    """The columns of an action that the plan knows, `verdict` to `sentence`."""
    return (
        planned.verdict.value,
        planned.delta1.value,
        planned.delta2.value,
        None if planned.agreement is None else planned.agreement.value,
        *facts(planned.path1),
        *facts(planned.path2),
        None if planned.winner is None else planned.winner.value,
        None if planned.reason is None else tellable(planned.reason),
    )


def planned(row: Sequence[Any]) -> Planned:
    """What `action` came from, with its place and key in front."""
    seq, key, verdict, delta1, delta2, agreement = row[:6]
    winner, sentence = row[14:]
    return Planned(
        seq,
        Action(
            key=key,
            verdict=Verdict(verdict),
            delta1=Delta(delta1),
            delta2=Delta(delta2),
            agreement=None if agreement is None else Agreement(agreement),
            path1=entry(key, *row[6:10]),
            path2=entry(key, *row[10:14]),
            reason=sentence,
            winner=None if winner is None else Side(winner),
        ),
    )


def _shared(value: Ancestor, algorithm: Algorithm) -> bytes | None:
    """The digest of the content that both sides share, whichever side told it."""
    for digest in (*value.path1.digests, *value.path2.digests):
        if digest.algorithm is algorithm:
            return bytes.fromhex(digest.value)
    return None


def ancestor(pair_id: int, value: Ancestor) -> tuple[Any, ...]:
    """The row of an ancestor.

    An ETag that may be an MD5 isn't stored: it stands in the stamp already.
    """
    path1, path2 = value.path1, value.path2
    return (
        pair_id,
        value.key,
        _bounded(path1.size),
        _bounded(path1.mtime_ns),
        path1.stamp,
        _bounded(path2.size),
        _bounded(path2.mtime_ns),
        path2.stamp,
        _shared(value, Algorithm.SHA256),
        _shared(value, Algorithm.MD5),
    )


def ancestors(rows: Iterable[Sequence[Any]]) -> Iterator[Ancestor]:
    """Yield what the rows came from, without their pair; written out, as this runs for each key of a run."""
    for key, size1, mtime1, stamp1, size2, mtime2, stamp2, sha256, md5 in rows:
        digests: tuple[Digest, ...] = ()
        if sha256 is not None:
            digests = (Digest(Algorithm.SHA256, sha256.hex()),)
        if md5 is not None:
            digests = (*digests, Digest(Algorithm.MD5, md5.hex()))
        yield Ancestor(
            key, Entry(key, size1, mtime1, stamp1, digests), Entry(key, size2, mtime2, stamp2, digests)
        )


def tellable(text: str) -> str:
    r"""Return `text` with what no database stores spelled out: a bad name must not stop us from telling it.

    NUL becomes \x00, and a byte that isn't UTF-8 (which Python reads as a lone surrogate) \udc80.
    """
    return text.replace("\0", r"\x00").encode("utf-8", "backslashreplace").decode("utf-8")
