"""A boto3 client made from a remote of the config, and the requests that it sends, counted.

It never repeats a request: who sent a mutation whose answer was lost knows how to find out what became of it,
and what does no harm is repeated by whoever is around the endpoint.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import functools
import os
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import botocore.exceptions
import botocore.session
from botocore.config import Config
from botocore.loaders import Loader, create_loader

from bisyncer import __version__
from bisyncer.endpoints import counts
from bisyncer.endpoints.s3_page import pages_parsed
from bisyncer.endpoints.secret import secret, variable
from bisyncer.errors import UsageError
from bisyncer.job import Remote

CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 60
_CONNECTIONS = 64
_CUSTOMER_KEY_BYTES = 32

_KINDS = {
    "AbortMultipartUpload": "delete",
    "CompleteMultipartUpload": "put",
    "CopyObject": "copy",
    "CreateMultipartUpload": "put",
    "DeleteObject": "delete",
    "DeleteObjects": "delete",
    "GetBucketVersioning": "get",
    "GetObject": "get",
    "HeadBucket": "head",
    "HeadObject": "head",
    "ListObjects": "list",
    "ListObjectsV2": "list",
    "PutObject": "put",
    "UploadPart": "put",
    "UploadPartCopy": "copy",
}


class Requests(counts.Requests):
    """Counts of requests by kind, told by the SDK."""

    def sending(self, event_name: str, **_: object) -> None:
        """The SDK is about to send a request, the first time or again."""
        operation = event_name.rpartition(".")[2]
        self.count(_KINDS.get(operation, operation))


class Clients(NamedTuple):
    """What it takes to speak to a bucket. boto3 makes its clients at run time, hence Any."""

    core: botocore.session.Session  # for its settings; `session` is boto3's shell around it
    session: boto3.session.Session
    client: Any
    customer_key: bytes | None  # for SSE-C

    def close(self) -> None:
        """Give back the connections."""
        self.client.close()


def connect(remote: Remote, requests: Requests) -> Clients:
    """Build the client of `remote`; nothing is sent to its store yet.

    Raises `UsageError` where the remote names a profile, a variable or a file that isn't there.
    """
    try:
        core = botocore.session.Session(profile=remote.profile)
        core.register_component("data_loader", _descriptions(core.get_config_variable("data_path")))
        session = boto3.session.Session(
            botocore_session=core,
            region_name=remote.region,
            **_credentials(remote),
        )
        config = _config(remote, session, core)
        client: Any = session.client("s3", endpoint_url=remote.endpoint_url, config=config)
    except botocore.exceptions.ProfileNotFound:
        profile, origin = _profile(remote)
        raise UsageError(
            f"Remote '{remote.name}': there is no profile '{profile}'{origin} in "
            f"{os.environ.get('AWS_CONFIG_FILE') or '~/.aws/config'}. "
            f"Add it with: aws configure --profile {profile}"
        ) from None
    except (botocore.exceptions.BotoCoreError, ValueError) as error:
        raise UsageError(
            f"Remote '{remote.name}': no client can be made from its settings: {error}. "
            f"Correct [remotes.{remote.name}] in the config, or the profile and environment of the AWS SDK."
        ) from None
    client.meta.events.register("before-send.s3.*", requests.sending)
    client.meta.events.register("before-sign.s3.UploadPart", _unhashed)
    if remote.request_payer:
        client.meta.events.register("before-call.s3.*", _paying)
    pages_parsed(client)
    return Clients(core, session, client, _customer_key(remote))


class _Descriptions(Loader):
    """What the SDK reads about its services, found by the name of a folder.

    The SDK itself looks through the folders of all its 400 services first, twice for each client.
    """

    def list_available_services(self, type_name: str) -> list[str]:  # noqa: ARG002 -- botocore's
        """The folders that a service may be in."""
        paths = [place for path in self.search_paths if (place := Path(path)).is_dir()]
        return [folder.name for path in paths for folder in path.iterdir()]


@functools.cache
def _descriptions(path: str | None) -> Loader:
    """One for all clients, and for the processes that are forked later: what was read isn't read again."""
    return _Descriptions(create_loader(path).search_paths, include_default_search_paths=False)


def create_bucket(name: str, *, endpoint_url: str, access_key: str, secret_key: str) -> None:
    """Create a bucket on a server of our own: the demo's, or a test's."""
    session = boto3.session.Session(
        aws_access_key_id=access_key, aws_secret_access_key=secret_key, region_name="us-east-1"
    )
    config = Config(retries={"mode": "standard", "total_max_attempts": 8}, s3={"addressing_style": "path"})
    # A server that has just started answers with errors of status 500 for a moment; these are retried.
    client: Any = session.client("s3", endpoint_url=endpoint_url, config=config)
    try:
        # One of the errors may have come after the deed.
        with contextlib.suppress(client.exceptions.BucketAlreadyOwnedByYou):
            client.create_bucket(Bucket=name)
        client.get_waiter("bucket_exists").wait(Bucket=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    finally:
        client.close()


def _paying(params: dict[str, Any], **_: object) -> None:
    """Agree to pay; also for the requests about a bucket, for which the SDK has no argument that says so."""
    params["headers"]["x-amz-request-payer"] = "requester"


def _unhashed(request: Any, **_: object) -> None:
    """Sign a part by its MD5 alone; without TLS the SDK would hash it once more, for stores that check it.

    A part without an MD5 is signed as the SDK sees fit.
    """
    if "Content-MD5" in request.headers:
        config = request.context["client_config"]
        options: dict[str, Any] = {"s3": {**(config.s3 or {}), "payload_signing_enabled": False}}
        request.context["client_config"] = config.merge(Config(**options))


def _config(remote: Remote, session: boto3.session.Session, core: botocore.session.Session) -> Any:
    style = remote.addressing_style
    app_id = core.get_config_variable("user_agent_appid")
    options: dict[str, Any] = {
        "retries": {"mode": "standard", "total_max_attempts": 1},
        "connect_timeout": CONNECT_TIMEOUT_S,
        "read_timeout": READ_TIMEOUT_S,
        "max_pool_connections": _CONNECTIONS,
        "tcp_keepalive": True,
        # The SDK's own text is put together twice a request, which is a sixth of what a deletion costs us.
        "user_agent": f"bisyncer/{__version__}" + (f" app/{app_id}" if app_id else ""),
        # Every body goes with its MD5; other stores often don't know the newer checksums.
        "request_checksum_calculation": "when_required",
    }
    if remote.endpoint_url:
        options["response_checksum_validation"] = "when_required"
        style = "path" if style == "auto" else style  # other stores often have no host name per bucket
        if not session.region_name:
            options["region_name"] = "us-east-1"  # any will do, but a signature needs one
    options["s3"] = {"addressing_style": style}
    return Config(**options)


def _profile(remote: Remote) -> tuple[str, str]:
    """The profile in use, and who named it where the config doesn't."""
    if remote.profile:
        return remote.profile, ""
    for name in ("AWS_DEFAULT_PROFILE", "AWS_PROFILE"):  # in the SDK's own order
        if os.environ.get(name):
            return os.environ[name], f" (named by {name})"
    return "default", ""


def _credentials(remote: Remote) -> dict[str, str]:
    """The key pair that the remote names; empty where the SDK's own chain is to find one."""
    key = secret(remote, "secret_access_key")
    known = remote.access_key_id or (remote.access_key_id_env and variable(remote, remote.access_key_id_env))
    if not known and key is None:
        return {}
    if not known or key is None:
        raise UsageError(
            f"Remote '{remote.name}': names only one half of a key pair. Give access_key_id_env and one of "
            "secret_access_key_env and secret_access_key_file; or none of them, for the AWS SDK's own chain."
        )
    token = {"aws_session_token": remote.session_token.reveal()} if remote.session_token else {}
    return {"aws_access_key_id": known, "aws_secret_access_key": key, **token}


def _customer_key(remote: Remote) -> bytes | None:
    """The key that the remote's objects are encrypted with, which the store doesn't keep."""
    text = secret(remote, "sse_customer_key")
    if text is None:
        return None
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != _CUSTOMER_KEY_BYTES:
        raise UsageError(
            f"Remote '{remote.name}': its key for SSE-C is not {_CUSTOMER_KEY_BYTES} bytes in Base64. Make "
            "one with: openssl rand -base64 32"
        )
    return key
