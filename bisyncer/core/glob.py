"""Patterns into regular expressions: those of gitignore, and those of rclone's filter files.

https://git-scm.com/docs/gitignore and https://rclone.org/filtering/. What is made here is for `fullmatch`
with `FLAGS`: a name may have newlines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Final, NamedTuple

FLAGS: Final = re.DOTALL

ANYWHERE: Final = "(?:.*/)?"  # any number of directories
_STARS: Final = ("[^/]*", ".*")
_GROUP: Final = {"{": ("(?:", 1), "}": (")", -1), ",": ("|", 0), "]": ("", 0)}
_OPEN_CLASS: Final = "its '[' has no ']'; write \\[ for the letter itself"
# A pattern of which rclone doesn't tell in which directories it may match.
_ANY_DIRECTORY: Final = re.compile(r"\{[^{}]*(?:\*\*|/)[^{}]*\}|\{[^{}]*\{")
_TRAILING_SPACE = re.compile(r"(?<!\\) +$")


class Ignored(NamedTuple):
    """One gitignore pattern. `regex` matches a name; `below` says that it only covers what lies below it."""

    regex: str
    below: bool


def gitignore(pattern: str) -> list[Ignored]:
    """Translate one gitignore pattern, its '!' taken off; raises `ValueError` saying what is wrong with it.

    Two words of rclone mean here what they mean there: '{a,b}' stands for both, and 'NAME/**' holds at any
    depth.
    """
    pattern = _TRAILING_SPACE.sub("", pattern)
    return [_ignored(each) for each in _alternatives(pattern)]


def _ignored(pattern: str) -> Ignored:
    below = pattern.endswith("/")
    segments = pattern.removesuffix("/").split("/")
    anchored = len(segments) > 1
    if segments[0] == "" and anchored:
        del segments[0]
    elif len(segments) == 2 and segments[1] == "**" and segments[0] != "**":
        anchored = False
    if not all(segments):
        raise ValueError("it names nothing")
    regex = "" if anchored else ANYWHERE
    for at, segment in enumerate(segments):
        last = at == len(segments) - 1
        if segment != "**":
            regex += _segment(segment) + ("" if last else "/")
        elif last:
            regex += ".*"
        else:
            regex += ANYWHERE
    return Ignored(regex, below)


def _segment(glob: str) -> str:
    regex, at = "", 0
    while at < len(glob):
        letter = glob[at]
        at += 1
        if letter == "*":
            while at < len(glob) and glob[at] == "*":
                at += 1
            regex += "[^/]*"
        elif letter == "?":
            regex += "[^/]"
        elif letter == "[":
            start = at + 1 if glob[at : at + 1] in {"!", "^"} else at
            end = glob.find("]", start + 1)
            inside = glob[start:end]
            if end < 0:
                raise ValueError(_OPEN_CLASS)
            regex += "(?!/)" + _letters(inside, negated=start > at)
            at = end + 1
        elif letter == "\\":
            if at == len(glob):
                raise ValueError("it ends with a backslash; write two for the letter itself")
            regex += re.escape(glob[at])
            at += 1
        else:
            regex += re.escape(letter)
    return regex


def _letters(inside: str, *, negated: bool) -> str:
    """A class of letters; ranges and backslashes mean the same everywhere."""
    if "[:" in inside or "[." in inside or "[=" in inside:
        raise ValueError("it has a named class of letters; write the letters, such as [a-z]")
    quoted = re.sub(r"\\?([\[\]&~|^])", r"\\\1", inside)
    regex = f"[{'^' if negated else ''}{quoted}]"
    try:
        re.compile(regex)
    except re.error as error:
        raise ValueError(f"[{inside}] is no set of letters: {error}") from error
    return regex


def _alternatives(pattern: str) -> list[str]:
    """The patterns that one with '{a,b}' stands for; braces without a comma are letters of the name."""
    opened: list[int] = []
    commas: list[int] = []
    slashed = False
    for at, letter in enumerate(pattern):
        if slashed or letter == "\\":
            slashed = not slashed
        elif letter == "{":
            opened, commas = [*opened, at], []
        elif letter == "," and opened:
            commas.append(at)
        elif letter == "}" and opened:
            start = opened.pop()
            if commas and start < commas[0]:
                ends = [start, *commas, at]
                words = [pattern[one + 1 : two] for one, two in pairwise(ends)]
                return [
                    whole
                    for word in words
                    for whole in _alternatives(pattern[:start] + word + pattern[at + 1 :])
                ]
            commas = []
    return [pattern]


def rclone(glob: str) -> str:
    """Translate a pattern of rclone; raises `ValueError` saying what is wrong with it.

    Its '**' also matches a newline, which rclone's doesn't.
    """
    anchored = glob.startswith("/")
    return ("" if anchored else ANYWHERE) + "".join(_rclone(glob.removeprefix("/")))


def _rclone(glob: str) -> Iterator[str]:  # noqa: C901 -- a branch for each sign
    if "{{" in glob:
        raise ValueError("it has a regular expression in {{ }}; write it with *, ?, [a-z] and {a,b}")
    at, depth = 0, 0
    while at < len(glob):
        letter, rest = glob[at], glob[at + 1 :]
        at += 1
        if letter == "*":
            stars = 1 + len(rest) - len(rest.lstrip("*"))
            if stars > len(_STARS):
                raise ValueError("it has more than two stars in a row")
            yield _STARS[stars - 1]
            at += stars - 1
        elif letter == "[":
            inside, end, _ = rest.partition("]")
            if not end:
                raise ValueError(_OPEN_CLASS)
            yield _letters(inside.removeprefix("^"), negated=inside.startswith("^"))
            at += len(inside) + 1
        elif letter == "\\":
            if not rest or rest[0].isalnum():
                raise ValueError("a backslash stands before no sign; write two for the letter itself")
            yield re.escape(rest[0])
            at += 1
        elif letter in "{},]":
            regex, step = _GROUP[letter] if depth or letter != "," else (",", 0)
            depth += step
            if depth < 0 or letter == "]":
                raise ValueError(f"its '{letter}' closes nothing; write \\{letter} for the letter itself")
            yield regex
        else:
            yield "[^/]" if letter == "?" else re.escape(letter)
    if depth:
        raise ValueError("its '{' has no '}'; write \\{ for the letter itself")


def directories(glob: str) -> list[str]:
    """The patterns of the directories that may hold what a pattern of rclone matches, itself left out."""
    if _ANY_DIRECTORY.search(glob):
        return ["/**"]
    found: list[str] = []
    glob = re.sub("/{2,}", "/", glob)
    while (end := max(glob.rfind("/"), glob.rfind("**"))) >= 0:
        stars = "**" if glob[end] == "*" else ""
        glob = glob[:end]
        if not found or found[-1] != f"{glob}{stars}/":
            found.append(f"{glob}{stars}/")
    return [each for each in found if each != "/"] if found else ["/**"]
