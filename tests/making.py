"""Values for tests, made short."""

from __future__ import annotations

from bisyncer.model import Algorithm, Ancestor, Digest, Entry


def entry(key: str = "k", size: int = 1, stamp: str = "s1", **more: object) -> Entry:
    """An entry; digests may be given as sha256=..., md5=..., etag_md5=..."""
    digests = tuple(
        Digest(algorithm, str(more[algorithm.name.lower()]))
        for algorithm in Algorithm
        if algorithm.name.lower() in more
    )
    mtime_ns = more.get("mtime_ns", 0)
    assert mtime_ns is None or isinstance(mtime_ns, int)
    return Entry(key, size, mtime_ns, stamp, digests)


def ancestor(key: str = "k", size: int = 1, stamp: str = "s1", **more: object) -> Ancestor:
    """An ancestor of which both sides hold equal entries."""
    both = entry(key, size, stamp, **more)
    return Ancestor(key, both, both)
