"""Values to rows and back. Rows are plain tuples, in the order of the statements that write them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
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
    Recorded,
    Side,
    Verdict,
)

Facts = tuple[int | None, int | None, str | None, str | None]  # size, mtime_ns, stamp, digests

_NOTHING: Facts = (None, None, None, None)
_LARGEST = 2**63 - 1
_LONGEST = 2000  # bytes of a problem's key; PostgreSQL puts at most 2704 in an index

# A plan may have a million rows; looking a word up here is several times faster than asking its enum.
_ALGORITHMS: Mapping[str, Algorithm] = {member.value: member for member in Algorithm}
VERDICTS: Mapping[str, Verdict] = {member.value: member for member in Verdict}
_DELTAS: Mapping[str, Delta] = {member.value: member for member in Delta}
_AGREEMENTS: Mapping[str | None, Agreement | None] = {
    None: None,
    **{member.value: member for member in Agreement},
}
_WINNERS: Mapping[str | None, Side | None] = {None: None, **{member.value: member for member in Side}}

# In the place of an ancestor's stamp: it is the MD5 of the content. No header of an answer can hold this.
IS_MD5 = "\n"

_new = tuple.__new__  # builds a named tuple without going through a call of Python's


def _bounded(number: int | None) -> int | None:
    """Bring `number` into 64 bits: a file may carry a time of the year 2400, no column holds it in ns."""
    if number is None or -_LARGEST <= number <= _LARGEST:
        return number
    return _LARGEST if number > 0 else -_LARGEST


def number(value: Any) -> Any:
    """A number of a column, or None; raises `ValueError` for all else, which a damaged SQLite gives."""
    if value is not None and type(value) is not int:
        raise ValueError(f"{value!r} is no number")
    return value


def text(value: Any) -> Any:
    """A text of a column, or None; raises as `number` does."""
    if value is not None and type(value) is not str:
        raise ValueError(f"{value!r} is no text")
    return value


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
    return Entry(key, size, mtime_ns, stamp, tuple([_digest(text, stamp) for text in digests.split(" ")]))


def _digest(text: str, stamp: str) -> Digest:
    name, _, value = text.partition(":")
    return Digest(_ALGORITHMS[name], value or stamp)


def _planned(entry: Entry | None) -> Facts:
    """`facts` for a plan, of any length: an ETag that is the stamp, as in a listing, stands there once."""
    if entry is not None and len(entry.digests) == 1 and entry.digests[0].value == entry.stamp:
        return _bounded(entry.size), _bounded(entry.mtime_ns), entry.stamp, f"{entry.digests[0].algorithm}:"
    return facts(entry)


def action(planned: Action) -> tuple[Any, ...]:
    """The columns of an action that the plan knows, `verdict` to `origin_digests`."""
    return (
        planned.verdict.value,
        planned.delta1.value,
        planned.delta2.value,
        None if planned.agreement is None else planned.agreement.value,
        *_planned(planned.path1),
        *_planned(planned.path2),
        None if planned.winner is None else planned.winner.value,
        None if planned.reason is None else tellable(planned.reason),
        None if planned.origin is None else planned.origin.key,
        *facts(planned.origin),
    )


def planned(row: Sequence[Any]) -> Planned:
    """What `action` came from, with its place and key in front."""
    (
        seq, key, verdict, delta1, delta2, agreement,
        size1, mtime1, stamp1, digests1, size2, mtime2, stamp2, digests2, winner, sentence,
        origin, size, mtime, stamp, digests,
    ) = row  # fmt: skip
    return Planned(
        seq,
        Action(
            key,
            VERDICTS[verdict],
            _DELTAS[delta1],
            _DELTAS[delta2],
            _AGREEMENTS[agreement],
            entry(key, size1, mtime1, stamp1, digests1),
            entry(key, size2, mtime2, stamp2, digests2),
            sentence,
            _WINNERS[winner],
            None if origin is None else entry(origin, size, mtime, stamp, digests),
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

    An ETag that may be an MD5 isn't stored: it stands in the stamp already. Nor is a stamp that is the MD5: a
    million of them are 32 MB.
    """
    path1, path2 = value.path1, value.path2
    md5 = _shared(value, Algorithm.MD5)
    told = None if md5 is None else md5.hex()
    return (
        pair_id,
        value.key,
        _bounded(path1.size),
        _bounded(path1.mtime_ns),
        IS_MD5 if path1.stamp == told else path1.stamp,
        _bounded(path2.size),
        _bounded(path2.mtime_ns),
        IS_MD5 if path2.stamp == told else path2.stamp,
        _shared(value, Algorithm.SHA256),
        md5,
    )


def agreed(one: Entry, two: Entry) -> tuple[Any, ...]:
    """The row of an ancestor without its pair, of entries of which no digest is recorded."""
    key, size1, mtime1, stamp1, _ = one
    _, size2, mtime2, stamp2, _ = two
    return (
        key, _bounded(size1), _bounded(mtime1), stamp1, _bounded(size2), _bounded(mtime2), stamp2, None, None,
    )  # fmt: skip


def recall(row: Recorded) -> Ancestor:
    """Return what `ancestor` made the row from, without its pair.

    Raises `TypeError`, `ValueError` or `AttributeError` where it is none that `ancestor` made: a damaged
    database may give such a one without saying so.
    """
    key, size1, mtime1, stamp1, size2, mtime2, stamp2, sha256, md5 = row
    digests: tuple[Digest, ...] = ()
    if sha256 is not None:
        digests = (_new(Digest, (Algorithm.SHA256, sha256.hex())),)
    if md5 is not None:
        digests = (*digests, _new(Digest, (Algorithm.MD5, md5.hex())))
    path1 = _new(Entry, (key, size1, mtime1, stamp1, digests))
    path2 = _new(Entry, (key, size2, mtime2, stamp2, digests))
    return _new(Ancestor, (key, path1, path2))


def tellable(text: str) -> str:
    r"""Return `text` with what no database stores spelled out: a bad name must not stop us from telling it.

    NUL becomes \x00, and a byte that isn't UTF-8 (which Python reads as a lone surrogate) \udc80.
    """
    return text.replace("\0", r"\x00").encode("utf-8", "backslashreplace").decode("utf-8")


def problem_key(key: str) -> str:
    """Return the key that a problem is recorded under: `key`, cut where it is longer than an index takes.

    A name may be a problem for its very length. What follows the cut keeps two such names apart.
    """
    told = tellable(key)
    whole = told.encode()
    if len(whole) <= _LONGEST:
        return told
    digest = hashlib.sha256(whole).hexdigest()[:16]
    return f"{whole[: _LONGEST - 100].decode(errors='ignore')}... ({len(whole)} bytes, sha256 {digest})"
