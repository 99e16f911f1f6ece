"""The address of a service in one spelling, as roots are compared by it."""

from __future__ import annotations

from urllib.parse import urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}


def one_spelling(url: str) -> str:
    """An address in lower case, without a port that goes without saying, and without '/' at its end."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if ":" in host:  # an IPv6 address, which `hostname` gives without its brackets (RFC 3986, 3.2.2)
        host = f"[{host}]"
    port = "" if parts.port in {None, _DEFAULT_PORTS.get(parts.scheme)} else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}{parts.path.rstrip('/')}"
