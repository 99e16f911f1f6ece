"""A store that finds the parts of a large body too many at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from bisyncer.endpoints.body import PART_SIZE
from bisyncer.model import RunOutcome
from tests.faults import Fault, proxy
from tests.pair import paired
from tests.places import Places
from tests.world import TWO

CONTENT = b"0123456789abcdef" * (9 * PART_SIZE // 16) + b"."  # ten parts
FAILED = {"transient", "throttled"}

# The requests of each store that have a part of a body.
PARTS = {"s3": "partNumber=", "azure": "comp=block&", "oci": "uploadPartNum="}


@pytest.mark.parametrize("kind", PARTS)
def test_parts_that_are_too_many_are_sent_again_and_counted_and_the_object_is_whole(
    kind: str, places: Places, tmp_path: Path
) -> None:
    tree, bucket = places("tree"), places(kind)
    tree.plant("k", CONTENT)
    too_many = Fault(f"^PUT .*{PARTS[kind]}", 503, times=5)
    with proxy(bucket.endpoint_url, too_many) as url:
        bucket.through(url)
        with paired(tmp_path, tree, bucket) as pair:
            summary = pair.align()

            assert summary.outcome is RunOutcome.SUCCESS
            assert pair.held() == {"k": CONTENT}
    assert too_many.seen == 5
    failed = {kind: number for kind, number in summary.requests[TWO].items() if kind in FAILED}
    assert failed == {"transient": 5, "throttled": 5}
