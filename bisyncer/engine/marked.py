"""Directories that hold the file of `exclude_if_present` on either side, and are left alone on both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

from bisyncer.endpoints.base import Endpoint
from bisyncer.errors import NoFile
from bisyncer.model import Side


class Marked:
    """What is known of these directories: as a listing passes their files, or as they are looked for."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._folders: set[str] = set()  # each with its '/'; the root is ''
        self._looked: set[str] = set()

    def see(self, key: str) -> None:
        """Take note of a listed key."""
        if key.endswith(self._name):
            folder = key[: -len(self._name)]
            if folder == "" or folder.endswith("/"):
                self._folders.add(folder)

    def look(self, keys: Iterable[str], endpoints: Mapping[Side, Endpoint], width: int) -> None:
        """Look for the file in every directory above these keys, once; for where no listing passes it."""
        folders = {folder for key in keys for folder in _above(key)} - self._looked
        if not folders:
            return
        self._looked |= folders
        asked = [(folder, endpoint) for folder in sorted(folders) for endpoint in endpoints.values()]
        with ThreadPoolExecutor(width, thread_name_prefix="looks") as pool:
            found = pool.map(lambda each: _is_there(each[1], each[0] + self._name), asked)
            self._folders |= {folder for (folder, _), there in zip(asked, found, strict=True) if there}

    @property
    def folders(self) -> frozenset[str]:
        """The directories that are known, each with its '/'; the root is ''."""
        return frozenset(self._folders)

    def add(self, folders: Iterable[str]) -> None:
        """Take note of directories that were found elsewhere."""
        self._folders.update(folders)

    def __bool__(self) -> bool:
        return bool(self._folders)

    def has(self, key: str) -> bool:
        """Whether the key lies in such a directory, as far as is known."""
        return bool(self._folders) and any(folder in self._folders for folder in _above(key))

    def why(self, key: str) -> str | None:
        """In words why the key is left alone; None where it isn't."""
        folder = next((folder for folder in _above(key) if folder in self._folders), None)
        return None if folder is None else f"there is {folder}{self._name}"


def _is_there(endpoint: Endpoint, key: str) -> bool:
    """Whether a listing would pass it: not where something else has its name, or nothing can have that."""
    try:
        return endpoint.refusal(key) is None and endpoint.stat(key) is not None
    except NoFile:
        return False


def _above(key: str) -> Iterator[str]:
    yield ""
    for at, letter in enumerate(key):
        if letter == "/":
            yield key[: at + 1]
