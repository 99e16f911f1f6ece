"""The settings of one table, each with the place where it was given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import NamedTuple, TypeVar, cast

from bisyncer.config import parser
from bisyncer.config.setting import Setting
from bisyncer.errors import UsageError

T = TypeVar("T")

_CLOSE = 0.75  # how alike two words are where one is a misspelling of the other


class Given(NamedTuple):
    """A value as it was written, and where: `file:line: key in [table]`, a variable or a flag."""

    value: object
    where: str


class Values:
    """The parsed settings of one table."""

    def __init__(self, table: Sequence[Setting[object]], given: Mapping[str, Given]) -> None:
        """Parse what was given, and the defaults of the rest; raises `UsageError` for a bad value."""
        self._given = given
        self._parsed: dict[str, object] = {}
        for each in table:
            if each.name in given:
                value, where = given[each.name]
                try:
                    self._parsed[each.name] = each.parse(value)
                except parser.Unfit as error:
                    raise UsageError(f"{where}: {error}.") from error
            elif each.default is not None:
                self._parsed[each.name] = each.parse(each.default)

    def __getitem__(self, wanted: Setting[T]) -> T:
        return cast("T", self._parsed[wanted.name])

    def get(self, wanted: Setting[T]) -> T | None:
        """The value, or None where it has no default and wasn't given."""
        return cast("T | None", self._parsed.get(wanted.name))

    def given(self, wanted: Setting[object]) -> bool:
        """Whether the value was given, and isn't a default."""
        return wanted.name in self._given

    def where(self, wanted: Setting[object]) -> str:
        """Where the value was given; its bare name where it wasn't."""
        return self._given[wanted.name].where if wanted.name in self._given else wanted.name

    def fields(self) -> dict[str, object]:
        """All that is set, by name."""
        return dict(self._parsed)


def meant(word: str, known: Iterable[str], *, same: str = "") -> str:
    """The end of a sentence about an unknown word; `same` is what all begin with, and tells nothing."""
    words = list(known)
    close = get_close_matches(
        word.removeprefix(same), [each.removeprefix(same) for each in words], n=1, cutoff=_CLOSE
    )
    return f"; did you mean '{same}{close[0]}'?" if close else f". Known here: {', '.join(words)}."
