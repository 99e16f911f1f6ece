"""What went wrong with a request to Azure, as a kind to decide by and a sentence to tell."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    ServiceRequestError,
    ServiceResponseError,
)

from bisyncer.endpoints.backoff import asked_s
from bisyncer.endpoints.silence import why_silent
from bisyncer.errors import EndpointError, Rejected, Transient

# Nobody answered; errors of requests are OSErrors. Some of a file are about a program that isn't installed.
_SILENT = (OSError, ServiceRequestError, ServiceResponseError)
_OF_A_FILE = (FileNotFoundError, PermissionError)


class Kind(StrEnum):
    """What an error means for who sent the request."""

    PASSING = "passing"  # the same request may succeed; a mutation may have happened
    STALE = "stale"  # 412, or 409 where a blob was to be created: the condition did not hold
    SOURCE_STALE = "source-stale"  # 412 or 404 of what was to be copied
    MISSING = "missing"  # 404 of a blob
    NO_CONTAINER = "no-container"
    BLOCKS = "blocks"  # the blocks of an upload are no longer there, or are in another's way
    DENIED = "denied"
    KEYS = "keys"  # the credentials are wrong or too old, or there are none
    ARCHIVED = "archived"
    LEASED = "leased"
    SNAPSHOTS = "snapshots"
    RETAINED = "retained"  # by a policy of immutability, or a legal hold
    UNABLE = "unable"  # the store hasn't this kind of request, or may not read what it is to copy
    REFUSED = "refused"  # whatever else won't change by itself


class Trouble(NamedTuple):
    """An error, judged; `sentence` ends with what to do.

    `throttled` says that the store asks for fewer requests, `retry_after_s` when it wants the next one.
    """

    kind: Kind
    sentence: str
    throttled: bool = False
    retry_after_s: float | None = None
    heard: bool = False  # by the pace, when the answer came

    def error(self, place: str) -> EndpointError:
        """The exception for a request about `place` that is neither stale nor missing."""
        if self.kind in {Kind.PASSING, Kind.BLOCKS}:
            return self.passing(place)
        return Rejected(f"{place}: {self.sentence}")

    def passing(self, place: str) -> Transient:
        """The exception for a request about `place` that may be sent again."""
        return Transient(
            f"{place}: {self.sentence}",
            throttled=self.throttled,
            retry_after_s=self.retry_after_s,
            heard=self.heard,
        )


class Failure(Exception):
    """A request that was not answered as it should be; it never leaves the Azure modules."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.sentence)
        self.trouble = trouble


_BY_CODE = {
    "AuthenticationFailed": Kind.KEYS,
    "APINotImplemented": Kind.UNABLE,
    "BlobAlreadyExists": Kind.STALE,
    # Of a copy: the target is a page or append blob, which a block blob's content can't go to.
    "InvalidBlobType": Kind.UNABLE,
    "BlobArchived": Kind.ARCHIVED,
    "BlobBeingRehydrated": Kind.ARCHIVED,
    "BlobImmutableDueToPolicy": Kind.RETAINED,
    "ConditionNotMet": Kind.STALE,
    "ContainerBeingDeleted": Kind.NO_CONTAINER,
    "ContainerDisabled": Kind.NO_CONTAINER,
    "ContainerNotFound": Kind.NO_CONTAINER,
    "InvalidAuthenticationInfo": Kind.KEYS,
    "InvalidBlobOrBlock": Kind.BLOCKS,
    "InvalidBlockList": Kind.BLOCKS,
    "LeaseIdMissing": Kind.LEASED,
    "LeaseLost": Kind.LEASED,
    "Md5Mismatch": Kind.PASSING,
    "OperationTimedOut": Kind.PASSING,
    "ServerBusy": Kind.PASSING,
    "SourceConditionNotMet": Kind.SOURCE_STALE,
    "SnapshotsPresent": Kind.SNAPSHOTS,
    "TargetConditionNotMet": Kind.STALE,
}
# https://learn.microsoft.com/azure/storage/blobs/scalability-targets: how Azure says that it is too much
_THROTTLING_CODES = {"OperationTimedOut", "ServerBusy", "TooManyRequests"}
_THROTTLING_STATUSES = {429, 503}
_BY_STATUS = {
    401: Kind.KEYS,
    403: Kind.DENIED,
    404: Kind.MISSING,
    408: Kind.PASSING,
    412: Kind.STALE,
    429: Kind.PASSING,
    501: Kind.UNABLE,
}
# What an emulator says of a wrong key, and Azure of an account whose network rules keep this host out.
_UNCLEAR_CODES = {"AuthorizationFailure"}
_UNCLEAR = (
    "access denied ({}). Either the key or the SAS is wrong: correct it. Or it is right and may not do this: "
    "grant the role Storage Blob Data Contributor on the container, and let this host in by the account's "
    "network rules."
)
_SENTENCES = {
    Kind.PASSING: "the store is busy or broken for now ({}). Run again later.",
    Kind.STALE: "changed since it was looked at ({}). Run again.",
    Kind.SOURCE_STALE: "what was to be copied changed since it was looked at ({}). Run again.",
    Kind.MISSING: "isn't there ({}). Check that the container exists, then run again.",
    Kind.NO_CONTAINER: "the container isn't there ({}). Create it, or correct the root.",
    Kind.BLOCKS: (
        "another upload of the same blob came between ({}). Run again; where it stays so, one was left "
        "unfinished by another program, and its blocks are gone a week after it."
    ),
    Kind.DENIED: (
        "access denied ({}). Grant the role Storage Blob Data Contributor on the container, or a SAS that "
        "may read, write, delete and list."
    ),
    Kind.KEYS: (
        "the credentials are not accepted ({}). Correct or renew them, and see that this host's clock is "
        "right."
    ),
    Kind.ARCHIVED: "is archived and can't be read ({}). Rehydrate it in the store, then run again.",
    Kind.LEASED: "is leased by another program ({}). End the lease, or run again when it has ended.",
    Kind.SNAPSHOTS: (
        "has snapshots, which would be deleted with it ({}). Delete them in the store if they aren't needed."
    ),
    Kind.RETAINED: (
        "a policy of immutability or a legal hold keeps it as it is ({}). Wait until that allows it, or "
        "change the policy."
    ),
    Kind.UNABLE: "the store can't do this ({}). Correct what it says.",
    Kind.REFUSED: "the store refused it ({}). Correct what it says.",
}
_MESSAGE = re.compile(rb"<Message>([^<\n]*)")
_CODE = re.compile(rb"<Code>([^<]*)</Code>")
# Errors of the HTTP layer quote whole addresses, and that of a SAS is a secret.
_ADDRESS = re.compile(r"(?:with url: )?\S*\?\S+")


def answered(status: int, headers: Mapping[str, str], body: bytes) -> Trouble:
    """What an answer with an error's status means; the code is in a header, and mostly in the body too."""
    code = headers.get("x-ms-error-code", "")
    if not code:
        found = _CODE.search(body)
        code = found[1].decode(errors="replace") if found else ""
    said = f"status {status}"
    if code:
        said += f", {code}"
    words = _MESSAGE.search(body)
    if words and words[1].strip():
        said += f": {_one_line(_ADDRESS.sub('', words[1].decode(errors='replace')))}"
    otherwise = Kind.PASSING if status >= 500 else Kind.REFUSED
    kind = _BY_CODE.get(code) or _BY_STATUS.get(status, otherwise)
    if code == "CannotVerifyCopySource" and status < 500:
        kind = Kind.SOURCE_STALE if status == 404 else Kind.UNABLE
    return Trouble(
        kind,
        (_UNCLEAR if code in _UNCLEAR_CODES else _SENTENCES[kind]).format(said),
        throttled=status in _THROTTLING_STATUSES or code in _THROTTLING_CODES,
        retry_after_s=_retry_after_s(headers),
    )


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """When the store wants the next request; None where it doesn't say."""
    for name in ("x-ms-retry-after-ms", "retry-after-ms"):
        if (text := headers.get(name, "")).isdecimal():
            return int(text) / 1000
    return asked_s(headers.get("Retry-After"), headers.get("Date"))


def archived(said: str) -> Trouble:
    """The trouble with a blob that is archived."""
    return Trouble(Kind.ARCHIVED, _SENTENCES[Kind.ARCHIVED].format(said))


def unanswered(error: AzureError, endpoint_url: str) -> Trouble:
    """What an error of the SDK means, talking to the store at `endpoint_url`."""
    said = _one_line(_ADDRESS.sub("", str(error.message)))
    if isinstance(error, ClientAuthenticationError) and not _is_silence(error):
        return Trouble(
            Kind.KEYS,
            f"there are no usable credentials for {endpoint_url} ({said}). Say `az login`, or name the "
            "variable with the account key, the SAS or the connection string in the remote's config.",
        )
    return Trouble(
        Kind.PASSING,
        f"no answer from {endpoint_url} ({why_silent(said)}). Check the address, the server and the network; "
        "then run again.",
    )


def _is_silence(error: ClientAuthenticationError) -> bool:
    """Whether a token couldn't be asked for; that comes as a refusal too, with what happened as its cause."""
    cause = error.__cause__
    return error.response is None and isinstance(cause, _SILENT) and not isinstance(cause, _OF_A_FILE)


def _one_line(text: str) -> str:
    return " ".join(text.split()).rstrip(".")
