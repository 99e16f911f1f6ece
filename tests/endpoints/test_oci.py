from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import re
import sys
import tracemalloc
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler
from itertools import pairwise
from pathlib import Path
from typing import Any

import oci
import pytest

from bisyncer.endpoints import oci_copy, oci_object
from bisyncer.endpoints.base import Endpoint, Upload
from bisyncer.endpoints.body import PART_SIZE
from bisyncer.endpoints.memory import MemoryEndpoint
from bisyncer.endpoints.oci import CAPABILITIES, OciEndpoint
from bisyncer.endpoints.oci_auth import service
from bisyncer.endpoints.open import open_endpoint
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
from bisyncer.model import Algorithm, Conditions, Digest, Entry
from tests.endpoints.contract import (
    BUCKET_KEYS,
    MTIME_NS,
    Behind,
    BucketContract,
    BytesSource,
    entries,
    honoured,
    keys,
    metadata_of,
    now,
    put,
    race,
    whole,
)
from tests.faults import Answer, Fault, canned, proxy
from tests.oci.account import BUCKET, NAMESPACE, REGION, OciAccount
from tests.oci.body import Body
from tests.oci.store import Bucket, Object, Refused
from tests.oci.store import Conditions as Asked

LARGE = PART_SIZE + 1  # bytes; sent in parts


class _Behind:
    """The bucket as the server has it, below one prefix."""

    def __init__(self, account: OciAccount, prefix: str) -> None:
        self.bucket = account.bucket
        self.prefix = f"{prefix}/"

    def plant(self, key: str, data: bytes) -> None:
        self.bucket.put(Object(self.prefix + key, Body(data), "application/octet-stream", {}), Asked())

    def remove(self, key: str) -> None:
        self.bucket.delete(self.prefix + key, Asked())

    def content(self, key: str) -> bytes | None:
        found = self.bucket.objects.get(self.prefix + key)
        return found.data if found else None

    def object(self, key: str) -> Object:
        return self.bucket.get(self.prefix + key)

    def names(self) -> list[str]:
        names = list(self.bucket.objects)
        return sorted(name.removeprefix(self.prefix) for name in names if name.startswith(self.prefix))

    def uploads(self) -> list[str]:
        """Names of which there are parts that nobody has made an object of."""
        uploads = list(self.bucket.uploads.values())
        return [upload.object for upload in uploads if upload.object.startswith(self.prefix)]


@pytest.fixture
def prefix() -> str:
    """A prefix that no other test uses."""
    return uuid.uuid4().hex


@pytest.fixture
def behind(oci_account: OciAccount, prefix: str) -> _Behind:
    return _Behind(oci_account, prefix)


@contextlib.contextmanager
def opened(account: OciAccount, prefix: str, **changes: Any) -> Iterator[OciEndpoint]:
    with contextlib.closing(
        OciEndpoint(BUCKET, prefix, remote=account.remote(**changes), owner="test")
    ) as endpoint:
        yield endpoint


class Ledger:
    """What was told of uploads: with the number of parts that each had then, None where it was gone."""

    def __init__(self, behind: _Behind) -> None:
        self.told: list[tuple[str, Upload, int | None]] = []
        self._uploads = behind.bucket.uploads

    def began(self, upload: Upload) -> None:
        self._tell("began", upload)

    def ended(self, upload: Upload) -> None:
        self._tell("ended", upload)

    def open(self) -> set[Upload]:
        by_word = {
            word: {upload for told, upload, _ in self.told if told == word} for word in ("began", "ended")
        }
        return by_word["began"] - by_word["ended"]

    def _tell(self, word: str, upload: Upload) -> None:
        held = self._uploads.get(upload.id)
        self.told.append((word, upload, None if held is None else len(held.parts)))


class _Zeros:
    """A source of `size` bytes that exist one piece at a time."""

    def __init__(self, size: int) -> None:
        self.entry = Entry("from", size, MTIME_NS, "from-stamp")
        self.metadata: dict[str, str] = {}
        self._left = size

    def read(self, size: int = -1, /) -> bytes:
        piece = bytes(min(size, self._left))
        self._left -= len(piece)
        return piece


class TestOci(BucketContract):
    bucket_keys = tuple(key for key in BUCKET_KEYS if "\n" not in key)  # OCI refuses line breaks

    @pytest.fixture
    def endpoint(self, oci_account: OciAccount, prefix: str) -> Iterator[Endpoint]:
        conditions = honoured(str(oci_account.folder), partial(opened, oci_account, "probed"))
        remote = oci_account.remote()
        with contextlib.closing(
            OciEndpoint(BUCKET, prefix, remote=remote, owner="test", conditions=conditions)
        ) as endpoint:
            yield endpoint

    @pytest.fixture
    def behind(self, oci_account: OciAccount, prefix: str) -> Behind:
        return _Behind(oci_account, prefix)

    def test_a_key_that_a_bucket_can_not_hold_is_rejected(
        self, oci_account: OciAccount, endpoint: Endpoint, behind: Behind
    ) -> None:
        for key in ("new\nline", "carriage\rreturn", "nul\0"):
            with pytest.raises(Rejected, match="no line break"):
                put(endpoint, key, b"1")
        with opened(oci_account, "") as whole_bucket:
            for key in (".", ".."):
                assert whole_bucket.refusal(key) is not None
        assert endpoint.refusal("..") is None
        assert behind.names() == []

    def test_a_key_is_never_taken_for_another(
        self, oci_account: OciAccount, endpoint: Endpoint, prefix: str, behind: _Behind
    ) -> None:
        names = ["..", ".", "a/..", "../x", "a//b", "?a=b", "#a", "a%2Fb", "+", "a;b", "/"]
        written = {key: put(endpoint, key, key.encode()) for key in names}

        assert behind.names() == sorted(names)
        for key, entry in written.items():
            assert whole(endpoint, key, entry) == key.encode()
            assert now(endpoint, key).stamp == entry.stamp
            endpoint.delete(key, expect=entry)
        assert behind.names() == []

    def test_a_scan_costs_one_request_a_page_and_no_look(
        self, oci_account: OciAccount, prefix: str, behind: _Behind
    ) -> None:
        with opened(oci_account, prefix) as endpoint:
            for number in range(5):
                behind.plant(f"d/{number}", b"1")
            assert endpoint.root
            before = endpoint.requests
            assert len(entries(endpoint)) == 5

            assert endpoint.requests == {**before, "list": 1}

    def test_pages_and_ranges_of_many_keys_are_exact(self, endpoint: Endpoint, behind: _Behind) -> None:
        names = sorted(
            [f"{n:04}" for n in range(2100)] + [f"0999/{n:03}" for n in range(60)] + ["0999-", "0999 x"]
        )
        for key in names:
            behind.plant(key, b"1")

        assert keys(endpoint) == names
        for at in (0, 1, 500, 998, 999, 1000, 1001, 1002, 1003, 1999, 2000, 2001, len(names) - 1):
            assert keys(endpoint, names[at]) == names[at:]
            assert keys(endpoint, "", names[at]) == names[:at]
        cuts = ["", *names[100::250], None]
        assert [k for low, high in pairwise(cuts) for k in keys(endpoint, low or "", high)] == names

    @pytest.mark.parametrize("count", [999, 1000, 1001, 2000])
    def test_a_last_page_that_is_full_is_the_last(
        self, endpoint: Endpoint, behind: _Behind, count: int
    ) -> None:
        for number in range(count):
            behind.plant(f"{number:04}", b"1")

        assert len(keys(endpoint)) == count

    def test_bounds_that_no_name_can_have_still_bound(self, endpoint: Endpoint, behind: _Behind) -> None:
        for key in ("a", "b", "c"):
            behind.plant(key, b"1")

        for bound in ("a\n", "a\0", "a\udcff", "a" + "\x01" * 2000):
            assert keys(endpoint, bound) == ["b", "c"]
            assert keys(endpoint, "", bound) == ["a"]

    def test_keys_beside_the_prefix_are_not_listed(self, endpoint: Endpoint, behind: _Behind) -> None:
        behind.plant("in", b"1")
        for beside in (behind.prefix[:-1] + "-x", behind.prefix[:-1] + "0/in"):
            behind.bucket.put(Object(beside, Body(b"1"), "text/plain", {}), Asked())

        assert keys(endpoint) == ["in"]

    def test_our_own_scratch_is_never_listed(self, endpoint: Endpoint, behind: Behind) -> None:
        ours = ".bisyncer-probe-0123456789abcdef"
        theirs = [".bisyncer-check", ".bisyncer-probe-1", "a" + ours, f"{ours}/file"]
        for key in (ours, f"d/{ours}", *theirs):
            behind.plant(key, b"1")

        assert keys(endpoint) == sorted(theirs)

    def test_the_digest_of_an_object_in_one_part_is_its_md5(self, endpoint: Endpoint, behind: Behind) -> None:
        behind.plant("k", b"123")
        digests = (Digest(Algorithm.MD5, hashlib.md5(b"123").hexdigest()),)

        (listed,) = entries(endpoint)

        assert listed.digests == now(endpoint, "k").digests == digests
        assert put(endpoint, "l", b"123").digests == digests

    def test_the_time_and_the_type_are_what_rclone_reads(self, endpoint: Endpoint, behind: _Behind) -> None:
        for key, size in {"small.html": 1, "large.html": LARGE}.items():
            put(endpoint, key, b"x" * size)

            assert behind.object(key).metadata == {"mtime": "1600000000.123456789"}
            assert behind.object(key).content_type == "text/html"

    def test_an_archived_object_is_listed_and_rejected_when_it_is_read_or_copied(
        self, endpoint: Endpoint, behind: _Behind
    ) -> None:
        behind.plant("k", b"1")
        behind.bucket.archive(f"{behind.prefix}k")

        (listed,) = entries(endpoint)
        with pytest.raises(Rejected, match=r"'k': is archived and can't be read.*Restore it"):
            whole(endpoint, "k", listed)
        with pytest.raises(Rejected, match=r"is archived and can't be read.*Restore it"):
            endpoint.copy_from(endpoint, "l", entry=listed, expect=None)
        assert behind.names() == ["k"]

    def test_the_tier_of_the_remote_is_that_of_what_is_written_and_copied(
        self, oci_account: OciAccount, prefix: str, behind: _Behind
    ) -> None:
        with opened(oci_account, prefix, storage_class="InfrequentAccess") as endpoint:
            small = put(endpoint, "small", b"1")
            put(endpoint, "large", b"x" * LARGE)
            endpoint.copy_from(endpoint, "copy", entry=small, expect=None)
        with opened(oci_account, prefix) as endpoint:
            put(endpoint, "plain", b"1")
        with (
            opened(oci_account, prefix, storage_class="Nowhere") as endpoint,
            pytest.raises(Rejected, match="A storage tier is one of"),
        ):
            put(endpoint, "refused", b"1")

        assert {name: behind.object(name).tier for name in behind.names()} == {
            "small": "InfrequentAccess",
            "large": "InfrequentAccess",
            "copy": "InfrequentAccess",
            "plain": "Standard",
        }

    # Fields beside the content.

    @pytest.mark.parametrize("size", [1, LARGE])
    def test_every_field_is_where_the_service_keeps_it(
        self, endpoint: Endpoint, behind: _Behind, size: int
    ) -> None:
        standard = {
            "cache-control": "no-cache",
            "content-disposition": 'inline; filename="a b"',
            "content-encoding": "gzip",
            "content-language": "de, en",
        }
        given = {**standard, "content-type": "text/x-log", "Project": "apollo 11", "mtime": "7"}

        entry = put(endpoint, "k.html", b"x" * size, metadata=given)

        made = behind.object("k.html")
        assert made.content_type == "text/x-log"
        assert made.standard == standard
        assert made.metadata == {"project": "apollo 11", "mtime": "1600000000.123456789"}
        expected = {**standard, "content-type": "text/x-log", "project": "apollo 11"}
        assert metadata_of(endpoint, entry) == expected

    @pytest.mark.parametrize("size", [1, LARGE])
    def test_a_field_that_no_header_can_hold_is_left_out(self, endpoint: Endpoint, size: int) -> None:
        given = {
            "line": "a\nb",
            "accent": "\u00e9",
            "space": " x ",
            "empty": "",
            "na me": "x",
            "n\u00e4me": "x",
            "cache-control": "a\r\nx-evil: 1",
            "good": "x y",
        }

        entry = put(endpoint, "k", b"x" * size, metadata=given)

        assert metadata_of(endpoint, entry) == {"good": "x y", "content-type": "application/octet-stream"}

    # Probes.

    def test_a_probe_tells_how_far_the_clock_of_the_service_is(self, endpoint: Endpoint) -> None:
        skew_ns = endpoint.probe().skew_ns

        assert skew_ns is not None
        assert abs(skew_ns) < 60_000_000_000

    def test_a_probe_remarks_on_settings_that_matter(
        self, oci_account: OciAccount, prefix: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        odd = Bucket("odd")
        odd.versioning, odd.tier, odd.read_only = "Enabled", "Archive", True
        odd.retention_rules.append({"id": "rule"})
        monkeypatch.setitem(oci_account.server.store.buckets, "odd", odd)
        with contextlib.closing(
            OciEndpoint("odd", prefix, remote=oci_account.remote(), owner="test")
        ) as endpoint:
            quiet, told = endpoint.probe(), endpoint.probe(scratch=True)
        with opened(oci_account, prefix) as endpoint:
            plain = endpoint.probe(scratch=True)

        assert quiet.remarks == plain.remarks == ()
        words = ("has retention rules", "keeps versions", "is archived", "target of a replication")
        assert all(word in remark for word, remark in zip(words, told.remarks, strict=True))
        assert told.conditions == Conditions(versions=True)
        assert told.versioned
        assert not odd.objects

    def test_a_bucket_whose_versioning_was_suspended_since_it_was_tried_keeps_nothing(
        self, oci_account: OciAccount, prefix: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bucket = Bucket("versioned")
        bucket.versioning = "Enabled"
        monkeypatch.setitem(oci_account.server.store.buckets, "versioned", bucket)
        with contextlib.closing(
            OciEndpoint("versioned", prefix, remote=oci_account.remote(), owner="test")
        ) as endpoint:
            tried, later = endpoint.probe(scratch=True), endpoint.probe()
            bucket.versioning = "Suspended"
            suspended = endpoint.probe()

        assert [tried.versioned, later.versioned, suspended.versioned] == [True, True, False]

    def test_what_a_retention_rule_keeps_is_told_and_left_alone(
        self, oci_account: OciAccount, prefix: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        kept = Bucket("kept")
        monkeypatch.setitem(oci_account.server.store.buckets, "kept", kept)
        with (
            proxy(oci_account.server.endpoint_url, Fault("/retentionRules$", 403)) as url,
            contextlib.closing(
                OciEndpoint("kept", prefix, remote=oci_account.remote(endpoint_url=url), owner="test")
            ) as endpoint,
        ):
            entry = put(endpoint, "k", b"1")
            kept.retention_rules.append({"id": "rule"})
            deeds: tuple[Callable[[], object], ...] = (
                lambda: put(endpoint, "k", b"22", entry),
                lambda: put(endpoint, "k", b"x" * LARGE, entry),
                lambda: endpoint.move("k", "l", expect=entry),
                lambda: endpoint.delete("k", expect=entry),
            )
            for deed in deeds:
                with pytest.raises(Rejected, match="a retention rule of the bucket keeps it as it is"):
                    deed()
            assert keys(endpoint) == ["k"]
            assert not kept.uploads

            told = endpoint.probe(scratch=True)  # which isn't told of the rules until it meets them
            assert told.conditions == Conditions()
            assert "has retention rules" in told.remarks[0]
            assert keys(endpoint) == ["k"]

    def test_a_store_that_ignores_every_condition_is_found_out(
        self, oci_account: OciAccount, prefix: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lax = Bucket("lax")
        lax.honours = False
        monkeypatch.setitem(oci_account.server.store.buckets, "lax", lax)
        with contextlib.closing(
            OciEndpoint("lax", prefix, remote=oci_account.remote(), owner="test")
        ) as endpoint:
            told = endpoint.probe(scratch=True)

            assert not endpoint.capabilities.conditional_write
        assert told.conditions == Conditions(put=False, complete=False, delete=False)
        assert endpoint.capabilities.deletes_at_once == 1
        (remark,) = told.remarks
        assert "of a write and the publishing of a body in parts and a deletion. A window remains" in remark
        assert not lax.objects
        assert not lax.uploads

    def test_settings_that_may_not_be_read_are_no_remark(self, oci_account: OciAccount, prefix: str) -> None:
        fault = Fault(rf"^GET /n/{NAMESPACE}/b/{BUCKET}(/retentionRules)?$", 404, times=2)
        with faulty(oci_account, prefix, fault) as endpoint:
            told = endpoint.probe(scratch=True)

        assert fault.seen == 2
        assert told.remarks == ()
        assert told.skew_ns is None  # the proxy passes no date on

    # Uploads that are remembered.

    def test_an_upload_is_remembered_from_before_its_first_part_until_its_end(
        self, oci_account: OciAccount, prefix: str, behind: _Behind
    ) -> None:
        ledger = Ledger(behind)
        with contextlib.closing(
            OciEndpoint(BUCKET, prefix, remote=oci_account.remote(), owner="test", uploads=ledger)
        ) as endpoint:
            put(endpoint, "small", b"1")
            put(endpoint, "large", b"x" * LARGE)
            with pytest.raises(Changed):
                endpoint.write("torn", BytesSource(b"x" * LARGE, breaks_at=PART_SIZE), expect=None)

        assert [(what, upload.key, parts) for what, upload, parts in ledger.told] == [
            ("began", "large", 0),
            ("ended", "large", None),
            ("began", "torn", 0),
            ("ended", "torn", None),
        ]
        assert ledger.open() == set()

    def test_an_upload_that_can_not_be_aborted_stays_remembered_and_is_aborted_later(
        self, oci_account: OciAccount, prefix: str, behind: _Behind
    ) -> None:
        ledger = Ledger(behind)
        fault = Fault("^DELETE .*uploadId=", 503)
        with (
            proxy(oci_account.server.endpoint_url, fault) as url,
            contextlib.closing(
                OciEndpoint(
                    BUCKET,
                    prefix,
                    remote=oci_account.remote(endpoint_url=url),
                    owner="test",
                    uploads=ledger,
                )
            ) as endpoint,
        ):
            with pytest.raises(Changed):
                endpoint.write("k", BytesSource(b"x" * LARGE, breaks_at=PART_SIZE), expect=None)
            assert behind.uploads() == [f"{prefix}/k"]
            (left,) = ledger.open()

            endpoint.abort(left)
            endpoint.abort(left)

        assert behind.uploads() == []

    def test_an_upload_that_can_not_be_remembered_is_taken_back(
        self, oci_account: OciAccount, prefix: str, behind: _Behind
    ) -> None:
        class Full(Ledger):
            def began(self, upload: Upload) -> None:
                raise OSError("the disk is full")

        with (
            contextlib.closing(
                OciEndpoint(BUCKET, prefix, remote=oci_account.remote(), owner="test", uploads=Full(behind))
            ) as endpoint,
            pytest.raises(OSError, match="the disk is full"),
        ):
            put(endpoint, "k", b"x" * LARGE)

        assert behind.names() == behind.uploads() == []

    def test_an_abort_that_is_refused_says_so(self, oci_account: OciAccount, prefix: str) -> None:
        upload = Upload("k", "some-id")
        fault = Fault("^DELETE ", 403)
        with faulty(oci_account, prefix, fault, Fault("^DELETE ", 503)) as endpoint:
            with pytest.raises(Rejected, match="access denied"):
                endpoint.abort(upload)
            with pytest.raises(Transient):
                endpoint.abort(upload)
            endpoint.abort(upload)

    # Bodies from some byte on.

    def test_a_range_that_is_not_the_one_asked_for_is_never_taken_for_it(
        self, oci_account: OciAccount
    ) -> None:
        headers = (("etag", "e"), ("last-modified", "Sat, 21 Nov 2026 08:00:00 GMT"))
        answers = {
            "whole": Answer(200, b"0123456789", headers),
            "other": Answer(206, b"89", (*headers, ("content-range", "bytes 8-9/10"))),
            "short": Answer(206, b"56", (*headers, ("content-range", "bytes 5-6/10"))),
        }
        with (
            canned(lambda _method, path, _query: answers[path.rpartition("%2F")[2]]) as url,
            contextlib.closing(
                OciEndpoint(
                    "b", "p", namespace="n", remote=oci_account.remote(endpoint_url=url), owner="test"
                )
            ) as endpoint,
        ):
            for key in answers:
                with pytest.raises(Transient, match="other bytes than those from 5 on"):
                    whole(endpoint, key, Entry(key, 10, None, "e"), 5)
            with pytest.raises(Changed):
                whole(endpoint, "whole", Entry("whole", 10, None, "another"))

    def test_what_the_store_promises_is_what_it_does(
        self, oci_account: OciAccount, endpoint: Endpoint, behind: _Behind, prefix: str
    ) -> None:
        promised, before = endpoint.capabilities, endpoint.requests.get("put", 0)
        put(endpoint, "one", b"x" * (promised.single_put_bytes or 0))
        assert endpoint.requests["put"] == before + 1
        put(endpoint, "parts", b"x" * ((promised.single_put_bytes or 0) + 1))
        assert endpoint.requests["put"] == before + 1 + 4  # begun, two parts, published

        assert promised == replace(CAPABILITIES, max_key_bytes=1024 - len(prefix) - 1)
        assert [digest.algorithm for digest in entries(endpoint)[0].digests] == [*promised.listed_digests]
        assert promised.max_object_bytes == 10 * 1024**4

    def test_the_md5_is_read_from_either_header_of_the_service(self) -> None:
        told = {
            "content-length": "3",
            "last-modified": "Sat, 21 Nov 2026 08:00:00 GMT",
            "etag": "e",
            "opc-content-md5": "ICy5YqxZB1uWSwcVLSNLcA==",
        }

        assert oci_object.entry("k", told).digests == (
            Digest(Algorithm.MD5, hashlib.md5(b"123").hexdigest()),
        )

    def test_every_condition_is_honoured(self, endpoint: Endpoint) -> None:
        assert endpoint.probe(scratch=True).conditions == Conditions(batch=True)

    def test_many_deletions_go_in_one_request(self, oci_account: OciAccount, prefix: str) -> None:
        with opened(oci_account, prefix) as endpoint:
            seen = [put(endpoint, f"k{number}", b"1") for number in range(1000)]
            before = endpoint.requests.get("delete", 0)

            assert len(endpoint.delete_many(seen)) == 1000
            assert endpoint.requests["delete"] == before + 1

    @pytest.mark.parametrize("fault", ["lose", "cut", 500])
    def test_of_many_deletions_without_an_answer_nothing_is_told(
        self, oci_account: OciAccount, prefix: str, fault: str | int
    ) -> None:
        with (
            proxy(oci_account.server.endpoint_url, Fault("batchDeleteObjects", fault)) as url,
            opened(oci_account, prefix, endpoint_url=url) as endpoint,
        ):
            seen = [put(endpoint, f"k{number}", b"1") for number in range(3)]
            with pytest.raises(Transient):
                endpoint.delete_many(seen)

    def test_a_store_without_conditions_is_looked_at_before_each_deed(
        self, oci_account: OciAccount, prefix: str, behind: _Behind
    ) -> None:
        with contextlib.closing(
            OciEndpoint(
                BUCKET,
                prefix,
                remote=oci_account.remote(),
                owner="test",
                conditions=Conditions(put=False, complete=False, delete=False),
            )
        ) as endpoint:
            assert not endpoint.capabilities.conditional_write
            stale = put(endpoint, "k", b"1")
            behind.plant("k", b"theirs")
            for deed in (
                lambda: put(endpoint, "k", b"x", stale),
                lambda: put(endpoint, "k", b"x" * LARGE, stale),
                lambda: put(endpoint, "k", b"x" * LARGE),
                lambda: endpoint.delete("k", expect=stale),
            ):
                with pytest.raises(Changed):
                    deed()
            assert behind.content("k") == b"theirs"
            put(endpoint, "k", b"x" * LARGE, now(endpoint, "k"))
            endpoint.delete("k", expect=now(endpoint, "k"))
            assert behind.names() == behind.uploads() == []

    def test_a_store_without_conditions_is_looked_at_before_each_attempt_to_publish(
        self, oci_account: OciAccount, prefix: str, behind: _Behind
    ) -> None:
        busy: list[str] = []

        def write_and_be_busy(request: BaseHTTPRequestHandler, _body: bytes) -> Answer | None:
            if busy or request.command != "POST" or "uploadId=" not in request.path:
                return None
            busy.append(request.path)
            behind.plant("k", b"theirs")
            return Answer(503)

        with (
            proxy(oci_account.server.endpoint_url, instead=write_and_be_busy) as url,
            contextlib.closing(
                OciEndpoint(
                    BUCKET,
                    prefix,
                    remote=oci_account.remote(endpoint_url=url),
                    owner="test",
                    conditions=Conditions(complete=False),
                )
            ) as endpoint,
            pytest.raises(Changed),
        ):
            put(endpoint, "k", b"x" * LARGE)
        assert busy
        assert behind.content("k") == b"theirs"

    @pytest.mark.parametrize("which", ["PUT .*uploadPartNum=", "POST .*uploadId="])
    def test_an_upload_that_somebody_ends_is_sent_again_by_the_next_attempt(
        self, oci_account: OciAccount, prefix: str, behind: _Behind, which: str
    ) -> None:
        ended: list[str] = []

        def end(request: BaseHTTPRequestHandler, _body: bytes) -> None:
            if not ended and re.match(which, f"{request.command} {request.path}"):
                ours = [number for number, each in behind.bucket.uploads.items() if prefix in each.object]
                ended.extend(number for number in ours if behind.bucket.uploads.pop(number))

        with (
            proxy(oci_account.server.endpoint_url, instead=end) as url,
            opened(oci_account, prefix, endpoint_url=url) as endpoint,
        ):
            with pytest.raises(Transient, match="ended the upload"):
                put(endpoint, "k", b"x" * LARGE)
            put(endpoint, "k", b"x" * LARGE)
        assert ended
        assert behind.content("k") == b"x" * LARGE

    # Large bodies.

    def test_a_large_body_is_written_whole(self, endpoint: Endpoint, behind: _Behind) -> None:
        data = os.urandom(2 * PART_SIZE + 12345)
        entry = put(endpoint, "k", data)
        replaced = put(endpoint, "k", data[1:], entry)

        assert now(endpoint, "k") == replaced
        assert entry.stamp != replaced.stamp
        assert entries(endpoint)[0]._replace(mtime_ns=MTIME_NS) == replaced
        assert behind.content("k") == data[1:]
        with endpoint.read("k", expect=replaced) as source:
            assert source.read() == data[1:]
        assert behind.uploads() == []

    @pytest.mark.parametrize("size", [PART_SIZE, LARGE, 2 * PART_SIZE, 2 * PART_SIZE + 1])
    def test_a_body_of_about_a_part_is_written_whole(self, endpoint: Endpoint, size: int) -> None:
        entry = put(endpoint, "k", b"x" * size)

        assert entry.size == now(endpoint, "k").size == size
        assert now(endpoint, "k").stamp == entry.stamp

    def test_a_large_body_is_not_even_begun_where_the_condition_fails(
        self, endpoint: Endpoint, behind: _Behind
    ) -> None:
        behind.plant("k", b"theirs")
        for expect in (None, Entry("k", 1, None, "stale")):
            before = endpoint.requests.get("put", 0)
            with pytest.raises(Changed):
                put(endpoint, "k", b"x" * LARGE, expect)
            assert endpoint.requests["put"] == before + 1
        assert behind.content("k") == b"theirs"

    @pytest.mark.parametrize("seen", [False, True])
    def test_a_large_body_is_not_published_over_what_came_while_it_was_sent(
        self, oci_account: OciAccount, prefix: str, behind: _Behind, seen: bool
    ) -> None:
        if seen:
            behind.plant("k", b"seen")
        fault = Fault("^PUT .*uploadPartNum=1", "lose", then=lambda: behind.plant("k", b"theirs"))
        with (
            proxy(oci_account.server.endpoint_url, fault) as url,
            opened(oci_account, prefix, endpoint_url=url) as endpoint,
        ):
            expect = now(endpoint, "k") if seen else None
            with pytest.raises(Changed):
                put(endpoint, "k", b"x" * LARGE, expect)
        assert fault.seen == 1
        assert behind.content("k") == b"theirs"
        assert behind.uploads() == []

    def test_of_many_that_create_a_large_body_exactly_one_wins(
        self, endpoint: Endpoint, behind: _Behind
    ) -> None:
        won = race(lambda number: put(endpoint, "k", bytes([number]) * (LARGE + number)))

        assert len(won) == 1
        assert behind.content("k") == bytes(won) * (LARGE + won[0])
        assert behind.uploads() == []

    @pytest.mark.parametrize("size", [LARGE - 1, LARGE + 1, 3 * PART_SIZE, PART_SIZE // 2])
    def test_a_large_body_of_another_size_is_never_published(
        self, endpoint: Endpoint, behind: _Behind, size: int
    ) -> None:
        with pytest.raises(Changed):
            endpoint.write("k", BytesSource(b"x" * size, size=LARGE), expect=None)

        assert behind.names() == behind.uploads() == []

    @pytest.mark.parametrize("breaks_at", [0, PART_SIZE // 2, PART_SIZE, 3 * PART_SIZE])
    def test_a_large_body_that_changes_while_it_is_read_leaves_no_parts(
        self, endpoint: Endpoint, behind: _Behind, breaks_at: int
    ) -> None:
        with pytest.raises(Changed):
            endpoint.write("k", BytesSource(b"x" * (3 * PART_SIZE), breaks_at=breaks_at), expect=None)

        assert behind.names() == behind.uploads() == []

    def test_a_large_body_is_never_held_whole(self, endpoint: Endpoint) -> None:
        size = 40 * PART_SIZE
        tracemalloc.start()
        try:
            entry = endpoint.write("k", _Zeros(size), expect=None)
            with endpoint.read("k", expect=entry, start=1) as source:
                assert sum(len(piece) for piece in iter(lambda: source.read(1 << 20), b"")) == size - 1
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

        assert entry.size == now(endpoint, "k").size == size
        assert peak < size // 3  # of the client and of the server, which share this process

    def test_an_endpoint_can_be_used_again_after_it_was_closed(self, endpoint: Endpoint) -> None:
        endpoint.close()
        put(endpoint, "k", b"x" * LARGE)
        endpoint.close()

        assert keys(endpoint) == ["k"]


# Answers that never come.


@contextlib.contextmanager
def faulty(account: OciAccount, prefix: str, *faults: Fault) -> Iterator[OciEndpoint]:
    with (
        proxy(account.server.endpoint_url, *faults) as url,
        opened(account, prefix, endpoint_url=url) as endpoint,
    ):
        yield endpoint


class TestLostAnswers:
    def test_a_write_whose_answer_is_lost_is_done(
        self, oci_account: OciAccount, prefix: str, behind: _Behind
    ) -> None:
        lost = Fault("^PUT ", "lose", times=2)
        with faulty(oci_account, prefix, lost) as endpoint:
            created = put(endpoint, "k", b"1")
            replaced = put(endpoint, "k", b"22", created)

            assert now(endpoint, "k") == replaced
            assert endpoint.requests["put"] == lost.seen == 2
        assert behind.content("k") == b"22"

    def test_a_publishing_that_is_refused_after_one_without_an_answer_is_unclear(
        self, oci_account: OciAccount, prefix: str
    ) -> None:
        faults = (Fault("^POST .*uploadId=", "swallow"), Fault("^POST .*uploadId=", 403, times=9))
        with faulty(oci_account, prefix, *faults) as endpoint, pytest.raises(Transient):
            put(endpoint, "k", b"x" * LARGE)
        assert all(fault.seen for fault in faults)

    @pytest.mark.parametrize("what", ["swallow", 503])
    def test_a_write_that_never_arrived_is_transient_and_sent_once(
        self, oci_account: OciAccount, prefix: str, behind: _Behind, what: str | int
    ) -> None:
        never = Fault("^PUT ", what, times=99)
        with (
            faulty(oci_account, prefix, never) as endpoint,
            pytest.raises(Transient, match=r"no answer from http|busy or broken"),
        ):
            put(endpoint, "k", b"1")
        assert never.seen == endpoint.requests["put"] == 1
        assert behind.names() == []

    def test_a_replacement_by_the_same_bytes_that_never_arrived_is_transient(
        self, oci_account: OciAccount, prefix: str, behind: _Behind
    ) -> None:
        behind.plant("k", b"same")
        with faulty(oci_account, prefix, Fault("^PUT ", "swallow")) as endpoint:
            expect = now(endpoint, "k")
            with pytest.raises(Transient):
                put(endpoint, "k", b"same", expect)

    def test_a_lost_answer_and_another_write_after_it_is_transient(
        self, oci_account: OciAccount, prefix: str, behind: _Behind
    ) -> None:
        lost = Fault("^PUT ", "lose", then=lambda: behind.plant("k", b"theirs"))
        with faulty(oci_account, prefix, lost) as endpoint, pytest.raises(Transient):
            put(endpoint, "k", b"ours")
        assert behind.content("k") == b"theirs"

    def test_a_delete_whose_answer_is_lost_is_done(
        self, oci_account: OciAccount, prefix: str, behind: _Behind
    ) -> None:
        lost = Fault("^DELETE ", "lose")
        with faulty(oci_account, prefix, lost) as endpoint:
            endpoint.delete("k", expect=put(endpoint, "k", b"1"))
        assert lost.seen == 1
        assert behind.names() == []

    def test_a_delete_that_never_arrived_is_transient(
        self, oci_account: OciAccount, prefix: str, behind: _Behind
    ) -> None:
        with faulty(oci_account, prefix, Fault("^DELETE ", "swallow")) as endpoint:
            entry = put(endpoint, "k", b"1")
            with pytest.raises(Transient):
                endpoint.delete("k", expect=entry)
            assert behind.names() == ["k"]
            endpoint.delete("k", expect=entry)
        assert behind.names() == []

    @pytest.mark.parametrize("what", ["lose", "swallow", 500])
    @pytest.mark.parametrize("times", [1, 2])
    def test_a_large_body_whose_publishing_goes_unanswered_is_published_once(
        self, oci_account: OciAccount, prefix: str, behind: _Behind, what: str | int, times: int
    ) -> None:
        fault = Fault(r"^POST .*uploadId=", what, times=times)
        with faulty(oci_account, prefix, fault) as endpoint:
            entry = put(endpoint, "k", b"x" * LARGE)

            assert now(endpoint, "k") == entry
        assert behind.uploads() == []

    def test_a_part_is_sent_again(self, oci_account: OciAccount, prefix: str, behind: _Behind) -> None:
        fault = Fault(r"^PUT .*uploadPartNum=2", 503, times=2)
        with faulty(oci_account, prefix, fault) as endpoint:
            put(endpoint, "k", b"x" * (3 * PART_SIZE))
        assert fault.seen == 2
        assert behind.names() == ["k"]

    def test_a_part_that_can_not_be_sent_leaves_no_parts(
        self, oci_account: OciAccount, prefix: str, behind: _Behind
    ) -> None:
        fault = Fault(r"^PUT .*uploadPartNum=2", 503, times=99)
        with (
            faulty(oci_account, prefix, fault) as endpoint,
            pytest.raises(Transient, match="'k': the store is busy or broken"),
        ):
            put(endpoint, "k", b"x" * (3 * PART_SIZE))
        assert behind.names() == behind.uploads() == []

    def test_a_body_that_breaks_off_is_not_taken_for_whole(
        self, oci_account: OciAccount, prefix: str, behind: _Behind
    ) -> None:
        behind.plant("k", b"0123456789" * 1000)
        with faulty(oci_account, prefix, Fault("^GET .*/o/", "cut", times=9)) as endpoint:
            entry = now(endpoint, "k")
            with pytest.raises(Transient, match="in the middle of the object"):
                whole(endpoint, "k", entry)

    def test_a_look_that_fails_for_now_is_sent_once_and_never_absence(
        self, oci_account: OciAccount, prefix: str, behind: _Behind
    ) -> None:
        behind.plant("k", b"1")
        fault = Fault("^HEAD ", 503)
        with faulty(oci_account, prefix, fault) as endpoint:
            with pytest.raises(Transient) as told:
                endpoint.stat("k")
            assert told.value.throttled
            assert fault.seen == endpoint.requests["head"] == 1
            assert endpoint.stat("k") is not None

    @pytest.mark.parametrize("key", ["k", "k k", "k/"])
    def test_a_key_that_is_denied_for_a_moment_is_not_absent(
        self, oci_account: OciAccount, prefix: str, behind: _Behind, key: str
    ) -> None:
        behind.plant(key, b"1")
        behind.plant(key + "+", b"2")
        with faulty(oci_account, prefix, Fault("^HEAD ", 404, times=2)) as endpoint:
            with pytest.raises(Transient, match="doesn't say whether it is there"):
                endpoint.stat(key)
            assert endpoint.stat(key[:-1] + "j") is None
            assert endpoint.stat(key) is not None


class TestEachLostAnswer:
    """The first answer of each kind of mutation never comes: what was done isn't done twice, nor denied."""

    @pytest.mark.parametrize("data", [b"1", b"x" * LARGE], ids=["small", "large"])
    def test_a_write_in_one_request_or_in_parts_is_done_once(
        self, oci_account: OciAccount, prefix: str, behind: _Behind, data: bytes
    ) -> None:
        ledger = Ledger(behind)
        lost = [Fault("^PUT ", "lose"), Fault("^POST .*uploadId=", "lose")]
        with (
            proxy(oci_account.server.endpoint_url, *lost) as url,
            contextlib.closing(
                OciEndpoint(
                    BUCKET,
                    prefix,
                    remote=oci_account.remote(endpoint_url=url),
                    owner="test",
                    uploads=ledger,
                )
            ) as endpoint,
        ):
            entry = put(endpoint, "k", data)

            assert now(endpoint, "k") == entry
        assert lost[0].seen == 1
        assert behind.content("k") == data
        assert behind.uploads() == []
        assert ledger.open() == set()

    def test_an_upload_whose_beginning_goes_unanswered_has_no_parts_and_publishes_nothing(
        self, oci_account: OciAccount, prefix: str, behind: _Behind
    ) -> None:
        with faulty(oci_account, prefix, Fault("^POST .*/u$", "lose")) as endpoint:
            with pytest.raises(Transient):
                put(endpoint, "k", b"x" * LARGE)
            assert behind.names() == []
            entry = put(endpoint, "k", b"x" * LARGE)

            assert now(endpoint, "k") == entry
        begun = {number: each for number, each in behind.bucket.uploads.items() if prefix in each.object}
        assert [len(upload.parts) for upload in begun.values()] == [0]
        for number in begun:
            del behind.bucket.uploads[number]

    def test_an_abort_is_asked_for_again(self, oci_account: OciAccount, prefix: str, behind: _Behind) -> None:
        ledger = Ledger(behind)
        lost = Fault("^DELETE .*uploadId=", "lose")
        with (
            proxy(oci_account.server.endpoint_url, lost) as url,
            contextlib.closing(
                OciEndpoint(
                    BUCKET,
                    prefix,
                    remote=oci_account.remote(endpoint_url=url),
                    owner="test",
                    uploads=ledger,
                )
            ) as endpoint,
        ):
            with pytest.raises(Changed):
                endpoint.write("k", BytesSource(b"x" * LARGE, breaks_at=PART_SIZE), expect=None)
            (left,) = ledger.open()
            endpoint.abort(left)
        assert lost.seen == 1
        assert behind.uploads() == []

    def test_a_rename_is_done_once(self, oci_account: OciAccount, prefix: str, behind: _Behind) -> None:
        lost = Fault("^POST .*renameObject", "lose")
        with faulty(oci_account, prefix, lost) as endpoint:
            moved = endpoint.move("k", "l", expect=put(endpoint, "k", b"1"))

            assert now(endpoint, "l") == moved
            assert endpoint.requests["move"] == lost.seen == 1
        assert behind.names() == ["l"]

    @pytest.mark.parametrize("what", ["swallow", 503])
    def test_a_rename_that_never_arrived_is_transient(
        self, oci_account: OciAccount, prefix: str, behind: _Behind, what: str | int
    ) -> None:
        behind.plant("l", b"22")
        with faulty(oci_account, prefix, Fault("^POST .*renameObject", what)) as endpoint:
            entry = put(endpoint, "k", b"1")
            with pytest.raises(Transient):
                endpoint.move("k", "m", expect=entry)
            assert behind.names() == ["k", "l"]
            endpoint.move("k", "m", expect=entry)
        assert behind.names() == ["l", "m"]

    def test_a_rename_is_not_believed_where_no_md5_proves_it(
        self, oci_account: OciAccount, prefix: str, behind: _Behind
    ) -> None:
        with faulty(oci_account, prefix, Fault("^POST .*renameObject", "lose")) as endpoint:
            entry = put(endpoint, "k", b"x" * LARGE)
            with pytest.raises(Transient):
                endpoint.move("k", "l", expect=entry)
        assert behind.names() == ["l"]

    def test_a_copy_whose_answer_is_lost_is_transient_and_then_the_one_that_was_made(
        self, oci_account: OciAccount, prefix: str, behind: _Behind
    ) -> None:
        store = oci_account.server.store
        before = set(store.work_requests)
        lost = Fault("^POST .*copyObject", "lose", then=lambda: _all_finished(oci_account, before))
        with faulty(oci_account, prefix, lost) as endpoint:
            entry = put(endpoint, "k", b"1")
            copied = endpoint.copy_from(endpoint, "l", entry=entry, expect=None)

            assert copied == now(endpoint, "l")
        assert lost.seen == 1
        assert len(set(store.work_requests) - before) == 1
        assert behind.content("l") == b"1"

    def test_a_copy_of_which_nothing_is_known_any_more_replaces_nothing_unseen(
        self, oci_account: OciAccount, prefix: str, behind: _Behind
    ) -> None:
        store = oci_account.server.store
        before = set(store.work_requests)
        store.copying.clear()
        try:
            with faulty(oci_account, prefix, Fault("^POST .*copyObject", "lose")) as endpoint:
                entry = put(endpoint, "k", b"ours")
                with pytest.raises(Transient):
                    endpoint.copy_from(endpoint, "l", entry=entry, expect=None)
            behind.plant("l", b"theirs")
        finally:
            store.copying.set()
        _all_finished(oci_account, before)
        assert behind.content("l") == b"theirs"

    @pytest.mark.parametrize("what", ["lose", 503])
    def test_a_look_at_a_copy_is_repeated(
        self, oci_account: OciAccount, prefix: str, behind: _Behind, what: str | int
    ) -> None:
        with faulty(oci_account, prefix, Fault("^GET /workRequests/", what, times=3)) as endpoint:
            entry = put(endpoint, "k", b"1")
            assert endpoint.copy_from(endpoint, "l", entry=entry, expect=None) == now(endpoint, "l")
            assert endpoint.requests["copy"] == 1


def _all_finished(account: OciAccount, before: set[str]) -> None:
    """Wait until every copy that was asked for since is made or has failed."""
    work_requests = account.server.store.work_requests
    for number in set(work_requests) - before:
        work_requests[number].end()


class TestCopies:
    @pytest.fixture
    def other(self, oci_account: OciAccount, monkeypatch: pytest.MonkeyPatch) -> Iterator[OciEndpoint]:
        """Another bucket of the account."""
        monkeypatch.setitem(oci_account.server.store.buckets, "other", Bucket("other"))
        with contextlib.closing(
            OciEndpoint("other", "deep/down", remote=oci_account.remote(name="second"), owner="test")
        ) as endpoint:
            yield endpoint

    @pytest.fixture
    def endpoint(self, oci_account: OciAccount, prefix: str) -> Iterator[OciEndpoint]:
        with opened(oci_account, prefix) as endpoint:
            yield endpoint

    @pytest.mark.parametrize("size", [5, LARGE])
    def test_a_copy_between_buckets_keeps_content_time_and_fields(
        self, oci_account: OciAccount, endpoint: OciEndpoint, other: OciEndpoint, size: int
    ) -> None:
        given = {"project": "apollo", "content-type": "text/x-log", "cache-control": "no-cache"}
        entry = put(other, "a/k", b"x" * size, metadata=given)

        copied = endpoint.copy_from(other, "l", entry=entry, expect=None)

        assert copied == now(endpoint, "l")
        assert copied.mtime_ns == MTIME_NS
        assert metadata_of(endpoint, copied) == given
        with endpoint.read("l", expect=copied) as source:
            assert source.read() == b"x" * size
        assert endpoint.requests.get("put", 0) == endpoint.requests.get("copy", 0) == 0
        assert other.requests["copy"] == 1

    def test_a_copy_goes_to_another_region(
        self, oci_account: OciAccount, prefix: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with oci_account.abroad("eu-frankfurt-1") as frankfurt, contextlib.ExitStack() as stack:
            urls = {REGION: oci_account.server.endpoint_url, "eu-frankfurt-1": frankfurt.endpoint_url}
            monkeypatch.setattr(oci.regions, "endpoint_for", lambda _service, region: urls[region])
            home, abroad = (
                stack.enter_context(opened(oci_account, prefix, endpoint_url=None, region=region))
                for region in urls
            )
            entry = put(home, "k", b"1")
            asked = len(frankfurt.seen)
            copied = abroad.copy_from(home, "l", entry=entry, expect=None)

            assert copied == now(abroad, "l")
            assert whole(abroad, "l", copied) == b"1"
            assert keys(home) == ["k"]
            assert not any("copyObject" in seen for seen in frankfurt.seen[asked:])
            with pytest.raises(Changed):
                abroad.copy_from(home, "l", entry=entry, expect=None)

    @pytest.mark.parametrize(
        ("changes", "certain"),
        [
            ({}, REGION),
            ({"region": "fra"}, "eu-frankfurt-1"),
            ({"region": None}, None),
            ({"endpoint_url": None, "region": None}, REGION),
            (
                {"endpoint_url": f"https://n.objectstorage.{REGION}.oci.customer-oci.com", "region": None},
                REGION,
            ),
            ({"endpoint_url": f"https://objectstorage.{REGION}.oraclecloud.com", "region": "fra"}, None),
        ],
    )
    def test_nothing_is_copied_to_a_region_that_is_only_guessed(
        self, oci_account: OciAccount, changes: dict[str, Any], certain: str | None
    ) -> None:
        assert service(oci_account.remote(**changes)).region == certain

    def test_a_service_of_no_certain_region_is_not_asked_for_copies(
        self, oci_account: OciAccount, prefix: str
    ) -> None:
        with opened(oci_account, prefix, region=None) as endpoint:
            entry = put(endpoint, "k", b"1")
            assert endpoint.copy_from(endpoint, "l", entry=entry, expect=None) is None
            assert "copy" not in endpoint.requests

    def test_what_the_service_does_not_understand_is_left_to_who_asked(
        self, oci_account: OciAccount, prefix: str, behind: _Behind
    ) -> None:
        with opened(oci_account, prefix, region="fra") as endpoint:
            entry = put(endpoint, "k", b"1")
            assert endpoint.copy_from(endpoint, "l", entry=entry, expect=None) is None
            assert endpoint.requests["copy"] == 1
        assert behind.names() == ["k"]

    def test_an_object_without_a_time_of_its_own_is_copied_with_that_of_its_upload(
        self, endpoint: OciEndpoint, behind: _Behind
    ) -> None:
        behind.bucket.put(
            Object(f"{behind.prefix}k", Body(b"1"), "text/x-log", {"project": "apollo"}), Asked()
        )
        seen = now(endpoint, "k")

        copied = endpoint.copy_from(endpoint, "l", entry=seen, expect=None)

        assert copied is not None
        assert copied.mtime_ns == seen.mtime_ns
        assert behind.object("l").metadata == {
            "project": "apollo",
            "mtime": str((seen.mtime_ns or 0) // 1_000_000_000),
        }
        assert behind.object("l").content_type == "text/x-log"

    def test_other_credentials_another_service_and_another_store_are_not_copied_between(
        self, oci_account: OciAccount, endpoint: OciEndpoint, behind: _Behind
    ) -> None:
        entry = put(endpoint, "k", b"1")
        strangers = [
            oci_account.remote(profile="WRONG"),
            oci_account.remote(profile="SESSION", auth="security_token"),
            oci_account.remote(endpoint_url="http://127.0.0.1:9"),
            oci_account.remote(endpoint_url=None),
        ]
        for remote in strangers:
            with contextlib.closing(
                OciEndpoint(BUCKET, behind.prefix[:-1], namespace=NAMESPACE, remote=remote, owner="test")
            ) as stranger:
                assert endpoint.copy_from(stranger, "l", entry=entry, expect=None) is None
                assert stranger.copy_from(endpoint, "l", entry=entry, expect=None) is None
        assert endpoint.copy_from(MemoryEndpoint("m"), "l", entry=entry, expect=None) is None
        assert behind.names() == ["k"]
        assert "copy" not in endpoint.requests

    def test_a_store_that_ignores_conditions_is_not_asked_for_copies(
        self, oci_account: OciAccount, prefix: str
    ) -> None:
        with contextlib.closing(
            OciEndpoint(
                BUCKET,
                prefix,
                remote=oci_account.remote(),
                owner="test",
                conditions=Conditions(put=False),
            )
        ) as endpoint:
            entry = put(endpoint, "k", b"1")
            assert not endpoint.capabilities.server_copy
            assert not endpoint.capabilities.atomic_move
            assert endpoint.copy_from(endpoint, "l", entry=entry, expect=None) is None

    def test_what_the_service_may_not_copy_is_left_to_who_asked(
        self, oci_account: OciAccount, endpoint: OciEndpoint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        entry = put(endpoint, "k", b"1")
        monkeypatch.setattr(oci_account.server.store, "denied", True)

        assert endpoint.copy_from(endpoint, "l", entry=entry, expect=None) is None
        assert keys(endpoint) == ["k"]

    def test_a_bucket_that_is_not_there_is_left_to_who_asked(
        self, oci_account: OciAccount, endpoint: OciEndpoint
    ) -> None:
        entry = put(endpoint, "k", b"1")
        with contextlib.closing(
            OciEndpoint("no-such-bucket", "", remote=oci_account.remote(), owner="test")
        ) as nowhere:
            assert nowhere.copy_from(endpoint, "l", entry=entry, expect=None) is None

    @pytest.mark.parametrize("seen", [False, True])
    def test_what_comes_while_a_copy_is_under_way_is_not_replaced(
        self, oci_account: OciAccount, prefix: str, behind: _Behind, seen: bool
    ) -> None:
        if seen:
            behind.plant("l", b"seen")
        write = Fault("^GET /workRequests/", "lose", then=lambda: behind.plant("l", b"theirs"))
        with faulty(oci_account, prefix, write) as endpoint:
            entry = put(endpoint, "k", b"ours")
            expect = now(endpoint, "l") if seen else None
            with pytest.raises(Changed, match="'l'"):
                endpoint.copy_from(endpoint, "l", entry=entry, expect=expect)
        assert behind.content("l") == b"theirs"

    def test_what_is_the_same_only_in_size_is_not_taken_for_the_copy(
        self, oci_account: OciAccount, prefix: str, behind: _Behind
    ) -> None:
        before = set(oci_account.server.store.work_requests)

        def write() -> None:
            _all_finished(oci_account, before)
            behind.plant("l", b"y" * LARGE)

        # The MD5 of an object in parts is not that of its content, so it can't tell.
        with faulty(oci_account, prefix, Fault("^GET /workRequests/", "lose", then=write)) as endpoint:
            entry = put(endpoint, "k", b"x" * LARGE)
            with pytest.raises(Changed, match="'l'"):
                endpoint.copy_from(endpoint, "l", entry=entry, expect=None)
        assert behind.content("l") == b"y" * LARGE

    @pytest.mark.parametrize("gone", [False, True])
    def test_a_source_that_changes_while_a_copy_is_under_way_is_not_copied(
        self, oci_account: OciAccount, prefix: str, behind: _Behind, gone: bool
    ) -> None:
        change = (lambda: behind.remove("k")) if gone else (lambda: behind.plant("k", b"newer"))
        fault = Fault("^GET /workRequests/", "lose", then=change)
        with faulty(oci_account, prefix, fault) as endpoint:
            entry = put(endpoint, "k", b"ours")
            with pytest.raises(Changed, match="'k'"):
                endpoint.copy_from(endpoint, "l", entry=entry, expect=None)
        assert "l" not in behind.names()

    def test_a_copy_that_stands_still_is_called_off_and_transient(
        self,
        oci_account: OciAccount,
        endpoint: OciEndpoint,
        behind: _Behind,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        store = oci_account.server.store
        before = set(store.work_requests)
        monkeypatch.setattr(oci_copy, "_STILL_S", 0.3)
        entry = put(endpoint, "k", b"1")
        store.copying.clear()
        try:
            with pytest.raises(Transient, match=r"'l': nobody knows whether it was copied.*IN_PROGRESS"):
                endpoint.copy_from(endpoint, "l", entry=entry, expect=None)
        finally:
            store.copying.set()
        _all_finished(oci_account, before)

        assert behind.names() == ["k"]
        assert [store.work_requests[n].status for n in set(store.work_requests) - before] == ["CANCELED"]

    def test_a_copy_that_somebody_calls_off_is_transient(
        self, oci_account: OciAccount, prefix: str, behind: _Behind
    ) -> None:
        store = oci_account.server.store
        before = set(store.work_requests)

        def call_off() -> None:
            (number,) = set(store.work_requests) - before
            store.work_requests[number].cancel()

        fault = Fault("^GET /workRequests/", "lose", then=call_off)
        with faulty(oci_account, prefix, fault) as endpoint:
            entry = put(endpoint, "k", b"1")
            with pytest.raises(Transient, match="called the copy off"):
                endpoint.copy_from(endpoint, "l", entry=entry, expect=None)
        assert behind.names() == ["k"]

    @pytest.fixture
    def failing_copies(
        self, oci_account: OciAccount, monkeypatch: pytest.MonkeyPatch
    ) -> Callable[[Refused], None]:
        """Let every copy end with an error."""
        return lambda error: monkeypatch.setattr(oci_account.server.store, "breaks", error)

    @pytest.mark.parametrize(
        ("code", "words"),
        [("InternalServerError", "failed to copy it .InternalServerError: it broke"), ("Forbidden", None)],
    )
    def test_why_a_copy_failed_is_told(
        self,
        endpoint: OciEndpoint,
        failing_copies: Callable[[Refused], None],
        code: str,
        words: str | None,
    ) -> None:
        entry = put(endpoint, "k", b"1")
        failing_copies(Refused(500, code, "it broke."))

        if words is None:
            assert endpoint.copy_from(endpoint, "l", entry=entry, expect=None) is None
        else:
            with pytest.raises(Transient, match=words):
                endpoint.copy_from(endpoint, "l", entry=entry, expect=None)
        assert keys(endpoint) == ["k"]


# Listings that aren't whole.


def page(*names: str, following: str | None = None, **changes: object) -> Answer:
    rows = [
        {
            "name": f"p/{name}",
            "size": 1,
            "etag": f"etag-{name}",
            "md5": base64.b64encode(hashlib.md5(b"1").digest()).decode(),
            "timeModified": "2026-11-21T08:00:00.000Z",
            **changes,
        }
        for name in names
    ]
    return Answer(200, json.dumps({"objects": rows, "nextStartWith": following}).encode())


@contextlib.contextmanager
def listing_of(account: OciAccount, respond: Callable[[dict[str, str]], Answer]) -> Iterator[OciEndpoint]:
    with (
        canned(lambda _method, _path, query: respond(query)) as url,
        contextlib.closing(
            OciEndpoint("b", "p", namespace="n", remote=account.remote(endpoint_url=url), owner="test")
        ) as endpoint,
    ):
        yield endpoint


class TestListing:
    def test_pages_follow_each_other(self, oci_account: OciAccount) -> None:
        pages = {"": page("a", following="p/b"), "p/b": page(following="p/c"), "p/c": page("c", "d")}
        with listing_of(oci_account, lambda query: pages[query.get("start", "")]) as endpoint:
            assert keys(endpoint) == ["a", "c", "d"]
            assert endpoint.requests == {"list": 3}

    @pytest.mark.parametrize("pages_read", [0, 1, 2])
    def test_a_page_that_fails_for_now_is_transient_and_the_rest_begins_after_the_last_key(
        self, oci_account: OciAccount, prefix: str, behind: _Behind, pages_read: int
    ) -> None:
        names = [f"{number:04}" for number in range(2100)]
        for key in names:
            behind.plant(key, b"1")
        first, more = "^GET .*/o[?](?!.*start=)", r"^GET .*/o[?].*start=.*"
        fault = Fault((first, more, more + "2000")[pages_read], 500)
        seen: list[str] = []
        with faulty(oci_account, prefix, fault) as endpoint:
            with pytest.raises(Transient, match="busy or broken"):
                seen.extend(item.key for item in endpoint.scan() if isinstance(item, Entry))
            rest = keys(endpoint, f"{seen[-1]}\0" if seen else "")

        assert len(seen) == 1000 * pages_read
        assert seen + rest == names

    @pytest.mark.parametrize(
        ("status", "retry_after", "throttled", "seconds"),
        [
            (429, "7", True, 7.0),
            (503, "0.5", True, 0.5),
            (503, None, True, None),
            (503, "soon", True, None),
            (503, "-3", True, 0.0),
            (503, "inf", True, None),
            (503, "Sat, 21 Nov 2015 08:00:00 GMT", True, 0.0),
            (500, "2", False, 2.0),
        ],
    )
    def test_what_a_busy_store_asks_for_is_told(
        self,
        oci_account: OciAccount,
        status: int,
        retry_after: str | None,
        throttled: bool,
        seconds: float | None,
    ) -> None:
        headers = (("Retry-After", retry_after),) if retry_after else ()
        busy = Answer(status, b"{}", headers)
        with listing_of(oci_account, lambda _: busy) as endpoint:
            for deed in (lambda: list(endpoint.scan()), endpoint.probe, lambda: endpoint.stat("k")):
                with pytest.raises(Transient) as told:
                    deed()
                assert (told.value.throttled, told.value.retry_after_s) == (throttled, seconds)

    @pytest.mark.parametrize(
        ("pages", "words"),
        [
            ((page("a", "b", following="p/b"),), "was listed already"),
            ((page("a", following="p/b"), page(following="p/b")), "was listed already"),
            ((page("a", following="p/b"), page("a")), "out of order"),
            ((page("b", "a"),), "out of order"),
            ((page("a", "a"),), "out of order"),
            ((page("a", name="q/a"),), "isn't below the prefix"),
            ((page("a", name=7),), "doesn't describe an object"),
            ((page("a", name="p/\ud800"),), "doesn't describe an object"),
            ((page("a", size=None),), "doesn't describe an object"),
            ((page("a", etag=None),), "doesn't describe an object"),
            ((page("a", etag=""),), "doesn't describe an object"),
            ((page("a", timeModified="soon"),), "doesn't describe an object"),
            ((page("a", timeModified=None),), "doesn't describe an object"),
            ((page(*(f"{n:04}" for n in range(1000))), page("x")), "a full page didn't say"),
            ((Answer(200, b'{"objects": [{"name"'),), "isn't a whole list page"),
            ((Answer(200, b"[]"),), "isn't a whole list page"),
            ((Answer(200, b"{}"),), "isn't a whole list page"),
            ((Answer(200, b""),), "isn't a whole list page"),
            ((Answer(200, b'{"objects": [], "nextStartWith": 7}'),), "isn't a whole list page"),
            ((Answer(200, b'{"objects": [7]}'),), "doesn't describe an object"),
            ((Answer(403, b'{"code": "Forbidden"}'),), "Grant OBJECT_INSPECT"),
            ((Answer(404, b'{"code": "BucketNotFound"}'),), "Create it"),
            ((page("a", following="p/b"), Answer(400, b'{"code": "Odd", "message": "m"}')), "400, Odd: m"),
        ],
    )
    def test_a_listing_that_is_not_whole_never_just_ends(
        self, oci_account: OciAccount, pages: tuple[Answer, ...], words: str
    ) -> None:
        left = list(pages)
        with (
            listing_of(oci_account, lambda _: left.pop(0)) as endpoint,
            pytest.raises(ListingIncomplete, match=words),
        ):
            list(endpoint.scan())

    @pytest.mark.parametrize("md5", [None, "", "x", "XUFAKrxLKna5cZ2REBfFkg==-2", 7])
    def test_an_md5_that_is_none_is_no_digest(self, oci_account: OciAccount, md5: object) -> None:
        with listing_of(oci_account, lambda _: page("a", md5=md5)) as endpoint:
            assert entries(endpoint)[0].digests == ()


# What is wrong, in words, and at once.


class TestWords:
    def test_a_bucket_that_is_not_there_is_named(self, oci_account: OciAccount) -> None:
        with contextlib.closing(
            OciEndpoint("no-such-bucket", "", remote=oci_account.remote(), owner="test")
        ) as endpoint:
            for scratch in (False, True):
                with pytest.raises(RootMissing, match=r"oci://no-such-bucket@testspace\?.*Create it"):
                    endpoint.probe(scratch=scratch)
            with pytest.raises(ListingIncomplete, match="Create it"):
                list(endpoint.scan())
            with pytest.raises(Rejected):
                endpoint.stat("k")
            with pytest.raises(EndpointError):
                put(endpoint, "k", b"1")

    def test_a_key_that_the_service_does_not_know_is_told(self, oci_account: OciAccount, prefix: str) -> None:
        with contextlib.closing(
            OciEndpoint(
                BUCKET, prefix, namespace=NAMESPACE, remote=oci_account.remote(profile="WRONG"), owner="test"
            )
        ) as endpoint:
            with pytest.raises(AccessDenied, match="the signature is not accepted"):
                endpoint.probe()
            with pytest.raises(ListingIncomplete, match="the signature is not accepted"):
                list(endpoint.scan())
            with pytest.raises(EndpointError):
                endpoint.stat("k")
        with opened(oci_account, prefix, profile="WRONG") as endpoint, pytest.raises(AccessDenied):
            assert endpoint.root

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"profile": "NONE"}, "NONE"),
            ({"config_file": "/no/such/file"}, "/no/such/file"),
            ({"auth": "security_token"}, "security_token_file"),
            ({"auth": "resource_principal"}, "OCI_RESOURCE_PRINCIPAL_VERSION"),
        ],
    )
    def test_credentials_that_are_not_there_are_told(
        self, oci_account: OciAccount, prefix: str, changes: dict[str, str], words: str
    ) -> None:
        with (
            opened(oci_account, prefix, **changes) as endpoint,
            pytest.raises(UsageError, match=rf"Remote 'oci': no credentials of the kind .*{words}"),
        ):
            endpoint.probe()

    def test_a_session_token_is_read_again_when_it_has_run_out(
        self, oci_account: OciAccount, prefix: str, behind: _Behind
    ) -> None:
        token = oci_account.folder / "token"
        good = token.read_text()
        with opened(oci_account, prefix, profile="SESSION", auth="security_token") as endpoint:
            assert endpoint.root.startswith("oci://")
            endpoint.close()
            token.write_text("outlived")
            with pytest.raises(AccessDenied, match="renew the session"):
                endpoint.probe()
            token.unlink()
            with pytest.raises(AccessDenied, match="renew the session"):
                endpoint.probe()
            token.write_text(good)
            endpoint.probe()
            put(endpoint, "k", b"1")
        assert behind.names() == ["k"]

    @pytest.mark.parametrize("in_files", [False, True])
    def test_a_resource_principal_signs_with_its_session_token(
        self,
        oci_account: OciAccount,
        prefix: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        in_files: bool,
    ) -> None:
        token, pem = oci_account.session("first"), (oci_account.folder / "key.pem").read_text()
        (tmp_path / "rpst").write_text(token)
        (tmp_path / "pem").write_text(pem)
        monkeypatch.setenv("OCI_RESOURCE_PRINCIPAL_VERSION", "2.2")
        monkeypatch.setenv("OCI_RESOURCE_PRINCIPAL_REGION", "iad")
        monkeypatch.setenv("OCI_RESOURCE_PRINCIPAL_RPST", str(tmp_path / "rpst") if in_files else token)
        monkeypatch.setenv("OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM", str(tmp_path / "pem") if in_files else pem)
        principal = {"auth": "resource_principal", "config_file": None}

        with opened(oci_account, prefix, **principal) as endpoint:
            small = put(endpoint, "small", b"1")
            put(endpoint, "large", b"x" * LARGE)
            assert endpoint.copy_from(endpoint, "copied", entry=small, expect=None)
            oci_account.end_session(token)
            if in_files:
                (tmp_path / "rpst").write_text(oci_account.session("second"))
                assert keys(endpoint) == ["copied", "large", "small"]
            else:
                with pytest.raises(AccessDenied, match="renew the session"):
                    endpoint.probe()
        with opened(oci_account, prefix, **principal, endpoint_url=None, namespace="n") as endpoint:
            assert endpoint.root == f"oci://{BUCKET}@n/{prefix}?region={REGION}"

    def test_an_instance_principal_of_a_host_that_is_none_is_told(
        self, oci_account: OciAccount, prefix: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OCI_METADATA_BASE_URL", "http://127.0.0.1:9/opc/v2")
        with (
            opened(oci_account, prefix, auth="instance_principal") as endpoint,
            pytest.raises(UsageError, match=r"Remote 'oci': no credentials of the kind 'instance_principal'"),
        ):
            endpoint.probe()

    @pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"<html>", b'"text"'])
    def test_what_answers_as_no_store_does_is_told(
        self, oci_account: OciAccount, prefix: str, body: bytes
    ) -> None:
        seen = Entry("k", 1, None, "e")
        with (
            canned(lambda _method, _path, _query: Answer(200, body)) as url,
            opened(oci_account, prefix, endpoint_url=url, namespace=NAMESPACE) as endpoint,
        ):
            deeds: tuple[Callable[[], object], ...] = (
                lambda: put(endpoint, "k", b"1"),
                lambda: put(endpoint, "k", b"x" * LARGE),
                lambda: endpoint.stat("k"),
                lambda: whole(endpoint, "k", seen),
                lambda: endpoint.move("k", "l", expect=seen),
                lambda: endpoint.copy_from(endpoint, "l", entry=seen, expect=None),
                lambda: endpoint.probe(scratch=True),
            )
            for deed in deeds:
                with pytest.raises(Transient, match="can't be understood"):
                    deed()

    def test_a_dead_port_is_told_at_once(self, oci_account: OciAccount, prefix: str) -> None:
        with (
            contextlib.closing(
                OciEndpoint(
                    BUCKET,
                    prefix,
                    namespace=NAMESPACE,
                    remote=oci_account.remote(endpoint_url="http://127.0.0.1:9"),
                    owner="test",
                )
            ) as endpoint,
            pytest.raises(Transient, match=r"no answer from http://127\.0\.0\.1:9"),
        ):
            endpoint.probe()

    def test_a_root_of_oci_without_its_sdk_says_what_to_install(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in [name for name in sys.modules if name.startswith("bisyncer.endpoints.oci")]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "oci", None)

        with pytest.raises(UsageError, match=r"needs the SDK of OCI: pip install 'bisyncer\[oci\]'"):
            open_endpoint("oci://b/p", {}, owner="o")


# Roots.


@pytest.mark.parametrize(
    ("text", "root"),
    [
        ("oci://b", "oci://b@testspace?endpoint={}"),
        ("oci://b@other/x/y/", "oci://b@other/x/y?endpoint={}"),
        ("oci:b/x", "oci://b@testspace/x?endpoint={}"),
    ],
)
def test_a_root_has_one_text(oci_account: OciAccount, text: str, root: str) -> None:
    with contextlib.closing(open_endpoint(text, {"oci": oci_account.remote()}, owner="o")) as endpoint:
        assert endpoint.root == root.format(oci_account.server.endpoint_url)


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({}, f"region={REGION}"),
        ({"region": "fra"}, "region=eu-frankfurt-1"),
        ({"region": None}, f"region={REGION}"),
        ({"endpoint_url": f"HTTPS://objectstorage.{REGION}.oraclecloud.com:443/"}, f"region={REGION}"),
        ({"endpoint_url": "https://Own.example/x/"}, "endpoint=https://own.example/x"),
    ],
)
def test_a_root_tells_its_region(oci_account: OciAccount, changes: dict[str, str], place: str) -> None:
    remote = oci_account.remote(**{"endpoint_url": None, "namespace": "n", **changes})
    with contextlib.closing(OciEndpoint("b", "", remote=remote, owner="o")) as endpoint:
        assert endpoint.root == f"oci://b@n?{place}"


@pytest.mark.parametrize("text", ["oci://", "oci:///x", "oci://@n/x"])
def test_a_root_without_a_bucket_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="names no bucket"):
        open_endpoint(text, {}, owner="o")


def test_overlap_is_of_prefixes_in_one_bucket_of_one_region(oci_account: OciAccount) -> None:
    def end(prefix: str, bucket: str = "b", namespace: str = "n", region: str = REGION) -> OciEndpoint:
        remote = oci_account.remote(endpoint_url=None, region=region)
        return OciEndpoint(bucket, prefix, namespace=namespace, remote=remote, owner="o")

    one = end("x")
    assert all(one.overlaps(other) and other.overlaps(one) for other in (end("x"), end("x/y"), end("")))
    assert not any(
        one.overlaps(other)
        for other in (end("xy"), end("x", "c"), end("x", namespace="m"), end("x", region="eu-frankfurt-1"))
    )
    assert not one.overlaps(MemoryEndpoint("m"))
