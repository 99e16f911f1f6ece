"""Who signs requests, and where the service is: found by the SDK from a remote of the config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import oci

from bisyncer.endpoints.address import one_spelling
from bisyncer.endpoints.home import from_home
from bisyncer.endpoints.oci_error import one_line
from bisyncer.errors import UsageError
from bisyncer.job import Remote

# Where there is no metadata service, the SDK's own strategy finds that out after a minute and a half.
_HASTY = oci.retry.RetryStrategyBuilder(
    max_attempts=3, retry_base_sleep_time_seconds=1, retry_max_wait_between_calls_seconds=2
).get_retry_strategy()
_CURE = "Correct [remotes.{}] in the config, or the OCI config file; `oci setup config` writes one."


class Service(NamedTuple):
    """A signer of the SDK, and where the service is.

    `own` says that the address is the region's own. `region` is None where it isn't certain: a copy to
    another region than was meant would be a write to another bucket.
    """

    signer: Any
    endpoint_url: str
    region: str | None
    own: bool


def service(remote: Remote) -> Service:
    """Ask the SDK; nothing is sent to the store yet, but a principal's token is fetched from the host.

    Raises `UsageError` where the remote, its profile or this host has no credentials of the kind asked for.
    """
    try:
        config, signer = _signer(remote)
        region = remote.region or config.get("region") or getattr(signer, "region", None)
        if region is not None:
            region = oci.regions.get_region_from_short_name(region)
        own = oci.regions.endpoint_for("object_storage", region=region) if region else None
    except Exception as error:  # the SDK raises whatever its parts raise, down to KeyError
        if isinstance(error, UsageError):
            raise
        raise UsageError(
            f"Remote '{remote.name}': no credentials of the kind '{remote.auth}' ({one_line(str(error))}). "
            + _CURE.format(remote.name)
        ) from None
    given = remote.endpoint_url and one_spelling(remote.endpoint_url)
    if given is None and own is None:
        raise UsageError(
            f"Remote '{remote.name}': no region is known, so there is no address of the store. Set region in "
            f"[remotes.{remote.name}] or in the profile."
        )
    if own is not None and given in {None, own}:
        return Service(signer, str(own), region, own=True)
    certain = region is not None and _is_of(str(given), region, said=remote.region is not None)
    return Service(signer, str(given), region if certain else None, own=False)


def _is_of(url: str, region: str, *, said: bool) -> bool:
    """Whether an address is of that region, by the region in its name, or else because it is `said` so."""
    host = urlsplit(url).hostname or ""
    named = [name for name in oci.regions.REGIONS if name in host]
    return region in named if named else said


def _signer(remote: Remote) -> tuple[Mapping[str, Any], Any]:
    """The settings of the profile, empty for a principal of this host, and the signer."""
    match remote.auth:
        case "instance_principal":
            return {}, oci.auth.signers.InstancePrincipalsSecurityTokenSigner(retry_strategy=_HASTY)
        case "resource_principal":
            return {}, oci.auth.signers.get_resource_principals_signer()
        case "oke_workload_identity":
            return {}, oci.auth.signers.get_oke_workload_identity_resource_principal_signer()
        case _:
            pass
    config = oci.config.from_file(
        remote.config_file or oci.config.DEFAULT_LOCATION, remote.profile or oci.config.DEFAULT_PROFILE
    )
    if remote.auth == "api_key":
        return config, oci.signer.Signer.from_config(config)
    token = from_home(config["security_token_file"]).read_text(encoding="utf-8").strip()
    key = oci.signer.load_private_key_from_file(config["key_file"], config.get("pass_phrase"))
    return config, oci.auth.signers.SecurityTokenSigner(token, key)
