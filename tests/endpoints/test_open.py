from __future__ import annotations

from pathlib import Path

import pytest

from bisyncer.endpoints.azure import AzureEndpoint
from bisyncer.endpoints.local import LocalEndpoint
from bisyncer.endpoints.open import open_endpoint
from bisyncer.endpoints.s3 import S3Endpoint
from bisyncer.errors import UsageError
from bisyncer.job import Remote

REMOTES = {
    "azure": Remote(name="azure", type="azure", account="a"),
    "cloud": Remote(name="cloud", type="azure", account="b"),
    "s3": Remote(name="s3", region="eu-west-1"),
    "OCI_fk 2.ü": Remote(name="OCI_fk 2.ü", region="eu-west-1"),
    "media": Remote(name="media", region="eu-west-1", root="b/media/"),
    "lo": Remote(name="lo", type="local"),
}


@pytest.mark.parametrize(
    ("root", "kind", "text"),
    [
        ("azure://c/p/", AzureEndpoint, "azure://c/p?endpoint=https://a.blob.core.windows.net"),
        ("az://c", AzureEndpoint, "azure://c?endpoint=https://a.blob.core.windows.net"),
        ("cloud:c/p", AzureEndpoint, "azure://c/p?endpoint=https://b.blob.core.windows.net"),
        ("s3://b/p", S3Endpoint, "s3://b/p"),
        ("OCI_fk 2.ü:b/p", S3Endpoint, "s3://b/p"),
        ("media:", S3Endpoint, "s3://b/media"),
        ("media:x/y/", S3Endpoint, "s3://b/media/x/y"),
        ("media:/x//y", S3Endpoint, "s3://b/media/x/y"),
        ("media:../../other/x", S3Endpoint, "s3://b/media/other/x"),
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
        ("lo:", REMOTES, "^lo:: counts from wherever a command is started. Write the whole path"),
        ("lo:photos", REMOTES, "^lo:photos: counts from wherever"),
        ("OCI_fk 2.ü:", REMOTES, "names no bucket. Write OCI_fk 2.ü:bucket or"),
        ("nobody:c", REMOTES, "no remote named 'nobody'"),
    ],
)
def test_a_root_that_can_not_be_opened_is_told(root: str, remotes: dict[str, Remote], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        open_endpoint(root, remotes, owner="test")


def test_a_tree_of_a_remote_is_the_tree_itself(tmp_path: Path) -> None:
    tree = tmp_path / "a" / "b"
    tree.mkdir(parents=True)
    remotes = {**REMOTES, "here": Remote(name="here", type="local", root=str(tmp_path))}

    for root in (str(tree), f"lo:{tree}/", "here:a/b", "here:/a/../a//b/", "here:../a/b"):
        endpoint = open_endpoint(root, remotes, owner="0badcafe")
        assert isinstance(endpoint, LocalEndpoint)
        assert endpoint.root == tree.as_uri()
        endpoint.close()


@pytest.mark.parametrize("root", ["s3://b/p/../q", "az://c/..", "media:../b", "s3:b/./p", "cloud:c/../d"])
def test_a_root_of_a_bucket_that_goes_up_is_refused(root: str) -> None:
    if root.startswith("media"):  # counts from where the remote begins, out of which nothing leads
        assert open_endpoint(root, REMOTES, owner="0123abcd").root == "s3://b/media/b"
        return
    with pytest.raises(UsageError, match="no folders to go up to"):
        open_endpoint(root, REMOTES, owner="0123abcd")
