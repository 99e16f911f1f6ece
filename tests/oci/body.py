"""Bodies of objects and parts: large ones lie in files, so that the server holds few bytes of any."""

from __future__ import annotations

import base64
import hashlib
import os
import uuid
import weakref
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Protocol

_PIECE = 1 << 20
_IN_MEMORY = 1 << 20  # longer bodies lie in files


class Reader(Protocol):
    def read(self, size: int, /) -> bytes: ...


class Cut(Exception):
    """A body that ended before its length."""


class Body:
    """Bytes, in memory or in files, that never change; files go with the last body that has them."""

    def __init__(self, *chunks: bytes | _File) -> None:
        self._chunks = chunks
        self.size = sum(len(chunk) for chunk in chunks)

    @classmethod
    def of_parts(cls, parts: list[Body]) -> Body:
        """One body of several, without a copy of any."""
        return cls(*(chunk for part in parts for chunk in part._chunks))

    @property
    def data(self) -> bytes:
        return b"".join(self.pieces())

    @cached_property
    def md5(self) -> bytes:
        return self._digest("md5")

    @cached_property
    def sha256(self) -> bytes:
        return self._digest("sha256")

    def pieces(self, first: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes first <= n < end, a few at a time."""
        left = (self.size if end is None else min(end, self.size)) - first
        for chunk in self._chunks:
            if first >= len(chunk):
                first -= len(chunk)
                continue
            while left > 0 and first < len(chunk):
                piece = chunk[first : first + min(_PIECE, left)]
                yield piece
                first += len(piece)
                left -= len(piece)
            first = 0

    def _digest(self, algorithm: str) -> bytes:
        digest = hashlib.new(algorithm)
        for piece in self.pieces():
            digest.update(piece)
        return digest.digest()


def received(stream: Reader, size: int, folder: Path) -> Body:
    """Take a body of `size` bytes as it arrives."""
    if size <= _IN_MEMORY:
        data = stream.read(size)
        if len(data) != size:
            raise Cut
        return Body(data)
    path = folder / uuid.uuid4().hex
    made = _File(path, size)
    with path.open("wb") as file:
        while size:
            piece = stream.read(min(size, _PIECE))
            if not piece:
                raise Cut
            file.write(piece)
            size -= len(piece)
    return Body(made)


def md5_text(md5: bytes) -> str:
    return base64.b64encode(md5).decode()


class _File:
    """A file that is read in slices, and removed when nobody refers to it any more."""

    def __init__(self, path: Path, size: int) -> None:
        self._path, self._size = path, size
        weakref.finalize(self, path.unlink, missing_ok=True)

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, asked: slice) -> bytes:
        first, end, _ = asked.indices(self._size)
        descriptor = os.open(self._path, os.O_RDONLY)
        try:
            return os.pread(descriptor, end - first, first)
        finally:
            os.close(descriptor)
