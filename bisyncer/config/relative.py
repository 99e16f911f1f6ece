"""What is written relative to a folder, counted from it: it means one place, wherever a command is run."""

from __future__ import annotations

import os
import re
from pathlib import Path

from bisyncer.config import parser
from bisyncer.endpoints.home import from_home

_NOT_LOCAL = re.compile(r"[\w+@][\w. +@-]*:")


def absolute_root(root: str, folder: Path) -> str:
    """A root with a relative directory counted from `folder`; URLs and remotes as they are."""
    if not root.strip() or _NOT_LOCAL.match(root) or parser.ON_THE_SPOT.match(root) or root[0] == "/":
        return root  # an empty one is no name of the folder itself: it is refused
    if root == "~" or root.startswith("~/"):
        return str(from_home(root))
    return os.path.normpath(folder.absolute() / root)


def absolute_state(url: str, folder: Path) -> str:
    """A database URL with a relative file counted from `folder`: one state, wherever a command is run."""
    start = "sqlite:///"
    if not url.startswith(start) or url == start:
        return url
    return start + str(folder.absolute() / url.removeprefix(start))


def absolute_file(file: str, folder: Path) -> str:
    """A file counted from `folder`."""
    return str(folder.absolute() / from_home(file)) if file.strip() else file
