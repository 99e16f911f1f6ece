"""The names of scratch objects, which a probe writes into a bucket and removes again; no scan shows them."""

from __future__ import annotations

import re
import secrets

_SCRATCH = ".bisyncer-probe-"  # and 16 hex digits: the last segment of what is ours
_OURS = re.compile(rf"(?:^|/){re.escape(_SCRATCH)}[0-9a-f]{{16}}$")


def scratch_name() -> str:
    """A name that nobody has used."""
    return f"{_SCRATCH}{secrets.token_hex(8)}"


def is_scratch(key: str) -> bool:
    """Whether `key` is a scratch object's, of any pair."""
    return _SCRATCH in key and _OURS.search(key) is not None


def may_hold_scratch(joined: str) -> bool:
    """Whether one of the keys, of which `joined` is all text, may be a scratch object's."""
    return _SCRATCH in joined
