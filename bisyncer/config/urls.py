"""URLs of services and of the state database: what they may be, and how they are printed."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

from platformdirs import user_state_dir

from bisyncer.config.parser import Unfit, text

_STATE_SCHEMES = ("sqlite", "postgresql", "postgresql+psycopg")
_PASSWORD_WORDS = ("password", "passwd", "sslpassword")
# SQLAlchemy takes any character for one of a password; the last @ ends what may be one.
_LOGIN = re.compile(r"([\w+]+://[^:/@]*):(.+)@")


def service_url(value: object) -> str:
    """The URL of a service, without credentials: a URL is printed, and a secret must never be."""
    url = text(value)
    try:
        parts = urlsplit(url)
        secret = parts.username is not None or parts.password is not None
        host = parts.hostname
        _ = parts.port  # raises where it isn't a number
    except ValueError as error:
        raise Unfit("it is no URL; write http://HOST:PORT or https://HOST") from error
    if secret:
        raise Unfit("it holds a user name or a password; take them out, and give them by keys of their own")
    if parts.scheme not in {"http", "https"} or not host:
        raise Unfit(f"{url!r} is no URL; write http://HOST:PORT or https://HOST")
    return url


def state_url(value: object) -> str:
    """The URL of the state database; never printed as it is, since it may hold a password."""
    url = text(value)
    scheme, found, _ = url.partition("://")
    if not found or scheme not in _STATE_SCHEMES:
        raise Unfit(
            "it is no database URL; write sqlite:////var/lib/bisyncer/state.db or "
            "postgresql+psycopg://USER@HOST/NAME"
        )
    if scheme == "sqlite" and not url.startswith("sqlite:///"):
        raise Unfit(
            f"{url!r} has too few slashes; write sqlite:/// and the path: sqlite:////var/lib/bisyncer/state.db"
        )
    return url


def default_state() -> str:
    """Where the state is when nothing says so: a file in the user's state folder."""
    return f"sqlite:///{Path(user_state_dir('bisyncer')) / 'state.db'}"


def has_password(url: str) -> bool:
    """Whether a database URL holds a password, as SQLAlchemy reads it."""
    return _LOGIN.match(url) is not None or any(key.lower() in _PASSWORD_WORDS for key, _ in _query(url))


def without_password(url: str) -> str:
    """A database URL as it may be printed."""
    shown = _LOGIN.sub(r"\1:***@", url)
    query = _query(shown)
    if not any(key.lower() in _PASSWORD_WORDS for key, _ in query):
        return shown
    told = [(key, "***" if key.lower() in _PASSWORD_WORDS else value) for key, value in query]
    return f"{shown.partition('?')[0]}?{urlencode(told, safe='*/')}"


def _query(url: str) -> list[tuple[str, str]]:
    return parse_qsl(url.partition("?")[2], keep_blank_values=True)
