"""Requests to one container through the pipeline of the Azure SDK: it signs, sends and, for reads, repeats.

The SDK's own operations build models that cost more than all else that a listing does, and repeat
mutations, of which only who sent one can find out what became of it. So requests are written here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import requests
from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential
from azure.core.exceptions import AzureError
from azure.core.pipeline.transport import RequestsTransport
from azure.core.rest import HttpRequest
from azure.storage.blob import ContainerClient
from requests.adapters import HTTPAdapter

from bisyncer.endpoints.azure_error import Failure, answered, unanswered
from bisyncer.endpoints.counts import Requests
from bisyncer.errors import UsageError
from bisyncer.model import Remote

CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 60
_CONNECTIONS = 64
_RETRIES = 3
_BLOCK = 256 << 10  # bytes of a body taken from a connection at a time


class Answer(NamedTuple):
    """An answer that is no error; of a body that is streamed, `pieces` gives the rest."""

    headers: Mapping[str, str]
    body: bytes
    pieces: Iterator[bytes]
    close: Any  # gives back the connection of a streamed body


class Client:
    """A container and how to speak to it."""

    def __init__(self, sdk: ContainerClient, counts: Requests) -> None:
        self._sdk = sdk
        self._counts = counts
        self._pipeline: Any = sdk._pipeline  # noqa: SLF001 -- the SDK has no public way to send a request
        url = urlsplit(sdk.url)
        self._container = f"{url.scheme}://{url.netloc}{url.path}"
        self._query = url.query  # a SAS, where it came with the address
        self._version = sdk.api_version
        self.endpoint_url = self._container.rpartition("/")[0]

    def close(self) -> None:
        """Give back the connections."""
        self._sdk.close()

    def ask(
        self,
        method: str,
        name: str | None = None,
        *,
        kind: str,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        repeat: bool = False,
        stream: bool = False,
    ) -> Answer:
        """Send a request about the blob `name`, or the container; raises `Failure`.

        `kind` is what it counts as. `repeat` lets the SDK send it again, where that does no harm.
        """
        sent = dict(headers or {})
        sent["x-ms-version"] = self._version
        if body is not None:
            sent["Content-Length"] = str(len(body))
        request = HttpRequest(method, self._url(name, query or {}), headers=sent, content=body)
        try:
            response = self._pipeline.run(
                request,
                # The SDK parses each body whose stream isn't said to be wanted, nor not to be.
                **({"stream": True} if stream else {}),
                retry_total=_RETRIES if repeat else 0,
                raw_request_hook=lambda _: self._counts.count(kind),
            ).http_response
            status: int = response.status_code
            if status >= 300:
                raise Failure(answered(status, response.headers.get("x-ms-error-code"), response.read()))
            pieces = response.iter_raw() if stream else iter(())
            return Answer(response.headers, b"" if stream else response.content, pieces, response.close)
        except AzureError as error:
            raise self.failure(error) from None

    def failure(self, error: AzureError) -> Failure:
        """What an error of the SDK means."""
        return Failure(unanswered(error, self.endpoint_url))

    def _url(self, name: str | None, query: Mapping[str, str]) -> str:
        url = self._container if name is None else f"{self._container}/{quote(name, safe='/~')}"
        parts = [f"{quote(key)}={quote(value, safe='')}" for key, value in query.items()]
        if self._query:
            parts.append(self._query)
        return f"{url}?{'&'.join(parts)}" if parts else url


def connect(container: str, remote: Remote, counts: Requests) -> Client:
    """Build the client of a container of `remote`; nothing is sent to its store yet.

    Raises `UsageError` where the remote names a variable that isn't set, or not enough to find the store.
    """
    session = requests.Session()
    adapter = HTTPAdapter(pool_maxsize=_CONNECTIONS)
    for protocol in ("http://", "https://"):
        session.mount(protocol, adapter)
    options: dict[str, Any] = {
        "transport": RequestsTransport(
            session=session,
            connection_timeout=CONNECT_TIMEOUT_S,
            read_timeout=READ_TIMEOUT_S,
            connection_data_block_size=_BLOCK,
        ),
        # One second between attempts: the engine has longer pauses of its own.
        "initial_backoff": 0,
        "increment_base": 1,
        "random_jitter_range": 0.5,
    }
    try:
        connection_string = _secret(remote, remote.connection_string_env, "AZURE_STORAGE_CONNECTION_STRING")
        if connection_string:
            sdk = ContainerClient.from_connection_string(connection_string, container, **options)
        else:
            url = account_url(remote)
            sdk = ContainerClient(url, container, credential=_credential(remote, url), **options)
    except ValueError as error:
        raise UsageError(
            f"Remote '{remote.name}': no client can be made from its settings: {error}. "
            f"Correct [remotes.{remote.name}] in the config, or the connection string."
        ) from None
    return Client(sdk, counts)


def account_url(remote: Remote) -> str:
    """The address of the storage account that a remote without a connection string means."""
    if remote.endpoint_url:
        return remote.endpoint_url.rstrip("/")
    account = _account(remote)
    if not account:
        raise UsageError(
            f"Remote '{remote.name}': names no storage account. Give account, endpoint_url or "
            f"connection_string_env in [remotes.{remote.name}], or set AZURE_STORAGE_ACCOUNT."
        )
    return f"https://{account}.blob.core.windows.net"


def _account(remote: Remote) -> str | None:
    return remote.account or os.environ.get("AZURE_STORAGE_ACCOUNT")


def _credential(remote: Remote, url: str) -> Any:
    """What the remote names; else what the variables of Azure's tools hold; else the SDK's own chain."""
    key = _secret(remote, remote.account_key_env, "AZURE_STORAGE_KEY")
    if key:
        account = _account(remote) or (urlsplit(url).hostname or "").partition(".")[0]
        return AzureNamedKeyCredential(account, key)
    sas = _secret(remote, remote.sas_env, "AZURE_STORAGE_SAS_TOKEN")
    if sas:
        return AzureSasCredential(sas.lstrip("?"))
    if not url.lower().startswith("https:"):
        raise UsageError(
            f"Remote '{remote.name}': {url} isn't https, so no token may be sent there. Name an "
            f"account_key_env or a sas_env in [remotes.{remote.name}]."
        )
    from azure.identity import DefaultAzureCredential  # noqa: PLC0415 -- it takes long to import

    return DefaultAzureCredential()


def _secret(remote: Remote, variable: str | None, otherwise: str) -> str | None:
    """The secret in the variable that the remote names; where it names none at all, in the usual one."""
    if variable:
        value = os.environ.get(variable)
        if not value:
            raise UsageError(
                f"Remote '{remote.name}': its config says that the environment variable {variable} holds a "
                f"secret, and {variable} isn't set. Set it, or correct [remotes.{remote.name}]."
            )
        return value
    if remote.account_key_env or remote.sas_env or remote.connection_string_env:
        return None
    if otherwise == "AZURE_STORAGE_CONNECTION_STRING" and (remote.account or remote.endpoint_url):
        return None  # it would lead to another account than the remote's
    return os.environ.get(otherwise) or None
