"""The answer to a mutation gets lost on its way, in the middle of a run: the run ends as if it had come."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from bisyncer.endpoints.body import PART_SIZE
from bisyncer.job import Policy, Resolve, Retention
from bisyncer.model import RunOutcome
from tests.faults import Fault, proxy
from tests.pair import Pair, paired
from tests.places import BUCKETS, Place, Places
from tests.world import carried_out

LARGE = 2 * PART_SIZE + 1  # bytes; sent in three parts

# How each store is told to begin a body in parts, to take one of them, and to publish it.
PARTS = {
    "s3": (r"^POST .*large\?uploads", r"^PUT .*large\?.*partNumber=2", r"^POST .*large\?.*uploadId="),
    "azure": (r"^PUT .*large\?.*comp=block&", r"^PUT .*large\?.*comp=blocklist"),
    "oci": (r"^POST .*/u$", r"^PUT .*large\?.*uploadPartNum=2", r"^POST .*large\?.*uploadId="),
}


def lost(method: str, key: str) -> str:
    """The pattern of a request about a key."""
    return rf"^{method} [^?]*{key}(\?|$)"


class Cut(NamedTuple):
    """Two places, aligned; the second, a bucket, is behind a proxy. Its faults wait until `arm` is called."""

    pair: Pair
    one: Place
    two: Place
    faults: tuple[Fault, ...]

    def arm(self) -> None:
        for fault in self.faults:
            fault.left = 1

    def all_struck(self) -> bool:
        return all(fault.seen == 1 for fault in self.faults)


@contextmanager
def cut(folder: Path, one: Place, two: Place, *patterns: str, what: str = "lose") -> Iterator[Cut]:
    """Align two places that hold the same keys; what has the same server as `two` is behind the proxy too."""
    for key in ("replaced", "deleted", "both", *"uvwxyz"):
        for place in (one, two):
            place.plant(key, key.encode())
    faults = tuple(Fault(pattern, what, times=0) for pattern in patterns)
    with proxy(two.endpoint_url, *faults) as url:
        for place in (one, two):
            if place.endpoint_url == two.endpoint_url:
                place.through(url)
        with paired(folder, one, two, trash=Retention(path1=False, path2=False)) as pair:
            pair.align()
            yield Cut(pair, one, two, faults)


@pytest.mark.parametrize("kind", BUCKETS)
def test_a_run_that_never_hears_of_its_deeds_in_a_bucket_has_done_each_of_them_once(
    kind: str, places: Places, tmp_path: Path
) -> None:
    patterns = (lost("PUT", "created"), lost("PUT", "replaced"), lost("DELETE", "deleted"), *PARTS[kind])
    with cut(tmp_path, places("tree"), places(kind), *patterns) as this:
        this.one.plant("created", b"new")
        this.one.plant("replaced", b"by something else")
        this.one.remove("deleted")
        this.one.plant("large", b"x" * LARGE)
        this.two.plant("theirs", b"made meanwhile")
        this.arm()
        summary = this.pair.run()

        assert this.all_struck(), [(fault.pattern.pattern, fault.seen) for fault in this.faults]
        assert summary.outcome is RunOutcome.SUCCESS
        assert summary.conflicts == ()
        assert carried_out(summary) == {"copy-to-path1": 1, "copy-to-path2": 3, "delete-from-path2": 1}
        assert this.pair.held() == {
            **{key: key.encode() for key in ("both", *"uvwxyz")},
            "created": b"new",
            "replaced": b"by something else",
            "large": b"x" * LARGE,
            "theirs": b"made meanwhile",
        }
        assert carried_out(this.pair.run()) == {}


@pytest.mark.parametrize("kind", BUCKETS)
def test_a_conflict_of_which_no_answer_comes_is_one_conflict_with_two_versions(
    kind: str, places: Places, tmp_path: Path
) -> None:
    # The version that loses is copied inside its store.
    copied = lost("POST", "copyObject") if kind == "oci" else lost("PUT", "both.conflict1")
    patterns = (lost("PUT", "both"), copied)
    with cut(tmp_path, places("tree"), places(kind), *patterns) as this:
        this.two.plant("both", b"the version of the bucket")
        this.one.plant("both", b"the tree's version")
        this.arm()
        summary = this.pair.run(policy=Policy(conflict_resolve=Resolve.PATH1))

        assert summary.outcome is RunOutcome.SUCCESS
        assert [key for _, key in summary.conflicts] == ["both"]
        held = this.pair.held()
        assert held["both"] == b"the tree's version"
        assert held["both.conflict1"] == b"the version of the bucket"
        assert len(held) == 10
        assert carried_out(this.pair.run()) == {}
        assert this.all_struck()


@pytest.mark.parametrize("kind", BUCKETS)
def test_deeds_of_which_a_bucket_never_heard_are_done_before_the_run_ends(
    kind: str, places: Places, tmp_path: Path
) -> None:
    patterns = (lost("PUT", "created"), lost("PUT", "replaced"), lost("DELETE", "deleted"), *PARTS[kind])
    with cut(tmp_path, places("tree"), places(kind), *patterns, what="swallow") as this:
        this.one.plant("created", b"new")
        this.one.plant("replaced", b"by something else")
        this.one.remove("deleted")
        this.one.plant("large", b"x" * LARGE)
        this.arm()
        summary = this.pair.run()

        assert this.all_struck(), [(fault.pattern.pattern, fault.seen) for fault in this.faults]
        assert (summary.outcome, summary.conflicts) == (RunOutcome.SUCCESS, ())
        assert {"created", "replaced", "large"} < this.pair.held().keys()
        assert "deleted" not in this.pair.held()
        assert carried_out(this.pair.run()) == {}


@pytest.mark.parametrize("kind", BUCKETS)
def test_a_run_between_two_roots_of_one_server_that_never_hears_of_its_deeds_has_done_them_once(
    kind: str, places: Places, tmp_path: Path
) -> None:
    """Content may go from root to root inside the server: for S3 and Azure too that is a PUT of the key."""
    copied = r"|^POST .*/actions/copyObject" if kind == "oci" else ""
    patterns = (lost("PUT", "created") + copied, lost("PUT", "replaced") + copied, lost("DELETE", "deleted"))
    with cut(tmp_path, places(kind), places(kind), *patterns) as this:
        this.one.plant("created", b"new")
        this.one.plant("replaced", b"by something else")
        this.one.remove("deleted")
        this.arm()
        summary = this.pair.run()

        assert this.all_struck(), [(fault.pattern.pattern, fault.seen) for fault in this.faults]
        assert (summary.outcome, summary.conflicts) == (RunOutcome.SUCCESS, ())
        assert carried_out(summary) == {"copy-to-path2": 2, "delete-from-path2": 1}
        held = this.pair.held()
        assert (held["created"], held["replaced"]) == (b"new", b"by something else")
        assert "deleted" not in held
        assert len(held) == 9
        assert carried_out(this.pair.run()) == {}
