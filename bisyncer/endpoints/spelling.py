"""How a directory spells a name: a file system that folds case finds one file by several names.

On such a file system a key is what a directory lists, and no other spelling of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Final

from bisyncer.model import Fold

_FOLD: Final = Fold(case=True, unicode=True)


def other_spelling(directory: int, name: str) -> str | None:
    """The name by which a directory lists what is found there as `name`; None where it is that very name.

    It lists the directory, so it is for names that are in doubt. Where it can't be listed, the name is
    believed.
    """
    try:
        opened = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
        try:
            names = os.listdir(opened)  # noqa: PTH208 -- by descriptor, not by path
        finally:
            os.close(opened)
    except OSError:
        return None
    if name in names:
        return None
    folded = _FOLD.folded(name)
    return next((each for each in names if _FOLD.folded(each) == folded), None)


def folds_case(directory: int, names: Iterable[str]) -> bool | None:
    """Whether the file system of a directory folds case, as a name in it shows; None: none of these does."""
    for name in names:
        swapped = name.swapcase()
        if not name.isascii() or swapped == name:
            continue
        try:
            os.stat(swapped, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return other_spelling(directory, swapped) is not None
    return None
