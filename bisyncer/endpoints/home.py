"""A file that a config names from somebody's home folder."""

from __future__ import annotations

import os
from pathlib import Path


def from_home(path: str) -> Path:
    """The file that `~/x` or `~user/x` means; just as it is written where there is no such user."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 -- Path's own raises for a user that isn't there
