"""The pages, and what a reader can take out of them: commands, configs, links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md")))

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`(bisyncer [^`]+)`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


class Found(NamedTuple):
    """A piece of a page; `whole` is a command as it is to be typed, and not only its name in a sentence."""

    page: Path
    text: str
    whole: bool = True

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}: {self.text}"


def fences(page: Path, language: str) -> Iterator[str]:
    """The blocks of a page in one language."""
    for match in _FENCE.finditer(page.read_text(encoding="utf-8")):
        if match[1] == language:
            yield match[2]


def prompts(page: Path) -> Iterator[str]:
    """The commands that a page shows behind a prompt, each with its continuation lines."""
    for block in fences(page, "console"):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith(("$ ", "# ")):
                yield line[2:]


def command_lines() -> Iterator[Found]:
    """Every `bisyncer ...` that a page tells a reader to say, or speaks of."""
    for page in PAGES:
        for line in prompts(page):
            for part in re.split(r"\s(?:&&|\||;)\s", re.sub(r"\s#\s.*", "", line)):
                at = re.search(r"(?:^|\s)bisyncer\s(.*)", part)
                if at:
                    yield Found(page, f"bisyncer {at[1]}")
        for span in _SPAN.findall(_FENCE.sub("", page.read_text(encoding="utf-8"))):
            yield Found(page, span, whole=False)


def links(page: Path) -> Iterator[str]:
    """Where the links of a page lead."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    yield from _LINK.findall(text)


def anchors(page: Path) -> set[str]:
    """The names that headings of a page get."""
    titles = _HEADING.findall(_FENCE.sub("", page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
