"""What a kind of store can name."""

from __future__ import annotations

SEGMENT_BYTES = 255  # NAME_MAX of Linux file systems, see pathconf(3)


def tree_refusal(key: str) -> str | None:
    """Why a directory tree can't hold this key; None where it can."""
    if "\x00" in key:
        return "a tree can't hold a name with a NUL character"
    for segment in key.split("/"):
        if not segment:
            return "a tree can't hold an empty name between, before or after slashes"
        if segment in {".", ".."}:
            return f"a tree can't hold a file named '{segment}'"
        if len(segment.encode(errors="surrogateescape")) > SEGMENT_BYTES:
            return f"a tree can't hold a name over {SEGMENT_BYTES} bytes"
    return None


def folder_marker(key: str, size: int) -> bool:
    """Whether this is the empty object by which consoles make a bucket show a folder."""
    return size == 0 and key.endswith("/")
