"""What went wrong with a request, as a kind to decide by and a sentence to tell."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from bisyncer.endpoints.backoff import asked_s
from bisyncer.endpoints.silence import why_silent
from bisyncer.errors import EndpointError, Rejected, Transient


class Kind(StrEnum):
    """What an error means for who sent the request."""

    PASSING = "passing"  # the same request may succeed; a mutation may have happened
    STALE = "stale"  # 412: the condition did not hold
    MISSING = "missing"  # 404: of a key, of an upload, or of a bucket where there is no body to say so
    NO_BUCKET = "no-bucket"
    DENIED = "denied"
    KEYS = "keys"  # the signature isn't accepted, or nothing can be signed with
    ARCHIVED = "archived"
    RETAINED = "retained"  # by a rule of the bucket
    REFUSED = "refused"  # whatever else won't change by itself


class Trouble(NamedTuple):
    """An error, judged; `sentence` ends with what to do."""

    kind: Kind
    sentence: str
    throttled: bool = False
    retry_after_s: float | None = None
    heard: bool = False  # by the pace, when the answer came

    def error(self, place: str) -> EndpointError:
        """The exception for a request about `place` that is neither stale nor missing."""
        sentence = f"{place}: {self.sentence}"
        if self.kind is Kind.PASSING:
            return Transient(
                sentence, throttled=self.throttled, retry_after_s=self.retry_after_s, heard=self.heard
            )
        return Rejected(sentence)


class Failed(Exception):
    """A request that was not answered as it was hoped; it never leaves the modules of this store."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.sentence)
        self.trouble = trouble


_BY_CODE = {
    "BucketNotFound": Kind.NO_BUCKET,
    "NamespaceNotFound": Kind.NO_BUCKET,
    "NotAuthorizedOrNotFound": Kind.NO_BUCKET,
    "InsufficientServicePermissions": Kind.DENIED,
    "NotRestored": Kind.ARCHIVED,
    "RetentionRuleViolation": Kind.RETAINED,
    "UnmatchedContentMD5": Kind.PASSING,  # the body was garbled on its way
}
_BY_STATUS = {
    401: Kind.KEYS,
    403: Kind.DENIED,
    404: Kind.MISSING,
    408: Kind.PASSING,
    409: Kind.PASSING,
    412: Kind.STALE,
    429: Kind.PASSING,
    501: Kind.REFUSED,
}
_THROTTLED = {429, 503}
_SENTENCES = {
    Kind.PASSING: "the store is busy or broken for now ({}). Run again later.",
    Kind.STALE: "changed since it was looked at ({}). Run again.",
    Kind.MISSING: "isn't there ({}). Check that the bucket exists, then run again.",
    Kind.NO_BUCKET: (
        "the bucket isn't there, or may not be seen with these credentials ({}). Create it, correct the "
        "root, or grant access to it by a policy."
    ),
    Kind.DENIED: (
        "access denied ({}). Grant OBJECT_INSPECT, OBJECT_READ, OBJECT_CREATE, OBJECT_OVERWRITE and "
        "OBJECT_DELETE by a policy."
    ),
    Kind.KEYS: (
        "the signature is not accepted ({}). Check user, key and fingerprint of the profile, or renew the "
        "session, and check this host's clock."
    ),
    Kind.ARCHIVED: "is archived and can't be read ({}). Restore it in the store, then run again.",
    Kind.RETAINED: (
        "a retention rule of the bucket keeps it as it is ({}). Wait until the rule allows it, or change the "
        "rule."
    ),
    Kind.REFUSED: "the store refused it ({}). Correct what it says.",
}


def answered(status: int, body: bytes, headers: Mapping[str, str]) -> Failed:
    """The error that an answer is."""
    code, words = _said(body)
    said = ", ".join(part for part in (f"status {status}", code) if part) + (f": {words}" if words else "")
    otherwise = Kind.PASSING if status >= 500 else Kind.REFUSED
    kind = _BY_CODE.get(code) or _BY_STATUS.get(status, otherwise)
    wanted = asked_s(headers.get("retry-after"), headers.get("date"))
    return Failed(Trouble(kind, _SENTENCES[kind].format(said), status in _THROTTLED, wanted))


def unanswered(endpoint_url: str, error: Exception) -> Failed:
    """The error of a request to which there was no answer, or half of one."""
    return Failed(
        Trouble(
            Kind.PASSING,
            f"no answer from {endpoint_url} ({why_silent(str(error))}). Check the address, the server and "
            "the network; then run again.",
        )
    )


def puzzling(reason: str) -> Failed:
    """The error of an answer that isn't what the service answers; what was asked for may be done."""
    return Failed(
        Trouble(
            Kind.PASSING, f"the store can't be understood ({reason}). Check that the address is one of OCI."
        )
    )


def one_line(text: str) -> str:
    """A text as a part of a sentence."""
    return " ".join(text.split()).rstrip(".")


def _said(body: bytes) -> tuple[str, str]:
    """The code and the message of an error; empty where it has none, as the answer to a HEAD."""
    try:
        said = json.loads(body)
    except ValueError:
        return "", ""
    if not isinstance(said, dict):
        return "", ""
    return str(said.get("code", "")), one_line(str(said.get("message", "")))
