"""Which conditions a store tests: tried on a scratch blob of our own, which is removed again."""

from __future__ import annotations

import base64
import contextlib
import secrets

from bisyncer.endpoints.azure_client import Client
from bisyncer.endpoints.azure_error import Failure, Kind
from bisyncer.endpoints.azure_object import stamp
from bisyncer.endpoints.azure_scan import SCRATCH
from bisyncer.model import Conditions

_NEW = {"If-None-Match": "*"}
_WRONG = {"If-Match": '"0x0"'}


def try_conditions(client: Client, prefix: str) -> Conditions:
    """Try each condition where it must fail, and where it must not; raises `Failure`."""
    scratch = _Scratch(client, f"{prefix}{SCRATCH}{secrets.token_hex(8)}")
    try:
        put = scratch.put(_NEW) and not scratch.put(_NEW) and not scratch.put(_WRONG)
        put = put and scratch.put(scratch.seen())
        if not put:
            scratch.put({})
        complete = not scratch.publish(_NEW) and not scratch.publish(_WRONG)
        if not complete:
            scratch.put({})
        delete = not scratch.delete(_WRONG) and scratch.delete(scratch.seen())
    except BaseException:
        with contextlib.suppress(Failure):
            scratch.delete({})
        raise
    if not delete:
        scratch.delete({})
    return Conditions(put, complete, delete)


class _Scratch:
    """The blob; each deed tells whether it was carried out."""

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self._name = name

    def seen(self) -> dict[str, str]:
        """The condition that holds."""
        headers = self._client.ask("HEAD", self._name, kind="head").headers
        return {"If-Match": f'"{stamp(headers["ETag"])}"'}

    def put(self, condition: dict[str, str]) -> bool:
        return self._done("PUT", {**condition, "x-ms-blob-type": "BlockBlob"}, b"1")

    def publish(self, condition: dict[str, str]) -> bool:
        block = base64.b64encode(secrets.token_hex(24).encode()).decode()
        query = {"comp": "block", "blockid": block}
        self._client.ask("PUT", self._name, kind="put", query=query, body=b"22")
        body = f"<BlockList><Uncommitted>{block}</Uncommitted></BlockList>".encode()
        return self._done("PUT", condition, body, {"comp": "blocklist"})

    def delete(self, condition: dict[str, str]) -> bool:
        return self._done("DELETE", condition)

    def _done(
        self,
        method: str,
        headers: dict[str, str],
        body: bytes | None = None,
        query: dict[str, str] | None = None,
    ) -> bool:
        try:
            self._client.ask(method, self._name, kind=method.lower(), headers=headers, body=body, query=query)
        except Failure as error:
            if error.trouble.kind in {Kind.STALE, Kind.MISSING}:
                return False
            raise
        return True
