"""A remote of rclone's type s3: https://rclone.org/s3/."""

from __future__ import annotations

import base64
import binascii
from typing import Final

from bisyncer.config import parser
from bisyncer.config.rclone_options import Options, Refused, encoding
from bisyncer.errors import UsageError
from bisyncer.job import Remote, Secret

# Providers whose buckets rclone names in the host, whatever force_path_style says: backend/s3/provider there.
_VIRTUAL: Final = frozenset({
    "AWS", "Alibaba", "Cubbit", "DigitalOcean", "Dreamhost", "GCS", "Hetzner", "HuaweiOBS", "ImpossibleCloud",
    "Intercolo", "Leviia", "Linode", "LyveCloud", "Netease", "OVHcloud", "Petabox", "Rabata", "RackCorp",
    "Scaleway", "Selectel", "Servercore", "Storj", "Synology", "TencentCOS", "Wasabi", "Zata", "us3",
})  # fmt: skip
_LOCK = "objects are written without a lock"
_V4 = "requests are signed by version 4 only"
_VERSIONS = "only the newest version of an object is seen"
_REFUSED: Final = (
    Refused("acl", "objects are written without an ACL, which is private", ("private",)),
    Refused("v2_auth", _V4),
    Refused(
        "role_arn",
        "no role is assumed from it; name a profile of ~/.aws/config that assumes it, with env_auth = true",
        (),
    ),
    Refused("use_accelerate_endpoint", "requests go to the bucket's own place; give that as endpoint"),
    Refused("directory_markers", "no objects are written for directories"),
    Refused("directory_bucket", "a directory bucket isn't listed in order"),
    Refused("versions", _VERSIONS),
    Refused("version_at", _VERSIONS),
    Refused("version_deleted", _VERSIONS),
    Refused("decompress", "objects are read as they are stored"),
    Refused("ibm_api_key", "no token is asked for at IBM; give an access key", ()),
    Refused("object_lock_mode", _LOCK, ()),
    Refused("object_lock_retain_until_date", _LOCK, ()),
    Refused("object_lock_legal_hold_status", _LOCK, ("OFF",)),
    Refused(
        "sse_customer_algorithm", "AES256 is the one kind of encryption with a key of yours", ("AES256",)
    ),
    encoding("Slash,InvalidUtf8,Dot"),
)


def s3(options: Options) -> Remote:
    """The remote as ours; raises `UsageError` for what can't be honoured."""
    options.refuse(_REFUSED)
    if options.get("region") == "other-v2-signature":  # the older way to say v2_auth
        options.refuse([Refused("region", _V4, ())])
    own_keys = "access_key_id" in options or "secret_access_key" in options
    if own_keys:
        for key in ("access_key_id", "secret_access_key"):
            if key not in options:
                raise UsageError(
                    f"{options.where(key)}: it is missing, and the other half of the pair is there."
                )
    elif not options.switch("env_auth"):
        raise UsageError(
            f"{options.where('access_key_id')}: there is no key, and without one nobody may write. Give "
            "access_key_id and secret_access_key, or env_auth = true."
        )
    elif "shared_credentials_file" in options:
        raise UsageError(
            f"{options.where('shared_credentials_file')}: it can't be honoured: set "
            "AWS_SHARED_CREDENTIALS_FILE instead."
        )
    return Remote(
        name=options.name,
        type="s3",
        endpoint_url=options.address(),
        region=options.get("region") or "us-east-1",
        profile=None if own_keys else options.get("profile"),
        addressing_style=_addressing(options),
        access_key_id=options.get("access_key_id"),
        secret_access_key=_secret(options.get("secret_access_key")),
        session_token=_secret(options.get("session_token")) if own_keys else None,
        storage_class=options.get("storage_class"),
        sse=_encryption(options),
        sse_kms_key_id=options.get("sse_kms_key_id"),
        sse_customer_key=_customer_key(options),
        request_payer=options.switch("requester_pays"),
        list_version=_list_version(options),
    )


def _addressing(options: Options) -> str:
    if "endpoint" not in options:
        return "auto"
    path = options.switch("force_path_style") or "force_path_style" not in options
    return "path" if path and options.get("provider") not in _VIRTUAL else "virtual"


def _encryption(options: Options) -> str | None:
    kind = options.get("server_side_encryption")
    if kind is not None and kind not in list(parser.Encryption):
        raise UsageError(
            f"{options.where('server_side_encryption')}: {kind!r} is none of: {', '.join(parser.Encryption)}."
        )
    return kind


def _list_version(options: Options) -> str:
    version = options.get("list_version") or "0"
    if version not in {"0", "1", "2"}:
        raise UsageError(f"{options.where('list_version')}: {version!r} is none of: 0, 1, 2.")
    return "auto" if version == "0" else version


def _customer_key(options: Options) -> Secret | None:
    """The key in Base64: rclone has it as it is too."""
    plain, encoded = options.get("sse_customer_key"), options.get("sse_customer_key_base64")
    if plain and encoded:
        raise UsageError(
            f"{options.where('sse_customer_key')}: sse_customer_key_base64 is there too. Leave one."
        )
    if plain:
        encoded = base64.b64encode(plain.encode()).decode()
    if encoded is None:
        return None
    place = options.where("sse_customer_key" if plain else "sse_customer_key_base64")
    try:
        length = len(base64.b64decode(encoded, validate=True))
    except (binascii.Error, ValueError):
        raise UsageError(f"{place}: it isn't Base64.") from None
    if length != 32:
        raise UsageError(f"{place}: it has {length} bytes, and a key has 32.")
    return Secret(encoded)


def _secret(value: str | None) -> Secret | None:
    return None if value is None else Secret(value)
