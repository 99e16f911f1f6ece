"""Bodies moved by obstore, which takes a tenth of the CPU time that boto3 takes for a small one.

It normalises names and hides why a request failed. So it moves only what it can name exactly, and its
user asks boto3 whenever an answer is anything but clear.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import obstore
import obstore.exceptions
from obstore.auth.boto3 import Boto3CredentialProvider
from obstore.store import S3Store

from bisyncer.endpoints.s3_client import CONNECT_TIMEOUT_S, READ_TIMEOUT_S, Clients
from bisyncer.endpoints.s3_error import SDK_ERRORS
from bisyncer.job import Remote

if TYPE_CHECKING:
    from obstore import GetOptions, GetResult, PutMode

# A clear answer: the condition did not hold. Any other `Unclear` may mean anything.
Stale = (obstore.exceptions.AlreadyExistsError, obstore.exceptions.PreconditionError)
Unclear = (obstore.exceptions.BaseError, OSError, *SDK_ERRORS)  # an SDK's from its search for credentials

MOST_BYTES: Final = 1 << 20  # of a body: its timeout for reading counts from the begin of the request on

# Names of a field of an object's own that it takes for a header, besides those that are one.
_TAKEN: Final = frozenset({
    "cachecontrol", "contentdisposition", "contentencoding", "contentlanguage", "contenttype",
    "storage-class", "storageclass",
})  # fmt: skip

_CREDENTIALS_LIVE = timedelta(minutes=5)  # boto3 renews its own at least that long before they end


class _Credentials(Boto3CredentialProvider):
    """What boto3 finds, which obstore asks for again a minute before it is five minutes old.

    Unless it is told when, it asks five minutes before the end, which here is always: ten times a second, and
    each time all requests wait until Python has its turn.
    """

    refresh_threshold = timedelta(minutes=1)


def is_refusal(error: BaseException) -> bool:
    """Whether the store has answered that it did nothing; only the text tells (4xx, RFC 9110, 15.5)."""
    return "non-2xx status code: 4" in str(error)


def can_name(name: str) -> bool:
    """Whether obstore sends exactly this name.

    It drops or refuses empty, '.' and '..' segments and control characters. Python calls more than those
    unprintable; the rest is rare.
    """
    return name.isprintable() and has_plain_segments(name)


def can_send(body: bytes, attributes: Mapping[str, str]) -> bool:
    """Whether obstore sends exactly this: a body that a slow line takes too, and fields as they are."""
    return len(body) <= MOST_BYTES and _TAKEN.isdisjoint(attributes)


def has_plain_segments(name: str) -> bool:
    """Whether no segment of `name` is empty, '.' or '..'."""
    within = f"/{name}/"
    return "//" not in within and "/./" not in within and "/../" not in within


def store(bucket: str, remote: Remote, clients: Clients) -> S3Store | None:
    """A way to the same bucket through obstore; None where its settings would not be the same."""
    if remote.sse or remote.sse_kms_key_id or remote.storage_class or remote.addressing_style == "virtual":
        return None
    if remote.request_payer or clients.customer_key:
        return None  # it has no way to send either
    meta = clients.client.meta
    bundle = clients.core.get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE")
    if meta.endpoint_url.startswith("https:") and bundle:
        return None  # obstore would judge the server's certificate by other authorities
    if clients.session.get_credentials() is None:
        return None
    return S3Store(
        bucket,
        config={
            "aws_endpoint_url_s3": meta.endpoint_url,  # the name that no variable overrules
            "region": meta.region_name,
            "virtual_hosted_style_request": False,
        },
        client_options={
            "allow_http": True,
            "connect_timeout": timedelta(seconds=CONNECT_TIMEOUT_S),
            "read_timeout": timedelta(seconds=READ_TIMEOUT_S),
            "timeout": timedelta(days=7),  # for a whole body, however long it is; reads have their own
        },
        retry_config={"max_retries": 0},
        credential_provider=_Credentials(clients.session, ttl=_CREDENTIALS_LIVE),
    )


def put(to: S3Store, name: str, body: bytes, attributes: Mapping[str, str], mode: PutMode) -> str:
    """Send a body in one request; return its ETag without quotes."""
    result = obstore.put(to, name, body, attributes=dict(attributes), mode=mode, use_multipart=False)
    return (result["e_tag"] or "").strip('"')


def get(of: S3Store, name: str, etag: str, start: int, stop: int | None) -> GetResult:
    """Open one version of an object, from byte `start` on, and before `stop`."""
    options: GetOptions = {"if_match": f'"{etag}"'}
    if stop is not None:
        options["range"] = (start, stop)
    elif start:
        options["range"] = {"offset": start}
    return obstore.get(of, name, options=options)
