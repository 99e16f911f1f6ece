"""Keys with a meaning of their own. What a store can't name at all, it says itself."""

from __future__ import annotations


def folder_marker(key: str, size: int) -> bool:
    """Whether this is the empty object by which consoles make a bucket show a folder."""
    return size == 0 and key.endswith("/")
