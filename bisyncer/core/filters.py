"""Which keys are in: by patterns of gitignore, and by the filter files of rclone."""

from __future__ import annotations

from collections.abc import Iterable

from bisyncer.core.rules import Rules, first_match, ignoring
from bisyncer.job import FilterFile, Job


class Filters:
    """The keys of a pair: those that no list of patterns leaves out."""

    def __init__(
        self, exclude: Iterable[str] = (), include: Iterable[str] = (), file: FilterFile | None = None
    ) -> None:
        """Compile the patterns; raises `ValueError` naming the first that is none, and where it stands."""
        lists = [ignoring(_numbered("exclude", exclude)), None if file is None else _of(file)]
        self._lists = tuple(rules for rules in lists if rules is not None)
        self._include = ignoring(_numbered("include", include))
        self.any = bool(self._lists) or self._include is not None

    @classmethod
    def of(cls, job: Job) -> Filters:
        """The filters of a pair."""
        return cls(job.exclude, job.include, job.filter_file)

    def hidden(self, prefix: str) -> bool:
        """Whether no key at or below `prefix` can be in."""
        return any(rules.covers(prefix) for rules in self._lists)

    def excluded(self, key: str) -> bool:
        """Whether `key` is left out."""
        for rules in self._lists:
            if rules.matches(key):
                return True
        return self._include is not None and not self._include.matches(key)

    def reason(self, key: str) -> str | None:
        """Why `key` is left out, in words; None where it is in."""
        for rules in self._lists:
            if rules.matches(key) and (rule := rules.deciding(key)) is not None:
                return f"left out on both sides by {rule.words}"
        if self._include is None or self._include.matches(key):
            return None
        rule = self._include.deciding(key)
        by = "since no pattern of include has it" if rule is None else f"by {rule.words}"
        return f"left out on both sides {by}"


def _numbered(name: str, patterns: Iterable[str]) -> list[tuple[str, str]]:
    return [(name, pattern) for pattern in patterns]


def _of(file: FilterFile) -> Rules | None:
    """The rules of a file: in rclone's form where any line begins with '+ ' or '- ', else gitignore's."""
    lines = [(f"{file.path}:{at}", line) for at, line in enumerate(file.lines, start=1)]
    signed = next((where for where, line in lines if line.strip().startswith(("+ ", "- "))), None)
    return ignoring(lines) if signed is None else first_match(lines, signed)
