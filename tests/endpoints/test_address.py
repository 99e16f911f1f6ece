"""The address of a service in one spelling."""

from __future__ import annotations

import pytest

from bisyncer.endpoints.address import one_spelling


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("https://Store.Example.com", "https://store.example.com"),
        ("https://store.example.com:443/", "https://store.example.com"),
        ("http://store.example.com:80", "http://store.example.com"),
        ("https://store.example.com:80", "https://store.example.com:80"),
        ("http://127.0.0.1:9000/", "http://127.0.0.1:9000"),
        ("http://127.0.0.1:10000/account/", "http://127.0.0.1:10000/account"),
        ("http://[2001:DB8::1]:9000", "http://[2001:db8::1]:9000"),
        ("http://[::1]:80", "http://[::1]"),
    ],
)
def test_an_address_has_one_spelling_that_is_an_address_again(written: str, told: str) -> None:
    assert one_spelling(written) == told
    assert one_spelling(told) == told
