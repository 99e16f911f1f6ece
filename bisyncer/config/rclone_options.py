"""The options of one remote of rclone: what its environment says, else its file.

https://rclone.org/docs/#precedence; rclone's flags and connection strings belong to its own command line.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Final, NamedTuple

from bisyncer.config import parser, urls
from bisyncer.config.rclone_file import VARIABLE, RcloneFile, has_value_of_another
from bisyncer.errors import UsageError

_TRUE: Final = ("1", "t", "T", "true", "TRUE", "True")  # what rclone takes for a switch
_FALSE: Final = ("0", "f", "F", "false", "FALSE", "False")
_OFF: Final = ("off", "unset", *_FALSE)


class Refused(NamedTuple):
    """An option that would be broken if it were passed over; `fine` are values that ask for nothing."""

    key: str
    why: str
    fine: tuple[str, ...] = _OFF


class Options:
    """The options of a remote. `prefix` is what rclone's variables of its type begin with, such as S3."""

    def __init__(self, name: str, file: RcloneFile, prefix: str = "") -> None:
        self.name = name
        self._file = file
        self._prefix = prefix

    def of_type(self, prefix: str) -> Options:
        """The same, with the variables of a type."""
        return Options(self.name, self._file, prefix)

    def __contains__(self, key: str) -> bool:
        return self.get(key) is not None

    def get(self, key: str) -> str | None:
        """The value, or None where it has none. Raises `UsageError` where it can't be known."""
        for variable in self._variables(key):
            if variable in os.environ:
                return os.environ[variable] or None
        line = self._file.get(self.name, key)
        if line is not None and has_value_of_another(line.value):
            raise UsageError(
                f"{self.where(key)}: it takes a part from another key with %(...)s. Write the whole value."
            )
        return line.value if line else None

    def switch(self, key: str) -> bool:
        """Whether an option is switched on."""
        value = self.get(key)
        if value is not None and value not in _TRUE + _FALSE:
            raise UsageError(f"{self.where(key)}: {value!r} is neither true nor false.")
        return value in _TRUE

    def where(self, key: str) -> str:
        """Where an option stands; where it would stand, if it were in the file."""
        for variable in self._variables(key):
            if variable in os.environ:
                return variable
        line = self._file.get(self.name, key)
        number = f":{line.number}" if line else ""
        return f"{self._file.path}{number}: {key} in [{self.name}]"

    def refuse(self, table: Iterable[Refused]) -> None:
        """Raise `UsageError` for an option that asks for something which isn't done here."""
        for each in table:
            value = self.get(each.key)
            if value is not None and value not in each.fine:
                raise UsageError(f"{self.where(each.key)}: it can't be honoured: {each.why}.")

    def address(self, key: str = "endpoint") -> str | None:
        """The URL of a service; without a scheme it is https, as in rclone."""
        value = self.get(key)
        if value is None:
            return None
        try:
            return urls.service_url(value if value.startswith("http") else f"https://{value}")
        except parser.Unfit as error:
            raise UsageError(f"{self.where(key)}: {error}.") from error

    def _variables(self, key: str) -> list[str]:
        own = f"{VARIABLE}_{self.name}_{key}".upper()
        return [own, f"RCLONE_{self._prefix}_{key}".upper()] if self._prefix else [own]


def encoding(default: str) -> Refused:
    """The refusal of any other encoding of names than the one that a type has by default."""
    return Refused(
        "encoding",
        "keys are taken as the store has them, and rclone would read other names out of them",
        (default, "None", "Raw"),
    )
