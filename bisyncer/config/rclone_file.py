"""rclone's config file, rclone.conf: where it is, and what stands in it.

The format is that of goconfig, which rclone reads it with: sections of `key = value` or `key: value` lines,
no comments behind a value, a value in backticks or three double quotes kept as it is, the last of two equal
keys, and `[a.b]` taking what it lacks from `[a]`. https://rclone.org/docs/#config-string tells the places.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from bisyncer.endpoints.home import from_home
from bisyncer.errors import UsageError

VARIABLE: Final = "RCLONE_CONFIG"

_ENCRYPTED = "RCLONE_ENCRYPT_V"
_SPACE: Final = (  # what Go takes for it
    "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
)
_QUOTES = ("`", '"""')
_VALUE_OF_ANOTHER = re.compile(r"%\([^)]+\)s")


class Line(NamedTuple):
    """A value, and the number of the line where it stands."""

    value: str
    number: int


@dataclass(frozen=True, slots=True)
class RcloneFile:
    """The sections of a file, by name; none where there is no file. `path` is also where it would be."""

    path: Path
    sections: Mapping[str, Mapping[str, Line]] = field(default_factory=dict)
    missing: str | None = None  # a sentence, where there is no file

    def get(self, section: str, key: str) -> Line | None:
        """The value of a key; None where it is empty, or neither the section nor those above it have it."""
        while section in self.sections:
            line = self.sections[section].get(key)
            if line is not None:
                return line if line.value else None
            section, dot, _ = section.rpartition(".")
            if not dot:
                break
        return None


def read(named: str | None) -> RcloneFile:
    """Read the file that `named`, a setting, says; else the one that rclone would.

    Raises `UsageError` for a file that is encrypted, can't be read or isn't an rclone.conf.
    """
    path = _found(named)
    try:
        text = path.read_bytes().decode("utf-8-sig")  # a lone carriage return ends no line
    except FileNotFoundError:
        origin = "rclone_config" if named else VARIABLE if os.environ.get(VARIABLE) else None
        return RcloneFile(path, missing=f"{path}, named by {origin}, isn't there" if origin else None)
    except UnicodeDecodeError:
        raise UsageError(f"{path} isn't UTF-8, so it is no rclone.conf. Name another.") from None
    except OSError as error:
        raise UsageError(f"{path} can't be read: {error.strerror}. See its owner and mode.") from error
    return RcloneFile(path, _sections(path, text))


def _found(named: str | None) -> Path:
    """The file in use: rclone's own order, https://rclone.org/docs/#config-string."""
    if named or os.environ.get(VARIABLE):
        return from_home(named or os.environ[VARIABLE])
    home = from_home("~")
    own = os.environ.get("XDG_CONFIG_HOME")
    places = (
        *([Path(own) / "rclone/rclone.conf"] if own else []),
        home / ".config/rclone/rclone.conf",
        home / ".rclone.conf",
    )
    for path in places:
        with suppress(PermissionError):  # of a folder that isn't this user's
            if path.exists():
                return path
    return places[0]


def _sections(path: Path, text: str) -> dict[str, dict[str, Line]]:
    sections: dict[str, dict[str, Line]] = {}
    section = "DEFAULT"  # goconfig's name for what stands before the first header
    first = True
    for number, raw in enumerate(text.split("\n"), start=1):
        line = raw.strip(_SPACE)
        if not line or line[0] in "#;":
            continue
        if first and line.startswith(_ENCRYPTED):
            raise UsageError(
                f"{path} is encrypted. Write the remotes that are needed into a file of their own with "
                f"`rclone config show NAME`, which `rclone_config` may name; or take the password off with "
                "`rclone config encryption remove`."
            )
        first = False
        if line[0] == "[" and line[-1] == "]":
            section = line[1:-1].strip(_SPACE)
            sections.setdefault(section, {})
            continue
        parsed = _key_and_value(line)
        if parsed is None:
            # The line isn't repeated: it may hold a secret.
            raise UsageError(
                f"{path}:{number}: this is no line of an rclone.conf. Write [NAME] or key = value."
            )
        key, value = parsed
        sections.setdefault(section, {})[key] = Line(value, number)
    return sections


def _key_and_value(line: str) -> tuple[str, str] | None:
    """The two parts of a line; None where it isn't one."""
    quote = next((each for each in ('"""', '"', "`") if line.startswith(each)), "")
    start = line.find(quote, len(quote)) if quote else 0
    separator = re.compile("[=:]").search(line, start)
    if start < 0 or separator is None or separator.start() == 0:
        return None
    key = line[len(quote) : start] if quote else line[: separator.start()].strip(_SPACE)
    value = line[separator.end() :].strip(_SPACE)
    around = next((each for each in _QUOTES if value.startswith(each) and len(value) >= 2 * len(each)), None)
    if around is not None:
        end = value.rfind(around, len(around))
        if end < 0:
            return None
        value = value[len(around) : end]
    return key, value


def has_value_of_another(value: str) -> bool:
    """Whether rclone would put the value of another key into this one, for `%(key)s`."""
    return _VALUE_OF_ANOTHER.search(value) is not None
