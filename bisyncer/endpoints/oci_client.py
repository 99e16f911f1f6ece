"""Requests to OCI Object Storage: signed by the SDK's signer, sent once, counted, and judged.

Nothing is repeated here: what may pass is told as such.

The SDK's own client isn't asked to send them. It sends a request again by itself after an answer whose
headers it can't parse, whatever its retry strategy; it closes the session that other threads are using after
a write was refused for its condition; and it takes several times the CPU time for a page of a listing.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import oci
from oci._vendor import requests

from bisyncer.endpoints.counts import Requests
from bisyncer.endpoints.oci_auth import Service, service
from bisyncer.endpoints.oci_error import Failed, Kind, answered, puzzling, unanswered
from bisyncer.errors import UsageError
from bisyncer.job import Remote

CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 60
_CONNECTIONS = 64

_JSON = {"content-type": "application/json"}
# The SDK's own come from a signer that can't have its token renewed.
_NO_ANSWER = (
    requests.exceptions.RequestException,
    oci.exceptions.ClientError,
    oci.exceptions.RequestException,
    oci.exceptions.ServiceError,
    OSError,
)


class Request(NamedTuple):
    """A request; `kind` is what it is counted as, and `tells` are headers that its answer can't lack."""

    kind: str
    method: str
    path: str
    query: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    body: bytes | None = None
    stream: bool = False
    tells: tuple[str, ...] = ()


class Client:
    """The service that one remote leads to."""

    def __init__(self, remote: Remote, counts: Requests) -> None:
        self._remote = remote
        self._counts = counts
        self._lock = threading.Lock()
        self._service = service(remote)
        self._session = requests.Session()
        adapter = requests.adapters.HTTPAdapter(pool_connections=1, pool_maxsize=_CONNECTIONS, max_retries=0)
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, adapter)

    @property
    def service(self) -> Service:
        """Where requests go, and who signs them."""
        with self._lock:
            return self._service

    def close(self) -> None:
        """Give back the connections."""
        self._session.close()

    def send(self, kind: str, method: str, path: str, **more: Any) -> Any:
        """Send a `Request` once and return its answer, whose status is good; raises `Failed`.

        Only an answer of 401 is followed by a second attempt, with fresh credentials: nothing was done, and
        the token of a principal or of a session may have run out.
        """
        request = Request(kind, method, path, **more)
        used = self.service
        try:
            return self._send(request, used)
        except Failed as error:
            if error.trouble.kind is not Kind.KEYS or self._remote.auth == "api_key":
                raise
            self._renew(used, error)
        return self._send(request, self.service)

    def _send(self, request: Request, to: Service) -> Any:
        """Send a request, of whose failure the pace hears where it may pass."""
        try:
            return self._sent(request, to)
        except Failed as error:
            trouble = error.trouble
            if trouble.kind is Kind.PASSING:
                self._counts.pace.failed(throttled=trouble.throttled, retry_after_s=trouble.retry_after_s)
                error.trouble = trouble._replace(heard=True)
            raise

    def _renew(self, used: Service, refused: Failed) -> None:
        """Get fresh credentials unless another thread has; raises `refused` where there are none."""
        with self._lock:
            if self._service is not used:
                return
            try:
                self._service = service(self._remote)
            except UsageError:
                raise refused from None

    def _sent(self, request: Request, to: Service) -> Any:
        self._counts.count(request.kind)
        query = f"?{urlencode(request.query, quote_via=quote)}" if request.query else ""
        # Bodies of objects and parts go with their MD5 instead of a signed hash of their own.
        signer = to.signer if request.method == "POST" else to.signer.without_content_headers
        try:
            answer = self._session.request(
                request.method,
                to.endpoint_url + request.path + query,
                headers=dict(request.headers),
                data=request.body,
                auth=signer,
                timeout=(_connect_timeout_s(request, to), READ_TIMEOUT_S),
                stream=request.stream,
                allow_redirects=False,
            )
            good = 200 <= answer.status_code < 300
            missing = [name for name in request.tells if name not in answer.headers]
            if good and not missing:
                return answer
            with answer:
                if good:
                    raise puzzling(f"its answer has no {missing[0]}")
                raise answered(answer.status_code, answer.content, answer.headers)
        except _NO_ANSWER as error:
            raise unanswered(to.endpoint_url, error) from None


def _connect_timeout_s(request: Request, to: Service) -> int:
    """Without TLS a whole body is sent in one call, which has the time that a connection has."""
    plain = to.endpoint_url.startswith("http://")
    return READ_TIMEOUT_S if plain and request.body else CONNECT_TIMEOUT_S


def post(body: object, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The arguments of a request with a JSON body, and with more headers."""
    return {"headers": {**_JSON, **(headers or {})}, "body": json.dumps(body).encode()}


def object_path(bucket_path: str, kind: str, name: str) -> str:
    """The path of an object ('o') or of an upload ('u')."""
    return f"{bucket_path}/{kind}/{quote(name, safe='')}"
