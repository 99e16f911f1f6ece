"""Deletions sent without the SDK, whose layers take more CPU time than all the rest of a deletion.

The SDK's signer signs them, their condition too: without it on arrival, the signature would be a wrong one.
"""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import quote

import urllib3
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import ClientError, HTTPClientError
from botocore.utils import get_environ_proxies

from bisyncer.endpoints.s3_client import CONNECT_TIMEOUT_S, CONNECTIONS, READ_TIMEOUT_S, Clients

_DONE: Final = {200, 204}
_TELLING: Final = {404, 409, 412, 429}  # and all from 500 on
_CODE: Final = re.compile(rb"<Code>([^<]*)</Code>")


class Signed:
    """A way to the names of one bucket; any thread may go it."""

    def __init__(self, bucket: str, clients: Clients) -> None:
        meta = clients.client.meta
        self._place = f"{meta.endpoint_url.rstrip('/')}/{bucket}/"
        self._region: str = meta.region_name
        self._credentials: Any = clients.session.get_credentials()
        self._pool = urllib3.PoolManager(
            maxsize=CONNECTIONS,
            retries=False,
            timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=READ_TIMEOUT_S),
        )

    def delete(self, name: str, etag: str) -> bool:
        """Delete the version of `name` that has this ETag, once; raises `SDK_ERRORS`.

        False: it was refused, for a reason that the SDK may know a way around, such as another region.
        """
        url = self._place + quote(name, safe="/~")
        request = AWSRequest("DELETE", url, headers={"If-Match": etag})
        S3SigV4Auth(self._credentials.get_frozen_credentials(), "s3", self._region).add_auth(request)
        headers = dict(request.headers.items())
        try:
            answer = self._pool.request("DELETE", url, headers=headers, redirect=False)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise HTTPClientError(error=error) from error
        if answer.status in _TELLING or answer.status >= 500:
            raise _as_of_the_sdk(answer)
        return answer.status in _DONE

    def close(self) -> None:
        """Give back the connections."""
        self._pool.clear()


def signed(bucket: str, clients: Clients) -> Signed | None:
    """The way to a bucket; None where a proxy stands before its store, which the SDK knows how to ask."""
    return None if get_environ_proxies(clients.client.meta.endpoint_url) else Signed(bucket, clients)


def _as_of_the_sdk(answer: urllib3.BaseHTTPResponse) -> ClientError:
    code = _CODE.search(answer.data)
    headers = {name.lower(): value for name, value in answer.headers.items()}
    return ClientError(
        {
            "Error": {"Code": code[1].decode(errors="replace") if code else str(answer.status)},
            "ResponseMetadata": {
                "HTTPStatusCode": answer.status,
                "HTTPHeaders": headers,
                "RequestId": headers.get("x-amz-request-id", ""),
                "HostId": headers.get("x-amz-id-2", ""),
                "RetryAttempts": 0,
            },
        },
        "DeleteObject",
    )
