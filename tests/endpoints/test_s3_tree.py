"""Listings of a store that keeps keys as paths of directories, as SeaweedFS does."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from threading import Barrier

import pytest

from bisyncer.endpoints.s3 import S3Endpoint
from bisyncer.endpoints.tree_order import place
from bisyncer.errors import ListingIncomplete
from bisyncer.job import Remote
from bisyncer.model import ALL_CONDITIONS
from tests.endpoints.contract import TREE_KEYS, keys
from tests.endpoints.test_listing import amazon, rows_of
from tests.endpoints.test_s3 import S3Behind, opened
from tests.faults import Answer, canned, proxy
from tests.servers import S3Server

PAGE = 4
# 'd/h' is an object that has others below it, and 'd/g/' the marker of a directory.
KEYS = (
    *(f"a/{n:02}" for n in range(30)),
    "a-/x", "a.txt", "b", "d/e-1/x", "d/e-1/y", "d/e/x", "d/e.x", "d/g/", "d/g/y", "d/g-", "d/h", "d/h/x",
    "d/h/y", "d/h0", "e",
)  # fmt: skip


class Shelf:
    """Such a store, with the slips of SeaweedFS 4.48; it keeps what it was asked for."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = sorted(names, key=place)
        self.asked: list[dict[str, str]] = []

    def answer(self, _method: str, _path: str, query: dict[str, str]) -> Answer:
        self.asked.append(query)
        prefix = query.get("prefix", "")
        after = query.get("continuation-token") or query.get("start-after", "")
        found = [name for name in self.names if name.startswith(prefix) and self._comes(name, after)]
        most = min(PAGE, int(query.get("max-keys", PAGE)))
        page, more = found[:most], len(found) > most
        body = amazon(rows_of(tuple(page)), token=page[-1] if more else None)
        return Answer(200, body, (("Server", "SeaweedFS 8000GB 4.48"),))

    def _comes(self, name: str, after: str) -> bool:
        return place(name) > place(after) and (after.endswith("/") or not name.startswith(f"{after}/"))


@contextlib.contextmanager
def endpoint_of(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, *, probed: bool = True
) -> Iterator[S3Endpoint]:
    monkeypatch.setenv("ID", "x")
    with canned(shelf.answer) as url:
        remote = Remote(name="c", endpoint_url=url, access_key_id_env="ID", secret_access_key_env="ID")
        with contextlib.closing(S3Endpoint("b", "p", remote=remote, owner="test")) as endpoint:
            if probed:
                endpoint.probe()
            shelf.asked.clear()
            yield endpoint


def test_each_page_is_one_request_and_no_key_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = Shelf(f"p/{key}" for key in KEYS)
    with endpoint_of(shelf, monkeypatch) as endpoint:
        assert keys(endpoint) == sorted(KEYS)
        assert len(shelf.asked) == -(-len(KEYS) // PAGE)
        assert endpoint.requests.keys() == {"list"}


def test_a_range_asks_for_what_lies_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = Shelf(f"p/{key}" for key in KEYS)
    with endpoint_of(shelf, monkeypatch) as endpoint:
        assert keys(endpoint, "e", "f") == ["e"]  # and two requests to learn how names are sorted
        shelf.asked.clear()
        assert keys(endpoint, "a/08", "a/12") == ["a/08", "a/09", "a/10", "a/11"]
        assert [query["prefix"] for query in shelf.asked] == ["p/a/"] * 2
        shelf.asked.clear()
        assert keys(endpoint, "d/", "d/g") == ["d/e-1/x", "d/e-1/y", "d/e.x", "d/e/x"]
        assert keys(endpoint, "b", "d/e.x") == ["b", "d/e-1/x", "d/e-1/y"]
        assert len(shelf.asked) <= 6


def test_ranges_that_begin_together_learn_once_what_store_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = Shelf(f"p/{key}" for key in KEYS)
    with endpoint_of(shelf, monkeypatch, probed=False) as endpoint:
        bounds = [f"a/{n:02}" for n in range(0, 20, 2)]
        begin = Barrier(len(bounds))

        def listed(low: str) -> list[str]:
            begin.wait()
            return keys(endpoint, low, f"a/{int(low[2:]) + 2:02}")

        with ThreadPoolExecutor(len(bounds)) as threads:
            found = [key for some in threads.map(listed, bounds) for key in some]
    assert found == [f"a/{n:02}" for n in range(20)]
    assert [query.get("max-keys") for query in shelf.asked[:3]] == [None, "1", "1"]
    assert all(query["prefix"].startswith("p/a/") for query in shelf.asked[3:])


def test_the_order_of_names_is_told_by_a_later_name_where_the_first_has_no_letter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shelf = Shelf(("p/1", "p/B", "p/C", "p/a/b", "p/a.b"))
    shelf.names.sort(key=lambda name: place(name).lower())
    monkeypatch.setattr(shelf, "_comes", lambda name, after: place(name).lower() > place(after).lower())
    with endpoint_of(shelf, monkeypatch) as endpoint:
        assert keys(endpoint, "B", "a/") == ["B", "C", "a.b"]


def test_a_store_of_its_kind_with_another_order_is_sorted(monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = Shelf(("p/B", "p/C", "p/a/b", "p/a.b"))
    shelf.names.sort(key=lambda name: place(name).lower())
    monkeypatch.setattr(shelf, "_comes", lambda name, after: place(name).lower() > place(after).lower())
    with endpoint_of(shelf, monkeypatch) as endpoint:
        assert keys(endpoint) == ["B", "C", "a.b", "a/b"]
        assert keys(endpoint, "B", "a/") == ["B", "C", "a.b"]


def test_a_listing_that_is_not_whole_never_just_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = Shelf(f"p/{key}" for key in KEYS)
    whole = shelf.answer

    def without_token(method: str, path: str, query: dict[str, str]) -> Answer:
        answer = whole(method, path, query)
        return answer._replace(body=answer.body.replace(b"NextContinuationToken", b"Nothing"))

    monkeypatch.setattr(shelf, "answer", without_token)
    with endpoint_of(shelf, monkeypatch) as endpoint, pytest.raises(ListingIncomplete, match="no token"):
        list(endpoint.scan())


@pytest.mark.parametrize("hidden", [False, True], ids=["bare", "behind-a-proxy"])
def test_every_range_of_the_real_server_is_exact(seaweed: S3Server, prefix: str, *, hidden: bool) -> None:
    names = sorted({*(key for key in TREE_KEYS if "\\" not in key), "d/g/", "d/g/y", "d/g-", "d/h/x", "d/h"})
    bounds = [
        "",
        *names[::4],
        "a/",
        "a!",
        "d/g/",
        "d/h",
        "d/h/",
        "a/b\\",
        "\x01",
        "a//b",
        "a/../b",
        "e\u0301",
    ]
    with contextlib.ExitStack() as stack:
        behind = S3Behind(stack.enter_context(seaweed.client()), prefix)
        url, conditions = seaweed.endpoint_url, ALL_CONDITIONS
        if hidden:  # it answers without the name of the server
            url = stack.enter_context(proxy(seaweed.endpoint_url))
            with opened(seaweed, prefix, endpoint_url=url) as probed:
                conditions = probed.probe(scratch=True).conditions
        endpoint = stack.enter_context(opened(seaweed, prefix, conditions, endpoint_url=url))
        for name in sorted(names, reverse=True):
            behind.plant(name, b"" if name.endswith("/") else b"1")
        assert keys(endpoint) == names
        for low, high in combinations(sorted(set(bounds)), 2):
            assert keys(endpoint, low, high) == [key for key in names if low <= key < high], (low, high)


@pytest.fixture
def prefix() -> str:
    """A prefix that no other test uses."""
    return f"tree-order-{uuid.uuid4().hex}"
