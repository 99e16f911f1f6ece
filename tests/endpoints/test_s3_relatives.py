"""What other stores that speak S3's API do otherwise, and what a remote's settings send to each."""

from __future__ import annotations

import base64
import contextlib
import os
import time
import uuid
from collections.abc import Callable, Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import quote_plus

import pytest

from bisyncer import __version__
from bisyncer.endpoints import s3_copy
from bisyncer.endpoints.base import Upload
from bisyncer.endpoints.pace import Pace
from bisyncer.endpoints.ranges import SIZE
from bisyncer.endpoints.resilient import ResilientEndpoint
from bisyncer.endpoints.s3 import S3Endpoint
from bisyncer.errors import (
    BisyncerError,
    Changed,
    ListingIncomplete,
    Rejected,
    RootMissing,
    Transient,
    UsageError,
)
from bisyncer.job import Remote
from bisyncer.model import Conditions, Entry
from tests.endpoints.contract import MTIME_NS, BytesSource, entries, keys, now, put, whole
from tests.endpoints.test_listing import amazon, plain, rows_of
from tests.endpoints.test_s3 import BY_BOTO3, BY_OBSTORE, LARGE, S3Behind, opened, whole_in_large_pieces
from tests.faults import Answer, Fault, canned, proxy
from tests.servers import BUCKET, S3Server

PIECE = 5 << 20
UNKNOWN = Answer(501, b"<Error><Code>NotImplemented</Code></Error>")
Respond = Callable[[str, str, dict[str, str]], Answer]


@pytest.fixture
def prefix() -> str:
    """A prefix that no other test uses."""
    return uuid.uuid4().hex


@contextlib.contextmanager
def store(respond: Respond, bucket: str = "b", **changes: Any) -> Iterator[S3Endpoint]:
    """An endpoint of a store that answers with what `respond` makes of method, path and query."""
    with pytest.MonkeyPatch.context() as environment, canned(respond) as url:
        environment.setenv("ID", "x")
        remote = Remote(
            name="c", endpoint_url=url, access_key_id_env="ID", secret_access_key_env="ID", **changes
        )
        with contextlib.closing(S3Endpoint(bucket, "p", remote=remote, owner="test")) as endpoint:
            yield endpoint


# Who asks.


@pytest.mark.parametrize(("app_id", "told"), [("", ""), ("cms-sync", " app/cms-sync")])
def test_a_request_says_that_bisyncer_sends_it_and_for_what_application(
    seaweed: S3Server, prefix: str, app_id: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[str] = set()

    def note(request: BaseHTTPRequestHandler, _body: bytes) -> None:
        seen.add(request.headers["User-Agent"].partition(" Botocore/")[0])

    monkeypatch.setenv("AWS_SDK_UA_APP_ID", app_id)
    with (
        proxy(seaweed.endpoint_url, instead=note) as url,
        opened(seaweed, prefix, endpoint_url=url) as endpoint,
    ):
        assert endpoint.stat("k") is None

    assert seen == {f"bisyncer/{__version__}{told}"}


# Listings.

PAGES = (("a", "a+b"), ("b c", "d/e"), ("z",))


def old_page(query: dict[str, str], *, marked: bool) -> Answer:
    """The page of ListObjects after the marker; some servers name the next one, some don't."""
    after = query.get("marker", "")
    number = next((n for n, names in enumerate(PAGES) if f"p/{names[-1]}" > after), len(PAGES) - 1)
    follows = number < len(PAGES) - 1
    page = amazon(rows_of(tuple(f"p/{name}" for name in PAGES[number])), token="t" if follows else None)
    marker = (
        f"<NextMarker>{quote_plus(f'p/{PAGES[number][-1]}', safe='/')}</NextMarker>"
        if marked and follows
        else ""
    )
    page = page.replace(b"<NextContinuationToken>t</NextContinuationToken>", marker.encode())
    return Answer(200, page.replace(f"<KeyCount>{len(PAGES[number])}</KeyCount>".encode(), b""))


@pytest.mark.parametrize("marked", [False, True])
@pytest.mark.parametrize("second", ["unknown", "ignored"])
@pytest.mark.parametrize("version", ["auto", "1"])
def test_a_store_that_only_has_the_first_version_of_listings_is_listed_by_it(
    version: str, second: str, marked: bool
) -> None:
    asked: list[bool] = []

    def respond(_method: str, _path: str, query: dict[str, str]) -> Answer:
        asked.append("list-type" in query)
        return UNKNOWN if asked[-1] and second == "unknown" else old_page(query, marked=marked)

    with store(respond, list_version=version) as endpoint:
        assert keys(endpoint) == [name for names in PAGES for name in names]
        assert asked == [True] * (version == "auto") + [False] * 3
        assert keys(endpoint, "b", "e") == ["b c", "d/e"]
        assert endpoint.probe().filesystem == "s3"


def test_a_store_is_not_asked_for_another_version_than_the_remote_says() -> None:
    with store(lambda *_: UNKNOWN, list_version="2") as endpoint:
        with pytest.raises(ListingIncomplete, match="doesn't know this kind of request"):
            list(endpoint.scan())
        with pytest.raises(RootMissing, match="doesn't know this kind of request"):
            endpoint.probe()


def test_a_first_version_that_repeats_a_marker_is_no_end() -> None:
    stuck = old_page({}, marked=True)
    with store(lambda *_: stuck, list_version="1") as endpoint, pytest.raises(ListingIncomplete):
        list(endpoint.scan())


def test_a_store_that_does_not_encode_keys_is_read_as_it_writes_them() -> None:
    names = ("%41", "a b", "a&b", "a+b", "\u00e9")
    page = plain(rows_of(tuple(f"p/{name}" for name in names)))
    with store(lambda *_: Answer(200, page)) as endpoint:
        assert keys(endpoint) == list(names)


SESSION = (
    b"<CreateSessionResult><Credentials><SessionToken>t</SessionToken><SecretAccessKey>s</SecretAccessKey>"
    b"<AccessKeyId>a</AccessKeyId><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>"
    b"</CreateSessionResult>"
)


def test_a_directory_bucket_is_sorted_and_asked_for_no_range() -> None:
    asked: list[dict[str, str]] = []

    def respond(_method: str, _path: str, query: dict[str, str]) -> Answer:
        if "session" in query:
            return Answer(200, SESSION)
        asked.append(query)
        names, token = (("p/d/a", "p/d.x"), "1") if "continuation-token" not in query else (("p/c",), None)
        return Answer(200, amazon(rows_of(names), token=token))

    with store(respond, "shelf--use1-az4--x-s3") as endpoint:
        assert not endpoint.capabilities.ordered_listing
        assert keys(endpoint) == ["c", "d.x", "d/a"]
        assert keys(endpoint, "d", "d/") == ["d.x"]
    assert len(asked) == 4
    assert not any("start-after" in query for query in asked)


def test_no_etag_of_a_directory_bucket_is_taken_for_an_md5_and_none_is_sent() -> None:
    etag = ("ETag", '"0123456789abcdef0123456789abcdef"')
    sent: list[str] = []
    names: list[str] = []

    def respond(method: str, path: str, query: dict[str, str]) -> Answer:
        if "session" in query:
            return Answer(200, SESSION)
        if "prefix" in query:
            return Answer(200, amazon([]))
        sent.append(f"{method} {path}")
        size = (
            () if method == "PUT" else (("Content-Length", "1"), ("Last-Modified", formatdate(usegmt=True)))
        )
        return Answer(200, b"", (etag, *size))

    with store(respond, "shelf--use1-az4--x-s3") as endpoint:
        endpoint._bucket.clients.client.meta.events.register(
            "before-send.s3.PutObject", lambda request, **_: names.extend(request.headers)
        )
        written = put(endpoint, BY_OBSTORE, b"1")
        assert written.stamp == now(endpoint, BY_OBSTORE).stamp == "0123456789abcdef0123456789abcdef"
        assert now(endpoint, BY_OBSTORE).digests == ()
        assert endpoint.requests["put"] == 1
    assert "PUT /shelf--use1-az4--x-s3/p/plain" in sent
    assert "Content-Length" in names
    assert "Content-MD5" not in names


# What is too much, and clocks.


@pytest.mark.parametrize("key", [BY_OBSTORE, BY_BOTO3])
@pytest.mark.parametrize(
    ("answer", "throttled", "retry_after_s"),
    [
        (Answer(503, b"<Error><Code>SlowDown</Code></Error>", (("Retry-After", "7"),)), True, 7),
        (Answer(503, b"<Error><Code>SlowDown</Code></Error>"), True, None),
        (Answer(429, b"", (("Retry-After", "3"),)), True, 3),
        (Answer(500, b"<Error><Code>InternalError</Code></Error>"), False, None),
        (Answer(400, b"<Error><Code>BadDigest</Code></Error>"), False, None),
    ],
)
def test_a_store_that_is_busy_says_so_and_when_it_wants_more(
    answer: Answer, throttled: bool, retry_after_s: float | None, key: str
) -> None:
    def respond(method: str, path: str, _query: dict[str, str]) -> Answer:
        return answer if method == "PUT" else Answer(200 if path == "/b" else 404)

    with store(respond) as endpoint, pytest.raises(Transient) as busy:
        put(endpoint, key, b"1")
    assert (busy.value.throttled, busy.value.retry_after_s) == (throttled, retry_after_s)


def test_a_probe_tells_how_far_the_clock_of_the_store_is_ahead() -> None:
    hour_ns = 3600 * 10**9
    for ahead_ns in (hour_ns, -hour_ns, 0):
        date = formatdate(time.time() + ahead_ns / 10**9, usegmt=True)
        page = Answer(200, amazon([]), (("Date", date),))
        with store(lambda *_, page=page: page) as endpoint:
            skew_ns = endpoint.probe().skew_ns
        assert skew_ns is not None
        assert abs(skew_ns - ahead_ns) < 300 * 10**9
    with store(lambda *_: Answer(200, amazon([]))) as endpoint:
        assert endpoint.probe().skew_ns is None


def test_a_probe_of_a_store_that_can_not_publish_parts_leaves_no_upload(
    seaweed: S3Server, prefix: str
) -> None:
    with (
        seaweed.client() as client,
        proxy(seaweed.endpoint_url, Fault("^POST .*uploadId=", 501, times=99)) as url,
        opened(seaweed, prefix, endpoint_url=url) as endpoint,
    ):
        found = endpoint.probe(scratch=True).conditions
        behind = S3Behind(client, prefix)
        assert (found.put, found.complete, found.delete) == (True, False, True)
        assert behind.names() == behind.uploads() == []


def test_a_store_that_refuses_conditions_is_written_to_without_them(moto: S3Server, prefix: str) -> None:
    def refuse(request: BaseHTTPRequestHandler, _body: bytes) -> Answer | None:
        conditional = {"if-match", "if-none-match"} & {name.lower() for name in request.headers}
        return UNKNOWN if conditional and request.command not in {"GET", "HEAD"} else None

    with proxy(moto.endpoint_url, instead=refuse) as url, opened(moto, prefix, endpoint_url=url) as endpoint:
        probe = endpoint.probe(scratch=True)
        assert probe.conditions == Conditions(put=False, complete=False, delete=False, copy=False)
        for key in (BY_OBSTORE, BY_BOTO3):
            first = put(endpoint, key, b"1")
            with pytest.raises(Changed):
                put(endpoint, key, b"22")
            second = put(endpoint, key, b"22", first)
            with pytest.raises(Changed):
                endpoint.delete(key, expect=first)
            moved = endpoint.move(key, "moved", expect=second)
            endpoint.delete("moved", expect=moved)
        large = put(endpoint, "large", b"x" * LARGE)
        assert keys(endpoint) == ["large"]
        assert now(endpoint, "large").stamp == large.stamp


@pytest.mark.parametrize("key", [BY_OBSTORE, BY_BOTO3])
def test_a_store_that_ignores_ranges_is_not_read_from_the_middle(key: str) -> None:
    head = (("ETag", '"e"'), ("Last-Modified", formatdate(0, usegmt=True)))

    def respond(_method: str, _path: str, query: dict[str, str]) -> Answer:
        return Answer(200, amazon([]) if "prefix" in query else b"0123456789", head)

    with store(respond) as endpoint:
        expect = Entry(key, 10, 0, "e")
        assert whole(endpoint, key, expect) == b"0123456789"
        with pytest.raises(Rejected, match="another part of the object"):
            whole(endpoint, key, expect, start=5)


IN_RANGES = bytes(range(256)) * (SIZE // 256) + b"end"


@contextlib.contextmanager
def without_ranges(body: bytes, *faults: Fault) -> Iterator[tuple[ResilientEndpoint, S3Endpoint]]:
    """A resilient endpoint of a store with one body under all names, which it sends whole; and its inner."""
    head = (("ETag", '"e"'), ("Last-Modified", formatdate(0, usegmt=True)))

    def instead(request: BaseHTTPRequestHandler, _body: bytes) -> Answer:
        return Answer(200, amazon([]) if "prefix=" in request.path else body, head)

    with pytest.MonkeyPatch.context() as environment, proxy("http://unused", *faults, instead=instead) as url:
        environment.setenv("ID", "x")
        remote = Remote(name="c", endpoint_url=url, access_key_id_env="ID", secret_access_key_env="ID")
        with contextlib.closing(S3Endpoint("b", "p", remote=remote, owner="test")) as inner:
            yield ResilientEndpoint(inner, Pace(1, stopped=lambda: False), lambda _seconds: False), inner


@pytest.mark.parametrize("key", [BY_OBSTORE, BY_BOTO3])
def test_a_large_body_of_a_store_that_ignores_ranges_comes_in_one_stream(key: str) -> None:
    expect = Entry(key, len(IN_RANGES), 0, "e")

    with without_ranges(IN_RANGES) as (endpoint, inner):
        with endpoint.read(key, expect=expect) as source:
            assert source.read() == IN_RANGES
        before = inner.requests["get"]
        with endpoint.read(key, expect=expect) as source:
            assert source.read() == IN_RANGES
        assert inner.requests["get"] == before + 1  # it is asked for no range again


@pytest.mark.parametrize("key", [BY_OBSTORE, BY_BOTO3])
def test_a_body_that_breaks_off_at_a_store_that_ignores_ranges_is_to_be_read_anew(key: str) -> None:
    expect = Entry(key, LARGE, 0, "e")
    body = IN_RANGES[:LARGE]

    with without_ranges(body, Fault("GET /b/p/", "cut")) as (endpoint, _):
        with endpoint.read(key, expect=expect) as source, pytest.raises(Transient, match="another part"):
            b"".join(iter(lambda: source.read(PIECE), b""))
        with endpoint.read(key, expect=expect) as source:
            assert source.read() == body


# What a remote's settings send.


class Heard:
    """The requests that went through a proxy, with their headers."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str]]] = []

    def __call__(self, request: BaseHTTPRequestHandler, _body: bytes) -> None:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.requests.append((f"{request.command} {request.path}", headers))


@contextlib.contextmanager
def heard(server: S3Server, prefix: str, **changes: Any) -> Iterator[tuple[S3Endpoint, Heard]]:
    listening = Heard()
    with (
        proxy(server.endpoint_url, instead=listening) as url,
        opened(server, prefix, endpoint_url=url, **changes) as endpoint,
    ):
        yield endpoint, listening


def everything(endpoint: S3Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """Send a request of each kind that there is."""
    monkeypatch.setattr(s3_copy, "MOST_AT_ONCE", PIECE)
    monkeypatch.setattr(s3_copy, "PART_BYTES", PIECE)
    for key in (BY_OBSTORE, BY_BOTO3):
        entry = put(endpoint, key, b"1")
        assert whole(endpoint, key, entry) == b"1"
    large = put(endpoint, "large", b"x" * LARGE)
    assert len(whole_in_large_pieces(endpoint, large)) == LARGE
    assert endpoint.copy_from(endpoint, "copy", entry=large, expect=None) is not None
    assert endpoint.copy_from(endpoint, "small", entry=entry, expect=None) is not None
    assert endpoint.stat("no") is None
    endpoint.move("small", "moved", expect=now(endpoint, "small"))
    with pytest.raises(Changed):
        endpoint.write("m", BytesSource(b"x" * LARGE, breaks_at=LARGE - 10), expect=None)
    endpoint.abort(Upload("k", "00000000-0000-0000-0000-000000000000"))
    assert len(entries(endpoint)) == 5


def test_each_request_to_a_bucket_whose_requests_others_pay_for_says_who_pays(
    moto: S3Server, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with heard(moto, prefix, request_payer=True) as (endpoint, listening):
        everything(endpoint, monkeypatch)
        endpoint.probe(scratch=True)
    assert len(listening.requests) > 30
    silent = [
        what for what, headers in listening.requests if headers.get("x-amz-request-payer") != "requester"
    ]
    assert silent == []
    assert all("x-amz-request-payer" in headers["authorization"] for _, headers in listening.requests)


def test_a_key_of_the_customer_goes_with_each_request_about_content_and_with_no_other(
    moto: S3Server, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = base64.b64encode(os.urandom(32)).decode()
    monkeypatch.setenv("SSE_C", key)
    with heard(moto, prefix, sse_customer_key_env="SSE_C") as (endpoint, listening):
        everything(endpoint, monkeypatch)
    name = "x-amz-server-side-encryption-customer-key"
    for what, headers in listening.requests:
        about_content = f"/{BUCKET}/" in what and not what.startswith("DELETE")
        if "uploadId=" in what and what.startswith("POST"):
            continue  # an upload knows its key
        if about_content and "list-type" not in what:
            assert headers.get(name) == key, what
            assert headers[f"{name}-md5"]
        else:
            assert name not in headers, what
        if "x-amz-copy-source" in headers:
            assert headers["x-amz-copy-source-server-side-encryption-customer-key"] == key


@pytest.mark.parametrize("key", ["", "short", base64.b64encode(b"x" * 31).decode(), "\u00e9" * 44, "%" * 44])
def test_a_key_of_the_customer_of_another_length_is_refused_in_one_line(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSE_C", key)
    endpoint = S3Endpoint("b", "", remote=Remote(name="cloud", sse_customer_key_env="SSE_C"), owner="test")
    with pytest.raises(UsageError, match="Remote 'cloud'") as refused:
        endpoint.probe()
    assert "\n" not in str(refused.value)
    assert not key or key not in str(refused.value)


def test_copies_and_parts_get_the_class_and_encryption_of_the_remote(
    moto: S3Server, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: dict[str, Any] = {"storage_class": "STANDARD_IA", "sse": "aws:kms", "sse_kms_key_id": "k1"}
    with opened(moto, prefix) as endpoint, moto.client() as client:
        behind = S3Behind(client, prefix)
        with opened(moto, prefix, **settings) as dear:
            monkeypatch.setattr(s3_copy, "MOST_AT_ONCE", PIECE)
            monkeypatch.setattr(s3_copy, "PART_BYTES", PIECE)
            for key, size in {"small": 5, "large": LARGE}.items():
                entry = put(endpoint, key, b"x" * size)
                made = dear.copy_from(endpoint, f"{key} copy", entry=entry, expect=None)
                assert made is not None
                moved = dear.move(key, f"{key} moved", expect=entry)
                for found in (made, moved):
                    head = behind.client.head_object(Bucket=BUCKET, Key=behind.prefix + found.key)
                    assert head["StorageClass"] == "STANDARD_IA"
                    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", "k1")
                    assert now(dear, found.key).stamp == found.stamp
                    assert now(dear, found.key).digests == ()
                    assert now(dear, found.key).mtime_ns == MTIME_NS


def test_an_archived_object_is_not_copied_and_others_still_are(moto: S3Server, prefix: str) -> None:
    with opened(moto, prefix) as endpoint, moto.client() as client:
        behind = S3Behind(client, prefix)
        client.put_object(Bucket=BUCKET, Key=behind.prefix + "k", Body=b"1", StorageClass="GLACIER")
        with pytest.raises(Rejected, match="is archived and can't be read"):
            endpoint.copy_from(endpoint, "l", entry=now(endpoint, "k"), expect=None)
        entry = put(endpoint, "m", b"1")
        assert endpoint.copy_from(endpoint, "n", entry=entry, expect=None) is not None


# Buckets with versions.


@pytest.fixture(params=["moto", "seaweed"])
def versioned(request: pytest.FixtureRequest, prefix: str) -> Iterator[tuple[S3Endpoint, Any]]:
    """An endpoint of a bucket that keeps versions, and a client of somebody else."""
    server: S3Server = request.getfixturevalue(request.param)
    with server.client() as client:
        client.create_bucket(Bucket=prefix)
        client.put_bucket_versioning(Bucket=prefix, VersioningConfiguration={"Status": "Enabled"})
        endpoint = S3Endpoint(prefix, "p", remote=server.remote(), owner="test")
        with contextlib.closing(endpoint):
            yield endpoint, client


def versions(client: Any, bucket: str) -> tuple[int, int]:
    """How many versions and how many delete markers there are of `p/k`."""
    answer = client.list_object_versions(Bucket=bucket, Prefix="p/k")
    return len(answer.get("Versions", ())), len(answer.get("DeleteMarkers", ()))


def test_a_bucket_whose_versioning_was_suspended_is_not_believed_to_keep_anything(
    versioned: tuple[S3Endpoint, Any], prefix: str
) -> None:
    endpoint, client = versioned
    assert endpoint.probe(scratch=True).versioned
    assert endpoint.probe().versioned
    client.put_bucket_versioning(Bucket=prefix, VersioningConfiguration={"Status": "Suspended"})

    assert not endpoint.probe().versioned


def test_what_is_replaced_or_deleted_stays_as_a_version_and_is_absent(
    versioned: tuple[S3Endpoint, Any], prefix: str
) -> None:
    endpoint, client = versioned
    first = put(endpoint, "k", b"1")
    second = put(endpoint, "k", b"22", first)
    assert versions(client, prefix) == (2, 0)
    endpoint.delete("k", expect=second)

    assert versions(client, prefix) == (2, 1)
    assert endpoint.stat("k") is None
    assert keys(endpoint) == []
    for stale in (first, second):
        with pytest.raises(Changed):
            whole(endpoint, "k", stale)
        with pytest.raises(Changed):
            put(endpoint, "k", b"333", stale)
    with pytest.raises(Changed):
        endpoint.move("k", "l", expect=second)
    assert keys(endpoint) == []

    again = put(endpoint, "k", b"4444")
    assert whole(endpoint, "k", again) == b"4444"
    assert versions(client, prefix) == (3, 1)
    moved = endpoint.move("k", "l", expect=again)
    assert whole(endpoint, "l", moved) == b"4444"
    assert endpoint.stat("k") is None


def test_conditions_hold_in_a_bucket_with_versions(versioned: tuple[S3Endpoint, Any], prefix: str) -> None:
    endpoint, client = versioned
    endpoint.probe(scratch=True)
    stale = put(endpoint, "k", b"seen")
    client.put_object(Bucket=prefix, Key="p/k", Body=b"unseen")

    for deed in (
        lambda: put(endpoint, "k", b"1", stale),
        lambda: put(endpoint, "k", b"1"),
        lambda: endpoint.delete("k", expect=stale),
        lambda: put(endpoint, "k", b"x" * LARGE, stale),
    ):
        with pytest.raises(Changed):
            deed()
    assert versions(client, prefix) == (2, 0)


def test_a_probe_remarks_versions(versioned: tuple[S3Endpoint, Any]) -> None:
    endpoint, _ = versioned
    told = endpoint.probe(scratch=True).remarks
    assert sum("Versioning is on" in sentence for sentence in told) == 1
    assert keys(endpoint) == []


def test_a_probe_remarks_a_store_that_keeps_directories(seaweed: S3Server, prefix: str) -> None:
    with opened(seaweed, prefix) as endpoint:
        probe = endpoint.probe(scratch=True)
    for words in ("no copies on a condition", "body in parts", "SeaweedFS"):
        assert sum(words in remark for remark in probe.remarks) == 1, words
    assert not probe.conditions.copy


def test_a_probe_finds_the_same_where_a_proxy_hides_what_store_it_is(seaweed: S3Server, prefix: str) -> None:
    with opened(seaweed, prefix) as bare:
        told = bare.probe(scratch=True)
    with (
        proxy(seaweed.endpoint_url) as url,
        opened(seaweed, prefix, endpoint_url=url) as endpoint,
        opened(seaweed, prefix, told.conditions._replace(tree=True), endpoint_url=url) as later,
    ):
        found = endpoint.probe(scratch=True)
        assert (found.conditions, found.remarks) == (told.conditions._replace(tree=True), told.remarks)
        for each in (endpoint, later):
            for key in ("a//b", "a\\b"):
                assert "keeps keys as directories" in (each.refusal(key) or "")
            assert not each.capabilities.atomic_parts
        assert later.requests == {}, "it's known without a request"


@pytest.mark.parametrize("which", ["moto", "rclone_serve"])
def test_a_store_of_which_a_range_is_right_is_not_taken_for_one_that_keeps_directories(
    which: str, request: pytest.FixtureRequest, prefix: str
) -> None:
    server: S3Server = request.getfixturevalue(which)
    with opened(server, prefix) as endpoint:
        asked = sum(endpoint.requests.values())
        assert not endpoint.probe(scratch=True).conditions.tree
        assert endpoint.requests["list"] - asked <= 2, "one to look at the bucket, one to find out"


def test_what_a_store_was_found_to_be_is_found_anew_by_the_next_probe(moto: S3Server, prefix: str) -> None:
    with opened(moto, prefix, Conditions(tree=True)) as endpoint:
        assert endpoint.refusal("a//b")
        assert not endpoint.probe(scratch=True).conditions.tree
        assert endpoint.refusal("a//b") is None


@pytest.mark.parametrize(
    "fault", [Fault("start-after", 403, times=99), Fault("^HEAD ", 403, times=99), Fault("^PUT ", "lose")]
)
def test_a_probe_that_fails_leaves_neither_an_object_nor_a_folder(
    seaweed: S3Server, prefix: str, fault: Fault
) -> None:
    with (
        seaweed.client() as client,
        proxy(seaweed.endpoint_url, fault) as url,
        opened(seaweed, prefix, endpoint_url=url) as endpoint,
    ):
        with pytest.raises(BisyncerError):
            endpoint.probe(scratch=True)
        assert fault.seen
        left = client.list_objects_v2(Bucket=BUCKET, Prefix=f"{prefix}/.", Delimiter="/")
        assert not left.get("Contents")
        assert not left.get("CommonPrefixes")
