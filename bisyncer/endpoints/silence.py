"""Why a store gives no answer, in a few words, from the much longer ones of an HTTP library."""

from __future__ import annotations

import re
from typing import Final

# What the libraries say of it, and how it is told; the first that is found.
_REASONS: Final = (
    (r"connection refused", "connection refused"),
    (
        r"failed to resolve|name or service not known|getaddrinfo|name resolution|nodename nor servname",
        "there is no host of that name",
    ),
    (r"certificate", "its certificate is not accepted"),
    (r"\bssl|\btls", "no TLS connection can be made"),
    (r"timed? ?out", "timed out"),
    (r"no route to host|network is unreachable", "the network has no way to it"),
    (
        r"reset by peer|broken pipe|without response|incompleteread|aborted",
        "the connection was cut",
    ),
)


def why_silent(error: str) -> str:
    """The reason in a few words; what isn't known is told as it came, on one line."""
    for pattern, told in _REASONS:
        if re.search(pattern, error, re.IGNORECASE):
            return told
    return " ".join(error.split()).rstrip(".")
