from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from http.server import BaseHTTPRequestHandler
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from azure import identity
from azure.core.exceptions import ClientAuthenticationError, ResourceNotFoundError, ServiceRequestError
from azure.storage.blob import ContainerClient, ContainerSasPermissions, generate_container_sas

from bisyncer.endpoints import azure_write
from bisyncer.endpoints.azure import AzureEndpoint
from bisyncer.endpoints.azure_auth import connection_string, credential
from bisyncer.endpoints.azure_client import Client
from bisyncer.endpoints.azure_error import Kind, unanswered
from bisyncer.endpoints.base import Endpoint
from bisyncer.endpoints.body import PART_SIZE
from bisyncer.endpoints.memory import MemoryEndpoint
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
from bisyncer.job import Remote, Secret
from bisyncer.model import Algorithm, Conditions, Digest, Entry
from tests.azurite import copied_block
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
from tests.servers import AzureServer

LARGE = PART_SIZE + 1  # bytes; sent in blocks

# What Azure can't hold, or takes for another name.
REFUSED = ("new\nline", "tab\t", "back\\slash", "...", "./x", "a/../b", "a/./b", "a./b", "c1\x85")


class AzureBehind:
    """The container as another client reaches it, below one prefix."""

    def __init__(self, client: ContainerClient, prefix: str) -> None:
        self.client = client
        self.place = prefix
        self.prefix = f"{prefix}/"

    def plant(self, key: str, data: bytes) -> None:
        self.client.upload_blob(self.prefix + key, data, overwrite=True)

    def remove(self, key: str) -> None:
        self.client.delete_blob(self.prefix + key)

    def content(self, key: str) -> bytes | None:
        try:
            return self.client.download_blob(self.prefix + key).readall()
        except ResourceNotFoundError:
            return None

    def names(self) -> list[str]:
        found = self.client.list_blob_names(name_starts_with=self.prefix)
        return sorted(name.removeprefix(self.prefix) for name in found)


@pytest.fixture
def prefix() -> str:
    """A prefix that no other test uses."""
    return uuid.uuid4().hex


@contextlib.contextmanager
def opened(server: AzureServer, prefix: str, **changes: Any) -> Iterator[AzureEndpoint]:
    with contextlib.closing(
        AzureEndpoint(server.container, prefix, remote=server.remote(**changes), owner="test")
    ) as endpoint:
        yield endpoint


@contextlib.contextmanager
def faulty(server: AzureServer, prefix: str, *faults: Fault, **changes: Any) -> Iterator[AzureEndpoint]:
    """An endpoint whose requests go through a proxy with these faults."""
    account = f"/{server.account}"
    with (
        proxy(
            server.endpoint_url.removesuffix(account), *faults, instead=partial(copied_block, server)
        ) as url,
        opened(server, prefix, endpoint_url=url + account, **changes) as endpoint,
    ):
        yield endpoint


class TestAzurite(BucketContract):
    tree_keys = ()
    bucket_keys = tuple(key for key in BUCKET_KEYS if key not in REFUSED)

    @pytest.fixture
    def endpoint(self, azurite: AzureServer, prefix: str) -> Iterator[Endpoint]:
        conditions = honoured(azurite.endpoint_url, partial(opened, azurite, "probed"))
        remote = azurite.remote()
        with contextlib.closing(
            AzureEndpoint(azurite.container, prefix, remote=remote, owner="test", conditions=conditions)
        ) as endpoint:
            yield endpoint

    @pytest.fixture
    def behind(self, azurite: AzureServer, prefix: str) -> Iterator[AzureBehind]:
        with azurite.client() as client:
            yield AzureBehind(client, prefix)

    def test_every_condition_is_honoured(self, endpoint: Endpoint) -> None:
        assert endpoint.capabilities.conditional_write
        assert endpoint.capabilities.conditional_delete
        assert endpoint.capabilities.server_copy
        assert endpoint.capabilities.deletes_at_once == 256

    # Names.

    @pytest.mark.parametrize("key", [*REFUSED, "x" * 1025, "a/" * 254 + "b", "\U0001f600" * 500])
    def test_a_key_that_azure_would_take_for_another_is_rejected(
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

    def test_keys_beside_the_prefix_are_not_listed(self, endpoint: Endpoint, behind: AzureBehind) -> None:
        behind.plant("in", b"1")
        for beside in (behind.prefix[:-1] + "-x", behind.prefix[:-1] + "0/in"):
            behind.client.upload_blob(beside, b"1")

        assert keys(endpoint) == ["in"]

    def test_our_own_scratch_is_never_listed(self, endpoint: Endpoint, behind: Behind) -> None:
        ours = ".bisyncer-probe-0123456789abcdef"
        theirs = [".bisyncer-check", ".bisyncer-probe-1", "a" + ours, "d/.bisyncer-check", f"{ours}/file"]
        for key in (ours, f"d/{ours}", *theirs):
            behind.plant(key, b"1")

        assert keys(endpoint) == sorted(theirs)

    # Listings.

    def test_a_scan_costs_one_request_a_page_and_no_look(self, azurite: AzureServer, prefix: str) -> None:
        with opened(azurite, prefix) as endpoint:
            for number in range(5):
                put(endpoint, f"d/{number}", b"1")
            assert len(entries(endpoint)) == 5

            assert endpoint.requests == {"put": 5, "account": 1, "list": 1}
            assert not endpoint.capabilities.ranged_listing  # the emulator begins each listing at its begin
            list(endpoint.scan())
            assert endpoint.requests == {"put": 5, "account": 1, "list": 2}

    def test_pages_and_ranges_of_many_keys_are_exact(
        self, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # A page has 5,000 names unless fewer are asked for, and the emulator takes seconds for as many.
        page, ask, pages = 100, Client.ask, []

        def ask_for_less(self: Client, *words: Any, query: Any = None, **named: Any) -> Any:
            if query and query.get("comp") == "list" and "maxresults" not in query:
                query = {**query, "maxresults": str(page)}
                pages.append(query)
            return ask(self, *words, query=query, **named)

        monkeypatch.setattr(Client, "ask", ask_for_less)
        # Beyond a page, with names whose order in UTF-16 is another on both sides of its end.
        names = sorted(
            [f"{n:04}" for n in range(page - 5)]
            + [f"5/\uff5e{n}" for n in range(4)]
            + [f"5/\U0001f600{n}" for n in range(8)]
            + [
                "5/\U0001f600/\uff5e",
                "5/\U0001f600/\U0001f600",
                "5/a",
                "5/\ufdff",
                "6",
                "\U0001f600",
                "\uff5e",
            ]
        )
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda key: put(endpoint, key, b"1"), names))

        assert keys(endpoint) == names
        assert len(pages) > 1
        for at in (1, *range(page - 6, page + 11), len(names) - 1):
            assert keys(endpoint, names[at]) == names[at:]
            assert keys(endpoint, "", names[at]) == names[:at]
        cuts = ["", *names[2::30], "5/\U0001f600", None]
        assert [k for low, high in pairwise(cuts) for k in keys(endpoint, low or "", high)] == names

    # What is told of a blob.

    def test_the_md5_of_a_blob_that_is_found_is_no_proof_that_content_differs(
        self, endpoint: Endpoint, behind: Behind
    ) -> None:
        behind.plant("k", b"123")
        md5 = hashlib.md5(b"123").hexdigest()

        assert entries(endpoint)[0].digests == (Digest(Algorithm.ETAG_MD5, md5),)
        assert now(endpoint, "k").digests == (Digest(Algorithm.ETAG_MD5, md5),)
        assert put(endpoint, "l", b"123").digests == (Digest(Algorithm.MD5, md5),)

    def test_the_md5_of_a_blob_that_changes_in_place_is_not_looked_at(
        self, endpoint: Endpoint, behind: AzureBehind
    ) -> None:
        blob = behind.client.get_blob_client(behind.prefix + "log")
        blob.create_append_blob()
        blob.append_block(b"line\n")

        (listed,) = entries(endpoint)
        assert (listed.size, listed.digests) == (5, ())
        blob.append_block(b"line\n")
        with pytest.raises(Changed):
            whole(endpoint, "log", listed)

    def test_the_time_of_the_content_is_what_rclone_reads(
        self, endpoint: Endpoint, behind: AzureBehind
    ) -> None:
        for key, data in {"small": b"1", "large": b"x" * LARGE}.items():
            put(endpoint, key, data)
            blob = behind.client.get_blob_client(behind.prefix + key).get_blob_properties()
            assert blob.metadata == {"mtime": "2020-09-13T12:26:40.123456789Z"}

    def test_a_store_without_conditions_is_looked_at_before_each_attempt_to_publish(
        self, azurite: AzureServer, prefix: str, behind: AzureBehind
    ) -> None:
        busy: list[str] = []

        def write_and_be_busy(request: BaseHTTPRequestHandler, _body: bytes) -> Answer | None:
            if busy or request.command != "PUT" or "comp=blocklist" not in request.path:
                return None
            busy.append(request.path)
            behind.plant("k", b"theirs")
            return Answer(503, b"<Error><Code>ServerBusy</Code></Error>")

        account = f"/{azurite.account}"
        with (
            proxy(azurite.endpoint_url.removesuffix(account), instead=write_and_be_busy) as url,
            contextlib.closing(
                AzureEndpoint(
                    azurite.container,
                    prefix,
                    remote=azurite.remote(endpoint_url=url + account),
                    owner="test",
                    conditions=Conditions(complete=False),
                )
            ) as endpoint,
            pytest.raises(Changed),
        ):
            put(endpoint, "k", b"x" * LARGE)
        assert busy
        assert behind.content("k") == b"theirs"

    def test_the_media_type_is_told_by_the_name(self, endpoint: Endpoint, behind: AzureBehind) -> None:
        for key, kind in {"a.html": "text/html", "x": "application/octet-stream"}.items():
            put(endpoint, key, b"1")
            blob = behind.client.get_blob_client(behind.prefix + key).get_blob_properties()
            assert blob.content_settings.content_type == kind

    def test_fields_that_azure_can_not_hold_are_left_out(self, endpoint: Endpoint) -> None:
        can_not = {
            "no-identifier": "1",
            "1st": "1",
            "\u00fcber": "1",
            "umlaut": "\u00fc",
            "lead": " 1",
            "trail": "1 ",
            "lines": "1\n2",
            "empty": "",
            "hdi_isfolder": "true",
            "mtime": "1",
            "content-language": "\u00fc",
            "huge": "x" * (8 << 10),
        }
        fields = {"project": "apollo  11", "content-type": "text/x-log"}

        for size in (1, LARGE):
            source = {**can_not, "Project": "apollo  11", "content-type": "text/x-log"}
            entry = put(endpoint, f"k{size}", b"x" * size, metadata=source)

            assert metadata_of(endpoint, entry) == fields
            assert now(endpoint, f"k{size}").mtime_ns == MTIME_NS

    def test_metadata_of_others_is_told_in_lower_case_and_the_marks_of_the_store_never(
        self, endpoint: Endpoint, behind: AzureBehind
    ) -> None:
        given = {"Project": "Apollo", "MTIME": "1600000000.5", "hdi_permission": "x", "hdi_isfolder": "false"}
        behind.client.upload_blob(behind.prefix + "k", b"1", metadata=given)

        assert metadata_of(endpoint, now(endpoint, "k")) == {
            "project": "Apollo",
            "content-type": "application/octet-stream",
        }
        assert now(endpoint, "k").mtime_ns == 1_600_000_000_500_000_000

    def test_what_is_written_has_the_access_tier_of_the_remote(
        self, azurite: AzureServer, prefix: str, behind: AzureBehind
    ) -> None:
        with opened(azurite, prefix, access_tier="Cool") as endpoint:
            entry = put(endpoint, "small", b"1")
            put(endpoint, "large", b"x" * LARGE)
            endpoint.copy_from(endpoint, "copy", entry=entry, expect=None)
            endpoint.move("small", "moved", expect=entry)
        for key in ("large", "copy", "moved"):
            blob = behind.client.get_blob_client(behind.prefix + key).get_blob_properties()
            assert blob.blob_tier == "Cool"

    def test_an_archived_blob_is_rejected_with_the_cure(
        self, endpoint: Endpoint, behind: AzureBehind
    ) -> None:
        entry = put(endpoint, "k", b"1")
        behind.client.get_blob_client(behind.prefix + "k").set_standard_blob_tier("Archive")
        entry = now(endpoint, "k")

        for deed in (
            lambda: whole(endpoint, "k", entry),
            lambda: endpoint.copy_from(endpoint, "l", entry=entry, expect=None),
            lambda: endpoint.move("k", "l", expect=entry),
        ):
            with pytest.raises(Rejected, match=r"'k': is archived.*Rehydrate it"):
                deed()
        assert behind.names() == ["k"]

    def test_an_encoded_body_is_read_as_it_is_stored(self, endpoint: Endpoint, behind: AzureBehind) -> None:
        from azure.storage.blob import ContentSettings

        behind.client.upload_blob(
            behind.prefix + "k", b"no gzip", content_settings=ContentSettings(content_encoding="gzip")
        )

        assert whole(endpoint, "k", now(endpoint, "k")) == b"no gzip"

    def test_a_blob_with_snapshots_is_not_deleted_with_them(
        self, endpoint: Endpoint, behind: AzureBehind
    ) -> None:
        entry = put(endpoint, "k", b"1")
        behind.client.get_blob_client(behind.prefix + "k").create_snapshot()

        with pytest.raises(Rejected, match="has snapshots"):
            endpoint.delete("k", expect=entry)
        assert behind.content("k") == b"1"

    def test_a_blob_with_snapshots_is_left_alone_among_many_deletions(
        self, endpoint: Endpoint, behind: AzureBehind
    ) -> None:
        seen = [put(endpoint, key, b"1") for key in ("j", "k", "l")]
        behind.client.get_blob_client(behind.prefix + "k").create_snapshot()

        assert endpoint.delete_many(seen) == {"j", "l"}
        assert behind.content("k") == b"1"

    def test_a_leased_blob_is_left_alone(self, endpoint: Endpoint, behind: AzureBehind) -> None:
        entry = put(endpoint, "k", b"1")
        behind.client.get_blob_client(behind.prefix + "k").acquire_lease(60)

        for deed in (lambda: put(endpoint, "k", b"2", entry), lambda: endpoint.delete("k", expect=entry)):
            with pytest.raises(Rejected, match="is leased by another program"):
                deed()
        assert whole(endpoint, "k", entry) == b"1"

    # Large bodies.

    def test_a_large_body_is_written_whole(self, endpoint: Endpoint, behind: AzureBehind) -> None:
        data = os.urandom(2 * PART_SIZE + 12345)
        entry = put(endpoint, "k", data)
        replaced = put(endpoint, "k", data[1:], entry)

        assert now(endpoint, "k").stamp == replaced.stamp != entry.stamp
        assert now(endpoint, "k").mtime_ns == MTIME_NS
        assert replaced.digests == (Digest(Algorithm.MD5, hashlib.md5(data[1:]).hexdigest()),)
        assert entries(endpoint)[0].digests[0].value == replaced.digests[0].value
        assert in_large_pieces(endpoint, replaced) == data[1:]

    @pytest.mark.parametrize("size", [PART_SIZE, LARGE, 2 * PART_SIZE, 2 * PART_SIZE + 1])
    def test_a_body_of_about_a_block_is_written_whole(self, endpoint: Endpoint, size: int) -> None:
        entry = put(endpoint, "k", b"x" * size)

        assert entry.size == now(endpoint, "k").size == size
        assert now(endpoint, "k").stamp == entry.stamp

    def test_a_large_body_is_created_only_where_nothing_is(
        self, endpoint: Endpoint, behind: AzureBehind
    ) -> None:
        behind.plant("k", b"theirs")

        with pytest.raises(Changed):
            put(endpoint, "k", b"x" * LARGE)

        assert behind.content("k") == b"theirs"

    def test_a_large_body_replaces_only_what_was_seen(self, endpoint: Endpoint, behind: AzureBehind) -> None:
        stale = put(endpoint, "k", b"seen")
        behind.plant("k", b"unseen")

        with pytest.raises(Changed):
            put(endpoint, "k", b"x" * LARGE, stale)

        assert behind.content("k") == b"unseen"
        behind.remove("k")
        with pytest.raises(Changed):
            put(endpoint, "k", b"x" * LARGE, stale)
        assert behind.names() == []

    def test_a_large_body_in_the_place_of_a_blob_of_another_kind_is_rejected(
        self, endpoint: Endpoint, behind: AzureBehind
    ) -> None:
        blob = behind.client.get_blob_client(behind.prefix + "log")
        blob.create_append_blob()
        blob.append_block(b"line\n")

        with pytest.raises(Rejected, match=r"'log'.*Correct what it says"):
            put(endpoint, "log", b"x" * LARGE, now(endpoint, "log"))
        assert behind.content("log") == b"line\n"

    @pytest.mark.parametrize("size", [LARGE - 1, LARGE + 1, 3 * PART_SIZE, PART_SIZE // 2])
    def test_a_large_body_of_another_size_is_never_published(
        self, endpoint: Endpoint, behind: AzureBehind, size: int
    ) -> None:
        with pytest.raises(Changed):
            endpoint.write("k", BytesSource(b"x" * size, size=LARGE), expect=None)

        assert behind.names() == []

    @pytest.mark.parametrize("breaks_at", [0, PART_SIZE // 2, PART_SIZE, 3 * PART_SIZE])
    def test_a_large_body_that_changes_while_it_is_read_is_never_published(
        self, endpoint: Endpoint, behind: AzureBehind, breaks_at: int
    ) -> None:
        with pytest.raises(Changed):
            endpoint.write("k", BytesSource(b"x" * (3 * PART_SIZE), breaks_at=breaks_at), expect=None)

        assert behind.names() == []
        assert endpoint.stat("k") is None
        put(endpoint, "k", b"1")

    def test_of_many_that_write_a_large_body_exactly_one_wins(
        self, endpoint: Endpoint, behind: AzureBehind, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(azure_write, "PART_SIZE", 1)
        monkeypatch.setattr(azure_write, "part_size", lambda _size, _most: 16)
        seen: Entry | None = None
        for _ in range(5):
            tried: list[int] = []

            def attempt(number: int, expect: Entry | None = seen, tried: list[int] = tried) -> Entry:
                try:
                    return put(endpoint, "k", bytes([number]) * (32 + number), expect)
                except Transient:  # its blocks were thrown away by who published first
                    tried.append(number)
                    raise Changed from None

            won = race(attempt)
            assert len(won) == 1
            assert behind.content("k") == bytes(won) * (32 + won[0])
            seen = now(endpoint, "k")

    # Answers that never come.

    @pytest.mark.parametrize("what", ["lose", "swallow", 500, 503])
    def test_a_write_is_never_sent_twice(
        self, azurite: AzureServer, prefix: str, behind: Behind, what: str | int
    ) -> None:
        fault = Fault("^PUT ", what, times=9)
        with faulty(azurite, prefix, fault) as endpoint:
            if what == "lose":
                created = put(endpoint, "k", b"1")
                replaced = put(endpoint, "k", b"22", created)
                assert now(endpoint, "k").stamp == replaced.stamp
                assert now(endpoint, "k").mtime_ns == replaced.mtime_ns == MTIME_NS
                assert behind.content("k") == b"22"
            else:
                for _ in range(2):
                    with pytest.raises(Transient, match=r"no answer from|busy or broken"):
                        put(endpoint, "k", b"1")
                assert behind.names() == []
        assert fault.seen == 2

    def test_a_lost_answer_and_another_write_after_it_is_no_success(
        self, azurite: AzureServer, prefix: str, behind: Behind
    ) -> None:
        lost = Fault("^PUT ", "lose", then=lambda: behind.plant("k", b"theirs"))
        with faulty(azurite, prefix, lost) as endpoint, pytest.raises((Changed, Transient)):
            put(endpoint, "k", b"ours")
        assert behind.content("k") == b"theirs"

    def test_a_delete_whose_answer_is_lost_is_done(
        self, azurite: AzureServer, prefix: str, behind: Behind
    ) -> None:
        lost = Fault("^DELETE ", "lose")
        with faulty(azurite, prefix, lost) as endpoint:
            endpoint.delete("k", expect=put(endpoint, "k", b"1"))
        assert lost.seen == 1
        assert behind.names() == []

    def test_a_publishing_that_is_refused_after_one_without_an_answer_is_unclear(
        self, azurite: AzureServer, prefix: str
    ) -> None:
        faults = (Fault("^PUT .*comp=blocklist", "swallow"), Fault("^PUT .*comp=blocklist", 403, times=9))
        with faulty(azurite, prefix, *faults) as endpoint, pytest.raises(Transient):
            put(endpoint, "k", b"x" * LARGE)
        assert all(fault.seen for fault in faults)

    @pytest.mark.parametrize("what", ["lose", "swallow", "cut", 503])
    def test_of_many_deletions_without_an_answer_nothing_is_told(
        self, azurite: AzureServer, prefix: str, behind: Behind, what: str | int
    ) -> None:
        with faulty(azurite, prefix, Fault("^POST .*comp=batch", what)) as endpoint:
            seen = [put(endpoint, key, b"1") for key in "abc"]
            with pytest.raises(Transient):
                endpoint.delete_many(seen)
            assert behind.names() in ([], ["a", "b", "c"])

    def test_many_deletions_go_in_one_request(
        self, azurite: AzureServer, prefix: str, behind: Behind
    ) -> None:
        with opened(azurite, prefix) as endpoint:
            seen = [put(endpoint, f"d/{number}", b"1") for number in range(256)]

            assert endpoint.delete_many(seen) == {entry.key for entry in seen}
            assert endpoint.requests == {"put": 256, "delete": 1}
        assert behind.names() == []

    def test_a_delete_that_never_arrived_is_transient(
        self, azurite: AzureServer, prefix: str, behind: Behind
    ) -> None:
        with faulty(azurite, prefix, Fault("^DELETE ", "swallow")) as endpoint:
            entry = put(endpoint, "k", b"1")
            with pytest.raises(Transient):
                endpoint.delete("k", expect=entry)
            assert behind.names() == ["k"]

    @pytest.mark.parametrize("what", ["lose", "swallow", 500])
    def test_a_large_body_whose_publishing_goes_unanswered_is_published_once(
        self, azurite: AzureServer, prefix: str, what: str | int
    ) -> None:
        fault = Fault(r"^PUT .*comp=blocklist", what)
        with faulty(azurite, prefix, fault) as endpoint:
            entry = put(endpoint, "k", b"x" * LARGE)

            assert now(endpoint, "k").stamp == entry.stamp
        assert fault.seen == 1

    @pytest.mark.parametrize("what", ["lose", "swallow", 503])
    def test_a_block_is_sent_again(
        self, azurite: AzureServer, prefix: str, behind: Behind, what: str | int
    ) -> None:
        fault = Fault(r"^PUT .*comp=block&", what, times=2)
        with faulty(azurite, prefix, fault) as endpoint:
            put(endpoint, "k", b"x" * (3 * PART_SIZE))
        assert fault.seen == 2
        assert behind.content("k") == b"x" * (3 * PART_SIZE)

    def test_a_block_that_can_not_be_sent_publishes_nothing(
        self, azurite: AzureServer, prefix: str, behind: Behind
    ) -> None:
        with (
            faulty(azurite, prefix, Fault(r"^PUT .*comp=block&", 503, times=99)) as endpoint,
            pytest.raises(Transient, match="'k': the store is busy or broken"),
        ):
            put(endpoint, "k", b"x" * LARGE)
        assert behind.names() == []

    @pytest.mark.parametrize("size", [10, 1_000_000])
    def test_a_body_that_breaks_off_is_not_taken_for_whole(
        self, azurite: AzureServer, prefix: str, behind: Behind, size: int
    ) -> None:
        behind.plant("k", b"0" * size)
        with faulty(azurite, prefix, Fault("^GET .*/k", "cut", times=9)) as endpoint:
            entry = now(endpoint, "k")
            with pytest.raises(Transient, match="in the middle of the blob"):
                in_large_pieces(endpoint, entry)

    def test_a_long_body_that_is_replaced_while_it_is_read_is_changed(
        self, endpoint: Endpoint, behind: Behind
    ) -> None:
        entry = put(endpoint, "k", b"x" * LARGE)
        with endpoint.read("k", expect=entry) as source:
            source.read(1)
            behind.plant("k", b"y" * LARGE)
            with pytest.raises((Changed, Transient)):
                source.read()

    # What is wrong, in words, and at once.

    def test_a_container_that_is_not_there_is_named(self, azurite: AzureServer) -> None:
        with contextlib.closing(
            AzureEndpoint("no-such-container", "", remote=azurite.remote(), owner="test")
        ) as endpoint:
            for scratch in (False, True):
                with pytest.raises(RootMissing, match=r"azure://no-such-container\?.*Create it"):
                    endpoint.probe(scratch=scratch)
            with pytest.raises(ListingIncomplete, match="Create it"):
                list(endpoint.scan())
            with pytest.raises(Rejected, match="Create it"):
                endpoint.stat("k")
            with pytest.raises(EndpointError):
                put(endpoint, "k", b"1")

    @pytest.mark.parametrize("key", ["d3Jvbmc=", "no base64"])
    def test_a_wrong_key_is_told(
        self, azurite: AzureServer, prefix: str, monkeypatch: pytest.MonkeyPatch, key: str
    ) -> None:
        monkeypatch.setenv("WRONG", key)
        with opened(azurite, prefix, account_key_env="WRONG") as endpoint:
            with pytest.raises(AccessDenied, match=r"credentials|access denied"):
                endpoint.probe()
            with pytest.raises(ListingIncomplete, match=r"credentials|access denied"):
                list(endpoint.scan())
            with pytest.raises(Rejected):
                endpoint.stat("k")

    def test_a_sas_and_a_connection_string_lead_to_the_same_container(
        self, azurite: AzureServer, prefix: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sas = container_sas(azurite, "racwdl")
        monkeypatch.setenv("SAS", "?" + sas)
        monkeypatch.setenv(
            "STRING",
            f"AccountName={azurite.account};AccountKey={azurite.key};BlobEndpoint={azurite.endpoint_url}",
        )
        by_string = {"account": None, "endpoint_url": None, "connection_string_env": "STRING"}
        for change in ({"sas_env": "SAS"}, by_string):
            with opened(azurite, prefix, account_key_env=None, **change) as endpoint:
                endpoint.probe(scratch=True)
                entry = put(endpoint, "a b", b"1")
                assert keys(endpoint) == ["a b"]
                assert (
                    endpoint.root == f"azure://{azurite.container}/{prefix}?endpoint={azurite.endpoint_url}"
                )
                assert endpoint.delete_many([entry]) == {"a b"}

    def test_a_sas_that_may_not_write_is_told_and_never_printed(
        self, azurite: AzureServer, prefix: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sas = container_sas(azurite, "rl")
        monkeypatch.setenv("SAS", sas)
        with opened(azurite, prefix, account_key_env=None, sas_env="SAS") as endpoint:
            endpoint.probe()
            with pytest.raises(AccessDenied) as denied:
                endpoint.probe(scratch=True)
            assert "sig=" not in str(denied.value)
        dead = azurite.remote(endpoint_url="http://127.0.0.1:1/a", account_key_env=None, sas_env="SAS")
        with contextlib.closing(AzureEndpoint(azurite.container, "", remote=dead, owner="test")) as endpoint:
            with pytest.raises(Transient, match=r"no answer from http://127.0.0.1:1/a") as unanswered:
                endpoint.probe()
            assert "sig=" not in str(unanswered.value)


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        (None, Kind.KEYS),
        (FileNotFoundError("az"), Kind.KEYS),
        (OSError("connection reset"), Kind.PASSING),
        (ServiceRequestError("no route to login.microsoftonline.com"), Kind.PASSING),
    ],
)
def test_a_token_that_nobody_answered_for_is_asked_for_again(cause: Exception | None, kind: Kind) -> None:
    error = ClientAuthenticationError("Authentication failed")
    error.__cause__ = cause

    assert unanswered(error, "https://a.blob.core.windows.net").kind is kind


def container_sas(server: AzureServer, permissions: str) -> str:
    sas: str = generate_container_sas(
        server.account,
        server.container,
        server.key,
        permission=ContainerSasPermissions.from_string(permissions),
        expiry=datetime.now(UTC) + timedelta(hours=1),
    )
    return sas


def in_large_pieces(endpoint: Endpoint, entry: Entry) -> bytes:
    with endpoint.read(entry.key, expect=entry) as source:
        return b"".join(iter(lambda: source.read(1 << 20), b""))


# Listings that aren't whole.


def blob(
    name: str, *, size: int = 1, folder: bool = False, time: str = "Sat, 21 Nov 2026 08:00:00 GMT"
) -> str:
    metadata = "<Metadata><hdi_isfolder>true</hdi_isfolder></Metadata>" if folder else "<OrMetadata />"
    return (
        f"<Blob><Name>{name}</Name><Properties><Creation-Time>{time}</Creation-Time>"
        f"<Last-Modified>{time}</Last-Modified><Etag>0x8D1</Etag><Content-Length>{size}</Content-Length>"
        "<Content-Type>text/plain</Content-Type><Content-Encoding /><Content-Language /><Content-CRC64 />"
        "<Content-MD5>ICy5YqxZB1uWSwcVLSNLcA==</Content-MD5><Cache-Control /><Content-Disposition />"
        f"<BlobType>BlockBlob</BlobType></Properties>{metadata}</Blob>"
    )


def page(*blobs: str, marker: str = "") -> Answer:
    following = f"<NextMarker>{marker}</NextMarker>" if marker else "<NextMarker />"
    text = (
        '\ufeff<?xml version="1.0" encoding="utf-8"?><EnumerationResults '
        'ServiceEndpoint="https://a.blob.core.windows.net/" ContainerName="c"><Prefix>p/</Prefix>'
        f"<Blobs>{''.join(blobs)}</Blobs>{following}</EnumerationResults>"
    )
    return Answer(200, text.encode())


def names(*keys: str, marker: str = "") -> Answer:
    return page(*(blob(f"p/{key}") for key in keys), marker=marker)


# The answer to a look at a directory, or at what blobfuse leaves in the place of one.
MARK = Answer(
    200,
    b"",
    (
        ("ETag", '"0x8D1"'),
        ("Last-Modified", "Sat, 21 Nov 2026 08:00:00 GMT"),
        ("Content-Range", "bytes */0"),
        ("x-ms-blob-type", "BlockBlob"),
        ("x-ms-meta-hdi_isfolder", "true"),
    ),
)


@contextlib.contextmanager
def listing_of(
    *pages: Answer | None,
    hierarchical: str | None = "false",
    asked: list[dict[str, str]] | None = None,
    first: tuple[Answer | None, ...] = (),
) -> Iterator[AzureEndpoint]:
    """An endpoint of which page n, by the number that is its marker, is canned; `first` come before them."""
    waiting = iter(first)

    def respond(_method: str, _path: str, query: dict[str, str]) -> Answer:
        if query.get("restype") == "account":
            if hierarchical is None:
                return Answer(403)
            return Answer(200, b"", (("x-ms-is-hns-enabled", hierarchical),))
        if asked is not None:
            asked.append(query)
        answer = next(waiting, pages[int(query.get("marker", "0"))])
        return answer or Answer(500, b"<Error><Code>InternalError</Code></Error>")

    with canned(respond) as url:
        remote = Remote(name="canned", type="azure", account="a", endpoint_url=url, account_key_env="ID")
        with contextlib.closing(AzureEndpoint("c", "p", remote=remote, owner="test")) as endpoint:
            yield endpoint


@pytest.fixture
def key_in_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ID", base64.b64encode(b"x").decode())


@pytest.mark.usefixtures("key_in_environment")
class TestListing:
    def test_pages_follow_each_other(self) -> None:
        with listing_of(names("a", marker="1"), names(marker="2"), names("b", "c")) as endpoint:
            assert keys(endpoint) == ["a", "b", "c"]
            assert endpoint.requests == {"account": 1, "list": 3}

    @pytest.mark.parametrize("failing", [0, 1, 2])
    def test_a_page_that_fails_for_now_is_no_end_and_the_rest_can_be_listed_later(self, failing: int) -> None:
        whole = [names("a", marker="1"), names("b\U0001f600", "b\uff5e", marker="2"), names("c")]
        pages: list[Answer | None] = [*whole]
        pages[failing] = Answer(
            503, b"<Error><Code>ServerBusy</Code></Error>", (("x-ms-retry-after-ms", "70"),)
        )
        found: list[str] = []
        with listing_of(*pages) as endpoint:
            with pytest.raises(Transient, match=r"azure://c/p\?.*can't be listed to its end") as busy:
                found.extend(item.key for item in endpoint.scan() if isinstance(item, Entry))
            assert (busy.value.throttled, busy.value.retry_after_s) == (True, 0.07)
            assert endpoint.requests["list"] == failing + 1
        with listing_of(*whole) as endpoint:
            found += keys(endpoint, found[-1] + "\0" if found else "")
        assert found == ["a", "b\uff5e", "b\U0001f600", "c"]

    def test_a_page_of_a_listing_that_must_be_sorted_is_asked_for_again(self) -> None:
        pages = (names("b", marker="1"), names("a"))
        with listing_of(*pages, hierarchical=None, first=(None,)) as endpoint:
            assert keys(endpoint) == ["a", "b"]
            assert endpoint.requests["list"] == 3

    def test_a_listing_is_never_asked_to_start_with_what_no_name_holds(self) -> None:
        asked: list[dict[str, str]] = []
        with listing_of(names("a/b", "c"), asked=asked) as endpoint:
            assert keys(endpoint, "a/b\0") == ["c"]
            assert keys(endpoint, "a/\\") == ["a/b", "c"]
        assert [query.get("startFrom") for query in asked] == ["p/a/b", "p/a/"]

    @pytest.mark.parametrize(
        ("pages", "words"),
        [
            ((Answer(200, names("a").body.replace(b"<NextMarker />", b"")),), "whether more names follow"),
            ((names("a", marker="1"), names("b", marker="1")), "the same marker again"),
            ((names("a", marker="1"), names("a")), "twice"),
            ((names("b", "a"),), "no order"),
            ((names("b", "c", marker="1"), names("a")), "no order"),
            ((page(blob("q/a")),), "isn't below the prefix"),
            ((page(blob("p/a", time="Sat, 31 Feb 2026 08:00:00 GMT")),), "which is none"),
            ((Answer(200, b"<html>hello</html>"),), "a list page is a <html>"),
            ((Answer(200, b""),), "not whole XML"),
            ((Answer(200, b"<!DOCTYPE x []><EnumerationResults/>"),), "a document type"),
            ((names("a", marker="1"), Answer(200, names("b").body[:-30])), "not whole XML"),
            ((page(blob("p/a").replace("<Etag>0x8D1</Etag>", "")),), "without its name, size, ETag or time"),
            ((Answer(403, b"<Error><Code>AuthorizationFailure</Code></Error>"),), "grant the role"),
            ((Answer(404, b"<Error><Code>ContainerNotFound</Code></Error>"),), "Create it"),
            ((names("a", marker="1"), Answer(400, b"<Error><Code>Odd</Code></Error>")), "status 400, Odd"),
        ],
    )
    def test_a_listing_that_is_not_whole_never_just_ends(self, pages: tuple[Answer, ...], words: str) -> None:
        with listing_of(*pages) as endpoint, pytest.raises(ListingIncomplete, match=words):
            list(endpoint.scan())

    def test_a_range_is_asked_for_from_where_both_orders_have_it(self) -> None:
        asked: list[dict[str, str]] = []
        with listing_of(names("a", "b", "c\U0001f600", "c\uff5e", "d"), asked=asked) as endpoint:
            assert keys(endpoint, "b", "d") == ["b", "c\uff5e", "c\U0001f600"]
            assert keys(endpoint, "c\U0001f600") == ["c\U0001f600", "d"]
        assert [query.get("startFrom") for query in asked] == ["p/b", "p/c"]

    def test_a_range_is_asked_for_by_what_all_its_keys_begin_with(self) -> None:
        asked: list[dict[str, str]] = []
        with listing_of(names("d/f1", "d/f2", "d/f3"), asked=asked) as endpoint:
            assert keys(endpoint, "d/f2", "d/f3") == ["d/f2"]
        assert [(query["prefix"], query["startFrom"]) for query in asked] == [("p/d/f", "p/d/f2")]

    @pytest.mark.parametrize("hierarchical", ["false", "true", None])
    @pytest.mark.parametrize("beside", ["o/a", "p", "q/a"])
    def test_a_name_beside_the_prefix_is_never_left_out_in_silence(
        self, hierarchical: str | None, beside: str
    ) -> None:
        with (
            listing_of(page(blob("p/b"), blob(beside)), hierarchical=hierarchical) as endpoint,
            pytest.raises(ListingIncomplete, match="isn't below the prefix"),
        ):
            list(endpoint.scan("a", "c"))

    @pytest.mark.parametrize("hierarchical", ["true", None])
    def test_a_hierarchical_namespace_is_sorted_and_its_directories_are_no_keys(
        self, hierarchical: str | None
    ) -> None:
        first = page(
            blob("p", folder=True).replace("<Name>p<", "<Name>p/<"),
            blob("p/d", size=0, folder=True),
            *(blob(f"p/d/{key}") for key in "ab"),
            blob("p/d.x"),
            marker="1",
        )
        with listing_of(first, names("c"), hierarchical=hierarchical) as endpoint:
            assert keys(endpoint) == ["c", "d.x", "d/a", "d/b"]
            assert keys(endpoint, "d/", "e") == ["d/a", "d/b"]

    @pytest.mark.parametrize("hierarchical", ["true", None])
    def test_a_directory_of_a_hierarchical_namespace_is_no_key(self, hierarchical: str | None) -> None:
        with listing_of(MARK, hierarchical=hierarchical) as endpoint:
            assert endpoint.stat("d") is None

    def test_the_mark_of_a_folder_in_a_flat_namespace_never_becomes_a_file(self) -> None:
        with listing_of(MARK) as endpoint:
            seen = endpoint.stat("d")
            assert seen is not None
            with pytest.raises(Rejected, match="the mark of a folder"), endpoint.read("d", expect=seen):
                pass

    @pytest.mark.parametrize("hierarchical", ["true", "false"])
    def test_an_empty_directory_is_only_kept_where_listings_tell_of_it(self, hierarchical: str) -> None:
        with listing_of(names(), hierarchical=hierarchical) as endpoint:
            refusal = endpoint.refusal("d/")
        assert (refusal is not None) == (hierarchical == "true")

    @pytest.mark.parametrize("why", ["x-ms-has-immutability-policy", "x-ms-has-legal-hold"])
    def test_where_no_blob_could_be_removed_again_none_is_written_to_try_it(self, why: str) -> None:
        with listing_of(Answer(200, names().body, ((why, "true"),))) as endpoint:
            told = endpoint.probe(scratch=True)
            assert "policy of immutability" in told.remarks[0]
            assert told.conditions == Conditions()
            assert "put" not in endpoint.requests

    def test_a_name_that_xml_can_not_hold_comes_as_it_is_stored(self) -> None:
        odd = blob("p%2Fa%EF%BF%BFb%2541").replace("<Name>", '<Name Encoded="true">')
        with listing_of(page(blob("p/&lt;&amp;amp;&#65;"), odd)) as endpoint:
            assert keys(endpoint) == ["<&amp;A", "a\uffffb%41"]

    def test_an_answer_that_forbids_a_look_is_not_taken_for_absence(self) -> None:
        with listing_of(Answer(403)) as endpoint, pytest.raises(Rejected, match="access denied"):
            endpoint.stat("k")

    @pytest.mark.parametrize(
        ("status", "kind", "words"),
        [
            ("pending", Transient, "is still being copied"),
            ("aborted", Rejected, "has aborted, so it is empty"),
        ],
    )
    def test_a_blob_that_another_program_has_not_filled_yet_is_not_read(
        self, status: str, kind: type[Exception], words: str
    ) -> None:
        headers = (
            ("ETag", '"0x1"'),
            ("Last-Modified", "Sat, 21 Nov 2026 08:00:00 GMT"),
            ("x-ms-copy-status", status),
        )
        with listing_of(Answer(200, b"", headers)) as endpoint, pytest.raises(kind, match=words):
            whole(endpoint, "k", Entry("k", 0, None, "0x1"))

    @pytest.mark.parametrize(
        ("status", "code", "headers", "throttled", "retry_after_s"),
        [
            (503, "ServerBusy", {"Retry-After": "7"}, True, 7.0),
            (503, "ServerBusy", {"x-ms-retry-after-ms": "250", "Retry-After": "7"}, True, 0.25),
            (429, "TooManyRequests", {"retry-after-ms": "1500"}, True, 1.5),
            (500, "OperationTimedOut", {}, True, None),
            (500, "InternalError", {"Retry-After": "soon"}, False, None),
            (
                503,
                "ServerBusy",
                {
                    "Date": "Sat, 21 Nov 2026 08:00:00 GMT",
                    "Retry-After": "Sat, 21 Nov 2026 08:00:09 GMT",
                },
                True,
                9.0,
            ),
        ],
    )
    def test_what_may_pass_is_asked_once_and_says_when_to_come_back(
        self, status: int, code: str, headers: dict[str, str], throttled: bool, retry_after_s: float | None
    ) -> None:
        busy = Answer(status, b"", (("x-ms-error-code", code), *headers.items()))
        for deed in (
            lambda endpoint: endpoint.probe(),
            lambda endpoint: endpoint.stat("k"),
            lambda endpoint: whole(endpoint, "k", Entry("k", 1, None, "0x1")),
            lambda endpoint: list(endpoint.scan()),
        ):
            with listing_of(busy) as endpoint, pytest.raises(Transient, match=code) as told:
                deed(endpoint)
            assert (told.value.throttled, told.value.retry_after_s) == (throttled, retry_after_s)
            counts = dict(endpoint.requests)
            counts.pop("account", None)
            assert list(counts.values()) == [1]

    @pytest.mark.parametrize(
        ("hierarchical", "words"), [("true", "a hierarchical namespace"), (None, "doesn't say")]
    )
    def test_a_listing_that_must_be_sorted_is_remarked(self, hierarchical: str | None, words: str) -> None:
        with listing_of(names(), hierarchical=hierarchical) as endpoint:
            (remark,) = endpoint.probe().remarks
            assert words in remark
            assert not endpoint.capabilities.ordered_listing
        with listing_of(names()) as endpoint:
            assert endpoint.probe().remarks == ()
            assert endpoint.capabilities.ordered_listing

    def test_the_clock_of_the_store_is_held_against_ours(self) -> None:
        an_hour = datetime.now(UTC) + timedelta(hours=1)
        date = (("Date", format_datetime(an_hour, usegmt=True)),)
        with listing_of(Answer(200, names().body, date)) as endpoint:
            skew_ns = endpoint.probe().skew_ns
            assert skew_ns is not None
            assert abs(skew_ns - 3600 * 10**9) < 120 * 10**9
        with listing_of(names()) as endpoint:
            assert endpoint.probe().skew_ns is None


# Remotes.


def test_a_dead_port_is_asked_once_and_told(monkeypatch: pytest.MonkeyPatch, connects: list[object]) -> None:
    monkeypatch.setenv("ID", "eA==")
    with canned(lambda *_: Answer(200)) as url:
        dead = url
    remote = Remote(name="dead", type="azure", account="a", endpoint_url=dead, account_key_env="ID")
    with contextlib.closing(AzureEndpoint("c", "", remote=remote, owner="test")) as endpoint:
        with pytest.raises(Transient, match=rf"no answer from {dead}.*Check the address"):
            endpoint.probe()
        assert len(connects) == 1
        with pytest.raises(Transient, match="no answer"):
            endpoint.stat("k")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "names no storage account"),
        ({"account": "a", "account_key_env": "UNSET"}, "UNSET isn't set"),
        ({"account": "a", "sas_env": "UNSET"}, "UNSET isn't set"),
        ({"connection_string_env": "UNSET"}, "UNSET isn't set"),
        ({"connection_string_env": "SET"}, "no client can be made"),
        ({"account": "a", "account_key_file": "/no/such/file"}, "file /no/such/file can't be read"),
        ({"account": "a", "tenant_id": "t", "client_secret_file": os.devnull}, "is empty"),
        ({"endpoint_url": "http://127.0.0.1:1/a"}, "isn't https, so no token may be sent"),
    ],
)
def test_a_remote_that_can_not_be_used_says_what_to_correct(
    changes: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SET", "x")
    for variable in ("UNSET", *(f"AZURE_STORAGE_{word}" for word in ("ACCOUNT", "KEY", "SAS_TOKEN"))):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.delenv("AZURE_STORAGE_CONNECTION_STRING", raising=False)
    remote = Remote(name="cloud", type="azure", **changes)
    endpoint = AzureEndpoint("c", "", remote=remote, owner="test")

    with pytest.raises(UsageError, match=f"Remote 'cloud'.*{words}"):
        endpoint.probe()


def test_the_account_and_its_key_may_come_from_the_variables_of_azures_own_tools(
    azurite: AzureServer, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT", azurite.account)
    monkeypatch.setenv("AZURE_STORAGE_KEY", azurite.key)
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", "of another account")
    with opened(azurite, prefix, account=None, account_key_env=None) as endpoint:
        endpoint.probe(scratch=True)
    remote = Remote(name="azure", type="azure", account="Acct")
    with contextlib.closing(AzureEndpoint("c", "a/b", remote=remote, owner="test")) as endpoint:
        assert endpoint.root == "azure://c/a/b?endpoint=https://acct.blob.core.windows.net"


def secrets(azurite: AzureServer) -> dict[str, str]:
    """Each kind of secret that opens the account, or the container."""
    string = f"AccountName={azurite.account};AccountKey={azurite.key};BlobEndpoint={azurite.endpoint_url}"
    return {
        "account_key": azurite.key,
        "sas": container_sas(azurite, "racwdl"),
        "connection_string": string,
    }


@pytest.mark.parametrize("given", ["account_key", "sas", "connection_string"])
def test_a_secret_may_be_in_a_file_that_the_config_names(
    azurite: AzureServer, prefix: str, tmp_path: Path, given: str
) -> None:
    file = tmp_path / "secret"
    file.write_text(secrets(azurite)[given] + "\n")
    with opened(azurite, prefix, account_key_env=None, **{f"{given}_file": str(file)}) as endpoint:
        endpoint.probe(scratch=True)
        put(endpoint, "k", b"1")

        assert keys(endpoint) == ["k"]


@pytest.mark.parametrize("given", ["account_key", "sas", "connection_string"])
def test_a_secret_of_the_remote_itself_comes_before_every_variable(
    azurite: AzureServer, prefix: str, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    secret = secrets(azurite)
    for word in ("KEY", "SAS_TOKEN", "CONNECTION_STRING"):
        monkeypatch.setenv(f"AZURE_STORAGE_{word}", "of another account")
    with opened(azurite, prefix, account_key_env=None, **{given: Secret(secret[given])}) as endpoint:
        endpoint.probe(scratch=True)
        assert keys(endpoint) == []
        assert endpoint.capabilities.server_copy


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        (
            {"tenant_id": "t", "client_id": "c", "client_secret": Secret("s")},
            identity.ClientSecretCredential,
        ),
        ({"tenant_id": "t", "client_id": "c", "client_secret_env": "ID"}, identity.ClientSecretCredential),
        ({"client_id": "c"}, identity.ManagedIdentityCredential),
        ({}, identity.DefaultAzureCredential),
    ],
)
@pytest.mark.usefixtures("key_in_environment")
def test_who_we_are_is_a_principal_an_identity_or_what_the_sdk_finds(
    changes: dict[str, Any], kind: type[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    for word in ("KEY", "SAS_TOKEN", "CONNECTION_STRING"):
        monkeypatch.delenv(f"AZURE_STORAGE_{word}", raising=False)
        if changes:
            monkeypatch.setenv(f"AZURE_STORAGE_{word}", "of another account")
    remote = Remote(name="r", type="azure", account="a", **changes)

    assert connection_string(remote) is None
    assert type(credential(remote, "https://a.blob.core.windows.net")) is kind


def test_a_principal_that_lacks_a_part_is_a_usage_error() -> None:
    for changes in ({"tenant_id": "t"}, {"tenant_id": "t", "client_id": "c"}, {"client_secret": Secret("s")}):
        remote = Remote(name="r", type="azure", account="a", **changes)
        with pytest.raises(UsageError, match=r"Remote 'r': a service principal has.*Give all three"):
            credential(remote, "https://a.blob.core.windows.net")


@pytest.mark.usefixtures("key_in_environment")
def test_a_store_that_tests_no_condition_is_told_as_such_and_with_what_it_keeps() -> None:
    def respond(method: str, _path: str, query: dict[str, str]) -> Answer:
        if query.get("restype") == "account" or query.get("comp") == "list":
            return names()
        kept = {
            "PUT": ("x-ms-version-id", "2026-11-21T08:00:00.0000000Z"),
            "DELETE": ("x-ms-delete-type-permanent", "false"),
        }
        return Answer(201, b"", (("ETag", '"0x1"'), *([kept[method]] if method in kept else [])))

    with canned(respond) as url:
        remote = Remote(name="r", type="azure", account="a", endpoint_url=url, account_key_env="ID")
        with contextlib.closing(AzureEndpoint("c", "p", remote=remote, owner="test")) as endpoint:
            probe = endpoint.probe(scratch=True)
            capabilities = endpoint.capabilities

    assert probe.conditions == Conditions(put=False, complete=False, delete=False, copy=False, versions=True)
    assert probe.versioned
    assert not capabilities.conditional_write
    assert not capabilities.conditional_delete
    assert not capabilities.server_copy
    assert capabilities.deletes_at_once == 1
    for words in ("one request", "lists of blocks", "deletions", "copies", "Versioning", "Soft delete"):
        assert any(words in remark for remark in probe.remarks), words


@pytest.mark.parametrize(
    ("one", "two", "overlap"),
    [
        (("c", "", "http://h:1/a"), ("c", "x", "http://h:1/a"), True),
        (("c", "x", "http://h:1/a"), ("c", "x/y", "http://H:1/a/"), True),
        (("c", "x", "http://h:1/a"), ("c", "xy", "http://h:1/a"), False),
        (("c", "x", "http://h:1/a"), ("d", "x", "http://h:1/a"), False),
        (("c", "x", "http://h:1/a"), ("c", "x", "http://h:1/b"), False),
    ],
)
@pytest.mark.usefixtures("key_in_environment")
def test_overlap_is_of_prefixes_in_one_container_of_one_account(
    one: tuple[str, str, str], two: tuple[str, str, str], *, overlap: bool
) -> None:
    first, second = (
        AzureEndpoint(
            container,
            prefix,
            remote=Remote(name="r", type="azure", account="a", endpoint_url=url, account_key_env="ID"),
            owner="test",
        )
        for container, prefix, url in (one, two)
    )

    assert first.overlaps(second) is second.overlaps(first) is overlap
    assert not first.overlaps(MemoryEndpoint("m"))
    first.close()
    second.close()
