"""The names that are bisyncer's own below every root, and never synced: those of the trash and of seals."""

from __future__ import annotations

from typing import Final

from bisyncer.model import SEALS, TRASH

START: Final = ".bisyncer-"  # a key without it needs no second look

_FOLDERS: Final = frozenset({TRASH, SEALS})


def is_reserved(key: str) -> bool:
    """Whether `key` lies in a folder of bisyncer's own, of this root or of a root inside it."""
    return START in key and not _FOLDERS.isdisjoint(key.split("/")[:-1])
