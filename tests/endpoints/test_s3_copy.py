"""Copies and moves inside a store, against SeaweedFS; and every answer to a mutation lost once."""

from __future__ import annotations

import contextlib
import os
import threading
import uuid
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from itertools import count
from typing import Any

import pytest

from bisyncer.endpoints import s3_copy
from bisyncer.endpoints.base import Upload, Uploads
from bisyncer.endpoints.memory import MemoryEndpoint
from bisyncer.endpoints.pace import Pace
from bisyncer.endpoints.s3 import S3Endpoint
from bisyncer.errors import Changed, Rejected, Transient
from bisyncer.model import ALL_CONDITIONS, Entry
from tests.endpoints.contract import (
    MTIME_NS,
    WRITERS,
    BytesSource,
    entries,
    keys,
    metadata_of,
    now,
    put,
    race,
    whole,
)
from tests.endpoints.test_s3 import BY_BOTO3, BY_OBSTORE, LARGE, S3Behind, opened, whole_in_large_pieces
from tests.faults import Answer, Fault, proxy
from tests.servers import BUCKET, S3Server

FIELDS = {
    "mode": "100640",
    "project": "apollo 11",
    "content-type": "text/x-log",
    "cache-control": "max-age=60",
    "content-disposition": 'attachment; filename="k.log"',
    "content-language": "de",
}
PIECE = 5 << 20  # the least that a part of a copy may have
LONG = 2 * PIECE + 7


@pytest.fixture
def prefix() -> str:
    """A prefix that no other test uses."""
    return uuid.uuid4().hex


@pytest.fixture
def behind(seaweed: S3Server, prefix: str) -> Iterator[S3Behind]:
    with seaweed.client() as client:
        yield S3Behind(client, prefix)


@pytest.fixture
def endpoint(seaweed: S3Server, prefix: str) -> Iterator[S3Endpoint]:
    with opened(seaweed, prefix) as endpoint:
        yield endpoint


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is longer than `PIECE` takes several requests to copy."""
    monkeypatch.setattr(s3_copy, "MOST_AT_ONCE", PIECE)
    monkeypatch.setattr(s3_copy, "PART_BYTES", PIECE)


@contextlib.contextmanager
def faulty(server: S3Server, prefix: str, *faults: Fault) -> Iterator[S3Endpoint]:
    """An endpoint whose requests go through a proxy with these faults."""
    with proxy(server.endpoint_url, *faults) as url, opened(server, prefix, endpoint_url=url) as endpoint:
        yield endpoint


def copied(endpoint: S3Endpoint, entry: Entry, key: str, expect: Entry | None = None) -> Entry:
    """The entry of a copy that the store itself has made."""
    made = endpoint.copy_from(endpoint, key, entry=entry, expect=expect)
    assert made is not None
    return made


@contextlib.contextmanager
def right_before(endpoint: S3Endpoint, operation: str, act: Callable[[], object]) -> Iterator[None]:
    """Let `act` happen right before the first request of that kind is sent."""
    bucket: Any = endpoint._bucket
    ask = bucket.ask
    waiting = [act]

    def asked(asking: str, **arguments: Any) -> Any:
        if asking == operation and waiting:
            waiting.pop()()
        return ask(asking, **arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bucket, "ask", asked)
        yield
    assert not waiting


# Copies.


def test_a_copy_takes_all_that_is_beside_the_content_along_in_two_requests(endpoint: S3Endpoint) -> None:
    entry = put(endpoint, "k", b"12345", metadata=FIELDS)
    before = dict(endpoint.requests)

    made = copied(endpoint, entry, "l")

    assert endpoint.requests == {**before, "head": before.get("head", 0) + 1, "copy": 1}
    assert metadata_of(endpoint, made) == FIELDS
    assert made.digests == now(endpoint, "l").digests == now(endpoint, "k").digests
    assert now(endpoint, "l").mtime_ns == MTIME_NS


def test_a_copy_of_what_has_no_time_of_its_own_gets_that_of_the_entry(
    endpoint: S3Endpoint, behind: S3Behind
) -> None:
    behind.client.put_object(
        Bucket=BUCKET, Key=behind.prefix + "k", Body=b"1", Metadata={"Project": "apollo"}
    )
    (listed,) = entries(endpoint)

    made = copied(endpoint, listed._replace(mtime_ns=MTIME_NS), "l")

    assert made.mtime_ns == now(endpoint, "l").mtime_ns == MTIME_NS
    assert metadata_of(endpoint, made)["project"] == "apollo"


@pytest.mark.parametrize(
    "key", ["%41", "a+b", "a b/c d", "\u00e9/\U0001f600", "new\nline", "q?x=1&y#z", "'\"*"]
)
def test_every_odd_name_is_copied_from_and_to(endpoint: S3Endpoint, behind: S3Behind, key: str) -> None:
    there = copied(endpoint, put(endpoint, "from", b"12345"), key)
    back = copied(endpoint, there, "to")

    assert behind.names() == sorted(["from", key, "to"])
    assert whole(endpoint, "to", back) == behind.content(key) == b"12345"


def test_copies_go_between_buckets_and_prefixes_of_one_store_and_to_no_other(
    seaweed: S3Server, prefix: str, endpoint: S3Endpoint
) -> None:
    entry = put(endpoint, "k", b"12345", metadata=FIELDS)
    with seaweed.client() as client:
        client.create_bucket(Bucket=prefix)
    other = S3Endpoint(prefix, "deep/er", remote=seaweed.remote(), owner="test")
    elsewhere = S3Endpoint(
        BUCKET, prefix, remote=seaweed.remote(endpoint_url="http://127.0.0.1:1"), owner="test"
    )
    with contextlib.closing(other), contextlib.closing(elsewhere):
        made = other.copy_from(endpoint, "a b/\u00e9%41", entry=entry, expect=None)
        assert made is not None
        assert whole(other, "a b/\u00e9%41", made) == b"12345"
        assert metadata_of(other, made) == FIELDS
        assert endpoint.copy_from(other, "back", entry=made, expect=None) is not None
        assert elsewhere.requests == {}
        assert endpoint.copy_from(elsewhere, "l", entry=entry, expect=None) is None
    assert endpoint.copy_from(MemoryEndpoint("m"), "l", entry=entry, expect=None) is None
    assert keys(endpoint) == ["back", "k"]


def test_a_copy_tests_both_conditions_in_the_same_step(endpoint: S3Endpoint, behind: S3Behind) -> None:
    entry, there = put(endpoint, "k", b"seen"), put(endpoint, "l", b"there")
    for key, expect in (("l", there), ("m", None)):
        with (
            pytest.raises(Changed, match=f"'{key}'"),
            right_before(endpoint, "copy_object", lambda key=key: behind.plant(key, b"unseen")),  # type: ignore[misc]
        ):
            endpoint.copy_from(endpoint, key, entry=entry, expect=expect)
        assert behind.content(key) == b"unseen"
    with (
        pytest.raises(Changed, match="'k'"),
        right_before(endpoint, "copy_object", lambda: behind.plant("k", b"unseen")),
    ):
        endpoint.copy_from(endpoint, "n", entry=entry, expect=None)
    assert behind.names() == ["k", "l", "m"]


@pytest.mark.parametrize("replacing", [False, True])
def test_of_many_that_copy_to_one_key_exactly_one_wins(
    endpoint: S3Endpoint, behind: S3Behind, replacing: bool
) -> None:
    sources = [put(endpoint, f"from/{number}", bytes([number]) * (number + 1)) for number in range(WRITERS)]
    seen = put(endpoint, "k", b"seen" * WRITERS) if replacing else None

    won = race(lambda number: endpoint.copy_from(endpoint, "k", entry=sources[number], expect=seen))

    assert len(won) == 1
    assert behind.content("k") == bytes(won) * (won[0] + 1)


def test_of_many_that_move_one_key_each_that_is_told_so_has_its_copy(
    endpoint: S3Endpoint, behind: S3Behind
) -> None:
    entry = put(endpoint, "k", b"12345")

    won = race(lambda number: endpoint.move("k", f"to/{number}", expect=entry))

    # None can know whose deletion it was that was carried out, so none takes its copy back.
    assert won
    assert behind.names() == sorted(f"to/{number}" for number in won)
    assert {behind.content(name) for name in behind.names()} == {b"12345"}


@pytest.mark.usefixtures("small_pieces")
def test_a_long_object_is_copied_by_parts_with_all_that_is_beside_it(
    endpoint: S3Endpoint, behind: S3Behind
) -> None:
    data = os.urandom(LONG)
    entry = put(endpoint, "long", data, metadata=FIELDS)
    seen = put(endpoint, "there", b"seen")

    made = copied(endpoint, entry, "copy")
    replaced = copied(endpoint, entry, "there", seen)

    assert endpoint.requests["copy"] == 6
    for found in (made, replaced):
        assert whole_in_large_pieces(endpoint, found) == data
        assert metadata_of(endpoint, found) == FIELDS
        assert now(endpoint, found.key).mtime_ns == found.mtime_ns == MTIME_NS
        assert now(endpoint, found.key).stamp == found.stamp
    assert behind.uploads() == []


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("expected", [False, True])
def test_a_long_copy_replaces_what_was_seen_and_nothing_else(
    endpoint: S3Endpoint, behind: S3Behind, expected: bool
) -> None:
    entry = put(endpoint, "k", b"x" * LONG)
    seen = put(endpoint, "l", b"seen") if expected else None

    with (
        pytest.raises(Changed, match="'l'"),
        right_before(endpoint, "complete_multipart_upload", lambda: behind.plant("l", b"unseen")),
    ):
        endpoint.copy_from(endpoint, "l", entry=entry, expect=seen)

    assert behind.content("l") == b"unseen"
    assert behind.uploads() == []


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("theirs", [b"y" * LONG, None])
def test_a_long_copy_of_which_the_source_changes_meanwhile_is_never_published(
    endpoint: S3Endpoint, behind: S3Behind, theirs: bytes | None
) -> None:
    entry = put(endpoint, "k", b"x" * LONG)
    act = (lambda: behind.remove("k")) if theirs is None else (lambda: behind.plant("k", theirs))

    with pytest.raises(Changed, match="'k'"), right_before(endpoint, "upload_part_copy", act):
        endpoint.copy_from(endpoint, "l", entry=entry, expect=None)

    assert behind.content("l") is None
    assert behind.uploads() == []


@pytest.mark.usefixtures("small_pieces")
def test_a_long_copy_of_which_parts_are_too_many_at_a_time_is_made_and_the_pace_hears_of_them(
    seaweed: S3Server, prefix: str
) -> None:
    data = os.urandom(LONG)
    with faulty(seaweed, prefix, Fault("^PUT .*/l.*partNumber=", 503, times=2)) as endpoint:
        endpoint.heed(pace := Pace(8))
        entry = put(endpoint, "k", data)

        made = copied(endpoint, entry, "l")

        assert whole_in_large_pieces(endpoint, made) == data
    assert pace.failures == {"transient": 2, "throttled": 2}


@pytest.mark.usefixtures("small_pieces")
def test_parts_of_a_long_copy_wait_for_their_turn_and_are_given_up_when_one_was_refused(
    seaweed: S3Server, prefix: str, behind: S3Behind
) -> None:
    waits = threading.Event()
    sent: list[str] = []

    def stopped() -> bool:
        waits.set()  # it is asked by who has to wait
        return False

    def refuse(request: BaseHTTPRequestHandler, _body: bytes) -> Answer | None:
        if request.headers.get("x-amz-copy-source") is None:
            return None
        sent.append(request.path)
        assert waits.wait(30)
        return Answer(403, b"<Error><Code>AccessDenied</Code></Error>")

    seconds = count(0.0, 2.0)
    pace = Pace(8, stopped=stopped, now_s=lambda: next(seconds))
    for _ in range(3):
        pace.failed(throttled=True, retry_after_s=None)
    with (
        proxy(seaweed.endpoint_url, instead=refuse) as url,
        opened(seaweed, prefix, endpoint_url=url) as endpoint,
    ):
        entry = put(endpoint, "k", b"x" * LONG)
        endpoint.heed(pace)

        assert endpoint.copy_from(endpoint, "l", entry=entry, expect=None) is None
    assert len(sent) == 1
    assert behind.uploads() == []


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("status", [403, 501])
@pytest.mark.parametrize("size", [5, LONG])
def test_a_store_that_may_not_or_can_not_copy_is_asked_once_and_the_content_goes_through_here(
    seaweed: S3Server, prefix: str, behind: S3Behind, status: int, size: int
) -> None:
    pattern = "^PUT .*/(l|new)$" if size == 5 else "^PUT .*/(l|new).*partNumber="
    refused = Fault(pattern, status, times=99)
    data = os.urandom(size)
    with faulty(seaweed, prefix, refused) as endpoint:
        entry = put(endpoint, "k", data, metadata=FIELDS)
        assert endpoint.copy_from(endpoint, "l", entry=entry, expect=None) is None
        assert (asked := endpoint.requests["copy"]) == refused.seen > 0
        assert endpoint.copy_from(endpoint, "l", entry=entry, expect=None) is None
        assert behind.uploads() == []
        assert behind.names() == ["k"]
        refused.left = 0
        moved = endpoint.move("k", "new", expect=entry)

        assert endpoint.requests["copy"] == asked
        assert whole_in_large_pieces(endpoint, moved) == data
        assert metadata_of(endpoint, moved) == FIELDS
        assert now(endpoint, "new").mtime_ns == MTIME_NS
    assert behind.names() == ["new"]


# Answers that never come: of each kind of mutation the first one.

MUTATIONS: dict[str, tuple[str, Callable[[S3Endpoint], Entry]]] = {
    "put by obstore": ("^PUT .*/k$", lambda endpoint: put(endpoint, "k", b"1", metadata=FIELDS)),
    "put by boto3": ("^PUT .*/tab%09$", lambda endpoint: put(endpoint, BY_BOTO3, b"1", metadata=FIELDS)),
    "replace by obstore": (
        "^PUT .*/k$",
        lambda endpoint: put(endpoint, "k", b"22", now(endpoint, "k"), metadata=FIELDS),
    ),
    "replace by boto3": (
        "^PUT .*/tab%09$",
        lambda endpoint: put(endpoint, BY_BOTO3, b"22", now(endpoint, BY_BOTO3), metadata=FIELDS),
    ),
    "part": ("^PUT .*/k.*partNumber=", lambda endpoint: put(endpoint, "k", b"x" * LARGE, metadata=FIELDS)),
    "complete": ("^POST .*/k.uploadId=", lambda endpoint: put(endpoint, "k", b"x" * LARGE, metadata=FIELDS)),
    "complete, replace": (
        "^POST .*/k.uploadId=",
        lambda endpoint: put(endpoint, "k", b"x" * LARGE, now(endpoint, "k"), metadata=FIELDS),
    ),
    "copy": ("^PUT .*/k$", lambda endpoint: copied(endpoint, now(endpoint, "from"), "k")),
    "copy, replace": (
        "^PUT .*/k$",
        lambda endpoint: copied(endpoint, now(endpoint, "from"), "k", now(endpoint, "k")),
    ),
    "part of a copy": (
        "^PUT .*/k.*partNumber=",
        lambda endpoint: copied(endpoint, now(endpoint, "long"), "k"),
    ),
    "complete of a copy": (
        "^POST .*/k.uploadId=",
        lambda endpoint: copied(endpoint, now(endpoint, "long"), "k"),
    ),
    "complete of a copy, replace": (
        "^POST .*/k.uploadId=",
        lambda endpoint: copied(endpoint, now(endpoint, "long"), "k", now(endpoint, "k")),
    ),
    "move, copied": ("^PUT .*/k$", lambda endpoint: endpoint.move("from", "k", expect=now(endpoint, "from"))),
    "move, deleted": (
        "^DELETE .*/from$",
        lambda endpoint: endpoint.move("from", "k", expect=now(endpoint, "from")),
    ),
}


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("kind", MUTATIONS)
def test_a_mutation_whose_answer_is_lost_is_done_once(
    seaweed: S3Server, prefix: str, endpoint: S3Endpoint, behind: S3Behind, kind: str
) -> None:
    pattern, deed = MUTATIONS[kind]
    put(endpoint, "from", b"12345", metadata=FIELDS)
    if "of a copy" in kind:
        put(endpoint, "long", b"x" * LONG, metadata=FIELDS)
    target = BY_BOTO3 if "boto3" in kind else "k"
    if "replace" in kind:
        put(endpoint, target, b"old")
    before = set(behind.names())
    lost = Fault(pattern, "lose")
    with faulty(seaweed, prefix, lost) as through:
        entry = deed(through)
        counts = dict(through.requests)

    assert lost.seen == 1
    assert now(endpoint, target).stamp == entry.stamp
    assert now(endpoint, target).mtime_ns == entry.mtime_ns == MTIME_NS
    assert metadata_of(endpoint, entry) == FIELDS
    assert len(whole_in_large_pieces(endpoint, entry)) == entry.size
    assert set(behind.names()) == before - ({"from"} if "move" in kind else set()) | {target}
    assert behind.uploads() == []
    if "part" not in kind and "complete" not in kind:
        assert counts.get("put", 0) + counts.get("copy", 0) == 1
        assert counts.get("delete", 0) == ("move" in kind)


@pytest.mark.parametrize("what", ["swallow", 500, 503])
@pytest.mark.parametrize(
    "kind", ["put by boto3", "replace by boto3", "copy", "copy, replace", "move, copied"]
)
def test_a_mutation_that_never_arrived_is_transient_and_sent_once(
    seaweed: S3Server, prefix: str, behind: S3Behind, kind: str, what: str | int
) -> None:
    pattern, deed = MUTATIONS[kind]
    with opened(seaweed, prefix) as endpoint:
        put(endpoint, "from", b"12345", metadata=FIELDS)
        target = BY_BOTO3 if "boto3" in kind else "k"
        if "replace" in kind:
            put(endpoint, target, b"old")
    before = behind.names()
    fault = Fault(pattern, what, times=9)
    with faulty(seaweed, prefix, fault) as through, pytest.raises(Transient):
        deed(through)
    assert fault.seen == 1
    assert behind.names() == before
    assert behind.content(target) in {None, b"old"}


def test_a_copy_of_an_object_of_parts_whose_answer_is_lost_is_done_once(
    seaweed: S3Server, prefix: str, endpoint: S3Endpoint, behind: S3Behind
) -> None:
    entry = put(endpoint, "from", b"x" * LARGE)
    lost = Fault("^PUT .*/k$", "lose")
    with faulty(seaweed, prefix, lost) as through:
        made = copied(through, entry, "k")
    assert lost.seen == 1
    assert now(endpoint, "k").stamp == made.stamp
    assert behind.names() == ["from", "k"]


@pytest.mark.parametrize("kind", ["put by boto3", "replace by boto3", "complete", "complete, replace"])
def test_a_write_that_is_encrypted_and_whose_answer_is_lost_is_done_once(
    moto: S3Server, prefix: str, kind: str
) -> None:
    pattern, deed = MUTATIONS[kind]
    target = BY_BOTO3 if "boto3" in kind else "k"
    lost = Fault(pattern, "lose")
    with (
        proxy(moto.endpoint_url, lost) as url,
        opened(moto, prefix, sse="aws:kms") as endpoint,
        opened(moto, prefix, sse="aws:kms", endpoint_url=url) as through,
    ):
        if "replace" in kind:
            put(endpoint, target, b"old")
        entry = deed(through)
        assert now(endpoint, target).stamp == entry.stamp
        assert now(endpoint, target).digests == ()
        assert keys(endpoint) == [target]
    assert lost.seen == 1


def test_an_encrypted_object_of_parts_of_which_nobody_can_tell_whose_it_is_is_no_change(
    moto: S3Server, prefix: str
) -> None:
    with (
        moto.client() as client,
        opened(moto, prefix, sse="aws:kms") as endpoint,
    ):
        seen = put(endpoint, "k", b"seen")
        name = f"{prefix}/k"
        theirs = Fault("^POST ", "lose", then=lambda: client.put_object(Bucket=BUCKET, Key=name, Body=b"x"))
        with (
            proxy(moto.endpoint_url, theirs) as url,
            opened(moto, prefix, sse="aws:kms", endpoint_url=url) as through,
            pytest.raises(Transient),
        ):
            put(through, "k", b"y" * LARGE, seen)


def test_the_same_bytes_under_another_time_are_no_sign_of_a_write(
    seaweed: S3Server, prefix: str, endpoint: S3Endpoint
) -> None:
    for key in (BY_OBSTORE, BY_BOTO3):
        before = endpoint.write(key, BytesSource(b"same", mtime_ns=1_000_000_000), expect=None)
        never = Fault("^PUT ", "swallow", times=9)
        with faulty(seaweed, prefix, never) as through, pytest.raises(Transient):
            put(through, key, b"same", before)
        assert now(endpoint, key).mtime_ns == 1_000_000_000


def test_an_upload_whose_first_answer_is_lost_is_empty_and_nobody_knows_its_name(
    seaweed: S3Server, prefix: str, behind: S3Behind
) -> None:
    lost = Fault("^POST .*/k.uploads", "lose")
    with faulty(seaweed, prefix, lost) as endpoint, pytest.raises(Transient, match="no answer"):
        put(endpoint, "k", b"x" * LARGE)
    assert lost.seen == 1
    assert behind.names() == []
    assert behind.uploads() == ["k"]
    assert behind.parts() == []


def test_an_upload_whose_abortion_goes_unanswered_leaves_nothing_and_is_remembered(
    seaweed: S3Server, prefix: str, behind: S3Behind
) -> None:
    noted = Noted()
    lost = Fault("^DELETE .*uploadId=", "lose")
    with proxy(seaweed.endpoint_url, lost) as url, watched(seaweed, prefix, noted, url) as endpoint:
        with pytest.raises(Changed):
            endpoint.write("k", BytesSource(b"x" * LARGE, breaks_at=LARGE - 10), expect=None)
        assert lost.seen == 1
        assert behind.uploads() == []
        (upload,) = noted.open
        endpoint.abort(upload)


# Uploads that are remembered.


class Noted:
    """Who remembers uploads, and what the bucket had of them when each was told."""

    def __init__(self, parts: Callable[[], list[int]] = list) -> None:
        self.open: list[Upload] = []
        self.told: list[tuple[str, list[int]]] = []
        self._parts = parts

    def began(self, upload: Upload) -> None:
        self.open.append(upload)
        self.told.append(("began", self._parts()))

    def ended(self, upload: Upload) -> None:
        self.open.remove(upload)
        self.told.append(("ended", self._parts()))


@contextlib.contextmanager
def watched(server: S3Server, prefix: str, uploads: Uploads, url: str | None = None) -> Iterator[S3Endpoint]:
    remote = server.remote(endpoint_url=url) if url else server.remote()
    with contextlib.closing(
        S3Endpoint(BUCKET, prefix, remote=remote, owner="test", conditions=ALL_CONDITIONS, uploads=uploads)
    ) as endpoint:
        yield endpoint


@pytest.mark.usefixtures("small_pieces")
def test_an_upload_is_remembered_before_its_first_part_and_until_it_is_published_or_aborted(
    seaweed: S3Server, prefix: str, behind: S3Behind
) -> None:
    noted = Noted(behind.parts)
    with watched(seaweed, prefix, noted) as endpoint:
        entry = put(endpoint, "k", b"x" * LONG)
        copied(endpoint, entry, "l")
        with pytest.raises(Changed):
            endpoint.write("m", BytesSource(b"x" * LARGE, breaks_at=LARGE - 10), expect=None)
        with pytest.raises(Changed):
            put(endpoint, "k", b"y" * LARGE)

    assert noted.told == [("began", []), ("ended", [])] * 4
    assert behind.names() == ["k", "l"]


class Killed(BaseException):
    """What ends a run without its doing anything more."""


def test_what_a_killed_run_left_is_aborted_and_nobody_elses(
    seaweed: S3Server, prefix: str, behind: S3Behind
) -> None:
    noted = Noted()
    theirs = behind.client.create_multipart_upload(Bucket=BUCKET, Key=behind.prefix + "k")["UploadId"]

    def killed() -> None:
        raise Killed

    with watched(seaweed, prefix, noted) as endpoint:
        with (
            right_before(endpoint, "abort_multipart_upload", killed),
            right_before(endpoint, "complete_multipart_upload", killed),
            pytest.raises(Killed),
        ):
            put(endpoint, "k", b"x" * LARGE)
        assert behind.uploads() == ["k", "k"]
        (left,) = noted.open
        endpoint.abort(left)
        endpoint.abort(left)
        with pytest.raises(Transient, match="no answer"), proxied(seaweed, prefix) as deaf:
            deaf.abort(left)

    assert behind.uploads() == ["k"]
    behind.client.abort_multipart_upload(Bucket=BUCKET, Key=behind.prefix + "k", UploadId=theirs)


@contextlib.contextmanager
def proxied(server: S3Server, prefix: str) -> Iterator[S3Endpoint]:
    """An endpoint whose deletions never arrive."""
    with faulty(server, prefix, Fault("^DELETE ", "swallow", times=99)) as endpoint:
        yield endpoint


def test_an_upload_that_somebody_aborts_meanwhile_is_sent_again_another_time(
    endpoint: S3Endpoint, behind: S3Behind
) -> None:
    def meddle() -> None:
        answer = behind.client.list_multipart_uploads(Bucket=BUCKET, Prefix=behind.prefix)
        for upload in answer["Uploads"]:
            behind.client.abort_multipart_upload(
                Bucket=BUCKET, Key=upload["Key"], UploadId=upload["UploadId"]
            )

    seen = put(endpoint, "k", b"seen")
    for expect, key in ((None, "l"), (seen, "k")):
        with (
            right_before(endpoint, "complete_multipart_upload", meddle),
            pytest.raises(Transient, match="ended the upload"),
        ):
            put(endpoint, key, b"x" * LARGE, expect)
    assert behind.names() == ["k"]
    assert behind.content("k") == b"seen"


@pytest.mark.parametrize("theirs", [b"x" * LARGE, b"theirs", None])
def test_what_somebody_makes_of_an_object_of_parts_is_not_taken_for_ours_where_etags_do_not_tell(
    rclone_serve: S3Server, prefix: str, theirs: bytes | None
) -> None:
    with rclone_serve.client() as client, opened(rclone_serve, prefix) as endpoint:
        behind = S3Behind(client, prefix)
        endpoint.probe(scratch=True)

        def meddle() -> None:
            if theirs is None:
                behind.remove("k")
            else:
                behind.plant("k", theirs)

        def published() -> None:
            looks.enter_context(right_before(endpoint, "head_object", meddle))

        with (
            contextlib.ExitStack() as looks,
            right_before(endpoint, "complete_multipart_upload", published),
            pytest.raises(Changed),
        ):
            put(endpoint, "k", b"y" * LARGE)
        assert behind.content("k") == theirs


# Moves that don't come to their end.


def test_a_move_of_what_is_edited_meanwhile_leaves_the_edit_and_the_copy(
    endpoint: S3Endpoint, behind: S3Behind
) -> None:
    entry = put(endpoint, "k", b"ours")

    with (
        pytest.raises(Changed, match="'k'"),
        right_before(endpoint, "delete_object", lambda: behind.plant("k", b"theirs")),
    ):
        endpoint.move("k", "new", expect=entry)

    assert behind.content("k") == b"theirs"
    # Whether the deletion came first, and its answer was another's, nobody knows.
    assert behind.content("new") == b"ours"


def test_a_move_of_what_is_gone_when_it_is_to_be_deleted_keeps_its_copy(
    endpoint: S3Endpoint, behind: S3Behind
) -> None:
    entry = put(endpoint, "k", b"ours")

    with right_before(endpoint, "delete_object", lambda: behind.remove("k")):
        moved = endpoint.move("k", "new", expect=entry)

    assert behind.names() == ["new"]
    assert whole(endpoint, "new", moved) == b"ours"


def test_a_move_never_takes_back_a_copy_that_somebody_wrote_to(
    endpoint: S3Endpoint, behind: S3Behind
) -> None:
    def meddle() -> None:
        behind.plant("k", b"theirs")
        behind.plant("new", b"theirs too")

    entry = put(endpoint, "k", b"ours")
    with pytest.raises(Changed), right_before(endpoint, "delete_object", meddle):
        endpoint.move("k", "new", expect=entry)

    assert behind.content("k") == b"theirs"
    assert behind.content("new") == b"theirs too"


def test_a_move_of_what_may_not_be_deleted_leaves_no_copy(
    seaweed: S3Server, prefix: str, behind: S3Behind
) -> None:
    with faulty(seaweed, prefix, Fault("^DELETE .*/k$", 403)) as endpoint:
        entry = put(endpoint, "k", b"1")
        with pytest.raises(Rejected, match="access denied"):
            endpoint.move("k", "new", expect=entry)
    assert behind.names() == ["k"]


@pytest.mark.parametrize("what", ["swallow", 500])
def test_a_move_whose_deletion_may_still_come_keeps_the_copy(
    seaweed: S3Server, prefix: str, behind: S3Behind, what: str | int
) -> None:
    with faulty(seaweed, prefix, Fault("^DELETE ", what)) as endpoint:
        entry = put(endpoint, "k", b"1")
        with pytest.raises(Transient):
            endpoint.move("k", "new", expect=entry)
    assert behind.names() == ["k", "new"]


def test_a_copy_whose_answer_is_lost_and_another_write_after_it_is_no_success(
    seaweed: S3Server, prefix: str, behind: S3Behind
) -> None:
    lost = Fault("^PUT .*/l$", "lose", then=lambda: behind.plant("l", b"theirs"))
    with faulty(seaweed, prefix, lost) as endpoint:
        entry = put(endpoint, "k", b"ours")
        with pytest.raises((Changed, Transient)):
            endpoint.copy_from(endpoint, "l", entry=entry, expect=None)
    assert behind.content("l") == b"theirs"
