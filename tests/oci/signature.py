"""Signatures of requests, verified as OCI documents them: draft-cavage HTTP signatures with RSA and SHA-256.

https://docs.oracle.com/iaas/Content/API/Concepts/signingrequests.htm
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.message import Message
from email.utils import parsedate_to_datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from tests.oci.body import Body

_ALWAYS = {"date", "(request-target)", "host"}
_OF_A_BODY = {"content-length", "content-type", "x-content-sha256"}
_SKEW = timedelta(minutes=5)
_PARAMETER = re.compile(r'(\w+)="([^"]*)"')


class Unsigned(Exception):
    """A request without a valid signature; the message says why."""


def verify(
    keys: Mapping[str, RSAPublicKey],
    method: str,
    target: str,
    headers: Message,
    body: Body,
    *,
    body_signed: bool,
) -> None:
    """See that a request was signed with one of `keys`, by id; raises `Unsigned`."""
    scheme, _, rest = headers.get("Authorization", "").partition(" ")
    given = dict(_PARAMETER.findall(rest))
    if scheme != "Signature" or given.get("version") != "1" or given.get("algorithm") != "rsa-sha256":
        raise Unsigned("there is no signature of version 1 with rsa-sha256")
    names = given.get("headers", "").split()
    missing = (_ALWAYS | (_OF_A_BODY if body_signed else set())) - set(names)
    if missing and missing != {"date"} and "x-date" not in names:
        raise Unsigned(f"not signed: {', '.join(sorted(missing))}")
    date = headers.get("x-date") or headers.get("date") or ""
    try:
        skew = abs(datetime.now(UTC) - parsedate_to_datetime(date))
    except ValueError:
        raise Unsigned(f"{date!r} is no date") from None
    if skew > _SKEW:
        raise Unsigned("the clocks differ too much")
    sha256 = headers.get("x-content-sha256")
    if sha256 is not None and base64.b64decode(sha256) != body.sha256:
        raise Unsigned("the body isn't the one that was signed")
    key = keys.get(given.get("keyId", ""))
    if key is None:
        raise Unsigned(f"the key {given.get('keyId')!r} isn't known")
    lines = [
        f"{name}: {method.lower()} {target}" if name == "(request-target)" else f"{name}: {headers.get(name)}"
        for name in names
    ]
    try:
        key.verify(
            base64.b64decode(given.get("signature", "")), "\n".join(lines).encode(), PKCS1v15(), SHA256()
        )
    except InvalidSignature:
        raise Unsigned("the signature doesn't fit") from None
