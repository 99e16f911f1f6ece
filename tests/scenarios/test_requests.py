"""What a run without changes asks a bucket for: its pages, the seal, and nothing about any key."""

from __future__ import annotations

from collections import Counter
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.faults import Answer, proxy
from tests.pair import paired
from tests.places import Places
from tests.world import carried_out

# Of 1,100 keys in one piece, and in three: a page of S3 has 1,000 at the most, one of Azure 5,000. SeaweedFS
# lists directory by directory, so a shard that ends within one is listed in more than one piece.
PAGES = {"moto": (2, 3), "s3": (2, 5), "azure": (1, 3)}
LOOKS = {"moto": 2, "s3": 4, "azure": 2}  # in SeaweedFS also how it sorts names


@pytest.mark.parametrize("kind", PAGES)
def test_a_run_without_changes_lists_each_page_once_and_looks_at_no_key(
    kind: str, places: Places, tmp_path: Path
) -> None:
    tree, bucket = places("tree"), places(kind)
    for number in range(1100):
        tree.plant(f"d{number % 7}/f{number}", b"x")
    asked: Counter[str] = Counter()

    def count(request: BaseHTTPRequestHandler, _: bytes) -> Answer | None:
        asked[_kind(request.command, request.path)] += 1
        return None

    with proxy(bucket.endpoint_url, instead=count) as url:
        bucket.through(url)
        with paired(tmp_path, tree, bucket, transfers=16) as pair:
            pair.align()
            for shards, pages in zip((1, 3), PAGES[kind], strict=True):
                pair.reopen()
                asked.clear()
                summary = pair.run(shards=shards)

                assert carried_out(summary) == {}
                assert summary.unchanged == 1100
                assert asked["HEAD"] == 0
                assert asked["page"] == pages
                assert asked["look"] <= LOOKS[kind], "whether the bucket is there, and what server it is"
                assert asked["seal"] <= 2
                assert asked.total() == asked["page"] + asked["look"] + asked["seal"]


def _kind(method: str, path: str) -> str:
    query = dict(parse_qsl(urlsplit(path).query))
    if method != "GET":
        return method
    if ".bisyncer-seal" in path:
        return "seal"
    about_the_account = query.get("restype") == "account"
    one_key = "1" in {query.get("max-keys"), query.get("maxresults")}
    return "look" if about_the_account or one_key else "page"
