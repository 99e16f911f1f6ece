"""A store that finds requests too many at a time, or whose answers are lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from bisyncer.endpoints.body import PART_SIZE
from bisyncer.endpoints.pace import Pace
from bisyncer.errors import Transient
from bisyncer.job import Retention
from bisyncer.model import RunOutcome, Summary
from tests.endpoints.contract import BytesSource
from tests.faults import Fault, proxy
from tests.pair import paired
from tests.places import BUCKETS, Places
from tests.world import TWO, carried_out

CONTENT = b"0123456789abcdef" * (9 * PART_SIZE // 16) + b"."  # ten parts
FAILED = {"transient", "throttled"}

# The requests of each store that have a part of a body, and that publish it.
PARTS = {"s3": "partNumber=", "azure": "comp=block&", "oci": "uploadPartNum="}
PUBLISHES = {"s3": "^POST .*uploadId=", "azure": "^PUT .*comp=blocklist", "oci": "^POST .*uploadId="}


@pytest.mark.parametrize("kind", PARTS)
def test_parts_that_are_too_many_are_sent_again_and_counted_and_the_object_is_whole(
    kind: str, places: Places, tmp_path: Path
) -> None:
    tree, bucket = places("tree"), places(kind)
    tree.plant("k", CONTENT)
    too_many = Fault(f"^PUT .*{PARTS[kind]}", 503, times=0)
    with proxy(bucket.endpoint_url, too_many) as url:
        bucket.through(url)
        with paired(tmp_path, tree, bucket) as pair:
            pair.init()  # which sends parts too
            too_many.left = 3
            summary = pair.run(resync=True)

            assert summary.outcome is RunOutcome.SUCCESS
            assert pair.held() == {"k": CONTENT}
    assert too_many.seen == 3
    assert failed(summary) == {"transient": 3, "throttled": 3}


@pytest.mark.parametrize("kind", PUBLISHES)
def test_a_run_that_is_to_stop_does_not_wait_to_publish_a_body_again(
    kind: str, places: Places, tmp_path: Path
) -> None:
    bucket = places(kind)
    too_many = Fault(PUBLISHES[kind], 503, times=99)
    with proxy(bucket.endpoint_url, too_many) as url:
        bucket.through(url)
        with paired(tmp_path, places("tree"), bucket) as pair:
            endpoint = pair.endpoints[TWO]
            endpoint.heed(Pace(stopped=lambda: True))
            with pytest.raises(Transient):
                endpoint.write("k", BytesSource(CONTENT), expect=None)
    assert too_many.seen == 1
    assert bucket.names() == []


@pytest.mark.parametrize("kind", BUCKETS)
def test_a_deletion_whose_answer_is_lost_is_done_once_and_counted(
    kind: str, places: Places, tmp_path: Path
) -> None:
    tree, bucket = places("tree"), places(kind)
    for key in ("k", "stays"):
        tree.plant(key, b"1")
    lost = Fault(r"^DELETE .*(/|%2F)k(\?|$)", "lose")
    with proxy(bucket.endpoint_url, lost) as url:
        bucket.through(url)
        with paired(tmp_path, tree, bucket, trash=Retention(path1=False, path2=False)) as pair:
            pair.align()
            tree.remove("k")
            pair.reopen()
            summary = pair.run()

            assert carried_out(summary) == {"delete-from-path2": 1}
            assert pair.held() == {"stays": b"1"}
    assert lost.seen == 1
    assert failed(summary) == {"transient": 1}


def failed(summary: Summary) -> dict[str, int]:
    """How many requests to path2 failed for a time, and how many of them were too many."""
    return {kind: number for kind, number in summary.requests[TWO].items() if kind in FAILED}
