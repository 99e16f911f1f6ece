"""URL -> Endpoint; imports a store's SDK only when a root of that store is opened."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from typing import NamedTuple

from bisyncer.endpoints.base import FORGETFUL, Endpoint, Uploads
from bisyncer.errors import UsageError
from bisyncer.job import LinkMode, Remote
from bisyncer.model import ALL_CONDITIONS, Conditions

SCHEMES = ("file", "s3", "azure", "az", "oci")  # and memory, for tests: no wish of a user may name it
REMOTE_SCHEMES = {
    "s3": "s3",
    "azure": "azure",
    "az": "azure",
    "oci": "oci",
}  # and the remote that serves each

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://(.*)$", re.DOTALL)
_REMOTE = re.compile(r"^([\w+@][\w. +@-]*):(?!//)(.*)$", re.DOTALL)  # as rclone names them


class _Given(NamedTuple):
    """What every store is opened with."""

    owner: str
    conditions: Conditions
    uploads: Uploads
    metadata: bool
    read_only: bool
    directories: bool
    trash_at: str | None
    links: LinkMode
    apart: str | None


def open_endpoint(
    root: str,
    remotes: Mapping[str, Remote],
    *,
    owner: str,
    conditions: Conditions = ALL_CONDITIONS,
    uploads: Uploads = FORGETFUL,
    metadata: bool = True,
    read_only: bool = False,
    directories: bool = False,
    trash_at: str | None = None,
    links: LinkMode = LinkMode.SKIP,
    apart: str | None = None,
) -> Endpoint:
    """Open the root that a user wrote.

    `owner` marks temporary names so that only their pair sweeps them, and not even that where the root is
    `read_only`; `conditions` are what an earlier probe found that the store honours; `uploads` remembers what
    is sent in parts. `metadata` says whether the mode and the owner of files travel, `directories` whether a
    tree's are listed, `trash_at` in which directory it has its trash, and `links` what becomes of its links,
    none of which is followed into `apart`. Nothing is looked at yet: `probe` does that.

    Raises `UsageError` where the text names no root.
    """
    refuse_unknown(root)
    given = _Given(owner, conditions, uploads, metadata, read_only, directories, trash_at, links, apart)
    match = _SCHEME.match(root)
    if match:
        scheme, rest = match[1].lower(), match[2]
        if scheme == "file":
            return _local(rest, given)
        if scheme in REMOTE_SCHEMES:
            name = REMOTE_SCHEMES[scheme]
            serving = remotes.get(name, Remote(name=name, type=name))
            if serving.type != name:
                raise UsageError(
                    f"{root}: the remote '{name}', which serves {scheme}://, is of type {serving.type}. Give "
                    f'[remotes.{name}] type = "{name}", or another name.'
                )
            return _OPENERS[name](rest, serving, given, root)
        from bisyncer.endpoints.memory import MemoryEndpoint  # noqa: PLC0415 -- only when asked for

        return MemoryEndpoint(rest)
    named = remote_name(root)
    if named is not None:
        remote = remotes.get(named)
        if remote is None:
            known = ", ".join(sorted(remotes)) or "none"
            raise UsageError(
                f"{root}: no remote named '{named}' in the config (there: {known}). "
                f"Add [remotes.{named}], or write ./{root} for a directory of that name."
            )
        return _OPENERS[remote.type](below(remote, root.partition(":")[2]), remote, given, root)
    return _local(root, given)


def refuse_unknown(root: str) -> None:
    """Raise `UsageError` where a root is a URL of a kind that no store has, whatever remotes there are."""
    match = _SCHEME.match(root)
    if match is None:
        return
    scheme, rest = match[1].lower(), match[2]
    if scheme == "file" and rest and not rest.startswith("/"):
        host, _, path = rest.partition("/")
        raise UsageError(
            f"{root}: names a host, '{host}', and a tree is one of this machine. "
            f"Write file:///{path} with three slashes, or mount the share and name where."
        )
    if scheme not in {"file", "memory", *REMOTE_SCHEMES}:
        raise UsageError(
            f"{root}: unknown scheme '{scheme}'. A root is a directory, or a URL with one of: "
            f"{', '.join(SCHEMES)}; or NAME:bucket/prefix for a remote of the config."
        )


def remote_name(root: str) -> str | None:
    """The name of the remote in `NAME:bucket/prefix`; None for a URL and for a directory."""
    named = _REMOTE.match(root)
    return named[1] if named else None


def same_store(root: str, other: str) -> bool:
    """Whether two roots are served by the same remote, so that both honour the same."""
    return _serving(root) == _serving(other)


def _serving(root: str) -> str | None:
    """The name of the remote that serves a root; None for a directory."""
    match = _SCHEME.match(root)
    return REMOTE_SCHEMES.get(match[1].lower()) if match else remote_name(root)


def below(remote: Remote, place: str) -> str:
    """A place of a remote, counted from where the remote begins, out of which no `..` leads."""
    if not remote.root or not place.strip("/"):
        return remote.root or place
    return remote.root.rstrip("/") + posixpath.normpath("/" + place.lstrip("/"))


def _refuse_dots(place: str, root: str) -> None:
    """Raise where a segment of a place in a bucket would mean another place in a tree."""
    if not {".", ".."}.isdisjoint(place.split("/")):
        raise UsageError(
            f"{root}: has '.' or '..' in it, and a bucket has no folders to go up to. Write the whole name."
        )


def _local(path: str, given: _Given) -> Endpoint:
    from bisyncer.endpoints.local import LocalEndpoint  # noqa: PLC0415 -- only when asked for

    if not path:
        raise UsageError("A root is empty. Name a directory or a bucket.")
    return LocalEndpoint(
        path,
        owner=given.owner,
        metadata=given.metadata,
        read_only=given.read_only,
        directories=given.directories,
        trash_at=given.trash_at,
        links=given.links,
        apart=given.apart,
        folds_case=given.conditions.folds_case,
    )


def _tree(place: str, _: Remote, given: _Given, root: str) -> Endpoint:
    if not place.startswith("/"):
        raise UsageError(
            f"{root}: counts from wherever a command is started. Write the whole path, from / on, behind the "
            "colon."
        )
    return _local(place, given)


def _s3(place: str, remote: Remote, given: _Given, root: str) -> Endpoint:
    from bisyncer.endpoints.s3 import S3Endpoint  # noqa: PLC0415 -- boto3 takes time to import

    _refuse_dots(place, root)
    bucket, _, prefix = place.partition("/")
    if not bucket:
        start = root[: len(root) - len(place)]  # s3://, or the name of a remote and its colon
        raise UsageError(f"{root}: names no bucket. Write {start}bucket or {start}bucket/prefix.")
    return S3Endpoint(
        bucket,
        prefix.strip("/"),
        remote=remote,
        owner=given.owner,
        conditions=given.conditions,
        uploads=given.uploads,
    )


def _azure(place: str, remote: Remote, given: _Given, root: str) -> Endpoint:
    from bisyncer.endpoints.azure import AzureEndpoint  # noqa: PLC0415 -- the SDK takes time to import

    _refuse_dots(place, root)
    container, _, prefix = place.partition("/")
    if not container:
        start = root[: len(root) - len(place)]
        raise UsageError(f"{root}: names no container. Write {start}container or {start}container/prefix.")
    return AzureEndpoint(
        container, prefix.strip("/"), remote=remote, owner=given.owner, conditions=given.conditions
    )


def _oci(place: str, remote: Remote, given: _Given, root: str) -> Endpoint:
    try:
        from bisyncer.endpoints.oci import OciEndpoint  # noqa: PLC0415 -- the SDK is large, and an extra
    except ModuleNotFoundError as error:
        if error.name != "oci":
            raise
        raise UsageError(
            f"{root}: needs the SDK of OCI: pip install 'bisyncer[oci]', or '.[oci]' in a checkout"
        ) from None
    _refuse_dots(place, root)
    bucket, _, prefix = place.partition("/")
    bucket, _, namespace = bucket.partition("@")
    if not bucket:
        raise UsageError(
            f"{root}: names no bucket. Write oci://bucket/prefix or oci://bucket@namespace/prefix."
        )
    return OciEndpoint(
        bucket,
        prefix.strip("/"),
        namespace=namespace or None,
        remote=remote,
        owner=given.owner,
        conditions=given.conditions,
        uploads=given.uploads,
    )


_OPENERS = {"s3": _s3, "azure": _azure, "oci": _oci, "local": _tree}  # by the type of the remote
