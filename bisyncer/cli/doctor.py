"""The command that looks at all that a pair needs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bisyncer.cli.opened import opened_store
from bisyncer.cli.options import Asked, Json, command
from bisyncer.cli.table import print_json, say
from bisyncer.config import setting
from bisyncer.config.config import Config
from bisyncer.config.urls import without_password
from bisyncer.errors import BisyncerError, UsageError
from bisyncer.report.words import shown_count, shown_line

if TYPE_CHECKING:
    from bisyncer.engine.doctor import Finding
    from bisyncer.state.store import Store


@command(*setting.PAIR, examples=("bisyncer doctor", "bisyncer doctor cms --json"))
def doctor(
    asked: Asked,
    pair: Annotated[
        str | None, typer.Argument(metavar="PAIR", help="One pair only.", show_default=False)
    ] = None,
    *,
    as_json: Json = False,
) -> int:
    """Look at all that the pairs need, and name the cures.

    Each root is tried with an object of bisyncer's own, which is removed again. Each line is ok, warn (runs
    work, and something should be known or mended) or fail (runs won't work); exit 1 if one is fail.
    """
    from bisyncer.engine.doctor import Grade  # noqa: PLC0415 -- see `opened`

    config = asked.load()
    if pair is not None and pair not in config.pairs:
        raise UsageError(
            f"There is no pair '{pair}' in {config.path} (there: {', '.join(config.pairs) or 'none'}). Name "
            "one of these."
        )
    found = [(name, each) for name, each in _findings(config, [pair] if pair else list(config.pairs))]
    if asked.quiet:
        found = [(name, each) for name, each in found if each.grade is not Grade.OK]
    if as_json:
        print_json(
            {
                "pair": name,
                "side": each.side,
                "check": each.check,
                "grade": each.grade,
                "sentence": each.sentence,
            }
            for name, each in found
        )
    else:
        for name, each in found:
            where = " ".join(word for word in (name, each.side, each.check) if word)
            say(f"{each.grade:<4}  {where}: {shown_line(each.sentence)}")
    return 1 if any(each.grade is Grade.FAIL for _, each in found) else 0


def _findings(config: Config, names: list[str]) -> Iterator[tuple[str | None, Finding]]:
    from bisyncer.engine.doctor import Finding, Grade, examine  # noqa: PLC0415 -- see `opened`

    if not config.exists:
        yield None, Finding("config", Grade.WARN, f"{config.path} isn't there. Write it, or say --config.")
    else:
        yield None, Finding("config", Grade.OK, f"{config.path}, {shown_count(len(config.pairs), 'pair')}")
    try:
        with opened_store(config) as store:
            yield None, _state(config, store)
            for name in names:
                try:
                    for each in examine(config.job(name), store):
                        yield name, each
                    if config.stale_after_ns(name) is None:
                        told = "stale_after is off, so `bisyncer status` never finds it stale. Set it."
                        yield name, Finding("status", Grade.WARN, told)
                except BisyncerError as error:  # a bad value in one pair keeps no other from its turn
                    yield name, Finding("pair", Grade.FAIL, str(error))
    except BisyncerError as error:
        yield None, Finding("state", Grade.FAIL, str(error))


def _state(config: Config, store: Store) -> Finding:
    from bisyncer.engine.doctor import FREE_WARN_BYTES, Finding, Grade  # noqa: PLC0415 -- see `opened`
    from bisyncer.state.schema import REVISION  # noqa: PLC0415 -- see `opened`

    told = f"{without_password(config.state)} is at schema {REVISION}, the newest"
    place = Path(store.database.place)
    if store.database.postgresql or not place.exists():
        return Finding("state", Grade.OK, told)
    free = os.statvfs(place)
    if (free_bytes := free.f_bavail * free.f_frsize) < FREE_WARN_BYTES:
        return Finding(
            "state",
            Grade.WARN,
            f"{told}; {free_bytes >> 20} MiB are free there. Free some: runs stop where it can't be written.",
        )
    return Finding("state", Grade.OK, told)
