"""Copies and moves inside an account, against Azurite; and every answer to a mutation lost once."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bisyncer.endpoints import azure_copy
from bisyncer.endpoints.azure import AzureEndpoint
from bisyncer.endpoints.body import PART_SIZE
from bisyncer.endpoints.memory import MemoryEndpoint
from bisyncer.endpoints.pace import Pace
from bisyncer.errors import Changed, Rejected, Transient
from bisyncer.job import Secret
from bisyncer.model import Entry
from tests.endpoints.contract import MTIME_NS, entries, keys, metadata_of, now, put, whole
from tests.endpoints.test_azure import AzureBehind, container_sas, faulty, in_large_pieces, opened
from tests.faults import Fault
from tests.servers import AzureServer

FIELDS = {
    "mode": "100640",
    "project": "apollo 11",
    "content-type": "text/x-log",
    "cache-control": "max-age=60",
    "content-disposition": 'attachment; filename="k.log"',
    "content-language": "de",
}
PIECE = 1 << 20  # copied at once in tests of what takes several requests
LONG = 3 * PIECE + 7


@pytest.fixture
def place() -> str:
    """A prefix that no other test uses."""
    return uuid.uuid4().hex


@pytest.fixture
def behind(azurite: AzureServer, place: str) -> Iterator[AzureBehind]:
    with azurite.client() as client:
        yield AzureBehind(client, place)


@pytest.fixture
def endpoint(azurite: AzureServer, place: str) -> Iterator[AzureEndpoint]:
    with opened(azurite, place) as endpoint:
        yield endpoint


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is longer than `PIECE` takes several requests to copy."""
    monkeypatch.setattr(azure_copy, "MOST_AT_ONCE", PIECE)


def copied(endpoint: AzureEndpoint, entry: Entry, key: str, expect: Entry | None = None) -> Entry:
    """The entry of a copy that the store itself has made."""
    made = endpoint.copy_from(endpoint, key, entry=entry, expect=expect)
    assert made is not None
    return made


@contextlib.contextmanager
def right_before(endpoint: AzureEndpoint, kind: str, act: Callable[[], object]) -> Iterator[None]:
    """Let `act` happen right before the first request of `kind` is sent."""
    client: Any = endpoint._container.client
    ask = client.ask
    waiting = [act]

    def asked(*args: Any, **kwargs: Any) -> Any:
        if kwargs["kind"] == kind and waiting:
            waiting.pop()()
        return ask(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client, "ask", asked)
        yield


# Copies.


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("what", ["block", "blocklist"])
def test_a_long_copy_of_which_requests_are_too_many_is_made_and_the_pace_hears_of_them(
    azurite: AzureServer, place: str, what: str
) -> None:
    data = os.urandom(LONG)
    with faulty(azurite, place, Fault(f"^PUT .*/l.*comp={what}(&|$)", 503, times=2)) as endpoint:
        endpoint.heed(pace := Pace(8))
        entry = put(endpoint, "k", data)

        assert in_large_pieces(endpoint, copied(endpoint, entry, "l")) == data
    assert pace.failures == {"transient": 2, "throttled": 2}


def test_a_copy_takes_all_that_is_beside_the_content_along_in_two_requests(endpoint: AzureEndpoint) -> None:
    entry = put(endpoint, "k", b"12345", metadata=FIELDS)
    before = dict(endpoint.requests)

    made = copied(endpoint, entry, "l")

    assert endpoint.requests == {**before, "head": 1, "copy": 1}
    assert metadata_of(endpoint, made) == FIELDS
    assert made.digests == now(endpoint, "l").digests == now(endpoint, "k").digests
    assert entries(endpoint)[1].digests == made.digests


def test_a_copy_of_what_has_no_time_of_its_own_gets_that_of_the_entry(
    endpoint: AzureEndpoint, behind: AzureBehind
) -> None:
    behind.client.upload_blob(behind.prefix + "k", b"1", metadata={"Project": "apollo"})
    (listed,) = entries(endpoint)

    made = copied(endpoint, listed._replace(mtime_ns=MTIME_NS), "l")

    assert made.mtime_ns == now(endpoint, "l").mtime_ns == MTIME_NS
    assert metadata_of(endpoint, made)["project"] == "apollo"


def test_copies_go_between_containers_of_one_account_and_to_no_other_store(
    azurite: AzureServer, place: str, endpoint: AzureEndpoint
) -> None:
    entry = put(endpoint, "k", b"12345", metadata=FIELDS)
    with azurite.client(place) as client:
        client.create_container()
    other = AzureEndpoint(place, "deep/er", remote=azurite.remote(), owner="test")
    elsewhere = AzureEndpoint(
        azurite.container, place, remote=azurite.remote(endpoint_url=f"{azurite.endpoint_url}2"), owner="test"
    )
    with contextlib.closing(other), contextlib.closing(elsewhere):
        made = other.copy_from(endpoint, "a b/\u00e9%41", entry=entry, expect=None)
        assert made is not None
        assert whole(other, "a b/\u00e9%41", made) == b"12345"
        assert metadata_of(other, made) == FIELDS
        assert endpoint.copy_from(other, "back", entry=made, expect=None) is not None
        assert elsewhere.copy_from(endpoint, "l", entry=entry, expect=None) is None
        assert elsewhere.requests == {}
    assert endpoint.copy_from(MemoryEndpoint("m"), "l", entry=entry, expect=None) is None
    assert keys(endpoint) == ["back", "k"]


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("given", ["account_key", "sas", "connection_string", "sas in a connection string"])
@pytest.mark.parametrize("size", [5, LONG])
def test_a_copy_is_allowed_by_whatever_lets_us_in(
    azurite: AzureServer, place: str, given: str, size: int
) -> None:
    sas = container_sas(azurite, "racwdl")
    changes: dict[str, Any] = {"account_key": Secret(azurite.key)}
    if given == "sas":
        changes = {"sas": Secret(sas)}
    with faulty(azurite, place, account_key_env=None, **changes) as endpoint:
        if "connection" in given:
            who = f"AccountName={azurite.account};AccountKey={azurite.key}"
            if given.startswith("sas"):
                who = f"SharedAccessSignature={sas}"
            server = endpoint.root.partition("endpoint=")[2]
            string = Secret(f"{who};BlobEndpoint={server}")
            remote = azurite.remote(
                account=None, endpoint_url=None, account_key_env=None, connection_string=string
            )
            with contextlib.closing(
                AzureEndpoint(azurite.container, place, remote=remote, owner="test")
            ) as by_string:
                _is_copied(by_string, size)
        else:
            _is_copied(endpoint, size)


def _is_copied(endpoint: AzureEndpoint, size: int) -> None:
    data = os.urandom(size)
    entry = put(endpoint, "a b/\u00e9", data, metadata=FIELDS)
    made = copied(endpoint, entry, "a b/\u00e8")
    assert in_large_pieces(endpoint, made) == data
    assert metadata_of(endpoint, made) == FIELDS


def test_what_can_not_be_copied_inside_goes_another_way_and_nothing_is_done(
    endpoint: AzureEndpoint, behind: AzureBehind
) -> None:
    behind.client.get_blob_client(behind.prefix + "log").create_append_blob()
    name = "\u00e9" * 500  # of 3,000 bytes in an address

    assert endpoint.copy_from(endpoint, "l", entry=now(endpoint, "log"), expect=None) is None
    entry = put(endpoint, name, b"1")
    assert endpoint.copy_from(endpoint, "l", entry=entry, expect=None) is None
    assert behind.names() == ["log", name]


def test_a_store_without_copies_moves_through_here(
    azurite: AzureServer, place: str, behind: AzureBehind
) -> None:
    with faulty(azurite, place, Fault("^PUT .*/(l|new)$", 501, times=2)) as endpoint:
        entry = put(endpoint, "k", b"12345", metadata=FIELDS)
        assert endpoint.copy_from(endpoint, "l", entry=entry, expect=None) is None
        moved = endpoint.move("k", "new", expect=entry)
        assert metadata_of(endpoint, moved) == FIELDS
        assert now(endpoint, "new").mtime_ns == MTIME_NS
    assert behind.names() == ["new"]


@pytest.mark.usefixtures("small_pieces")
def test_a_store_without_copies_of_blocks_moves_large_bodies_through_here(
    endpoint: AzureEndpoint, behind: AzureBehind
) -> None:
    data = os.urandom(LONG)
    entry = put(endpoint, "k", data)

    assert endpoint.copy_from(endpoint, "l", entry=entry, expect=None) is None
    assert behind.names() == ["k"]
    assert endpoint.stat("l") is None
    moved = endpoint.move("k", "new", expect=entry)
    assert in_large_pieces(endpoint, moved) == data
    assert behind.names() == ["new"]


def test_a_name_with_blocks_of_a_cut_upload_can_be_moved_to(
    endpoint: AzureEndpoint, behind: AzureBehind
) -> None:
    entry = put(endpoint, "k", b"1", metadata=FIELDS)
    behind.client.get_blob_client(behind.prefix + "l").stage_block("0" * 48, b"left behind")

    moved = endpoint.move("k", "l", expect=entry)

    assert metadata_of(endpoint, moved) == FIELDS
    assert behind.content("l") == b"1"
    assert behind.names() == ["l"]


def test_a_copy_to_a_leased_blob_is_rejected(endpoint: AzureEndpoint, behind: AzureBehind) -> None:
    entry, there = put(endpoint, "k", b"1"), put(endpoint, "l", b"22")
    behind.client.get_blob_client(behind.prefix + "l").acquire_lease(60)

    with pytest.raises(Rejected, match="'l': is leased by another program"):
        endpoint.copy_from(endpoint, "l", entry=entry, expect=there)
    assert behind.content("l") == b"22"


def test_a_copy_tests_both_conditions_in_the_same_step(endpoint: AzureEndpoint, behind: AzureBehind) -> None:
    entry, there = put(endpoint, "k", b"seen"), put(endpoint, "l", b"there")
    for key, expect in (("l", there), ("m", None)):
        with (
            pytest.raises(Changed, match=f"'{key}'"),
            right_before(endpoint, "copy", lambda key=key: behind.plant(key, b"unseen")),  # type: ignore[misc]
        ):
            endpoint.copy_from(endpoint, key, entry=entry, expect=expect)
        assert behind.content(key) == b"unseen"
    with (
        pytest.raises(Changed, match="'k'"),
        right_before(endpoint, "copy", lambda: behind.plant("k", b"unseen")),
    ):
        endpoint.copy_from(endpoint, "n", entry=entry, expect=None)
    assert behind.names() == ["k", "l", "m"]


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("expected", [False, True])
def test_a_large_copy_replaces_what_was_seen_and_nothing_else(
    azurite: AzureServer, place: str, behind: AzureBehind, expected: bool
) -> None:
    with faulty(azurite, place) as endpoint:
        entry = put(endpoint, "k", b"x" * LONG)
        seen = put(endpoint, "l", b"seen") if expected else None
        behind.plant("l", b"unseen")
        with pytest.raises(Changed, match="'l'"):
            endpoint.copy_from(endpoint, "l", entry=entry, expect=seen)
        assert behind.content("l") == b"unseen"
        behind.plant("k", b"y" * LONG)
        with pytest.raises(Changed, match="'k'"):
            endpoint.copy_from(endpoint, "m", entry=entry, expect=None)
    assert behind.names() == ["k", "l"]


@pytest.mark.usefixtures("small_pieces")
def test_a_large_copy_of_which_the_source_changes_meanwhile_is_never_published(
    azurite: AzureServer, place: str, behind: AzureBehind
) -> None:
    first = Fault("^PUT .*/l.comp=block&", "lose", then=lambda: behind.plant("k", b"y" * LONG))
    with faulty(azurite, place, first) as endpoint:
        entry = put(endpoint, "k", b"x" * LONG)
        with pytest.raises(Changed, match="'k'"):
            endpoint.copy_from(endpoint, "l", entry=entry, expect=None)
    assert behind.names() == ["k"]


# Answers that never come: of each kind of mutation the first one.

MUTATIONS: dict[str, tuple[str, Callable[[AzureEndpoint], Entry]]] = {
    "put": ("^PUT .*/k$", lambda endpoint: put(endpoint, "k", b"1", metadata=FIELDS)),
    "replace": (
        "^PUT .*/k$",
        lambda endpoint: put(endpoint, "k", b"22", now(endpoint, "k"), metadata=FIELDS),
    ),
    "block": (
        "^PUT .*/k.*comp=block&",
        lambda endpoint: put(endpoint, "k", b"x" * (PART_SIZE + 1), metadata=FIELDS),
    ),
    "commit": (
        "^PUT .*/k.*comp=blocklist",
        lambda endpoint: put(endpoint, "k", b"x" * (PART_SIZE + 1), metadata=FIELDS),
    ),
    "copy": ("^PUT .*/k$", lambda endpoint: copied(endpoint, now(endpoint, "from"), "k")),
    "copy over": (
        "^PUT .*/k$",
        lambda endpoint: copied(endpoint, now(endpoint, "from"), "k", now(endpoint, "k")),
    ),
    "block from url": (
        "^PUT .*/k.*comp=block&",
        lambda endpoint: copied(endpoint, now(endpoint, "long"), "k"),
    ),
    "commit of blocks from url": (
        "^PUT .*/k.*comp=blocklist",
        lambda endpoint: copied(endpoint, now(endpoint, "long"), "k"),
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
    azurite: AzureServer, endpoint: AzureEndpoint, behind: AzureBehind, kind: str
) -> None:
    pattern, deed = MUTATIONS[kind]
    put(endpoint, "from", b"12345", metadata=FIELDS)
    put(endpoint, "long", b"x" * LONG, metadata=FIELDS)
    if "over" in kind or kind == "replace":
        put(endpoint, "k", b"old")
    lost = Fault(pattern, "lose")
    with faulty(azurite, behind.place, lost) as through:
        entry = deed(through)
        counts = dict(through.requests)

    assert lost.seen == 1
    assert now(endpoint, "k").stamp == entry.stamp
    assert now(endpoint, "k").mtime_ns == entry.mtime_ns == MTIME_NS
    assert metadata_of(endpoint, entry) == FIELDS
    assert len(in_large_pieces(endpoint, entry)) == entry.size
    assert behind.names() == sorted({"from", "k", "long"} - ({"from"} if "move" in kind else set()))
    if "block" not in kind and kind != "commit":
        assert counts.get("put", 0) + counts.get("copy", 0) == 1


@pytest.mark.parametrize("what", ["swallow", 500, 503])
@pytest.mark.parametrize("kind", ["put", "replace", "copy", "copy over", "move, copied"])
def test_a_mutation_that_never_arrived_is_transient_and_sent_once(
    azurite: AzureServer, endpoint: AzureEndpoint, behind: AzureBehind, kind: str, what: str | int
) -> None:
    pattern, deed = MUTATIONS[kind]
    put(endpoint, "from", b"12345", metadata=FIELDS)
    if "over" in kind or kind == "replace":
        put(endpoint, "k", b"old")
    before = behind.names()
    fault = Fault(pattern, what, times=9)
    with faulty(azurite, behind.place, fault) as through, pytest.raises(Transient):
        deed(through)
    assert fault.seen == 1
    assert behind.names() == before
    assert behind.content("k") in {None, b"old"}


def test_a_copy_whose_answer_is_lost_and_another_write_after_it_is_no_success(
    azurite: AzureServer, place: str, behind: AzureBehind
) -> None:
    lost = Fault("^PUT .*/l$", "lose", then=lambda: behind.plant("l", b"theirs"))
    with faulty(azurite, place, lost) as endpoint:
        entry = put(endpoint, "k", b"ours")
        with pytest.raises((Changed, Transient)):
            endpoint.copy_from(endpoint, "l", entry=entry, expect=None)
    assert behind.content("l") == b"theirs"


# Moves that don't come to their end.


def test_a_move_of_what_is_edited_meanwhile_leaves_the_edit_and_the_copy(
    azurite: AzureServer, place: str, behind: AzureBehind
) -> None:
    meddle = Fault("^PUT .*/new$", "lose", then=lambda: behind.plant("k", b"theirs"))
    with faulty(azurite, place, meddle) as endpoint:
        entry = put(endpoint, "k", b"ours")
        with pytest.raises(Changed, match="'k'"):
            endpoint.move("k", "new", expect=entry)
    assert behind.content("k") == b"theirs"
    # Whether the deletion came first, and its answer was another's, nobody knows.
    assert behind.content("new") == b"ours"


def test_a_move_of_what_is_gone_when_it_is_to_be_deleted_keeps_its_copy(
    azurite: AzureServer, place: str, behind: AzureBehind
) -> None:
    meddle = Fault("^PUT .*/new$", "lose", then=lambda: behind.remove("k"))
    with faulty(azurite, place, meddle) as endpoint:
        entry = put(endpoint, "k", b"ours")
        moved = endpoint.move("k", "new", expect=entry)
        assert whole(endpoint, "new", moved) == b"ours"
    assert behind.content("k") is None


def test_a_move_never_takes_back_a_copy_that_somebody_wrote_to(
    azurite: AzureServer, place: str, behind: AzureBehind
) -> None:
    def meddle() -> None:
        behind.plant("k", b"theirs")
        behind.plant("new", b"theirs too")

    with opened(azurite, place) as endpoint:
        entry = put(endpoint, "k", b"ours")
        with pytest.raises(Changed), right_before(endpoint, "delete", meddle):
            endpoint.move("k", "new", expect=entry)
    assert behind.content("k") == b"theirs"
    assert behind.content("new") == b"theirs too"


def test_a_move_of_what_must_stay_leaves_no_copy(endpoint: AzureEndpoint, behind: AzureBehind) -> None:
    entry = put(endpoint, "k", b"1")
    behind.client.get_blob_client(behind.prefix + "k").acquire_lease(60)

    with pytest.raises(Rejected, match="is leased by another program"):
        endpoint.move("k", "new", expect=entry)
    assert behind.names() == ["k"]


@pytest.mark.parametrize("what", ["swallow", 500])
def test_a_move_whose_deletion_may_still_come_keeps_the_copy(
    azurite: AzureServer, place: str, behind: AzureBehind, what: str | int
) -> None:
    with faulty(azurite, place, Fault("^DELETE ", what)) as endpoint:
        entry = put(endpoint, "k", b"1")
        with pytest.raises(Transient):
            endpoint.move("k", "new", expect=entry)
    assert behind.names() == ["k", "new"]
