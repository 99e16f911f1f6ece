"""The flags that let a command look at a part of a pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import typer

from bisyncer.cli.failure import tell_sentence
from bisyncer.cli.manifest import MAX_KEYS, local_roots, read_manifest
from bisyncer.cli.options import Asked
from bisyncer.errors import UsageError
from bisyncer.job import Job, Scope

Prefix = Annotated[
    str | None,
    typer.Option(metavar="KEY", help="Look at this key and those below it only, as below a folder."),
]
FilesFrom = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Look at the keys that FILE names only, one a line, and those below a folder; - is stdin.",
    ),
]
FilesFromNull = Annotated[
    bool, typer.Option("--files-from-null", help="The names in FILE end in a NUL, not in a newline.")
]


def part(job: Job, prefix: str | None, files_from: str | None, asked: Asked, *, null: bool) -> Job:
    """The job, looking at the part of its pair that the flags name; at all of it where there are none."""
    if files_from is None and null:
        raise UsageError("--files-from-null goes with --files-from.")
    if prefix is None and files_from is None:
        return job
    if prefix is not None and files_from is not None:
        raise UsageError("A run takes --prefix or --files-from, not both.")
    if job.resync:
        raise UsageError("--resync is about a whole pair. Leave out --prefix and --files-from.")
    if prefix is not None:
        return replace(job, scope=Scope(prefix=_below_root(prefix, local_roots(job.path1, job.path2))))
    assert files_from is not None, "one of the two was given"
    scope = read_manifest(files_from, local_roots(job.path1, job.path2), null=null)
    if scope.words is None:
        tell_sentence(
            f"{files_from} names more than {MAX_KEYS:,} keys, or a root itself: this is a whole run instead.",
            log_format=asked.log_format,
            pair=job.pair,
            level="warning",
        )
    return replace(job, scope=scope)


def _below_root(prefix: str, roots: Sequence[str]) -> str:
    """The key that --prefix means; where the pair has a tree, an absolute path below it is one too."""
    folder = next((each for each in roots if f"{prefix}/".startswith(f"{each.rstrip('/')}/")), None)
    key = (prefix if folder is None else prefix[len(folder) :].lstrip("/")).rstrip("/")
    if not key:
        raise UsageError("--prefix is empty. Give it a key, or leave it out for a whole run.")
    if roots and not {"", ".", ".."}.isdisjoint(key.split("/")):
        raise UsageError(
            f"--prefix: {prefix!r} names nothing below the roots of the pair ({' and '.join(roots)}). Write "
            "a key, such as reports/2026, or as an absolute path below one of them."
        )
    return key
