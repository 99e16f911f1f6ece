"""SeaweedFS behind a proxy that keeps its name to itself: what it does tells that it keeps a tree."""

from __future__ import annotations

from pathlib import Path

import pytest

from bisyncer.engine.trash import purge
from tests.faults import proxy
from tests.pair import paired
from tests.places import Places
from tests.world import TWO

KEYS = (
    "a-b/c", "a.b", "a/b", "a/b.c/d", "a/e", "b-", "b.c/d", "b/c", "b/d-e", "b/d.e/f", "b/d/e",
    *(f"d/{number:02}" for number in range(12)),
    "d0", "e.f", "e/f-g", "e/f/g",
)  # fmt: skip


@pytest.mark.parametrize("shards", [1, 4, len(KEYS)])
def test_a_pair_is_synced_and_its_trash_is_emptied_as_beside_the_bare_server(
    shards: int, places: Places, tmp_path: Path
) -> None:
    tree, bucket = places("tree"), places("s3")
    for key in KEYS:
        tree.plant(key, key.encode())
    with proxy(bucket.endpoint_url) as url:
        bucket.through(url)
        with paired(tmp_path, tree, bucket, shards=shards) as pair:
            pair.align()
            recorded = pair.state.pair("p")
            assert recorded is not None
            assert recorded.conditions[1].tree
            pair.reopen()
            for number, key in enumerate(KEYS):
                (bucket, tree)[number % 2].plant(key, f"{key}, edited".encode())
            bucket.plant("d/new", b"new")
            summary = pair.run()

            assert summary.problem_count == 0
            assert pair.held() == {**{key: f"{key}, edited".encode() for key in KEYS}, "d/new": b"new"}
            assert purge(pair.endpoints[TWO], None, 2)[0] == len(KEYS) // 2, "what a tree replaced there"
