"""Deletions of which many go in one request, on a real server: how many requests, and what is never lost."""

from __future__ import annotations

import random
import threading
import uuid
from collections import Counter
from contextlib import closing
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Self

import pytest

from bisyncer.core.trash import LOW
from bisyncer.endpoints.azure import AzureEndpoint
from bisyncer.engine.trash import purge
from bisyncer.job import Limits, Retention
from bisyncer.model import Conditions, Side
from tests.endpoints.contract import put
from tests.faults import Answer, Fault, proxy
from tests.pair import paired
from tests.places import Place, Places
from tests.servers import AzureServer
from tests.world import carried_out

NO_TRASH = Retention(path1=False, path2=False)
ALL_MAY_GO = Limits(max_delete_percent=None, force=frozenset({"emptied", "all-changed"}))
ROUNDS = 2
WRITERS = 6
WRITES = 40  # of each writer, so that not every version is replaced before it is deleted


class Counted:
    """Requests by method, and those that carry many."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()

    def __call__(self, request: BaseHTTPRequestHandler, _: bytes) -> Answer | None:
        self.asked["batch" if "comp=batch" in request.path else request.command] += 1
        return None


def test_deletions_cost_one_request_for_each_256(places: Places, tmp_path: Path) -> None:
    tree, bucket, count = places("tree"), places("azure"), Counted()
    for number in range(600):
        tree.plant(f"d{number % 7}/f {number}", b"x")
    with proxy(bucket.endpoint_url, instead=count) as url:
        bucket.through(url)
        with paired(tmp_path, tree, bucket, transfers=2, trash=NO_TRASH, limits=ALL_MAY_GO) as pair:
            pair.align()
            for number in range(600):
                tree.remove(f"d{number % 7}/f {number}")
            count.asked.clear()
            summary = pair.run()

    assert carried_out(summary) == {"delete-from-path2": 600}
    assert not summary.problem_count
    assert count.asked["batch"] == 3
    assert count.asked["DELETE"] == 0
    assert bucket.names() == [key for key in bucket.names() if key.startswith(".bisyncer-seal")]


@pytest.mark.parametrize("what", ["lose", "swallow", "cut", 500])
@pytest.mark.parametrize("times", [1, 99])
def test_deletions_without_an_answer_are_carried_out_and_told_as_ever(
    what: str | int, times: int, places: Places, tmp_path: Path
) -> None:
    tree, bucket = places("tree"), places("azure")
    for number in range(20):
        tree.plant(f"f{number}", b"x")
    fault = Fault("^POST .*comp=batch", what, times=0)
    with proxy(bucket.endpoint_url, fault) as url:
        bucket.through(url)
        with paired(tmp_path, tree, bucket, transfers=2, trash=NO_TRASH, limits=ALL_MAY_GO) as pair:
            pair.align()
            for number in range(20):
                tree.remove(f"f{number}")
            fault.left = times
            summary = pair.run()

            assert fault.seen
            assert carried_out(summary) == {"delete-from-path2": 20}
            assert not summary.problem_count
            assert pair.held() == {}


def test_the_trash_is_emptied_by_one_request_for_each_256(azurite: AzureServer, places: Places) -> None:
    bucket, count = places("azure"), Counted()
    prefix = bucket.root.rpartition("/")[2]
    with (
        proxy(bucket.endpoint_url, instead=count) as url,
        closing(
            AzureEndpoint(
                azurite.container,
                prefix,
                remote=azurite.remote(endpoint_url=f"{url}/{azurite.account}"),
                owner="test",
                conditions=Conditions(batch=True),
            )
        ) as endpoint,
    ):
        names = [f"{LOW}20261125T080000Z-42/k{number:03}" for number in range(300)]
        for name in names:
            put(endpoint, name, b"123")
        bucket.plant("k", b"no trash")

        purged = purge(endpoint, None, 4)

    assert purged == (300, 900, 0)
    assert count.asked["batch"] == 2
    assert count.asked["DELETE"] == 0
    assert bucket.names() == ["k"]


@pytest.mark.parametrize("kind", ["azure", "oci"])
def test_no_write_is_lost_to_deletions_in_batches(kind: str, places: Places, tmp_path: Path) -> None:
    tree, bucket = places("tree"), places(kind)
    keys = [f"d/{number:03}" for number in range(240)]
    counts: Counter[str] = Counter()
    with paired(tmp_path, tree, bucket, transfers=2, trash=NO_TRASH, limits=ALL_MAY_GO) as pair:
        pair.align()
        for number in range(ROUNDS):
            for key in keys:
                tree.plant(key, f"<{number} {key}>".encode())
            pair.settle()
            for key in keys:
                tree.remove(key)
            with Writers(bucket, keys, number) as writers:
                pair.hooked[Side.PATH2].before = writers.begin
                counts.update(carried_out(pair.run()))
            pair.settle()

            lost = writers.written - writers.replaced - set(pair.held().values())
            assert not lost
            counts["writes"] += len(writers.written)
            counts["writes over a version that was to be deleted"] += len(writers.replaced - writers.written)
    print(f"\n{kind}: {dict(counts)}, and no write lost")
    assert counts["delete-from-path2"]
    assert counts["writes"]


class Writers:
    """People who put tokens in the place of what they saw, from the first deletion to the block's end."""

    def __init__(self, place: Place, keys: list[str], seed: int) -> None:
        self.written: set[bytes] = set()
        self.replaced: set[bytes] = set()
        self._place = place
        self._keys = keys
        self._lock = threading.Lock()
        self._begun = threading.Event()
        self._done = threading.Event()
        self._errors: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._work, args=(random.Random(f"{seed} {number}"),))
            for number in range(WRITERS)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._begun.set()
        for thread in self._threads:
            thread.join()
        assert not self._errors, self._errors

    def begin(self, method: str, _key: str) -> None:
        """Let them write once something is about to be deleted."""
        if method == "delete":
            self._begun.set()

    def _work(self, chance: random.Random) -> None:
        try:
            self._begun.wait()
            for _ in range(WRITES):
                if self._done.is_set():
                    return
                token = uuid.UUID(int=chance.getrandbits(128)).bytes
                replaced = self._place.swap(chance.choice(self._keys), token)
                with self._lock:
                    self.written.add(token)
                    self.replaced |= {replaced} if replaced else set()
        except BaseException as error:  # noqa: BLE001 -- raised at the end
            self._errors.append(error)
