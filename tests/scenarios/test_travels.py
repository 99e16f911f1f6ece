"""What travels beside the content, and what need not travel at all: renames, and copies inside a store."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest

from bisyncer.model import TRASH, RunOutcome
from tests.pair import paired
from tests.places import BUCKETS, STORES, Places, Tree
from tests.world import ONE, TWO, carried_out

MTIME_NS = 1_600_000_000_123_456_789

SEALED = 2  # a run that changes something writes a seal before and after


@pytest.mark.parametrize("kind", BUCKETS)
def test_the_mode_and_the_time_of_a_file_come_back_out_of_a_bucket(
    kind: str, places: Places, tmp_path: Path
) -> None:
    one, bucket, two = places("tree"), places(kind), places("tree")
    assert isinstance(one, Tree)
    assert isinstance(two, Tree)
    one.plant("script.sh", b"#!/bin/sh\n")
    (one.folder / "script.sh").chmod(0o750)
    os.utime(one.folder / "script.sh", ns=(MTIME_NS, MTIME_NS))
    for name, pair in (("there", (one, bucket)), ("back", (bucket, two))):
        (tmp_path / name).mkdir()
        with paired(tmp_path / name, *pair) as made:
            assert made.align().outcome is RunOutcome.SUCCESS

    back = (two.folder / "script.sh").stat()
    assert back.st_mode & 0o777 == 0o750
    assert back.st_mtime_ns == MTIME_NS


# Each store is the one that is renamed in, the one that follows, and both. Between two containers of one
# account nothing comes through here, and Azure tells no digest to keep.
RENAMED = [
    *itertools.pairwise((*STORES, STORES[0])),
    *((kind, kind) for kind in STORES if kind != "azure"),
]


@pytest.mark.parametrize(("kind1", "kind2"), RENAMED)
def test_what_one_side_renames_is_moved_on_the_other_and_not_sent(
    kind1: str, kind2: str, places: Places, tmp_path: Path
) -> None:
    one, two = places(kind1), places(kind2)
    for number in range(12):
        one.plant(f"old/{number}", b"content of %d" % number)
    with paired(tmp_path, one, two) as pair:
        pair.align()
        for number in range(12):
            if isinstance(one, Tree):
                (one.folder / "new").mkdir(exist_ok=True)
                (one.folder / f"old/{number}").rename(one.folder / f"new/{number}")
            else:
                one.plant(f"new/{number}", b"content of %d" % number)
                one.remove(f"old/{number}")
        pair.reopen()
        summary = pair.run()

        assert carried_out(summary) == {"move-on-path2": 12}
        assert summary.size == {ONE: 0, TWO: 0}
        if kind2 != "s3":
            assert summary.requests[TWO].get("put", 0) == (0 if kind2 == "tree" else SEALED)
        assert pair.held() == {f"new/{number}": b"content of %d" % number for number in range(12)}
        assert carried_out(pair.run()) == {}


# SeaweedFS copies on a condition, but not in one step with other writes, so there it isn't asked to.
@pytest.mark.parametrize("kind", ["azure", "oci"])
def test_between_two_buckets_of_one_account_no_content_comes_through_here(
    kind: str, places: Places, tmp_path: Path
) -> None:
    one, two = places(kind), places(kind)
    for number in range(5):
        one.plant(f"k{number}", b"content of %d" % number)
    with paired(tmp_path, one, two) as pair:
        pair.init()
        pair.reopen()
        summary = pair.run(resync=True)

        assert carried_out(summary) == {"copy-to-path2": 5}
        assert "get" not in summary.requests[ONE]
        assert summary.requests[TWO]["put"] == SEALED
        assert sum(requests.get("copy", 0) for requests in summary.requests.values()) == 5
        assert pair.held() == {f"k{number}": b"content of %d" % number for number in range(5)}


@pytest.mark.parametrize("kind", ["azure", "s3"])
def test_what_goes_to_a_backup_dir_of_the_account_is_copied_inside_the_store_where_that_can_be(
    kind: str, places: Places, tmp_path: Path
) -> None:
    one, two, old = places("tree"), places(kind), places(kind)
    for number in range(12):
        one.plant(f"k{number}", b"content of %d" % number)
    with paired(tmp_path, one, two, backup_dir2=old.root) as pair:
        pair.align()
        pair.reopen()
        one.remove("k0")
        one.plant("k1", b"edited")

        assert carried_out(pair.run()) == {"copy-to-path2": 1, "delete-from-path2": 1}

        assert sorted(name.rpartition("/")[2] for name in old.names()) == ["k0", "k1"]
        assert {old.read(name) for name in old.names()} == {b"content of 0", b"content of 1"}
        assert not any(name.startswith(TRASH) for name in two.names())
        fetched = pair.endpoints[TWO].requests.get("get", 0)
        assert fetched - 1 == (2 if kind == "s3" else 0)  # but for the seal; SeaweedFS isn't asked to copy
        assert not carried_out(pair.run())
