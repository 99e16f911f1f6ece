"""Fields beside an object's content, as they go over HTTP: which of them can, and what they are called."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

# The fields that HTTP itself has, as rclone names them too.
STANDARD: Final[tuple[str, ...]] = (
    "content-type",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
)

# RFC 9110, sections 5.1 and 5.5, without what is beyond ASCII: each client has its own idea of that. Spaces
# at the ends of a value would be trimmed on the way.
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile("[!-~](?:[ -~]*[!-~])?")


def sendable(metadata: Mapping[str, str]) -> dict[str, str]:
    """The fields that a header can hold, their names in lower case; what none can hold is left out."""
    return {
        name.lower(): value
        for name, value in metadata.items()
        if _NAME.fullmatch(name) and _VALUE.fullmatch(value)
    }
