"""A large object on its way to a tree, in ranges."""

from __future__ import annotations

import os
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from bisyncer.endpoints.ranges import SIZE
from bisyncer.model import RunOutcome
from tests.faults import Fault, proxy
from tests.pair import paired
from tests.places import BUCKETS, Places, Tree

OLD, NEW = os.urandom(SIZE + 1), os.urandom(SIZE + 1)
SECOND = f"bytes={SIZE}-"


@pytest.mark.parametrize("kind", BUCKETS)
def test_an_object_that_is_replaced_between_two_ranges_is_never_mixed_with_the_new_one(
    kind: str, places: Places, tmp_path: Path
) -> None:
    tree, bucket = places("tree"), places(kind)
    assert isinstance(tree, Tree)
    bucket.plant("k", OLD)
    replaced: list[str] = []
    seen: set[bytes] = set()

    def replace(request: BaseHTTPRequestHandler, _body: bytes) -> None:
        asked = request.headers.get("Range") or request.headers.get("x-ms-range")
        if request.command == "GET" and asked == SECOND:
            if not replaced:
                bucket.plant("k", NEW)
            replaced.append(asked)
            seen.update(path.read_bytes() for path in tree.folder.glob("k"))

    with proxy(bucket.endpoint_url, instead=replace) as url:
        bucket.through(url)
        with paired(tmp_path, tree, bucket) as pair:
            assert pair.align().outcome is RunOutcome.SUCCESS
            assert pair.held() == {"k": NEW}
    assert len(replaced) == 2
    assert seen == set()


@pytest.mark.parametrize("kind", BUCKETS)
def test_of_an_object_a_range_that_breaks_off_is_fetched_again_and_the_file_is_whole(
    kind: str, places: Places, tmp_path: Path
) -> None:
    tree, bucket = places("tree"), places(kind)
    bucket.plant("k", OLD)
    cut = Fault(r"^GET .*(/|%2F)k(\?|$)", "cut")
    with proxy(bucket.endpoint_url, cut) as url:
        bucket.through(url)
        with paired(tmp_path, tree, bucket) as pair:
            assert pair.align().outcome is RunOutcome.SUCCESS
            assert pair.held() == {"k": OLD}
    assert cut.seen == 1
