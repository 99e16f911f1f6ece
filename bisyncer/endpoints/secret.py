"""A secret of a remote, from where its config says that it is."""

from __future__ import annotations

import os

from bisyncer.endpoints.home import from_home
from bisyncer.errors import UsageError
from bisyncer.job import Remote


def secret(remote: Remote, name: str) -> str | None:
    """The secret `name`, that the remote holds itself, or that `NAME_env` or `NAME_file` say where to find.

    None where the remote names no place. Raises `UsageError` where nothing is at the place that it names.
    """
    held = getattr(remote, name)
    if held is not None:
        revealed: str = held.reveal()
        return revealed
    if named := getattr(remote, f"{name}_env"):
        return variable(remote, named)
    path = getattr(remote, f"{name}_file")
    return _file(remote, path) if path else None


def names_secret(remote: Remote, name: str) -> bool:
    """Whether the remote holds the secret, or says where it is."""
    return any(getattr(remote, each) for each in (name, f"{name}_env", f"{name}_file"))


def variable(remote: Remote, name: str) -> str:
    """The value of a variable that the remote names; raises `UsageError` where it has none."""
    value = os.environ.get(name)
    if not value:
        raise UsageError(
            f"Remote '{remote.name}': its config says that the environment variable {name} holds a secret, "
            f"and {name} isn't set. Set it, or correct [remotes.{remote.name}]."
        )
    return value


def _file(remote: Remote, path: str) -> str:
    try:
        value = from_home(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it isn't text"
        raise UsageError(
            f"Remote '{remote.name}': the secret's file {path} can't be read ({reason}). "
            f"Create the file, or correct [remotes.{remote.name}]."
        ) from None
    if not value:
        raise UsageError(
            f"Remote '{remote.name}': the secret's file {path} is empty. Put the secret into it."
        )
    return value
