"""The trash of a bucket: versions that a run replaced or deleted there, and their way back."""

from __future__ import annotations

from bisyncer.core.trash import in_trash, read_name
from tests.scenarios.conftest import PAIR, Operator, actions, bucket_contents, contents
from tests.servers import BUCKET, S3Server


def in_bucket(server: S3Server, prefix: str) -> dict[str, bytes]:
    """What is in the trash of the bucket, by key."""
    with server.client() as client:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{prefix}/")
        keys = [found["Key"] for page in pages for found in page.get("Contents", ())]
        found = {}
        for key in keys:
            if in_trash(key):
                trashed = read_name(key.removeprefix(f"{prefix}/"))
                assert trashed is not None, key
                found[trashed.key] = client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return found


def test_what_the_tree_deleted_and_replaced_is_in_the_trash_of_the_bucket_and_comes_back(
    operator: Operator, seaweed: S3Server, prefix: str
) -> None:
    for number in range(12):
        (operator.tree / f"f{number:02} é").write_bytes(b"text %d" % number)
    operator.call("init", PAIR, "--resync")
    (operator.tree / "f00 é").unlink()
    (operator.tree / "f01 é").write_bytes(b"edited")

    assert actions(operator.report("run", PAIR)) == {"copy-to-path2": 1, "delete-from-path2": 1}
    assert in_bucket(seaweed, prefix) == {"f00 é": b"text 0", "f01 é": b"text 1"}
    assert contents(operator.tree) == bucket_contents(seaweed, prefix)
    assert actions(operator.report("run", PAIR)) == {}

    operator.call("trash", "restore", PAIR, "f00 é")
    operator.call("trash", "restore", PAIR, "f01 é")
    assert in_bucket(seaweed, prefix) == {}
    assert actions(operator.report("run", PAIR)) == {"copy-to-path1": 2}
    assert (operator.tree / "f00 é").read_bytes() == b"text 0"
    assert (operator.tree / "f01 é.restored1").read_bytes() == b"text 1"
    assert contents(operator.tree) == bucket_contents(seaweed, prefix)

    (operator.tree / "f02 é").unlink()
    operator.call("run", PAIR)
    assert in_bucket(seaweed, prefix) == {"f02 é": b"text 2"}
    operator.call("trash", "purge", PAIR, "--all")
    assert in_bucket(seaweed, prefix) == {}
