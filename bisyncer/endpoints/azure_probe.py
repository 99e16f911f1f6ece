"""Which conditions a store tests, tried on scratch blobs of our own that are removed again; and remarks."""

from __future__ import annotations

import base64
import contextlib
import secrets
from collections.abc import Iterator, Mapping

from bisyncer.endpoints.azure_batch import deleted
from bisyncer.endpoints.azure_container import Container
from bisyncer.endpoints.azure_error import Failure, Kind
from bisyncer.endpoints.azure_object import stamp
from bisyncer.endpoints.scratch import scratch_name
from bisyncer.model import Conditions

_NEW = {"If-None-Match": "*"}
_WRONG = {"If-Match": '"0x0"'}

# What the store doesn't test, by the field of `Conditions`.
_UNTESTED = {
    "put": "It ignores conditions on blobs that are sent in one request.",
    "complete": "It ignores conditions on lists of blocks, which publish large blobs.",
    "delete": "It ignores conditions on deletions.",
    "copy": "It makes no copies on a condition, so content that is copied or moved goes through this host.",
}


def namespace(container: Container) -> tuple[str, ...]:
    """What an operator should know about the account's namespace; raises `Transient`."""
    if container.hierarchical:
        return (
            "The account has a hierarchical namespace, so each listing is read whole and sorted on disk.",
        )
    if container.hierarchical is None:
        sentence = (
            "The account doesn't say to these credentials whether its namespace is hierarchical, so each "
            "listing is read whole and sorted on disk. An account key, for one, would be told."
        )
        return (sentence,)
    return ()


def learnt(container: Container) -> tuple[Conditions, tuple[str, ...]]:
    """What the store honours, and remarks; raises `Failure`.

    Where it may keep each blob as it is, nothing is tried: no scratch blob could be removed again.
    """
    if _is_retained(container):
        remark = (
            "The container has a policy of immutability or a legal hold. Until that allows it, no blob can "
            "be replaced, renamed or deleted, and each that should be is a problem. Conditions weren't tried."
        )
        # Whether it keeps versions isn't told either, so there is a trash.
        return container.honoured._replace(versions=False), (remark,)
    return _try_store(container)


def _is_retained(container: Container) -> bool:
    """Whether blobs are kept as they are; not where these credentials aren't told, as with a SAS."""
    try:
        told = container.client.ask("GET", kind="head", query={"restype": "container"}).headers
    except Failure as error:
        if error.trouble.kind is Kind.PASSING:
            raise
        return False
    return "true" in {told.get("x-ms-has-immutability-policy"), told.get("x-ms-has-legal-hold")}


def _try_store(container: Container) -> tuple[Conditions, tuple[str, ...]]:
    """Try each condition where it must fail, and where it must not; raises `Failure`."""
    with _scratch(container) as blob:
        put = blob.put(_NEW) and not blob.put(_NEW) and not blob.put(_WRONG)
        put = put and blob.put(blob.seen())
        if not put:
            blob.put({})
        complete = not blob.publish(_NEW) and not blob.publish(_WRONG)
        if not complete:
            blob.put({})
        with _scratch(container) as target:
            copy = _copies(blob, target)
        with _scratch(container) as another:
            batch = _deletes_many(container, another)
        delete = not blob.delete(_WRONG) and blob.delete(blob.seen())
    found = Conditions(put, complete, delete, copy, "x-ms-version-id" in blob.told, batch=batch)
    remarks = [sentence for field, sentence in _UNTESTED.items() if not getattr(found, field)]
    if found.versions:
        remarks.append("Versioning is on: versions that are replaced or deleted stay, and are paid for.")
    if blob.told.get("x-ms-delete-type-permanent") == "false":
        remarks.append("Soft delete is on: deleted blobs stay for its time, and are paid for.")
    return found, tuple(remarks)


def _copies(blob: _Scratch, target: _Scratch) -> bool:
    """Whether the store copies `blob` to `target`, and tests the conditions on both."""
    right = {f"x-ms-source-{name.lower()}": value for name, value in blob.seen().items()}
    wrong = {f"x-ms-source-{name.lower()}": value for name, value in _WRONG.items()}
    try:
        return (
            not target.copy(blob, {**_NEW, **wrong})
            and target.copy(blob, {**_NEW, **right})
            and not target.copy(blob, {**_NEW, **right})
            and not target.copy(blob, {**_WRONG, **right})
            and target.copy(blob, {**target.seen(), **right})
        )
    except Failure as error:
        if error.trouble.kind is Kind.PASSING:
            raise
        return False


def _deletes_many(container: Container, blob: _Scratch) -> bool:
    """Whether the store takes deletions in batches, and tests the condition of each."""
    blob.put(_NEW)
    try:
        refused = not deleted(container, [(blob.name, _WRONG)])
        seen = blob.seen()  # which fails where it is gone
        return refused and bool(deleted(container, [(blob.name, seen)]))
    except Failure as error:
        if error.trouble.kind is Kind.PASSING:
            raise
        return False


class _Scratch:
    """A blob of our own; each deed tells whether it was carried out. `told` is all that answers told."""

    def __init__(self, container: Container) -> None:
        self.name = f"{container.prefix}{scratch_name()}"
        self.told: dict[str, str] = {}
        self._client = container.client

    def seen(self) -> dict[str, str]:
        """The condition that holds."""
        headers = self._client.ask("HEAD", self.name, kind="head").headers
        return {"If-Match": f'"{stamp(headers["ETag"])}"'}

    def put(self, condition: dict[str, str]) -> bool:
        return self._done("PUT", {**condition, "x-ms-blob-type": "BlockBlob"}, b"1")

    def publish(self, condition: dict[str, str]) -> bool:
        block = base64.b64encode(secrets.token_hex(24).encode()).decode()
        query = {"comp": "block", "blockid": block}
        self._client.ask("PUT", self.name, kind="put", query=query, body=b"22")
        body = f"<BlockList><Uncommitted>{block}</Uncommitted></BlockList>".encode()
        return self._done("PUT", condition, body, {"comp": "blocklist"})

    def copy(self, source: _Scratch, conditions: dict[str, str]) -> bool:
        reader = self._client.as_source(source.name)
        return self._done("PUT", {"x-ms-requires-sync": "true", **reader, **conditions}, b"")

    def delete(self, condition: dict[str, str]) -> bool:
        return self._done("DELETE", condition)

    def _done(
        self,
        method: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
        query: Mapping[str, str] | None = None,
    ) -> bool:
        try:
            answer = self._client.ask(
                method, self.name, kind=method.lower(), headers=headers, body=body, query=query
            )
        except Failure as error:
            if error.trouble.kind in {Kind.STALE, Kind.SOURCE_STALE, Kind.MISSING}:
                return False
            raise
        self.told.update((name.lower(), value) for name, value in answer.headers.items())
        return True


@contextlib.contextmanager
def _scratch(container: Container) -> Iterator[_Scratch]:
    """A scratch blob, which is gone at the end."""
    blob = _Scratch(container)
    try:
        yield blob
    except BaseException:
        with contextlib.suppress(Failure):
            blob.delete({})
        raise
    blob.delete({})
