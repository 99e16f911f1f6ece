"""A remote of an rclone.conf as one of ours.

What is only about speed is passed over; what changes which objects are seen, what is stored or who may read
it, and isn't done here, is refused.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from bisyncer.config.parser import ON_THE_SPOT
from bisyncer.config.rclone_azure import azureblob
from bisyncer.config.rclone_file import RcloneFile
from bisyncer.config.rclone_oci import oracleobjectstorage
from bisyncer.config.rclone_options import Options, Refused, encoding
from bisyncer.config.rclone_s3 import s3
from bisyncer.endpoints.open import below, remote_name
from bisyncer.errors import UsageError
from bisyncer.job import Remote

_LINKS = "symbolic links are a matter of the pair, whose links says what becomes of them"
_LOCAL: Final = (
    Refused("copy_links", _LINKS),
    Refused("links", _LINKS),
    Refused("one_file_system", "file systems that are mounted inside the tree are part of it"),
    Refused("unicode_normalization", "names are taken as the tree has them"),
    Refused("no_set_modtime", "a file gets the modification time of its source"),
    Refused("time_type", "the time of a file is that of its modification", ("mtime",)),
    encoding("Slash,Dot"),
)


def remote_of(name: str, file: RcloneFile, ours: Mapping[str, Remote]) -> Remote | None:
    """The remote `name` of rclone; None where neither the file nor the environment has it.

    An alias may lead to one of `ours`, which are found first. Raises `UsageError` for a type that isn't
    known, for what can't be honoured, and for aliases that lead to each other.
    """
    return _remote(name, file, ours, ())


def _remote(
    name: str, file: RcloneFile, ours: Mapping[str, Remote], passed: tuple[str, ...]
) -> Remote | None:
    options = Options(name, file)
    kind = options.get("type")
    if kind is None:
        if name in file.sections:
            raise UsageError(f"{options.where('type')}: it is missing. Say which kind of store it is.")
        return None
    if kind == "alias":
        return _alias(options.of_type("ALIAS"), file, ours, (*passed, name))
    if kind not in _TYPES:
        raise UsageError(
            f"{options.where('type')}: {kind!r} is a kind of store that can't be synced. The kinds are: "
            f"{', '.join((*_TYPES, 'alias'))}."
        )
    prefix, made = _TYPES[kind]
    return made(options.of_type(prefix))


def _local(options: Options) -> Remote:
    options.refuse(_LOCAL)
    return Remote(name=options.name, type="local")


def _alias(options: Options, file: RcloneFile, ours: Mapping[str, Remote], passed: tuple[str, ...]) -> Remote:
    """The remote that an alias leads to, beginning where the alias says."""
    target, place = options.get("remote"), options.where("remote")
    if target is None:
        raise UsageError(f"{place}: it is missing. Say where the alias leads.")
    if ON_THE_SPOT.match(target):
        raise UsageError(f"{place}: a remote that is written on the spot isn't understood. Give it a name.")
    name = remote_name(target)
    if name is None:
        if not target.startswith("/"):
            raise UsageError(
                f"{place}: {target!r} counts from wherever a command is started. Write the whole path, from "
                "/ on."
            )
        return Remote(name=options.name, type="local", root=posixpath.normpath(target))
    if name in passed:
        raise UsageError(f"{place}: the aliases lead in a circle: {': '.join((*passed, name))}:")
    remote = ours.get(name) or _remote(name, file, ours, passed)
    if remote is None:
        raise UsageError(f"{place}: there is no remote named {name!r}. Correct it, or add that remote.")
    return replace(remote, name=options.name, root=below(remote, target.partition(":")[2]) or None)


_TYPES: Final[
    Mapping[str, tuple[str, Callable[[Options], Remote]]]
] = {  # and what their variables begin with
    "s3": ("S3", s3),
    "azureblob": ("AZUREBLOB", azureblob),
    "oracleobjectstorage": ("OOS", oracleobjectstorage),
    "local": ("LOCAL", _local),
}
