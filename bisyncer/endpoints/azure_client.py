"""Requests to one container through the pipeline of the Azure SDK, which signs and sends each of them once.

The SDK's own operations build models that cost more than all else that a listing does, so requests are
written here. Nothing is repeated: of a mutation only who sent it can find out what became of it, and looks
are repeated around the endpoint.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from email.utils import formatdate
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import requests
from azure.core.exceptions import AzureError
from azure.core.pipeline import PipelineContext, PipelineRequest
from azure.core.pipeline.transport import RequestsTransport
from azure.core.rest import HttpRequest
from azure.storage.blob import ContainerClient
from requests.adapters import HTTPAdapter

from bisyncer.endpoints.azure_auth import account, connection_string, credential, source_headers
from bisyncer.endpoints.azure_error import Failure, Kind, Trouble, answered, unanswered
from bisyncer.endpoints.counts import Requests
from bisyncer.errors import UsageError
from bisyncer.job import Remote

CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 60
_CONNECTIONS = 64
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
        # Without TLS a whole body is sent in one call, which has the time that a connection has.
        self._is_plain = url.scheme == "http"

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
        stream: bool = False,
    ) -> Answer:
        """Send a request about the blob `name`, or the container; raises `Failure`. `kind` is its count's."""
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
                **({"connection_timeout": READ_TIMEOUT_S} if body and self._is_plain else {}),
                raw_request_hook=lambda _: self._counts.count(kind),
            ).http_response
            status: int = response.status_code
            if status >= 300:
                raise self._heard(answered(status, response.headers, response.read()))
            if name is not None and _is_tagged(method, query or {}) and "ETag" not in response.headers:
                response.close()
                raise self._heard(unanswered(AzureError("its answer has no ETag"), self.endpoint_url))
            pieces = response.iter_raw() if stream else iter(())
            return Answer(response.headers, b"" if stream else response.content, pieces, response.close)
        except AzureError as error:
            raise self._heard(unanswered(error, self.endpoint_url)) from None

    def ask_many(self, method: str, blobs: Sequence[tuple[str, Mapping[str, str]]], *, kind: str) -> Answer:
        """Send requests about blobs, each with headers of its own, inside of one; raises `Failure`.

        The answer has an answer to each, whose Content-ID is its number.
        """
        boundary = f"batch_{uuid.uuid4()}"
        date = formatdate(usegmt=True)
        pieces = [
            f"--{boundary}\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n"
            f"Content-ID: {number}\r\n\r\n{self._inner(method, name, {**headers, 'x-ms-date': date})}\r\n"
            for number, (name, headers) in enumerate(blobs)
        ]
        return self.ask(
            "POST",
            kind=kind,
            query={"restype": "container", "comp": "batch"},
            headers={"Content-Type": f"multipart/mixed; boundary={boundary}"},
            body="".join((*pieces, f"--{boundary}--\r\n")).encode(),
        )

    def _inner(self, method: str, name: str, headers: Mapping[str, str]) -> str:
        """A request as it stands in the body of another one, signed for itself."""
        request = HttpRequest(method, self._url(name, {}), headers={**headers, "Content-Length": "0"})
        signer: Any = self._sdk._credential_policy  # noqa: SLF001 -- as for the pipeline
        if signer is not None:
            try:
                signer.on_request(PipelineRequest(request, PipelineContext(None)))
            except AzureError as error:
                raise self.failure(error) from None
        url = urlsplit(request.url)
        place = f"{url.path}?{url.query}" if url.query else url.path
        lines = (f"{name}: {value}\r\n" for name, value in request.headers.items())
        return f"{method} {place} HTTP/1.1\r\n{''.join(lines)}\r\n"

    def as_source(self, name: str) -> Mapping[str, str]:
        """The headers of a copy whose source is the blob `name`; raises `Failure`."""
        try:
            return source_headers(
                self._sdk.credential,
                self._sdk.account_name or "",
                self._sdk.container_name,
                name,
                self._url(name, {}),
            )
        except AzureError as error:
            raise self.failure(error) from None

    def failure(self, error: AzureError) -> Failure:
        """What an error of the SDK means."""
        return Failure(unanswered(error, self.endpoint_url))

    def _heard(self, trouble: Trouble) -> Failure:
        """The exception for a request that failed, of which the pace hears where it may pass."""
        if trouble.kind is Kind.PASSING:
            self._counts.pace.failed(throttled=trouble.throttled, retry_after_s=trouble.retry_after_s)
            trouble = trouble._replace(heard=True)
        return Failure(trouble)

    def _url(self, name: str | None, query: Mapping[str, str]) -> str:
        url = self._container if name is None else f"{self._container}/{quote(name, safe='/~')}"
        parts = [f"{quote(key)}={quote(value, safe='')}" for key, value in query.items()]
        if self._query:
            parts.append(self._query)
        return f"{url}?{'&'.join(parts)}" if parts else url


def _is_tagged(method: str, query: Mapping[str, str]) -> bool:
    """Whether the answer to a request about a blob tells which version it is."""
    if method == "PUT":
        return query.get("comp") in {None, "blocklist"}
    return method in {"GET", "HEAD"} and not query


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
        "retry_total": 0,
    }
    try:
        text = connection_string(remote)
        if text:
            sdk = ContainerClient.from_connection_string(text, container, **options)
        else:
            url = account_url(remote)
            sdk = ContainerClient(url, container, credential=credential(remote, url), **options)
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
    name = account(remote)
    if not name:
        raise UsageError(
            f"Remote '{remote.name}': names no storage account. Give account, endpoint_url or "
            f"connection_string_env in [remotes.{remote.name}], or set AZURE_STORAGE_ACCOUNT."
        )
    return f"https://{name}.blob.core.windows.net"
