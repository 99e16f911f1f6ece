"""A tree and a bucket of OCI Object Storage, as an operator has them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bisyncer.core.reserved import is_reserved
from tests.oci.account import BUCKET, NAMESPACE, OciAccount
from tests.oci.body import Body
from tests.oci.store import Conditions, Object
from tests.scenarios.conftest import PAIR, Operator, actions

LARGE = 9 << 20  # sent in parts


@pytest.fixture
def operator(tmp_path: Path, oci_account: OciAccount, prefix: str) -> Operator:
    """An operator whose pair is a tree and a bucket on the server."""
    config = f"""
[remotes.oos]
type = "oracleobjectstorage"
endpoint_url = "{oci_account.server.endpoint_url}"
config_file = "{oci_account.config_file}"

[pairs.{PAIR}]
path1 = "{tmp_path / "tree"}"
path2 = "oos:{BUCKET}@{NAMESPACE}/{prefix}"
"""
    return Operator(tmp_path, tmp_path / "tree", config)


class _Desk:
    """The bucket as somebody else reaches it, below one prefix."""

    def __init__(self, account: OciAccount, prefix: str) -> None:
        self.bucket = account.bucket
        self.prefix = f"{prefix}/"

    def put(self, key: str, data: bytes) -> None:
        self.bucket.put(Object(self.prefix + key, Body(data), "text/plain", {}), Conditions())

    def remove(self, key: str) -> None:
        self.bucket.delete(self.prefix + key, Conditions())

    def held(self) -> dict[str, bytes]:
        objects = dict(self.bucket.objects)
        return {
            name.removeprefix(self.prefix): made.data
            for name, made in objects.items()
            if name.startswith(self.prefix) and not is_reserved(name)
        }


def held(tree: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(tree)): path.read_bytes()
        for path in tree.rglob("*")
        if path.is_file() and not is_reserved(path.relative_to(tree).as_posix())
    }


def test_a_tree_and_a_bucket_of_oci_are_kept_equal(
    operator: Operator, oci_account: OciAccount, prefix: str
) -> None:
    bucket, tree = _Desk(oci_account, prefix), operator.tree
    large = os.urandom(LARGE)
    for key, data in {"a": b"1", "both": b"same", "d/é": b"22", "large": large}.items():
        (tree / key).parent.mkdir(exist_ok=True)
        (tree / key).write_bytes(data)
    for key, data in {"both": b"same", "theirs": b"333"}.items():
        bucket.put(key, data)

    assert "reachable, oci, conditions kept" in operator.call("init", PAIR)
    aligned = operator.report("run", PAIR, "--resync")

    assert actions(aligned) == {"copy-to-path1": 1, "copy-to-path2": 3, "record": 1}
    assert held(tree) == bucket.held()
    assert bucket.held()["large"] == large

    # Nothing has changed: a look whether the bucket is there, the seal, one page, and no other object.
    quiet = operator.report("run", PAIR)
    assert (actions(quiet), quiet["unchanged"]) == ({}, 5)
    assert quiet["requests"]["path2"] == {"list": 2, "get": 1}

    (tree / "a").write_bytes(b"edited in the tree")
    (tree / "both").unlink()
    bucket.put("theirs", b"edited in the bucket")
    bucket.put("new/theirs", b"4444")
    bucket.remove("d/é")
    (tree / "large").write_bytes(large[1:])
    changed = operator.report("run", PAIR)

    assert actions(changed) == {
        "copy-to-path1": 2,
        "copy-to-path2": 2,
        "delete-from-path1": 1,
        "delete-from-path2": 1,
    }
    assert (
        held(tree)
        == bucket.held()
        == {
            "a": b"edited in the tree",
            "large": large[1:],
            "new/theirs": b"4444",
            "theirs": b"edited in the bucket",
        }
    )

    (tree / "a").write_bytes(b"one version")
    bucket.put("a", b"and another version")
    conflict = operator.report("run", PAIR)

    assert actions(conflict) == {"conflict": 1}
    assert held(tree) == bucket.held()
    assert {bucket.held()["a"], bucket.held()["a.conflict1"]} == {b"one version", b"and another version"}

    quiet = operator.report("run", PAIR)
    assert actions(quiet) == {}
    assert quiet["requests"]["path2"] == {"list": 3, "get": 1}  # before what lies in the trash, and behind it
    assert not [upload for upload in bucket.bucket.uploads.values() if upload.object.startswith(prefix)]
