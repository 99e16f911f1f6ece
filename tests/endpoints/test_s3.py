from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import threading
import time
import tracemalloc
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import BaseHTTPRequestHandler
from itertools import count, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import obstore.exceptions
import pytest
from obstore.auth.boto3 import Boto3CredentialProvider
from urllib3.exceptions import SSLError

from bisyncer.endpoints import s3_direct
from bisyncer.endpoints.base import Endpoint
from bisyncer.endpoints.body import PART_SIZE, part_size
from bisyncer.endpoints.memory import MemoryEndpoint
from bisyncer.endpoints.pace import Pace
from bisyncer.endpoints.resilient import ResilientEndpoint
from bisyncer.endpoints.s3 import S3Endpoint
from bisyncer.endpoints.s3_bucket import Bucket
from bisyncer.endpoints.s3_parts import MOST_PARTS
from bisyncer.errors import (
    AccessDenied,
    Changed,
    EndpointError,
    ListingIncomplete,
    Rejected,
    RootMissing,
    Transient,
    UsageError,
)
from bisyncer.job import Remote
from bisyncer.model import ALL_CONDITIONS, Algorithm, Conditions, Digest, Entry, Unreadable
from tests.endpoints.contract import (
    BUCKET_KEYS,
    MTIME_NS,
    TREE_KEYS,
    Behind,
    BucketContract,
    BytesSource,
    entries,
    honoured,
    keys,
    now,
    put,
    race,
    whole,
)
from tests.endpoints.test_listing import amazon, rows_of
from tests.faults import Answer, Fault, canned, proxy
from tests.servers import BUCKET, S3Server

if TYPE_CHECKING:
    from obstore.store import S3Credential

LARGE = PART_SIZE + 1  # bytes; sent in parts
BY_OBSTORE = "plain"
BY_BOTO3 = "tab\t"  # obstore can't name it


class S3Behind:
    """The bucket as another client reaches it, below one prefix."""

    def __init__(self, client: Any, prefix: str) -> None:
        self.client = client
        self.prefix = f"{prefix}/"

    def plant(self, key: str, data: bytes) -> None:
        self.client.put_object(Bucket=BUCKET, Key=self.prefix + key, Body=data)

    def remove(self, key: str) -> None:
        self.client.delete_object(Bucket=BUCKET, Key=self.prefix + key)

    def content(self, key: str) -> bytes | None:
        try:
            got = self.client.get_object(Bucket=BUCKET, Key=self.prefix + key)
        except self.client.exceptions.NoSuchKey:
            return None
        with got["Body"] as body:
            data: bytes = body.read()
        return data

    def names(self) -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=self.prefix)
        found = [row["Key"].removeprefix(self.prefix) for page in pages for row in page.get("Contents", ())]
        return sorted(found)

    def uploads(self) -> list[str]:
        """Names of which there are parts that nobody has made an object of."""
        answer = self.client.list_multipart_uploads(Bucket=BUCKET, Prefix=self.prefix)
        return [upload["Key"].removeprefix(self.prefix) for upload in answer.get("Uploads", ())]

    def parts(self) -> list[int]:
        """The numbers of all parts of such uploads."""
        answer = self.client.list_multipart_uploads(Bucket=BUCKET, Prefix=self.prefix)
        return [
            part["PartNumber"]
            for upload in answer.get("Uploads", ())
            for part in self.client.list_parts(
                Bucket=BUCKET, Key=upload["Key"], UploadId=upload["UploadId"]
            ).get("Parts", ())
        ]


@pytest.fixture
def prefix() -> str:
    """A prefix that no other test uses."""
    return uuid.uuid4().hex


@contextlib.contextmanager
def opened(
    server: S3Server, prefix: str, conditions: Conditions = ALL_CONDITIONS, **changes: Any
) -> Iterator[S3Endpoint]:
    remote = server.remote(**changes)
    with contextlib.closing(
        S3Endpoint(BUCKET, prefix, remote=remote, owner="test", conditions=conditions)
    ) as endpoint:
        yield endpoint


class S3Contract(BucketContract):
    """The rules, and those that only a bucket has; `server` is the store."""

    files_below_files = True  # whether 'a' and 'a/b' can both be there
    page = 1000  # keys, of a listing

    @pytest.fixture
    def server(self) -> S3Server:
        raise NotImplementedError

    def conditions(self, server: S3Server) -> Conditions:
        return honoured(server.endpoint_url, partial(opened, server, "probed"))

    @pytest.fixture
    def endpoint(self, server: S3Server, prefix: str) -> Iterator[Endpoint]:
        with opened(server, prefix, self.conditions(server)) as endpoint:
            yield endpoint

    @pytest.fixture
    def behind(self, server: S3Server, prefix: str) -> Iterator[S3Behind]:
        with server.client() as client:
            yield S3Behind(client, prefix)

    def test_a_scan_costs_one_request_a_page_and_no_look(self, server: S3Server, prefix: str) -> None:
        with opened(server, prefix) as endpoint:
            for number in range(5):
                put(endpoint, f"d/{number}", b"1")
            before = endpoint.requests
            assert len(entries(endpoint)) == 5
            after = endpoint.requests

        assert after["list"] - before.get("list", 0) == 1
        assert {**after, "list": 0} == {**before, "list": 0}

    def test_pages_and_ranges_of_many_keys_are_exact(
        self, endpoint: Endpoint, behind: Behind, prefix: str
    ) -> None:
        page = self.page
        last = f"{page - 1:04}"  # of the first page, and a folder across its end
        names = sorted(
            [f"{n:04}" for n in range(page + 100) if f"{n:04}" != last or self.files_below_files]
            + [f"{last}/{n:03}" for n in range(60)]
            + [f"{last}-", f"{last} x"]
        )
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda key: behind.plant(key, b"1"), names))

        assert keys(endpoint) == names
        for at in (1, page // 2, *range(page - 2, page + 4), page + 60, page + 99, len(names) - 1):
            assert keys(endpoint, names[at]) == names[at:]
            assert keys(endpoint, "", names[at]) == names[:at]
        cuts = ["", *names[page // 10 :: page // 4], f"{last}/", "05", None]
        cuts[1:-1] = sorted(cut for cut in cuts[1:-1] if cut)
        assert [k for low, high in pairwise(cuts) for k in keys(endpoint, low or "", high)] == names

    def test_the_digest_of_a_plain_object_is_its_md5(self, endpoint: Endpoint, behind: Behind) -> None:
        behind.plant("k", b"123")
        md5 = hashlib.md5(b"123").hexdigest()

        (listed,) = entries(endpoint)

        assert listed.digests == (Digest(Algorithm.ETAG_MD5, md5),)
        assert now(endpoint, "k").digests == (Digest(Algorithm.MD5, md5),)
        assert put(endpoint, "l", b"123").digests == (Digest(Algorithm.MD5, md5),)

    @pytest.mark.parametrize("key", [BY_OBSTORE, BY_BOTO3])
    def test_any_part_of_an_object_can_be_read_in_either_way(self, endpoint: Endpoint, key: str) -> None:
        entry = put(endpoint, key, b"0123456789")

        for start, stop in ((0, 4), (4, 9), (9, 10)):
            assert whole(endpoint, key, entry, start, stop) == b"0123456789"[start:stop]

    def test_the_time_of_the_content_is_what_rclone_reads(self, endpoint: Endpoint, behind: S3Behind) -> None:
        for key in (BY_OBSTORE, BY_BOTO3):
            put(endpoint, key, b"1")
            head = behind.client.head_object(Bucket=BUCKET, Key=behind.prefix + key)
            # Some servers write names with a capital; rclone reads either.
            assert {name.lower(): value for name, value in head["Metadata"].items()} == {
                "mtime": "1600000000.123456789"
            }

    def test_the_media_type_is_told_by_the_name(self, endpoint: Endpoint, behind: S3Behind) -> None:
        for key, kind in {
            "a.html": "text/html",
            "tab\t.css": "text/css",
            "x": "application/octet-stream",
        }.items():
            put(endpoint, key, b"1")
            head = behind.client.head_object(Bucket=BUCKET, Key=behind.prefix + key)
            assert head["ContentType"] == kind

    def test_our_own_scratch_is_never_listed(self, endpoint: Endpoint, behind: Behind) -> None:
        ours = ".bisyncer-probe-0123456789abcdef"
        theirs = [".bisyncer-check", ".bisyncer-probe-1", "a" + ours, "d/.bisyncer-check"]
        theirs += [f"{ours}/file"] if self.files_below_files else []
        for key in (ours, f"d/{ours}", *theirs):
            behind.plant(key, b"1")

        assert keys(endpoint) == sorted(theirs)

    def test_keys_beside_the_prefix_are_not_listed(self, endpoint: Endpoint, behind: S3Behind) -> None:
        behind.plant("in", b"1")
        for beside in (behind.prefix[:-1] + "-x", behind.prefix[:-1] + "0/in"):
            behind.client.put_object(Bucket=BUCKET, Key=beside, Body=b"1")

        assert keys(endpoint) == ["in"]

    # Large bodies.

    def test_a_large_body_is_written_whole(self, endpoint: Endpoint, behind: S3Behind) -> None:
        data = os.urandom(2 * PART_SIZE + 12345)
        entry = put(endpoint, "k", data)
        replaced = put(endpoint, "k", data[1:], entry)

        assert now(endpoint, "k").stamp == replaced.stamp != entry.stamp
        assert now(endpoint, "k").mtime_ns == MTIME_NS
        (listed,) = entries(endpoint)
        assert (listed.key, listed.size, listed.stamp) == (replaced.key, replaced.size, replaced.stamp)
        assert whole_in_large_pieces(endpoint, replaced) == data[1:]
        assert behind.uploads() == []

    @pytest.mark.parametrize("size", [PART_SIZE, LARGE, 2 * PART_SIZE, 2 * PART_SIZE + 1])
    def test_a_body_of_about_a_part_is_written_whole(self, endpoint: Endpoint, size: int) -> None:
        entry = put(endpoint, "k", b"x" * size)

        assert entry.size == now(endpoint, "k").size == size
        assert now(endpoint, "k").stamp == entry.stamp

    def test_a_large_body_is_created_only_where_nothing_is(
        self, endpoint: Endpoint, behind: S3Behind
    ) -> None:
        behind.plant("k", b"theirs")

        with pytest.raises(Changed):
            put(endpoint, "k", b"x" * LARGE)

        assert behind.content("k") == b"theirs"
        assert behind.uploads() == []

    def test_a_large_body_replaces_only_what_was_seen(self, endpoint: Endpoint, behind: S3Behind) -> None:
        stale = put(endpoint, "k", b"seen")
        behind.plant("k", b"unseen")

        with pytest.raises(Changed):
            put(endpoint, "k", b"x" * LARGE, stale)

        assert behind.content("k") == b"unseen"
        behind.remove("k")
        with pytest.raises(Changed):
            put(endpoint, "k", b"x" * LARGE, stale)
        assert behind.names() == behind.uploads() == []

    @pytest.mark.parametrize("size", [LARGE - 1, LARGE + 1, 3 * PART_SIZE, PART_SIZE // 2])
    def test_a_large_body_of_another_size_is_never_published(
        self, endpoint: Endpoint, behind: S3Behind, size: int
    ) -> None:
        with pytest.raises(Changed):
            endpoint.write("k", BytesSource(b"x" * size, size=LARGE), expect=None)

        assert behind.names() == behind.uploads() == []

    @pytest.mark.parametrize("breaks_at", [0, PART_SIZE // 2, PART_SIZE, 3 * PART_SIZE])
    def test_a_large_body_that_changes_while_it_is_read_leaves_no_parts(
        self, endpoint: Endpoint, behind: S3Behind, breaks_at: int
    ) -> None:
        with pytest.raises(Changed):
            endpoint.write("k", BytesSource(b"x" * (3 * PART_SIZE), breaks_at=breaks_at), expect=None)

        assert behind.names() == behind.uploads() == []


class TestSeaweed(S3Contract):
    # SeaweedFS keeps keys as paths of directories: 'a' and 'a/b' stand in each other's way, and a marker
    # holds no bytes. What it would take for another key has a test of its own below.
    bucket_keys = tuple(key for key in TREE_KEYS if "\\" not in key)

    @pytest.fixture
    def server(self, seaweed: S3Server) -> S3Server:
        return seaweed

    def test_every_condition_is_honoured(self, endpoint: Endpoint) -> None:
        assert endpoint.capabilities.conditional_write
        assert endpoint.capabilities.conditional_delete

    @pytest.mark.parametrize("key", ["a//b", "/lead", "./x", "a/../b", "a/./b", "back\\slash", "dir//"])
    def test_a_key_that_it_would_take_for_another_is_rejected(
        self, endpoint: Endpoint, behind: Behind, key: str
    ) -> None:
        for deed in (
            lambda: put(endpoint, key, b"1"),
            lambda: endpoint.stat(key),
            lambda: endpoint.delete(key, expect=Entry(key, 1, None, "x")),
            lambda: whole(endpoint, key, Entry(key, 1, None, "x")),
        ):
            with pytest.raises(Rejected, match="Rename it"):
                deed()

        assert behind.names() == []

    def test_a_marker_of_a_directory_may_be_written_and_holds_no_bytes(
        self, endpoint: Endpoint, behind: Behind
    ) -> None:
        marker = put(endpoint, "dir/", b"")

        assert endpoint.stat("dir/") is not None
        assert keys(endpoint) == ["dir/"]
        endpoint.delete("dir/", expect=marker)
        with pytest.raises(Rejected, match="would drop its 1 bytes"):
            put(endpoint, "dir/", b"1")
        assert behind.names() == []

    def test_of_many_that_create_a_large_body_the_last_that_won_is_whole(
        self, endpoint: Endpoint, behind: S3Behind
    ) -> None:
        # SeaweedFS 4.48 tests the condition of a small body in one step with the deed, and that of
        # CompleteMultipartUpload right before it: under a race several may be told that they won.
        won = race(lambda number: put(endpoint, "k", bytes([number]) * (LARGE + number)))

        assert behind.content("k") in [bytes([number]) * (LARGE + number) for number in won]
        assert behind.uploads() == []

    def test_a_large_body_takes_little_memory(self, endpoint: Endpoint) -> None:
        size = 200_000_000
        source = _Zeros(b"", size=size)
        tracemalloc.start()
        try:
            entry = endpoint.write("k", source, expect=None)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

        assert entry.size == now(endpoint, "k").size == size
        assert peak < 128 << 20

    # Answers that never come.

    @pytest.mark.parametrize("key", [BY_OBSTORE, BY_BOTO3])
    @pytest.mark.parametrize("times", [1, 2])
    def test_a_write_whose_answer_is_lost_is_done(
        self, seaweed: S3Server, prefix: str, behind: Behind, key: str, times: int
    ) -> None:
        lost = Fault("^PUT ", "lose", times=times)
        with proxy(seaweed.endpoint_url, lost) as url, opened(seaweed, prefix, endpoint_url=url) as endpoint:
            created = put(endpoint, key, b"1")
            replaced = put(endpoint, key, b"22", created)

            assert now(endpoint, key).stamp == replaced.stamp
            assert now(endpoint, key).mtime_ns == replaced.mtime_ns == MTIME_NS
        assert lost.seen == times
        assert behind.content(key) == b"22"

    @pytest.mark.parametrize("key", [BY_OBSTORE, BY_BOTO3])
    def test_a_write_that_never_arrived_is_transient(
        self, seaweed: S3Server, prefix: str, behind: Behind, key: str
    ) -> None:
        never = Fault("^PUT ", "swallow", times=99)
        with (
            proxy(seaweed.endpoint_url, never) as url,
            opened(seaweed, prefix, endpoint_url=url) as endpoint,
            pytest.raises(Transient, match=f"no answer from {url}"),
        ):
            put(endpoint, key, b"1")
        assert never.seen == endpoint.requests["put"] == (2 if key == BY_OBSTORE else 1)
        assert behind.names() == []

    def test_a_write_of_obstore_that_never_arrived_is_sent_by_boto3(
        self, seaweed: S3Server, prefix: str, behind: Behind
    ) -> None:
        with (
            proxy(seaweed.endpoint_url, Fault("^PUT ", "swallow")) as url,
            opened(seaweed, prefix, endpoint_url=url) as endpoint,
        ):
            put(endpoint, BY_OBSTORE, b"1")
        assert behind.content(BY_OBSTORE) == b"1"

    def test_a_write_refused_for_now_is_transient(
        self, seaweed: S3Server, prefix: str, behind: Behind
    ) -> None:
        with (
            proxy(seaweed.endpoint_url, Fault("^PUT ", 503, times=99)) as url,
            opened(seaweed, prefix, endpoint_url=url) as endpoint,
        ):
            for key in (BY_OBSTORE, BY_BOTO3):
                with pytest.raises(Transient, match="busy or broken"):
                    put(endpoint, key, b"1")
            assert endpoint.requests["put"] == 3  # obstore and boto3, then boto3: neither repeats by itself
        assert behind.names() == []

    @pytest.mark.parametrize("key", [BY_OBSTORE, BY_BOTO3])
    def test_a_lost_answer_and_another_write_after_it_is_a_change(
        self, seaweed: S3Server, prefix: str, behind: Behind, key: str
    ) -> None:
        lost = Fault("^PUT ", "lose", then=lambda: behind.plant(key, b"theirs"))
        with (
            proxy(seaweed.endpoint_url, lost) as url,
            opened(seaweed, prefix, endpoint_url=url) as endpoint,
            pytest.raises((Changed, Transient)),
        ):
            put(endpoint, key, b"ours")
        assert behind.content(key) == b"theirs"

    def test_a_delete_whose_answer_is_lost_is_done(
        self, seaweed: S3Server, prefix: str, behind: Behind
    ) -> None:
        lost = Fault("^DELETE ", "lose")
        with proxy(seaweed.endpoint_url, lost) as url, opened(seaweed, prefix, endpoint_url=url) as endpoint:
            endpoint.delete("k", expect=put(endpoint, "k", b"1"))
        assert lost.seen == 1
        assert behind.names() == []

    def test_a_delete_that_never_arrived_is_transient(
        self, seaweed: S3Server, prefix: str, behind: Behind
    ) -> None:
        with (
            proxy(seaweed.endpoint_url, Fault("^DELETE ", "swallow")) as url,
            opened(seaweed, prefix, endpoint_url=url) as endpoint,
        ):
            entry = put(endpoint, "k", b"1")
            with pytest.raises(Transient):
                endpoint.delete("k", expect=entry)
            assert behind.names() == ["k"]
            endpoint.delete("k", expect=entry)
        assert behind.names() == []

    @pytest.mark.parametrize("what", ["lose", "swallow", 500])
    def test_a_large_body_whose_publishing_goes_unanswered_is_published_once(
        self, seaweed: S3Server, prefix: str, behind: S3Behind, what: str | int
    ) -> None:
        fault = Fault(r"^POST .*uploadId=", what)
        with proxy(seaweed.endpoint_url, fault) as url, opened(seaweed, prefix, endpoint_url=url) as endpoint:
            entry = put(endpoint, "k", b"x" * LARGE)

            assert now(endpoint, "k").stamp == entry.stamp
        assert fault.seen == 1
        assert behind.uploads() == []

    def test_a_publishing_that_is_refused_after_one_without_an_answer_is_unclear(
        self, seaweed: S3Server, prefix: str
    ) -> None:
        faults = (Fault(r"^POST .*uploadId=", "swallow"), Fault(r"^POST .*uploadId=", 403, times=9))
        with (
            proxy(seaweed.endpoint_url, *faults) as url,
            opened(seaweed, prefix, endpoint_url=url) as endpoint,
            pytest.raises(Transient),
        ):
            put(endpoint, "k", b"x" * LARGE)
        assert all(fault.seen for fault in faults)

    def test_a_small_body_that_is_refused_after_an_attempt_without_an_answer_is_unclear(
        self, seaweed: S3Server, prefix: str
    ) -> None:
        faults = (Fault("^PUT ", "swallow"), Fault("^PUT ", 403, times=9))
        with (
            proxy(seaweed.endpoint_url, *faults) as url,
            opened(seaweed, prefix, endpoint_url=url) as endpoint,
            pytest.raises(Transient),
        ):
            put(endpoint, "k", b"1")
        assert all(fault.seen for fault in faults)

    def test_a_small_body_that_is_refused_by_each_attempt_is_refused(
        self, seaweed: S3Server, prefix: str
    ) -> None:
        fault = Fault("^PUT ", 403, times=9)
        with (
            proxy(seaweed.endpoint_url, fault) as url,
            opened(seaweed, prefix, endpoint_url=url) as endpoint,
            pytest.raises(Rejected),
        ):
            put(endpoint, "k", b"1")
        assert fault.seen == 2  # by obstore, and by the SDK, which tells why

    def test_a_part_is_sent_again(self, seaweed: S3Server, prefix: str, behind: S3Behind) -> None:
        fault = Fault(r"^PUT .*partNumber=2", 503, times=2)
        with proxy(seaweed.endpoint_url, fault) as url, opened(seaweed, prefix, endpoint_url=url) as endpoint:
            put(endpoint, "k", b"x" * (3 * PART_SIZE))
        assert fault.seen == 2
        assert behind.names() == ["k"]

    def test_a_part_that_can_not_be_sent_leaves_no_parts(
        self, seaweed: S3Server, prefix: str, behind: S3Behind
    ) -> None:
        with (
            proxy(seaweed.endpoint_url, Fault(r"^PUT .*partNumber=2", 503, times=99)) as url,
            opened(seaweed, prefix, endpoint_url=url) as endpoint,
            pytest.raises(Transient, match="'k': the store is busy or broken"),
        ):
            put(endpoint, "k", b"x" * (3 * PART_SIZE))
        assert behind.names() == behind.uploads() == []

    def test_each_part_is_signed_by_its_md5_and_not_hashed_once_more(
        self, seaweed: S3Server, prefix: str
    ) -> None:
        signed: list[tuple[str, str]] = []

        def note(request: BaseHTTPRequestHandler, body: bytes) -> None:
            if "partNumber=" in request.path:
                md5 = base64.b64encode(hashlib.md5(body).digest()).decode()
                assert request.headers["Content-MD5"] == md5
                signed.append((request.headers["x-amz-content-sha256"], request.headers["Authorization"]))

        with (
            proxy(seaweed.endpoint_url, instead=note) as url,
            opened(seaweed, prefix, endpoint_url=url) as endpoint,
        ):
            put(endpoint, "k", b"x" * LARGE)

        assert [what for what, _ in signed] == ["UNSIGNED-PAYLOAD"] * 2
        assert all("content-md5;" in authorization for _, authorization in signed)

    def test_a_part_that_arrives_as_something_else_is_never_published(
        self, seaweed: S3Server, prefix: str, behind: S3Behind
    ) -> None:
        garbled = Fault(r"^PUT .*partNumber=2", "garble", times=99)
        with (
            proxy(seaweed.endpoint_url, garbled) as url,
            opened(seaweed, prefix, endpoint_url=url) as endpoint,
            pytest.raises(Transient),
        ):
            put(endpoint, "k", b"x" * LARGE)
        assert garbled.seen > 0
        assert behind.names() == behind.uploads() == []

    @pytest.mark.parametrize("key", [BY_OBSTORE, BY_BOTO3])
    def test_a_body_that_breaks_off_is_not_taken_for_whole(
        self, seaweed: S3Server, prefix: str, behind: Behind, key: str
    ) -> None:
        behind.plant(key, b"0123456789" * 1000)
        with (
            proxy(seaweed.endpoint_url, Fault("^GET (?!.*prefix=)", "cut", times=9)) as url,
            opened(seaweed, prefix, endpoint_url=url) as endpoint,
        ):
            entry = now(endpoint, key)
            with pytest.raises(Transient, match="in the middle of the object"):
                whole_in_large_pieces(endpoint, entry)

    @pytest.mark.parametrize("key", [BY_OBSTORE, BY_BOTO3])
    def test_a_body_whose_tls_breaks_off_is_not_taken_for_whole(
        self,
        endpoint: S3Endpoint,
        behind: Behind,
        key: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        behind.plant(key, b"0123456789" * 1000)
        entry = now(endpoint, key)
        with endpoint.read(key, expect=entry) as source:
            monkeypatch.setattr(source, "_pieces", torn(SSLError("bad record mac")))
            with pytest.raises(Transient, match=r"in the middle of the object \(bad record mac\)"):
                source.read()

    @pytest.mark.parametrize("name", ["storage-class", "contenttype", "StorageClass"])
    def test_an_own_field_that_obstore_would_take_for_a_header_stays_one(
        self, endpoint: Endpoint, behind: S3Behind, name: str
    ) -> None:
        source = BytesSource(b"text", metadata={name: "GLACIER"})

        written = endpoint.write("k.txt", source, expect=None)

        with endpoint.read("k.txt", expect=written) as opened:
            assert opened.metadata[name.lower()] == "GLACIER"
            assert opened.metadata["content-type"] == "text/plain"
        told = behind.client.head_object(Bucket=BUCKET, Key=f"{behind.prefix}k.txt")
        assert told.get("StorageClass") != "GLACIER"

    def test_a_body_that_may_take_a_slow_line_long_goes_through_boto3(
        self, endpoint: S3Endpoint, behind: Behind, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sizes: list[int] = []
        sent = s3_direct.put

        def note(to: Any, name: str, body: bytes, *more: Any) -> str:
            sizes.append(len(body))
            return sent(to, name, body, *more)

        monkeypatch.setattr(s3_direct, "put", note)
        for number, size in enumerate((1, 1 << 20, (1 << 20) + 1)):
            put(endpoint, f"k{number}", b"x" * size)

        assert sizes == [1, 1 << 20]
        assert behind.content("k2") == b"x" * ((1 << 20) + 1)

    def test_obstore_is_given_up_where_only_boto3_gets_answers(
        self, seaweed: S3Server, prefix: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[str] = []

        def fail(_store: Any, name: str, *_: Any) -> Any:
            asked.append(name)
            raise obstore.exceptions.GenericError("301 Moved Permanently")

        monkeypatch.setattr(s3_direct, "put", fail)
        monkeypatch.setattr(s3_direct, "get", fail)
        with opened(seaweed, prefix) as endpoint:
            for number in range(15):
                entry = put(endpoint, f"k{number}", b"1")
                with endpoint.read(f"k{number}", expect=entry) as source:
                    assert source.read() == b"1"
        assert len(asked) == 20

    @pytest.mark.parametrize("key", [BY_OBSTORE, BY_BOTO3])
    def test_a_write_that_is_answered_by_nothing_at_all_is_looked_for(
        self, seaweed: S3Server, prefix: str, behind: Behind, key: str
    ) -> None:
        def nothing(request: BaseHTTPRequestHandler, _body: bytes) -> Answer | None:
            return Answer(200) if request.command == "PUT" else None

        with (
            proxy(seaweed.endpoint_url, instead=nothing) as url,
            opened(seaweed, prefix, endpoint_url=url) as endpoint,
            pytest.raises(Transient, match="has no ETag"),
        ):
            put(endpoint, key, b"1")
        assert behind.names() == []

    # What is wrong, in words, and at once.

    def test_a_bucket_that_is_not_there_is_named(self, seaweed: S3Server) -> None:
        with contextlib.closing(
            S3Endpoint("no-such-bucket", "", remote=seaweed.remote(), owner="test")
        ) as endpoint:
            for scratch in (False, True):
                with pytest.raises(RootMissing, match=r"s3://no-such-bucket\?.*Create it"):
                    endpoint.probe(scratch=scratch)
            with pytest.raises(ListingIncomplete, match="Create it"):
                list(endpoint.scan())
            with pytest.raises(Rejected):
                endpoint.stat("k")
            with pytest.raises(EndpointError):
                put(endpoint, "k", b"1")

    @pytest.mark.parametrize("half", ["key", "secret"])
    def test_wrong_keys_are_told(
        self, seaweed: S3Server, prefix: str, monkeypatch: pytest.MonkeyPatch, half: str
    ) -> None:
        monkeypatch.setenv("WRONG", "wrong")
        name = "access_key_id_env" if half == "key" else "secret_access_key_env"
        wrong: dict[str, Any] = {name: "WRONG"}
        with opened(seaweed, prefix, **wrong) as endpoint:
            with pytest.raises(AccessDenied, match="access keys are not accepted"):
                endpoint.probe()
            with pytest.raises(ListingIncomplete, match="access keys are not accepted"):
                list(endpoint.scan())
            with pytest.raises(EndpointError):
                endpoint.stat("k")


class TestMoto(S3Contract):
    """Every key that S3 allows; and a server that ignores a condition, which the probe finds out."""

    # moto finds no way to a key with a newline.
    bucket_keys = tuple(key for key in BUCKET_KEYS if "\n" not in key)
    page = 100  # by the request: it looks at all keys for each page

    @pytest.fixture
    def server(self, moto: S3Server) -> S3Server:
        return moto

    @pytest.fixture
    def endpoint(self, server: S3Server, prefix: str) -> Iterator[Endpoint]:
        with opened(server, prefix, self.conditions(server)) as endpoint:
            endpoint._bucket.clients.client.meta.events.register(
                "before-parameter-build.s3.ListObjectsV2",
                lambda params, **_: params.setdefault("MaxKeys", self.page),
            )
            yield endpoint

    def test_the_probe_finds_the_condition_that_is_ignored(self, moto: S3Server, prefix: str) -> None:
        with opened(moto, prefix) as endpoint:
            assert endpoint.capabilities.conditional_write
            probe = endpoint.probe(scratch=True)

            assert (probe.conditional_write, probe.conditional_delete) == (False, True)
            assert not endpoint.capabilities.conditional_write

    def test_objects_get_the_class_and_encryption_of_the_remote(
        self, moto: S3Server, prefix: str, behind: S3Behind
    ) -> None:
        with opened(
            moto, prefix, storage_class="STANDARD_IA", sse="aws:kms", sse_kms_key_id="k1"
        ) as endpoint:
            for key, size in {"small": 1, "large": LARGE}.items():
                written = put(endpoint, key, b"x" * size)
                head = behind.client.head_object(Bucket=BUCKET, Key=behind.prefix + key)
                assert (head["StorageClass"], head["ServerSideEncryption"], head["SSEKMSKeyId"]) == (
                    "STANDARD_IA",
                    "aws:kms",
                    "k1",
                )
                # An ETag under KMS proves nothing about the content.
                assert now(endpoint, key).digests == ()
                assert now(endpoint, key).stamp == written.stamp

    def test_an_archived_object_is_rejected_with_the_cure(
        self, moto: S3Server, endpoint: Endpoint, behind: S3Behind
    ) -> None:
        for key in (BY_OBSTORE, BY_BOTO3):
            behind.client.put_object(
                Bucket=BUCKET, Key=behind.prefix + key, Body=b"1", StorageClass="GLACIER"
            )
            with pytest.raises(Rejected, match="is archived and can't be read"):
                whole(endpoint, key, now(endpoint, key))

    def test_a_key_with_a_nul_is_unreadable_in_its_place(self, endpoint: Endpoint, behind: S3Behind) -> None:
        for key in ("a", "a\0b", "b"):
            behind.plant(key, b"1")

        items = list(endpoint.scan())

        assert [item.key for item in items if isinstance(item, Entry)] == ["a", "b"]
        assert isinstance(items[1], Unreadable)
        assert items[1].prefix == "a\ufffdb"
        assert "Rename it" in items[1].sentence
        with pytest.raises(Rejected):
            endpoint.stat("a\0b")

    def test_an_endpoint_can_be_used_again_after_it_was_closed(self, endpoint: Endpoint) -> None:
        endpoint.close()
        put(endpoint, "k", b"x" * LARGE)
        endpoint.close()

        assert keys(endpoint) == ["k"]


def test_a_batch_is_never_asked_of_another_store_than_amazons(seaweed: S3Server, prefix: str) -> None:
    with opened(seaweed, prefix) as endpoint:
        assert not endpoint.probe(scratch=True).conditions.batch
        assert endpoint.capabilities.deletes_at_once == 1


def test_a_batch_that_another_store_was_found_to_test_is_not_asked_of_this_one(
    seaweed: S3Server, prefix: str
) -> None:
    with opened(seaweed, prefix, conditions=Conditions(batch=True)) as endpoint:
        assert endpoint.capabilities.deletes_at_once == 1


@contextlib.contextmanager
def taken_for_amazon(server: S3Server, prefix: str) -> Iterator[S3Endpoint]:
    """SeaweedFS, which tests ETags in a batch too, though not in one step with the deletions."""
    with (
        pytest.MonkeyPatch.context() as patch,
        opened(server, prefix, conditions=Conditions(batch=True)) as endpoint,
    ):
        patch.setattr(Bucket, "server", None)
        yield endpoint


def test_of_many_deletions_in_one_request_each_has_its_own_condition(seaweed: S3Server, prefix: str) -> None:
    with taken_for_amazon(seaweed, prefix) as endpoint, seaweed.client() as client:
        behind = S3Behind(client, prefix)
        seen = [put(endpoint, f"k{number:03}", b"1") for number in range(300)]
        behind.plant("k007", b"theirs")
        before = endpoint.requests.get("delete", 0)

        gone = endpoint.delete_many(seen)

        assert endpoint.capabilities.deletes_at_once == 1000
        assert gone == {entry.key for entry in seen} - {"k007"}
        assert endpoint.requests["delete"] == before + 1
        assert behind.names() == ["k007"]


def test_a_name_that_xml_may_change_is_not_deleted_with_others(seaweed: S3Server, prefix: str) -> None:
    fine = ("&amp;<x>", "a b", "a+b", "%41", "e\u0301", "quote'\"", "\U0001f600", "]]>")
    doubtful = ("trail ", "new\nline", "tab\t")
    with taken_for_amazon(seaweed, prefix) as endpoint, seaweed.client() as client:
        seen = [put(endpoint, key, b"all the same") for key in fine + doubtful]

        assert endpoint.delete_many(seen) == set(fine)
        assert S3Behind(client, prefix).names() == sorted(doubtful)
        assert endpoint.delete_many(seen[len(fine) :]) == frozenset()


class TestRcloneServe(S3Contract):
    """A store that tests no condition at all, not even of reads, and keeps keys as files in directories."""

    # It takes NFC and NFD for one name, a marker for a file, and refuses empty, "." and ".." segments.
    bucket_keys = tuple(key for key in TREE_KEYS if key != "e\u0301")
    files_below_files = False

    def test_the_probe_finds_that_no_condition_is_tested(self, rclone_serve: S3Server, prefix: str) -> None:
        with opened(rclone_serve, prefix) as endpoint:
            probe = endpoint.probe(scratch=True)

            assert probe.conditions == Conditions(put=False, complete=False, delete=False, copy=False)
            assert sum("condition" in remark for remark in probe.remarks) == 4
            assert not endpoint.capabilities.server_copy

    @pytest.mark.parametrize("key", [BY_OBSTORE, BY_BOTO3])
    def test_a_read_of_another_version_is_refused_though_the_server_gives_it(
        self, endpoint: Endpoint, behind: Behind, key: str
    ) -> None:
        stale = put(endpoint, key, b"seen")
        behind.plant(key, b"unseen")

        with pytest.raises(Changed):
            whole(endpoint, key, stale)
        with pytest.raises(Changed):
            whole(endpoint, key, stale, start=2)

    @pytest.fixture
    def server(self, rclone_serve: S3Server) -> S3Server:
        return rclone_serve


class _Zeros(BytesSource):
    """A source of zeros, as many as its entry says, that holds none."""

    given = 0

    def read(self, size: int = -1, /) -> bytes:
        piece = bytes(min(size, self.entry.size - self.given))
        self.given += len(piece)
        return piece


def torn(error: Exception) -> Iterator[bytes]:
    """A body that breaks off at once."""
    yield from ()
    raise error


def whole_in_large_pieces(endpoint: Endpoint, entry: Entry) -> bytes:
    with endpoint.read(entry.key, expect=entry) as source:
        return b"".join(iter(lambda: source.read(1 << 20), b""))


# Listings that aren't whole.


def patient(endpoint: Endpoint) -> Endpoint:
    """The endpoint as a run has it: what may pass is asked again, here without a pause."""
    return ResilientEndpoint(endpoint, Pace(8, stopped=lambda: False), lambda _: False)


@contextlib.contextmanager
def listing_of(*pages: Answer | None, prefix: str = "p") -> Iterator[S3Endpoint]:
    """An endpoint of which page n, by the number that is its token, is canned."""

    def respond(_method: str, _path: str, query: dict[str, str]) -> Answer:
        answer = pages[int(query.get("continuation-token", "0"))]
        return answer or Answer(500, b"<Error><Code>InternalError</Code></Error>")

    with canned(respond) as url:
        remote = Remote(name="canned", endpoint_url=url, access_key_id_env="ID", secret_access_key_env="ID")
        with contextlib.closing(S3Endpoint("b", prefix, remote=remote, owner="test")) as endpoint:
            yield endpoint


@pytest.fixture
def keys_in_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ID", "x")


def page(*names: str, token: str | None = None) -> Answer:
    return Answer(200, amazon(rows_of(tuple(f"p/{name}" for name in names)), token=token))


@pytest.mark.usefixtures("keys_in_environment")
class TestListing:
    def test_pages_follow_each_other(self) -> None:
        with listing_of(page("a", token="1"), page(token="2"), page("b", "c")) as endpoint:
            assert keys(endpoint) == ["a", "b", "c"]
            assert endpoint.requests == {"list": 3}

    def test_a_page_goes_around_every_parser_of_the_sdk(self, monkeypatch: pytest.MonkeyPatch) -> None:
        parsed: list[object] = []
        monkeypatch.setattr(
            "botocore.handlers._looks_like_special_case_error",
            lambda _status, body: parsed.append(body),
        )
        with listing_of(page("a")) as endpoint:
            assert keys(endpoint) == ["a"]
        assert parsed == [b"<ListBucketResult/>"]

    @pytest.mark.parametrize("failing", [0, 1, 2])
    def test_a_page_that_fails_for_good_is_an_incomplete_listing(self, failing: int) -> None:
        pages: list[Answer | None] = [page("a", token="1"), page("b", token="2"), page("c")]
        pages[failing] = None
        with listing_of(*pages) as endpoint:
            scan = patient(endpoint).scan()
            for _ in range(failing):
                next(scan)
            with pytest.raises(ListingIncomplete, match=r"s3://b/p\?.*busy or broken for now.*Run again"):
                next(scan)

    @pytest.mark.parametrize(
        ("pages", "words"),
        [
            ((Answer(200, amazon(rows_of(("p/a",))).replace(b">false<", b">true<")),), "no token"),
            ((page("a", token="1"), page("b", token="1")), "the same token again"),
            ((page("a", token="1"), page("a")), "doesn't list keys in order"),
            ((page("b", "c", token="1"), page("a")), "doesn't list keys in order"),
            ((page("b", "a", token="1"), page("b")), "twice"),
            ((Answer(200, amazon(rows_of(("q/a",)))),), "isn't below the prefix"),
            ((Answer(200, amazon(rows_of(("p/a",))).replace(b"T08", b"T99")),), "which is none"),
            ((Answer(200, b"<html>hello</html>"),), "a list page is a <html>"),
            ((Answer(200, b""),), "not whole XML"),
            ((page("a", token="1"), Answer(200, amazon([])[:-30])), "status 500"),
            ((Answer(403, b"<Error><Code>AccessDenied</Code></Error>"),), "Grant s3:ListBucket"),
            ((Answer(404, b"<Error><Code>NoSuchBucket</Code></Error>"),), "Create it"),
            ((page("a", token="1"), Answer(400, b"<Error><Code>Odd</Code></Error>")), "status 400, Odd"),
        ],
    )
    def test_a_listing_that_is_not_whole_never_just_ends(self, pages: tuple[Answer, ...], words: str) -> None:
        with listing_of(*pages) as endpoint, pytest.raises(ListingIncomplete, match=words):
            list(patient(endpoint).scan())

    def test_a_page_that_fails_once_is_asked_for_again(self) -> None:
        failed = threading.Event()

        def respond(_method: str, _path: str, _query: dict[str, str]) -> Answer:
            if not failed.is_set():
                failed.set()
                return Answer(503, b"<Error><Code>SlowDown</Code></Error>")
            return page("a")

        with canned(respond) as url:
            remote = Remote(name="c", endpoint_url=url, access_key_id_env="ID", secret_access_key_env="ID")
            with contextlib.closing(S3Endpoint("b", "p", remote=remote, owner="test")) as endpoint:
                again = patient(endpoint)
                assert keys(again) == ["a"]
                assert again.requests == {"list": 2, "transient": 1, "throttled": 1}

    def test_a_store_with_an_order_of_its_own_is_sorted(self) -> None:
        first = page("d/a", "d/b", "d.x", token="1")
        with listing_of(first, page("c", "e/f", "e-g")) as endpoint:
            assert keys(endpoint) == ["c", "d.x", "d/a", "d/b", "e-g", "e/f"]
            assert keys(endpoint, "d/", "e") == ["d/a", "d/b"]

    def test_a_name_that_is_no_text_is_unreadable_in_its_place(self) -> None:
        raw = amazon(rows_of(("p/a", "p/aX", "p/a\u00e9", "p/a\U0001f600", "p/aY"))).replace(
            b"/aX<", b"/a%80<"
        )
        with listing_of(Answer(200, raw.replace(b"/aY<", b"/a%FF<"))) as endpoint:
            items = list(endpoint.scan())

        assert [item.prefix if isinstance(item, Unreadable) else item.key for item in items] == [
            "a",
            "a\x01",  # the name as it is shown would come later
            "a\u00e9",
            "a\U0001f600",
            "a\U0001f600\x01",
        ]

    def test_the_marker_of_the_root_itself_is_no_key(self) -> None:
        with listing_of(page("", "a")) as endpoint:
            assert keys(endpoint) == ["a"]

    def test_an_answer_that_forbids_a_look_is_not_taken_for_absence(self) -> None:
        with listing_of(Answer(403)) as endpoint, pytest.raises(Rejected, match="access denied"):
            endpoint.stat("k")

    @pytest.mark.parametrize(
        ("answer", "words"),
        [
            (Answer(400), r"doesn't say why.*sse_customer_key_env"),
            (Answer(507), "has no room for it"),
        ],
    )
    def test_an_answer_without_a_body_says_what_may_be_wrong(self, answer: Answer, words: str) -> None:
        with listing_of(answer) as endpoint, pytest.raises(Rejected, match=words):
            endpoint.stat("k")

    def test_a_store_that_is_no_store_is_told(self) -> None:
        with (
            listing_of(Answer(200, b"hello")) as endpoint,
            pytest.raises(Transient, match="status 500"),
        ):
            endpoint.probe()


# Remotes.


def test_a_dead_port_is_asked_once_and_told(monkeypatch: pytest.MonkeyPatch, connects: list[object]) -> None:
    monkeypatch.setenv("ID", "x")
    with canned(lambda *_: Answer(200)) as url:
        dead = url
    remote = Remote(name="dead", endpoint_url=dead, access_key_id_env="ID", secret_access_key_env="ID")
    with contextlib.closing(S3Endpoint("b", "", remote=remote, owner="test")) as endpoint:
        with pytest.raises(Transient, match=rf"no answer from {dead}.*Check the address"):
            endpoint.probe()
        assert len(connects) == 1
        with pytest.raises(Transient, match="no answer"):
            list(endpoint.scan())
        with pytest.raises(Transient, match="no answer"):
            endpoint.stat("k")


def test_no_credentials_at_all_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    remote = Remote(name="s3", endpoint_url="http://127.0.0.1:1")
    with contextlib.closing(S3Endpoint("b", "", remote=remote, owner="test")) as endpoint:
        with pytest.raises(AccessDenied, match=r"no usable credentials.*Set AWS_PROFILE"):
            endpoint.probe()
        with pytest.raises(ListingIncomplete, match="no usable credentials"):
            list(endpoint.scan())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"profile": "nobody"}, "no profile 'nobody'"),
        ({"access_key_id_env": "UNSET", "secret_access_key_env": "SET"}, "UNSET isn't set"),
        ({"access_key_id_env": "SET", "secret_access_key_env": "UNSET"}, "UNSET isn't set"),
        (
            {"access_key_id_env": "SET", "secret_access_key_file": "/no/such/file"},
            "/no/such/file can't be read",
        ),
        ({"access_key_id_env": "SET", "secret_access_key_file": os.devnull}, "is empty"),
        ({"access_key_id_env": "SET"}, "only one half of a key pair"),
        ({"secret_access_key_env": "SET"}, "only one half of a key pair"),
        ({"endpoint_url": "not a url"}, "no client can be made"),
    ],
)
def test_a_remote_that_can_not_be_used_says_what_to_correct(
    changes: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SET", "x")
    monkeypatch.delenv("UNSET", raising=False)
    endpoint = S3Endpoint("b", "", remote=Remote(name="cloud", **changes), owner="test")

    with pytest.raises(UsageError, match=f"Remote 'cloud'.*{words}"):
        endpoint.probe()


def test_the_address_of_the_remote_goes_before_that_of_the_environment(
    moto: S3Server, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT"):
        monkeypatch.setenv(variable, "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_BUCKET", "another")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "another")
    with opened(moto, prefix) as endpoint:
        entry = put(endpoint, BY_OBSTORE, b"1")

        assert whole(endpoint, BY_OBSTORE, entry) == b"1"
        assert (endpoint.requests["put"], endpoint.requests["get"]) == (1, 1)


def test_the_keys_are_asked_for_once_in_minutes_however_many_bodies_are_sent(
    moto: S3Server, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []
    real = Boto3CredentialProvider.__call__

    def call(self: Boto3CredentialProvider) -> S3Credential:
        asked.append(time.monotonic())
        return real(self)

    monkeypatch.setattr(Boto3CredentialProvider, "__call__", call)
    with opened(moto, prefix) as endpoint:
        began_s = time.monotonic()
        for number in count():
            put(endpoint, f"{BY_OBSTORE}{number}", b"1")
            if time.monotonic() > began_s + 0.5:  # obstore asks every 0.1 s for what it takes to be stale
                break

    assert len(asked) == 1


def test_the_keys_may_come_from_a_variable_and_a_file(moto: S3Server, prefix: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("moto-secret\n")
    with opened(moto, prefix, secret_access_key_env=None, secret_access_key_file=str(secret)) as endpoint:
        endpoint.probe(scratch=True)
        put(endpoint, "k", b"1")


@pytest.mark.parametrize(
    ("bucket", "prefix", "endpoint_url", "root"),
    [
        ("b", "", "https://s3.eu-west-1.amazonaws.com", "s3://b"),
        ("b", "a/b", None, "s3://b/a/b"),
        ("b", "a", "http://127.0.0.1:8333/", "s3://b/a?endpoint=http://127.0.0.1:8333"),
        ("b", "a", "HTTPS://Minio.Example:443", "s3://b/a?endpoint=https://minio.example"),
    ],
)
def test_a_root_has_one_text(
    bucket: str, prefix: str, endpoint_url: str | None, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ID", "x")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    remote = Remote(
        name="r",
        endpoint_url=endpoint_url,
        region="eu-west-1",
        access_key_id_env="ID",
        secret_access_key_env="ID",
    )
    with contextlib.closing(S3Endpoint(bucket, prefix, remote=remote, owner="test")) as endpoint:
        assert endpoint.root == root


@pytest.mark.parametrize(
    ("one", "two", "overlap"),
    [
        (("b", "", "http://h:1"), ("b", "x", "http://h:1"), True),
        (("b", "x", "http://h:1"), ("b", "x/y", "http://H:1/"), True),
        (("b", "x", "http://h:1"), ("b", "xy", "http://h:1"), False),
        (("b", "x", "http://h:1"), ("c", "x", "http://h:1"), False),
        (("b", "x", "http://h:1"), ("b", "x", "http://h:2"), False),
    ],
)
def test_overlap_is_of_prefixes_in_one_bucket_of_one_store(
    one: tuple[str, str, str], two: tuple[str, str, str], *, overlap: bool
) -> None:
    first, second = (
        S3Endpoint(bucket, prefix, remote=Remote(name="r", endpoint_url=url), owner="test")
        for bucket, prefix, url in (one, two)
    )

    assert first.overlaps(second) is second.overlaps(first) is overlap
    assert not first.overlaps(MemoryEndpoint("m"))


def test_no_body_needs_more_parts_than_there_may_be() -> None:
    assert part_size(1, MOST_PARTS) == part_size(80_000 << 20, MOST_PARTS) == PART_SIZE
    for size in (10_000 * PART_SIZE, 10_000 * PART_SIZE + 1, 5 << 40):
        assert part_size(size, MOST_PARTS) * 10_000 >= size
        assert part_size(size, MOST_PARTS) <= 5 << 30
