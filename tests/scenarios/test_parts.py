"""A tree and an object that somebody else has uploaded in parts, at their first alignment."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from boto3.s3.transfer import TransferConfig as Cut

from bisyncer.endpoints.mtime import metadata
from bisyncer.job import Evidence, Policy
from bisyncer.model import Algorithm, RunOutcome
from tests.pair import paired
from tests.places import Places, S3Place, Tree
from tests.servers import BUCKET, S3Server
from tests.world import ONE, TWO, carried_out

MIB = 1 << 20
CONTENT = b"0123456789abcdef" * (9 * MIB // 16 + 1)
KEY = "big.bin"
MTIME_NS = 1_600_000_000_000_000_000
LIKE_CLIENTS = Cut(multipart_threshold=1, multipart_chunksize=8 * MIB)
LIKE_NOBODY = Cut(multipart_threshold=1, multipart_chunksize=7 * MIB + 5)


@pytest.fixture
def bucket(places: Places, seaweed: S3Server, tmp_path: Path, cut: Cut) -> S3Place:
    """A bucket with the content, in parts as somebody cut it, and with its time."""
    place = places("s3")
    assert isinstance(place, S3Place)
    (tmp_path / "upload").write_bytes(CONTENT)
    name = f"{place.root.partition('/')[2]}/{KEY}"
    told = {"Metadata": metadata(MTIME_NS)}
    with seaweed.client() as client:
        client.upload_file(str(tmp_path / "upload"), BUCKET, name, Config=cut, ExtraArgs=told)
    return place


@pytest.fixture
def tree(places: Places) -> Tree:
    """A tree with the same content and time."""
    place = places("tree")
    assert isinstance(place, Tree)
    place.plant(KEY, CONTENT)
    os.utime(place.folder / KEY, ns=(MTIME_NS, MTIME_NS))
    return place


@pytest.mark.parametrize(
    ("cut", "compare", "reads"),
    [
        (LIKE_CLIENTS, (), (1, 0)),
        (LIKE_NOBODY, (), (1, 1)),
        (LIKE_NOBODY, (Evidence.SIZE, Evidence.MTIME), (0, 0)),
    ],
    ids=["usual parts", "unusual parts", "times are enough"],
)
def test_an_object_in_parts_is_fetched_only_where_nothing_else_can_tell(
    compare: tuple[Evidence, ...], reads: tuple[int, int], tree: Tree, bucket: S3Place, tmp_path: Path
) -> None:
    with paired(tmp_path, tree, bucket, policy=Policy(compare=frozenset(compare))) as pair:
        pair.init()
        pair.reopen()
        read: list[str] = []
        pair.hooked[ONE].before = lambda method, key: read.append(key) if method == "read" else None
        summary = pair.run(resync=True)

        assert summary.outcome is RunOutcome.SUCCESS
        assert carried_out(summary) == {"record": 1}
        assert (len(read), pair.endpoints[TWO].requests.get("get", 0)) == reads


def test_a_large_file_that_another_tool_renamed_in_the_bucket_is_renamed_in_the_tree(
    places: Places, tree: Tree, tmp_path: Path
) -> None:
    """What went up in parts has no MD5 on record, and the new object has nothing else to be known by."""
    bucket = places("s3")
    with paired(tmp_path, tree, bucket) as pair:
        pair.align()
        recorded = pair.state.ancestors.of(1, [KEY])[KEY]
        assert {digest.algorithm for digest in recorded.path1.digests} == {Algorithm.SHA256}
        bucket.remove(KEY)
        bucket.plant("renamed.bin", CONTENT)
        pair.reopen()
        read: list[str] = []
        pair.hooked[TWO].before = lambda method, key: read.append(key) if method == "read" else None

        assert carried_out(pair.run()) == {"move-on-path1": 1}
        assert read == []
        assert pair.settle().unchanged == 1
        assert pair.held() == {"renamed.bin": CONTENT}


@pytest.mark.parametrize("kind", ["s3", "azure", "oci"])
def test_the_record_of_a_large_file_has_the_md5_that_its_store_keeps(
    kind: str, places: Places, tree: Tree, tmp_path: Path
) -> None:
    kept = {Algorithm.MD5} if kind == "azure" else set()
    with paired(tmp_path, tree, places(kind)) as pair:
        pair.align()

        recorded = pair.state.ancestors.of(1, [KEY])[KEY]
        assert {digest.algorithm for digest in recorded.path2.digests} == {Algorithm.SHA256} | kept
