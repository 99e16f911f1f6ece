"""The folders of a tree and about how many keys each holds, from few of its directories."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final, NamedTuple

from bisyncer.endpoints.tree import LIST, Tree
from bisyncer.errors import EndpointError

ENOUGH: Final = 64  # folders: more are not looked for
MOST: Final = 5000  # that are told, whatever there are
LOOKS: Final = 8  # folders whose names are counted
_LEVELS: Final = 8


class Folder(NamedTuple):
    """The first key that could lie in a folder, and about how many do."""

    key: str
    keys: int


def outline(tree: Tree) -> Sequence[Folder]:
    """The folders of the highest level that has enough of them, in order of key; none where none can be told.

    It is a guess, good enough to cut a listing by: what it leaves out, or a change meanwhile, does no harm.
    """
    level, lowest = [""], list[str]()  # those to go down into, and those that hold no other
    try:
        for _ in range(_LEVELS):
            down: list[str] = []
            for folder in level:
                below = _read(tree, folder)[0]
                down += below
                if not below and folder:
                    lowest.append(folder)
            level = down
            if not level or len(level) + len(lowest) >= ENOUGH:
                break
        folders = sorted(level + lowest)
        if not folders:
            return ()
        some = folders[:: -(-len(folders) // LOOKS)]
        mean = sum(sum(map(len, _read(tree, folder))) for folder in some) // len(some)
    except (OSError, EndpointError):
        return ()  # the listing tells what is wrong
    each = -(-len(folders) // MOST)
    return [Folder(folder, mean * each) for folder in folders[::each]]


def _read(tree: Tree, folder: str) -> tuple[list[str], list[str]]:
    """The folders in one, and the names of all else; none where it is gone."""
    with tree.directory(folder.split("/")[:-1], follow=False) as there:
        if there is None:
            return [], []
        directory = os.open(".", LIST, dir_fd=there)
    try:
        with os.scandir(directory) as found:
            folders: list[str] = []
            others: list[str] = []
            for entry in found:
                if entry.is_dir(follow_symlinks=False) and entry.name.isprintable():
                    folders.append(f"{folder}{entry.name}/")
                else:
                    others.append(entry.name)
            return folders, others
    finally:
        os.close(directory)
