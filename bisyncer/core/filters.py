"""Which keys are in: gitignore patterns, as https://git-scm.com/docs/gitignore defines them."""

from __future__ import annotations

from collections.abc import Iterable

from pathspec import GitIgnoreSpec


class Filters:
    """The keys of a pair: all but those that an exclude pattern matches."""

    def __init__(self, exclude: Iterable[str] = ()) -> None:
        """Compile the patterns; raises `ValueError` naming the first that is no gitignore pattern."""
        patterns = tuple(exclude)
        for pattern in patterns:
            try:
                GitIgnoreSpec.from_lines([pattern])
            except ValueError as error:
                raise ValueError(f"exclude: {pattern!r} is not a gitignore pattern: {error}") from error
        self._brings_back = any(pattern.startswith("!") for pattern in patterns)
        self._spec = GitIgnoreSpec.from_lines(patterns) if patterns else None

    def hidden(self, prefix: str) -> bool:
        """Whether no key at or below `prefix` can be in."""
        return self.excluded(prefix) and not self._brings_back

    def excluded(self, key: str) -> bool:
        """Whether `key` is left out."""
        return self._spec is not None and self._spec.match_file(key)
