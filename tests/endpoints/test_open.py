from __future__ import annotations

import pytest

from bisyncer.endpoints.azure import AzureEndpoint
from bisyncer.endpoints.open import open_endpoint
from bisyncer.endpoints.s3 import S3Endpoint
from bisyncer.errors import UsageError
from bisyncer.model import Remote

REMOTES = {
    "azure": Remote(name="azure", type="azure", account="a"),
    "cloud": Remote(name="cloud", type="azure", account="b"),
    "s3": Remote(name="s3", region="eu-west-1"),
}


@pytest.mark.parametrize(
    ("root", "kind", "text"),
    [
        ("azure://c/p/", AzureEndpoint, "azure://c/p?endpoint=https://a.blob.core.windows.net"),
        ("az://c", AzureEndpoint, "azure://c?endpoint=https://a.blob.core.windows.net"),
        ("cloud:c/p", AzureEndpoint, "azure://c/p?endpoint=https://b.blob.core.windows.net"),
        ("s3://b/p", S3Endpoint, "s3://b/p"),
    ],
)
def test_a_root_is_opened_by_the_store_that_its_scheme_or_remote_says(
    root: str, kind: type, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_STORAGE_KEY", "eA==")
    endpoint = open_endpoint(root, REMOTES, owner="test")

    assert isinstance(endpoint, kind)
    assert endpoint.root == text
    endpoint.close()


@pytest.mark.parametrize(
    ("root", "remotes", "words"),
    [
        ("azure://", REMOTES, "names no container"),
        ("azure://c", {"azure": Remote(name="azure")}, r"is of type s3. Give \[remotes.azure\] type"),
        ("gs://b", REMOTES, "unknown scheme 'gs'.*azure"),
        ("nobody:c", REMOTES, "no remote named 'nobody'"),
    ],
)
def test_a_root_that_can_not_be_opened_is_told(root: str, remotes: dict[str, Remote], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        open_endpoint(root, remotes, owner="test")
