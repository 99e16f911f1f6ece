"""What went wrong with a request, as a kind to decide by and a sentence to tell."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

import botocore.exceptions

from bisyncer.errors import EndpointError, Rejected, Transient


class Kind(StrEnum):
    """What an error means for who sent the request."""

    PASSING = "passing"  # the same request may succeed; a mutation may have happened
    STALE = "stale"  # 412: the condition did not hold
    RACE = "race"  # 409: another request on the same key came between
    MISSING = "missing"  # 404, of a key or of an upload
    NO_BUCKET = "no-bucket"
    DENIED = "denied"
    ARCHIVED = "archived"
    UNSUPPORTED = "unsupported"  # 501: the server doesn't know this kind of request
    REFUSED = "refused"  # whatever else won't change by itself


class Trouble(NamedTuple):
    """An error of the SDK, judged; `sentence` ends with what to do."""

    kind: Kind
    sentence: str

    def error(self, place: str) -> EndpointError:
        """The exception for a request about `place` that is neither stale nor missing."""
        kind = Transient if self.kind in {Kind.PASSING, Kind.RACE} else Rejected
        return kind(f"{place}: {self.sentence}")


SDK_ERRORS = (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError)

_PASSING_CODES = frozenset(
    {
        "InternalError",
        "RequestLimitExceeded",
        "RequestTimeout",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequests",
    }
)
_CLOCK_CODES = frozenset({"RequestTimeTooSkewed", "RequestExpired"})
_KEY_CODES = frozenset(
    {"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "TokenRefreshRequired"}
)
_NO_ANSWER = (
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
    if isinstance(error, _NO_CREDENTIALS):
        return Trouble(
            Kind.DENIED,
            f"there are no usable credentials for {endpoint_url} ({_one_line(error)}). Set AWS_PROFILE, or name "
            "a profile or the variables with the keys in the remote's config.",
        )
    if isinstance(error, _NO_ANSWER):
        return Trouble(
            Kind.PASSING,
            f"no answer from {endpoint_url} ({_one_line(error)}). Check the address, that the server runs, "
            "and the network; then run again.",
        )
    return Trouble(
        Kind.REFUSED, f"the request can't be sent: {_one_line(error)}. Correct the key or the config."
    )


def _answered(error: botocore.exceptions.ClientError) -> Trouble:
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    code = error.response.get("Error", {}).get("Code", "")
    words = error.response.get("Error", {}).get("Message", "")
    said = f"status {status}" + (f", {code}" if code and code != str(status) else "")
    if words and words != code:
        said += f": {' '.join(words.split()).rstrip('.')}"
    if code in _CLOCK_CODES:
        return Trouble(
            Kind.DENIED, f"the clocks of this host and the store differ too much ({said}). Set the clock."
        )
    if code in _PASSING_CODES or status >= 500 or status == 429:
        if status == 501:
            return Trouble(
                Kind.UNSUPPORTED,
                f"the store doesn't know this kind of request ({said}). "
                "Run 'bisyncer doctor' to learn what it can do.",
            )
        return Trouble(Kind.PASSING, f"the store is busy or broken for now ({said}). Run again later.")
    if code == "NoSuchBucket":
        return Trouble(Kind.NO_BUCKET, f"the bucket isn't there ({said}). Create it, or correct the root.")
    if code == "InvalidObjectState":
        return Trouble(
            Kind.ARCHIVED, f"is archived and can't be read ({said}). Restore the object, then run again."
        )
    match status:
        case 404:
            return Trouble(Kind.MISSING, f"isn't there ({said}). Run again.")
        case 412:
            return Trouble(Kind.STALE, f"changed since it was looked at ({said}). Run again.")
        case 409:
            return Trouble(Kind.RACE, f"another request came between ({said}). Run again.")
        case 401 | 403:
            cure = (
                "Correct or renew the keys."
                if code in _KEY_CODES
                else "Grant s3:ListBucket on the bucket, and s3:GetObject, s3:PutObject and s3:DeleteObject on "
                "its objects."
            )
            return Trouble(Kind.DENIED, f"access denied ({said}). {cure}")
        case 400 if code in _KEY_CODES:
            return Trouble(Kind.DENIED, f"the keys are not accepted ({said}). Correct or renew the keys.")
        case _:
            return Trouble(Kind.REFUSED, f"the store refused it ({said}). Correct what it says.")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")
