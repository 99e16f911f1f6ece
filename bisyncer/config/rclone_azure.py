"""A remote of rclone's type azureblob: https://rclone.org/azureblob/."""

from __future__ import annotations

import ipaddress
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from bisyncer.config import parser
from bisyncer.config.rclone_options import Options, Refused, encoding
from bisyncer.endpoints.home import from_home
from bisyncer.errors import UsageError
from bisyncer.job import Remote, Secret

# Of the emulator, and known to all: https://learn.microsoft.com/azure/storage/common/storage-connect-azurite
_EMULATOR_ACCOUNT: Final = "devstoreaccount1"
_EMULATOR_KEY: Final = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)
_EMULATOR_URL: Final = "http://127.0.0.1:10000/devstoreaccount1"

_REFUSED: Final = (
    Refused("directory_markers", "no blobs are written for directories"),
    Refused("decompress", "blobs are read as they are stored"),
    encoding("Slash,BackSlash,Del,Ctl,RightPeriod,InvalidUtf8"),
)
# Ways to say who one is, in rclone's order, which aren't ours.
_OTHER_WAYS: Final = (
    Refused("client_certificate_path", "there is no signing in with a certificate; give client_secret", ()),
    Refused("username", "there is no signing in with a password; give client_secret", ()),
)


def azureblob(options: Options) -> Remote:
    """The remote as ours; raises `UsageError` for what can't be honoured."""
    options.refuse(_REFUSED)
    remote = Remote(
        name=options.name,
        type="azure",
        account=options.get("account"),
        endpoint_url=options.address(),
        access_tier=_tier(options),
    )
    # The order is rclone's: backend/azureblob/auth there.
    if options.switch("env_auth"):
        return replace(remote, account=remote.account or os.environ.get("AZURE_STORAGE_ACCOUNT_NAME"))
    key = options.get("key")
    if options.switch("use_emulator"):
        return replace(
            remote,
            account=remote.account or _EMULATOR_ACCOUNT,
            account_key=Secret(key or _EMULATOR_KEY),
            endpoint_url=remote.endpoint_url or _EMULATOR_URL,
        )
    if remote.account and key:
        return replace(remote, account_key=Secret(key))
    if "sas_url" in options:
        return _by_sas(remote, options)
    if connection_string := options.get("connection_string"):
        return replace(remote, account=None, endpoint_url=None, connection_string=Secret(connection_string))
    tenant, client_id, secret = (options.get(each) for each in ("tenant", "client_id", "client_secret"))
    if tenant and client_id and secret:
        return replace(remote, tenant_id=tenant, client_id=client_id, client_secret=Secret(secret))
    options.refuse(_OTHER_WAYS)
    if path := options.get("service_principal_file"):
        return _by_principal_file(remote, from_home(os.path.expandvars(path)), options)
    if options.switch("use_msi"):
        options.refuse(
            Refused(each, "a managed identity is named by msi_client_id", ())
            for each in ("msi_object_id", "msi_mi_res_id")
        )
        return replace(remote, client_id=options.get("msi_client_id"))
    options.refuse([Refused("use_az", "say env_auth = true, which asks the tool az too")])
    raise UsageError(
        f"{options.where('key')}: there is no key and no other way to say who we are. Give account and key, "
        "sas_url, connection_string, tenant with client_id and client_secret, use_msi = true, or "
        "env_auth = true."
    )


def _by_principal_file(remote: Remote, path: Path, options: Options) -> Remote:
    """A service principal, as `az ad sp create-for-rbac` writes it."""
    place = options.where("service_principal_file")
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        tenant, client_id, secret = (held[each] for each in ("tenant", "appId", "password"))
    except OSError as error:
        raise UsageError(
            f"{place}: {path} can't be read: {error.strerror}. See its owner and mode."
        ) from error
    except (ValueError, LookupError, TypeError):
        raise UsageError(f"{place}: {path} is no JSON with tenant, appId and password.") from None
    return replace(remote, tenant_id=tenant, client_id=client_id, client_secret=Secret(secret))


def _by_sas(remote: Remote, options: Options) -> Remote:
    """The address of the account, and what stands behind its question mark: the permission."""
    url = urlsplit(options.get("sas_url") or "")
    if url.scheme not in {"http", "https"} or not url.hostname or not url.query or "@" in url.netloc:
        raise UsageError(
            f"{options.where('sas_url')}: it is no URL with a signature. Write it as Azure made it: "
            "https://ACCOUNT.blob.core.windows.net/CONTAINER?sv=..."
        )
    # Where the host is an address, the account is the first part of the path; then may come a container.
    account = url.path.strip("/").split("/")[0] if _is_address(url.hostname) else ""
    place = f"{url.scheme}://{url.netloc}" + (f"/{account}" if account else "")
    return replace(remote, account=None, endpoint_url=place, sas=Secret(url.query))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return True


def _tier(options: Options) -> str | None:
    tier = options.get("access_tier")
    if tier is None:
        return None
    known = {each.lower(): each.value for each in parser.AccessTier}
    if tier.lower() not in known:
        raise UsageError(f"{options.where('access_tier')}: {tier!r} is none of: {', '.join(known)}.")
    return known[tier.lower()]
