"""Who we are to Azure: what the remote gives or names, else what Azure's own tools would use.

In this order: a connection string, an account key and a SAS, each in the variable or the file that the config
names, or as an rclone.conf has it; a service principal or a managed identity; the variables of Azure's tools;
the SDK's chain.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential
from azure.storage.blob import generate_blob_sas

from bisyncer.endpoints.secret import names_secret, secret
from bisyncer.errors import UsageError
from bisyncer.job import Remote

_SCOPE: Final = "https://storage.azure.com/.default"
_SECRETS: Final = ("connection_string", "account_key", "sas", "client_secret")
_SOURCE_TTL: Final = timedelta(hours=1)  # of what lets the store read the source of one copy


def account(remote: Remote) -> str | None:
    """The storage account that a remote means."""
    return remote.account or os.environ.get("AZURE_STORAGE_ACCOUNT")


def connection_string(remote: Remote) -> str | None:
    """The connection string of a remote; raises `UsageError` where it isn't where it should be."""
    given = secret(remote, "connection_string")
    if given or _names_any(remote) or remote.account or remote.endpoint_url:
        return given  # another one would lead to another account than the remote's
    return os.environ.get("AZURE_STORAGE_CONNECTION_STRING") or None


def credential(remote: Remote, url: str) -> Any:
    """The credential for the account at `url`, as the SDK takes it; raises `UsageError`."""
    key, sas = secret(remote, "account_key"), secret(remote, "sas")
    if not _names_any(remote):
        key = os.environ.get("AZURE_STORAGE_KEY")
        sas = os.environ.get("AZURE_STORAGE_SAS_TOKEN")
    if key:
        return AzureNamedKeyCredential(
            account(remote) or (urlsplit(url).hostname or "").partition(".")[0], key
        )
    if sas:
        return AzureSasCredential(sas.lstrip("?"))
    if not url.lower().startswith("https:"):
        raise UsageError(
            f"Remote '{remote.name}': {url} isn't https, so no token may be sent there. Name an "
            f"account_key_env or a sas_env in [remotes.{remote.name}]."
        )
    return _identity(remote)


def source_headers(held: Any, account_name: str, container: str, name: str, url: str) -> dict[str, str]:
    """The headers that let the store read the blob `name` at `url` for a copy, by the credential `held`.

    An account key signs a permission to read this one blob, for an hour: only an asynchronous copy would
    take the key itself. A SAS in `url` stays there.
    """
    if hasattr(held, "get_token"):
        token = held.get_token(_SCOPE).token
        return {"x-ms-copy-source": url, "x-ms-copy-source-authorization": f"Bearer {token}"}
    signature = None
    if isinstance(held, AzureSasCredential):
        signature = held.signature
    elif key := getattr(held, "account_key", None):
        signature = generate_blob_sas(
            account_name,
            container,
            name,
            account_key=key,
            permission="r",
            expiry=datetime.now(UTC) + _SOURCE_TTL,
        )
    if signature is None:
        return {"x-ms-copy-source": url}
    return {"x-ms-copy-source": f"{url}{'&' if '?' in url else '?'}{signature}"}


def _identity(remote: Remote) -> Any:
    """A service principal, a managed identity, or whoever the SDK's chain finds."""
    from azure import identity  # noqa: PLC0415 -- it takes long to import

    password = secret(remote, "client_secret")
    if password or remote.tenant_id:
        if not (password and remote.tenant_id and remote.client_id):
            raise UsageError(
                f"Remote '{remote.name}': a service principal has a tenant_id, a client_id, and a "
                f"client_secret_env or a client_secret_file. Give all three in [remotes.{remote.name}], or "
                "client_id alone for a managed identity."
            )
        return identity.ClientSecretCredential(remote.tenant_id, remote.client_id, password)
    if remote.client_id:
        return identity.ManagedIdentityCredential(client_id=remote.client_id)
    return identity.DefaultAzureCredential()


def _names_any(remote: Remote) -> bool:
    """Whether the remote says itself who we are; then no variable of Azure's tools may say otherwise."""
    named = any(names_secret(remote, each) for each in _SECRETS)
    return named or bool(remote.client_id or remote.tenant_id)
