"""Every request that changes an object names what it expects to find there."""

from __future__ import annotations

import re
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from bisyncer.endpoints.body import PART_SIZE
from bisyncer.engine.resolve import resolving
from bisyncer.engine.restore import Wanted, restore
from bisyncer.job import Retention
from bisyncer.model import Side
from tests.faults import proxy
from tests.pair import paired
from tests.places import BUCKETS, Places
from tests.world import carried_out

LARGE = b"0123456789abcdef" * (2 * PART_SIZE // 16) + b"."  # goes in parts
# As a header or in a body, and not that of the source of a copy.
CONDITIONS = re.compile(rb"(?<!source-)(?<!sourceObject)(?<!srcObj)if-?(none-?)?match", re.IGNORECASE)
# What nobody sees until the body is published: a part of one, its beginning, its end without a result.
UNSEEN = re.compile(
    r"(PUT|DELETE) .*[?&](partNumber|uploadPartNum|uploadId|comp=block&)|POST .*([?&]uploads|/u)(=|$|&)"
)


@pytest.mark.parametrize("trash", [True, False], ids=["trash", "no trash"])
@pytest.mark.parametrize("kind", BUCKETS)
def test_every_request_of_a_run_a_resolution_or_a_restore_that_changes_an_object_has_a_condition(
    kind: str, trash: bool, places: Places, tmp_path: Path
) -> None:
    tree, bucket = places("tree"), places(kind)
    for key in ("edited", "deleted", "renamed", "met", "deleted too", "gone", "survives", "stays"):
        tree.plant(key, key.encode())
    asked: list[str] = []
    bare: list[str] = []

    def note(request: BaseHTTPRequestHandler, body: bytes) -> None:
        line = f"{request.command} {request.path}"
        if request.command in {"GET", "HEAD"} or UNSEEN.match(line):
            return
        asked.append(request.command)
        if not CONDITIONS.search(str(request.headers).encode()) and not CONDITIONS.search(body):
            bare.append(line)

    with proxy(bucket.endpoint_url, instead=note) as url:
        bucket.through(url)
        with paired(tmp_path, tree, bucket, trash=Retention(path1=trash, path2=trash)) as pair:
            pair.init()
            asked.clear()
            bare.clear()  # `init` tries what the store does without one
            pair.run(resync=True)
            for key in ("edited", "met"):
                tree.plant(key, b"of the tree")
            bucket.plant("met", b"then of the bucket")
            bucket.plant("survives", b"edited in the bucket")
            for key in ("deleted", "deleted too", "survives"):
                tree.remove(key)
            (Path(tree.root) / "renamed").rename(Path(tree.root) / "renamed to")
            tree.plant("large", LARGE)
            bucket.remove("gone")
            bucket.plant("new", b"of the bucket")
            actions = carried_out(pair.run())
            tree.plant("large", LARGE + b"edited")
            pair.run()
            with resolving(pair.job, pair.endpoints, pair.state) as this:
                this.settle(pair.state.conflicts.told()[0].id, "path1")
            if trash:
                restore(pair.job, pair.endpoints, pair.state, Wanted("deleted", Side.PATH2))

    kinds = {"copy-to-path1", "copy-to-path2", "move-on-path2", "delete-from-path2", "conflict"}
    assert kinds <= actions.keys()
    assert len(asked) > 10
    assert bare == []
