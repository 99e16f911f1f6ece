"""Ordered lists of patterns: in which one decides about a key is what differs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Final, NamedTuple, Protocol, TypeVar

from bisyncer.core.glob import ANYWHERE, FLAGS, directories, gitignore, rclone

_T = TypeVar("_T")
_BELOW: Final = "/.*"
_AND_BELOW: Final = "(?:/.*)?"
_DIRECTORIES: Final = 1024  # of which it is remembered what was decided
_DEEP: Final = 100  # directories one in the other; Python calls itself a thousand times, no more


class Rule(NamedTuple):
    """One pattern: the text that it was read from, and where that stands."""

    text: str
    where: str
    excludes: bool  # of a list of `include`: whether it takes a key out again
    regex: str
    below: bool = False  # covers what lies below what it matches, and not that itself

    @property
    def words(self) -> str:
        """The rule as a sentence names it."""
        return f"{self.where}: {self.text}"


class Rules(Protocol):
    """An ordered list of rules; which of them decides is what differs."""

    def matches(self, key: str) -> bool:
        """Whether the rule that decides about `key` excludes it; False where none does."""
        ...

    def deciding(self, key: str) -> Rule | None:
        """The rule that decides about `key`."""
        ...

    def covers(self, prefix: str) -> bool:
        """Whether `prefix` is excluded with all that may lie below it."""
        ...


def ignoring(lines: Sequence[tuple[str, str]]) -> Rules | None:
    """The rules of gitignore patterns; None where there are none."""
    rules: list[Rule] = []
    for where, line in lines:
        if not line.strip() or line.startswith("#"):
            continue
        bang = line.startswith("!")
        try:
            found = gitignore(line[1:] if bang else line)
        except ValueError as error:
            raise ValueError(f"{where}: {line!r} is not a gitignore pattern: {error}") from error
        rules += [Rule(line, where, not bang, each.regex, each.below) for each in found]
    if not rules:
        return None
    return _LastMatch(rules) if any(not rule.excludes for rule in rules) else _AnyMatch(rules)


def first_match(lines: Sequence[tuple[str, str]], signed: str) -> Rules | None:
    """The rules of a filter file of rclone, which it is by the line at `signed`; None where there are none.

    Files and directories have rules of their own: https://rclone.org/filtering/#directory-filtering
    """
    files: list[Rule] = []
    folders: list[Rule] = []
    for where, whole in lines:
        line = whole.strip()
        if not line or line[0] in "#;":
            continue
        if line == "!":  # forget all rules before
            files.clear()
            folders.clear()
            continue
        if line[:2] not in {"+ ", "- "}:
            raise ValueError(
                f"{where}: {line!r} is no line of an rclone filter file, which this is by {signed}: begin it "
                "with '- ' to leave keys out or with '+ ' to take them in"
            )
        excludes, glob = line[0] == "-", line[2:]
        of_directory = glob.endswith("/") or "**" in glob
        if glob.endswith("/") and excludes:
            glob += "**"
        try:
            rule = Rule(line, where, excludes, rclone(glob))
        except ValueError as error:
            raise ValueError(f"{where}: {line!r} is not a pattern of rclone: {error}") from error
        if not of_directory or "**" in glob:
            files.append(rule)
            if not excludes or glob == "*":
                folders += [rule._replace(regex=rclone(each)) for each in directories(glob)]
        if of_directory:
            folders.append(rule)
    return _FirstMatch(files, folders) if files else None


class _AnyMatch:
    """Gitignore patterns without a '!': a key is out where any matches it or a directory above it."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = rules
        self._match = _any(rule.regex + (_BELOW if rule.below else _AND_BELOW) for rule in rules)

    def matches(self, key: str) -> bool:
        return self._match(key) is not None

    def deciding(self, key: str) -> Rule | None:
        found = (rule for rule in self._rules if _AnyMatch([rule]).matches(key))
        return next(found, None)

    def covers(self, prefix: str) -> bool:
        return self.matches(prefix)


class _LastMatch:
    """Gitignore patterns with a '!': the last match decides, of the key before a directory."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._compiled = [(_any([rule.regex]), rule) for rule in reversed(rules)]
        self._of_directory = lru_cache(_DIRECTORIES)(self._above)

    def matches(self, key: str) -> bool:
        rule = self.deciding(key)
        return rule is not None and rule.excludes

    def deciding(self, key: str) -> Rule | None:
        for match, rule in self._compiled:
            if not rule.below and match(key):
                return rule
        return _asked(self._of_directory, key.rpartition("/")[0], 0)

    def covers(self, prefix: str) -> bool:  # noqa: ARG002 -- what lies below may be brought back
        return False

    def _above(self, directory: str) -> Rule | None:
        if not directory:
            return None
        found = (rule for match, rule in self._compiled if match(directory))
        return next(found, None) or self._of_directory(directory.rpartition("/")[0])


class _FirstMatch:
    """Rules of rclone: the first that matches decides; what lies in a directory that is out, is out."""

    def __init__(self, files: Sequence[Rule], directories: Sequence[Rule]) -> None:
        self._files = files
        self._directories = directories
        self._first = _first(files)
        first = _first(directories)

        @lru_cache(_DIRECTORIES)
        def out(directory: str) -> bool:
            above = directory[:-1].rpartition("/")[0]
            return bool(first(directory)) or (above != "" and out(above + "/"))

        self._out = out

    def matches(self, key: str) -> bool:
        parent, slash, name = key.rpartition("/")
        if slash and _asked(self._out, parent + slash, 1):
            return True
        return name != "" and bool(self._first(key))

    def deciding(self, key: str) -> Rule | None:
        ends = [at + 1 for at, letter in enumerate(key) if letter == "/"]
        for end in ends:
            rule = _deciding(self._directories, key[:end])
            if rule is not None and rule.excludes:
                return rule
        return _deciding(self._files, key)

    def covers(self, prefix: str) -> bool:
        return self.matches(prefix)


def _asked(of: Callable[[str], _T], directory: str, slash: int) -> _T:
    """Ask of a directory what asks of the one above it, and remembers the answer; `slash` of its '/' ends it.

    Of a deep one from the top down, so that each finds the one above remembered.
    """
    if directory.count("/") > _DEEP:
        for at, letter in enumerate(directory):
            if letter == "/":
                of(directory[: at + slash])
    return of(directory)


def _first(rules: Sequence[Rule]) -> Callable[[str], bool | None]:
    """Whether the first rule that matches excludes; None where none does."""
    groups = [
        (excludes, _any(rule.regex for rule in group))
        for excludes, group in groupby(rules, key=lambda rule: rule.excludes)
    ]
    if len(groups) == 1:
        [(excludes, match)] = groups
        return lambda key: None if match(key) is None else excludes
    return lambda key: next((excludes for excludes, match in groups if match(key)), None)


def _deciding(rules: Sequence[Rule], key: str) -> Rule | None:
    return next((rule for rule in rules if _any([rule.regex])(key)), None)


def _any(regexes: Iterable[str]) -> Callable[[str], re.Match[str] | None]:
    """Match any of these; those that hold at any depth share one walk through the directories of a key."""
    floating: list[str] = []
    anchored: list[str] = []
    for regex in regexes:
        (floating if regex.startswith(ANYWHERE) else anchored).append(f"(?:{regex.removeprefix(ANYWHERE)})")
    if floating:
        anchored.append(f"{ANYWHERE}(?:{'|'.join(floating)})")
    return re.compile("|".join(anchored), FLAGS).fullmatch
