"""On which line of a TOML text a key stands: tomllib doesn't say."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence

_HEADER = re.compile(r"^\s*\[\[?(.+?)\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"^\s*([^=#\[]+?)\s*=")
_AT_LINE = re.compile(r"\(at line (\d+), column \d+\)")


def line_of(text: str, keys: Sequence[str]) -> int:
    """The line of the key `keys[-1]` inside the tables before it; the nearest table's where it has none."""
    wanted = tuple(keys)
    best, best_length = 1, 0
    for number, path in _places(text):
        length = _common(path, wanted)
        if length > best_length:
            best, best_length = number, length
    return best


def line_of_error(text: str, error: tomllib.TOMLDecodeError) -> tuple[int, str]:
    """The line of a syntax error, and what is wrong there."""
    match = _AT_LINE.search(str(error))
    sentence = _AT_LINE.sub("", str(error)).replace("(at end of document)", "").strip()
    return (int(match[1]) if match else text.count("\n") + 1), sentence


def _places(text: str) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield each line that names a key, with its full path.

    A line inside a multi-line text may be taken for one; that costs a wrong line number in an error, and
    nothing else.
    """
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            table = _parsed(header[1])
            yield number, table
        elif key := _KEY.match(line):
            path = table + _parsed(key[1])
            yield number, path


def _parsed(key: str) -> tuple[str, ...]:
    """The parts of a dotted key, by tomllib's own rules; none where it isn't one."""
    try:
        value: object = tomllib.loads(f"{key} = 0")
    except tomllib.TOMLDecodeError:
        return ()
    parts: list[str] = []
    while isinstance(value, dict):
        [(part, value)] = value.items()
        parts.append(part)
    return tuple(parts)


def _common(path: tuple[str, ...], wanted: tuple[str, ...]) -> int:
    """How many leading parts are the same."""
    count = 0
    for one, other in zip(path, wanted, strict=False):
        if one != other:
            break
        count += 1
    return count
