"""Both versions of a conflict as text, line by line: what a person looks at before deciding."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import unified_diff
from typing import Final, NamedTuple

from bisyncer.core.compare import by_digest
from bisyncer.endpoints.base import Endpoint
from bisyncer.engine.transfer import CHUNK, Hashing
from bisyncer.errors import EndpointError
from bisyncer.model import Agreement, Entry, Side
from bisyncer.report.words import shown_size
from bisyncer.state.records import Conflict

LARGEST: Final = 256 * 1024  # bytes of a version; comparing takes time that grows faster than the text
_MOST_LINES: Final = 10_000


class TextDiff(NamedTuple):
    """A unified diff from path1's version to path2's, or the sentence that says why there is none."""

    lines: tuple[str, ...] = ()
    sentence: str | None = None


def text_diff(conflict: Conflict, endpoints: Mapping[Side, Endpoint]) -> TextDiff:
    """Read both versions, each from its own side, if they are still what was recorded; compare them."""
    texts: list[list[str]] = []
    versions: list[bytes] = []
    for side in Side:
        version = _version(conflict, side, endpoints[side])
        if isinstance(version, str):
            return TextDiff(sentence=version)
        versions.append(version)
    for side, version in zip(Side, versions, strict=True):
        text = _lines(version)
        if isinstance(text, str):
            at = next((n for n, (a, b) in enumerate(zip(*versions, strict=False), 1) if a != b), None)
            where = "where the shorter one ends" if at is None else f"at byte {at:,}"
            return TextDiff(sentence=f"{side}'s version {text}; the two begin to differ {where}")
        texts.append(text)
    if versions[0].endswith(b"\n") is not versions[1].endswith(b"\n"):
        for text, version in zip(texts, versions, strict=True):
            if not version.endswith(b"\n"):
                text.append("\\ no newline at the end")
    one, two = (f"{side} {place(conflict, side)}" for side in Side)
    return TextDiff(tuple(unified_diff(texts[0], texts[1], one, two, lineterm="")))


def place(conflict: Conflict, side: Side) -> str:
    """The key that holds the version that `side` had."""
    return conflict.key if side is conflict.winner else conflict.beside


def _version(conflict: Conflict, side: Side, endpoint: Endpoint) -> bytes | str:
    """The version that a side had, or why it can't be shown."""
    met = conflict.met(side)
    key = place(conflict, side)
    if met.size > LARGEST:
        return f"{side}'s version has {shown_size(met.size)}, too much to be shown"
    try:
        found = endpoint.stat(key)
        if found is None:
            return f"{side}'s version isn't at {key} on {side} any more"
        read = None if found.size != met.size else _read(endpoint, found, met)
    except EndpointError as error:
        return str(error)
    return f"{key} on {side} was edited since" if read is None else read


def _read(endpoint: Endpoint, found: Entry, met: Entry) -> bytes | None:
    """The content, if it is what was met."""
    with endpoint.read(found.key, expect=found) as opened:
        passing = Hashing(opened)
        read = b"".join(iter(lambda: passing.read(CHUNK), b""))
    # What was replaced may never have been read before: then its size is all that was recorded.
    return None if by_digest(passing.digests(), met.digests) is Agreement.DIFFERENT else read


def _lines(version: bytes) -> list[str] | str:
    """The lines of a text, or why it is none that can be shown."""
    try:
        lines = version.decode().split("\n")
    except UnicodeDecodeError:
        return "is no UTF-8 text"
    if b"\0" in version:
        return "is no text"
    if len(lines) > _MOST_LINES:
        return f"has {len(lines):,} lines, too many to be compared"
    return lines if lines[-1] else lines[:-1]
