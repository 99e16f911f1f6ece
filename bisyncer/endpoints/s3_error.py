"""What went wrong with a request, as a kind to decide by and a sentence to tell."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

import botocore.exceptions

from bisyncer.endpoints.backoff import asked_s
from bisyncer.errors import EndpointError, Rejected, Transient


class Kind(StrEnum):
    """What an error means for who sent the request."""

    PASSING = "passing"  # the same request may succeed; a mutation may have happened
    STALE = "stale"  # 412: the condition did not hold
    RACE = "race"  # 409: another request on the same key came between
    MISSING = "missing"  # 404: of a key, of an upload, or of a bucket where there is no body to say so
    NO_BUCKET = "no-bucket"
    NO_UPLOAD = "no-upload"  # it was published or aborted
    DENIED = "denied"
    KEYS = "keys"  # the access keys are wrong or too old, or there are none
    CLOCK = "clock"
    ARCHIVED = "archived"
    FULL = "full"
    UNSUPPORTED = "unsupported"  # 501: the server doesn't know this kind of request
    REFUSED = "refused"  # whatever else won't change by itself


class Trouble(NamedTuple):
    """An error of the SDK, judged; `sentence` ends with what to do."""

    kind: Kind
    sentence: str
    throttled: bool = False
    retry_after_s: float | None = None
    heard: bool = False  # by the pace, when the answer came

    def error(self, place: str) -> EndpointError:
        """The exception for a request about `place` that is neither stale nor missing."""
        if self.kind in {Kind.PASSING, Kind.RACE, Kind.NO_UPLOAD}:
            return self.passing(place)
        return Rejected(f"{place}: {self.sentence}")

    def passing(self, place: str) -> Transient:
        """The exception for a request about `place` that may succeed later."""
        return Transient(
            f"{place}: {self.sentence}",
            throttled=self.throttled,
            retry_after_s=self.retry_after_s,
            heard=self.heard,
        )


SDK_ERRORS = (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError)

_BY_CODE = {
    "BadDigest": Kind.PASSING,  # a body that was garbled on its way
    "ExpiredToken": Kind.KEYS,
    "IncompleteBody": Kind.PASSING,
    "InternalError": Kind.PASSING,
    "InvalidAccessKeyId": Kind.KEYS,
    "InvalidObjectState": Kind.ARCHIVED,
    "InvalidToken": Kind.KEYS,
    "NoSuchBucket": Kind.NO_BUCKET,
    "NoSuchUpload": Kind.NO_UPLOAD,
    "NotImplemented": Kind.UNSUPPORTED,
    "ObjectNotInActiveTierError": Kind.ARCHIVED,  # of what is to be copied
    "QuotaExceeded": Kind.FULL,
    "RequestExpired": Kind.CLOCK,
    "RequestLimitExceeded": Kind.PASSING,
    "RequestTimeTooSkewed": Kind.CLOCK,
    "RequestTimeout": Kind.PASSING,
    "ServiceUnavailable": Kind.PASSING,
    "SignatureDoesNotMatch": Kind.KEYS,
    "SlowDown": Kind.PASSING,
    "Throttling": Kind.PASSING,
    "ThrottlingException": Kind.PASSING,
    "TokenRefreshRequired": Kind.KEYS,
    "TooManyRequests": Kind.PASSING,
}
_BY_STATUS = {
    401: Kind.DENIED,
    403: Kind.DENIED,
    404: Kind.MISSING,
    409: Kind.RACE,
    412: Kind.STALE,
    429: Kind.PASSING,
    501: Kind.UNSUPPORTED,
    507: Kind.FULL,
}
_THROTTLING = {
    "RequestLimitExceeded",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequests",
}
_THROTTLING_STATUSES = {429, 503}
_SENTENCES = {
    Kind.PASSING: "the store is busy or broken for now ({}). Run again later.",
    Kind.STALE: "changed since it was looked at ({}). Run again.",
    Kind.RACE: "another request came between ({}). Run again.",
    Kind.MISSING: "isn't there ({}). Check that the bucket exists, then run again.",
    Kind.NO_BUCKET: "the bucket isn't there ({}). Create it, or correct the root.",
    Kind.NO_UPLOAD: "somebody has ended the upload in parts ({}). Run again.",
    Kind.DENIED: (
        "access denied ({}). Grant s3:ListBucket on the bucket, and s3:GetObject, s3:PutObject and "
        "s3:DeleteObject on its objects."
    ),
    Kind.KEYS: "the access keys are not accepted ({}). Correct or renew them.",
    Kind.CLOCK: "the clocks of this host and of the store differ too much ({}). Set the clock.",
    Kind.ARCHIVED: "is archived and can't be read ({}). Restore it in the store, then run again.",
    Kind.FULL: "the store has no room for it ({}). Free some, or raise the quota.",
    Kind.UNSUPPORTED: (
        "the store doesn't know this kind of request ({}). bisyncer needs it; use a store that does."
    ),
    Kind.REFUSED: "the store refused it ({}). Correct what it says.",
}
_SILENT = (
    "the store refused it ({}) and doesn't say why. The access keys may have run out, or the object is "
    "encrypted with a key that it was asked for without (sse_customer_key_env). Renew or give them."
)


class NoETag(botocore.exceptions.BotoCoreError):
    """An answer without the ETag that it can't lack: what was asked for may be done."""

    fmt = "its answer has no ETag"


_NO_ANSWER = (
    NoETag,
    botocore.exceptions.ConnectionError,
    botocore.exceptions.HTTPClientError,  # refused, cut, timed out, TLS
    botocore.exceptions.IncompleteReadError,
    botocore.exceptions.ResponseStreamingError,
)
_NO_CREDENTIALS = (
    botocore.exceptions.CredentialRetrievalError,
    botocore.exceptions.NoCredentialsError,
    botocore.exceptions.PartialCredentialsError,
    botocore.exceptions.SSOError,
    botocore.exceptions.TokenRetrievalError,
)


def judge(error: Exception, endpoint_url: str) -> Trouble:
    """What `error` of the SDK means, talking to the store at `endpoint_url`."""
    if isinstance(error, botocore.exceptions.ClientError):
        return _answered(error)
    said = _one_line(str(error))
    if isinstance(error, _NO_CREDENTIALS):
        return Trouble(
            Kind.KEYS,
            f"there are no usable credentials for {endpoint_url} ({said}). Set AWS_PROFILE, or name a "
            "profile or the variables with the keys in the remote's config.",
        )
    if isinstance(error, _NO_ANSWER):
        return Trouble(
            Kind.PASSING,
            f"no answer from {endpoint_url} ({said}). Check the address, the server and the network; then "
            "run again.",
        )
    return Trouble(
        Kind.REFUSED, f"no request can be made or its answer not understood ({said}). Correct the config."
    )


def _answered(error: botocore.exceptions.ClientError) -> Trouble:
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    code = error.response.get("Error", {}).get("Code", "")
    words = _one_line(error.response.get("Error", {}).get("Message", ""))
    said = f"status {status}"
    if code and code != str(status):
        said += f", {code}"
        if words:
            said += f": {words}"
    otherwise = Kind.PASSING if status >= 500 else Kind.REFUSED
    kind = _BY_CODE.get(code) or _BY_STATUS.get(status, otherwise)
    # The answer to HEAD has no body, so it has no code but its status.
    silent = status == 400 and code in {"", "400"}
    return Trouble(
        kind,
        (_SILENT if silent else _SENTENCES[kind]).format(said),
        throttled=code in _THROTTLING or status in _THROTTLING_STATUSES,
        retry_after_s=asked_s(headers.get("retry-after"), headers.get("date")),
    )


def _one_line(text: str) -> str:
    return " ".join(text.split()).rstrip(".")
