"""A remote of rclone's type oracleobjectstorage: https://rclone.org/oracleobjectstorage/."""

from __future__ import annotations

import configparser
from typing import Final

from bisyncer.config import parser
from bisyncer.config.parser import Auth
from bisyncer.config.rclone_options import Options, Refused, encoding
from bisyncer.endpoints.home import from_home
from bisyncer.errors import UsageError
from bisyncer.job import Remote

_AUTH: Final = {
    "user_principal_auth": Auth.API_KEY,
    "instance_principal_auth": Auth.INSTANCE_PRINCIPAL,
    "resource_principal_auth": Auth.RESOURCE_PRINCIPAL,
    "workload_identity_auth": Auth.OKE_WORKLOAD_IDENTITY,
    "env_auth": Auth.API_KEY,  # the config file in its usual place, its default profile
}
_DEFAULT_FILE: Final = "~/.oci/config"
_DEFAULT_PROFILES: Final = (None, "Default", "DEFAULT")  # the first two are what rclone writes for the third
_CUSTOMER_KEY = "objects aren't encrypted with a key of yours; sse_kms_key_id names one of a vault"

_REFUSED: Final = (
    Refused("sse_customer_key", _CUSTOMER_KEY, ()),
    Refused("sse_customer_key_file", _CUSTOMER_KEY, ()),
    Refused("decompress", "objects are read as they are stored"),
    encoding("Slash,InvalidUtf8,Dot"),
)


def oracleobjectstorage(options: Options) -> Remote:
    """The remote as ours; raises `UsageError` for what can't be honoured."""
    options.refuse(_REFUSED)
    provider = options.get("provider") or "env_auth"
    if provider == "no_auth":
        raise UsageError(
            f"{options.where('provider')}: nobody may write to a bucket without a signature. Write one of: "
            f"{', '.join(_AUTH)}."
        )
    if provider not in _AUTH:
        raise UsageError(f"{options.where('provider')}: {provider!r} is none of: {', '.join(_AUTH)}.")
    config_file = profile = None
    auth = _AUTH[provider]
    if provider == "user_principal_auth":
        config_file, profile = options.get("config_file"), options.get("config_profile")
        if _is_session(config_file or _DEFAULT_FILE, profile):
            auth = Auth.SECURITY_TOKEN
    return Remote(
        name=options.name,
        type="oci",
        auth=auth,
        config_file=config_file,
        profile=None if profile in _DEFAULT_PROFILES else profile,
        namespace=options.get("namespace"),
        region=options.get("region"),
        endpoint_url=options.address(),
        storage_class=_tier(options),
        sse_kms_key_id=options.get("sse_kms_key_id"),
    )


def _is_session(config_file: str, profile: str | None) -> bool:
    """Whether the profile is signed in with a token, which rclone finds out by itself.

    A file that can't be read is told later, by who needs it.
    """
    parser = configparser.ConfigParser(interpolation=None, default_section="DEFAULT")
    try:
        parser.read(from_home(config_file), encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError, OSError):
        return False
    name = "DEFAULT" if profile in _DEFAULT_PROFILES else str(profile)
    if name != "DEFAULT" and not parser.has_section(name):
        return False
    return parser.get(name, "security_token_file", fallback=None) is not None


def _tier(options: Options) -> str | None:
    tier = options.get("storage_tier")
    if tier is None:
        return None
    known = {each.lower(): each.value for each in parser.StorageTier}
    if tier.lower() not in known:
        raise UsageError(
            f"{options.where('storage_tier')}: {tier!r} is none of: {', '.join(parser.StorageTier)}."
        )
    return known[tier.lower()]
