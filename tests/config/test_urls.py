"""URLs as they are printed."""

from __future__ import annotations

import pytest

from bisyncer.config import urls


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:////var/lib/state.db", "sqlite:////var/lib/state.db"),
        ("postgresql+psycopg://me@host/db", "postgresql+psycopg://me@host/db"),
        ("postgresql+psycopg://me:hush@host:5432/db", "postgresql+psycopg://me:***@host:5432/db"),
        ("postgresql://me:h@u@sh@host/db", "postgresql://me:***@host/db"),
        ("postgresql://host/db?user=me&password=hush", "postgresql://host/db?user=me&password=***"),
        ("postgresql://me:hush@[host/db", "postgresql://me:***@[host/db"),
        ("postgresql://me:h/u@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me:h?u@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me:h#u@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me:@host/db", "postgresql://me:@host/db"),
        ("postgresql://host:5432/db?sslmode=require", "postgresql://host:5432/db?sslmode=require"),
        ("sqlite:////a:b@c/state.db", "sqlite:////a:b@c/state.db"),
    ],
)
def test_a_password_is_never_shown(url: str, shown: str) -> None:
    assert urls.without_password(url) == shown
    assert urls.has_password(url) == (url != shown)
