from __future__ import annotations

import pytest

from bisyncer.endpoints.azure_error import answered
from bisyncer.endpoints.silence import why_silent


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            (
                "HTTPConnectionPool(host='127.0.0.1', port=1): Max retries exceeded with url: /n (Caused by "
                "NewConnectionError('<urllib3.connection.HTTPConnection>: Failed to establish a new "
                "connection: [Errno 111] Connection refused'))"
            ),
            "connection refused",
        ),
        (
            "<x>: Failed to resolve 'nowhere' ([Errno -2] Name or service not known)",
            "there is no host of that name",
        ),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed", "its certificate is not accepted"),
        ("HTTPSConnectionPool: Read timed out. (read timeout=60)", "timed out"),
        ("('Connection aborted.', RemoteDisconnected('...'))", "the connection was cut"),
        ("something\n  else.", "something else"),
    ],
)
def test_why_a_store_is_silent_is_told_in_a_few_words(error: str, told: str) -> None:
    assert why_silent(error) == told


def test_a_failed_authorization_may_be_a_wrong_key_or_a_missing_right() -> None:
    trouble = answered(403, {"x-ms-error-code": "AuthorizationFailure"}, b"")

    assert "the key or the SAS is wrong" in trouble.sentence
    assert "Storage Blob Data Contributor" in trouble.sentence
