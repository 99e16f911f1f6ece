"""The command that measures a pair."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from bisyncer.cli.failure import tell_sentence
from bisyncer.cli.opened import opened_pair, opened_store
from bisyncer.cli.options import Asked, Json, command
from bisyncer.cli.running import opened_log
from bisyncer.cli.stopping import stopping
from bisyncer.cli.table import say
from bisyncer.config import parser, setting
from bisyncer.errors import Interrupted, UsageError
from bisyncer.model import Side, Summary

if TYPE_CHECKING:
    from bisyncer.engine.bench import Figures

_MEANING = {
    "sufficient": "a run without changes takes at most half of it",
    "monitor": "a run without changes takes more than half of it: look again as the pair grows",
    "escalate": "a run without changes takes longer than that: give it more time, or a part of the pair",
}


@command(*setting.PAIR, examples=("bisyncer bench cms", "bisyncer bench cms --sla 5m --json"))
def bench(
    asked: Asked,
    pair: Annotated[str, typer.Argument(metavar="PAIR", help="A pair that was aligned.", show_default=False)],
    *,
    sla: Annotated[str, typer.Option("--sla", metavar="DURATION", help="How long a run may take.")] = "60s",
    as_json: Json = False,
) -> int:
    """Measure a pair, and judge whether its runs are in time.

    A run is planned, both sides are listed, and scratch objects are sent to the trash in path2's own root and
    deleted again. No key is changed. Exit 1 if the verdict is escalate. There is no verdict where the run
    didn't come to its end, and the exit code is that run's.
    """
    from bisyncer.engine.bench import Judgement  # noqa: PLC0415 -- see `opened`
    from bisyncer.engine.bench import bench as measure  # noqa: PLC0415 -- see `opened`

    try:
        sla_s = parser.duration_ns(sla) / 1e9
    except parser.Unfit as error:
        raise UsageError(f"--sla: {error}.") from error
    if sla_s == 0:
        raise UsageError("--sla: a run always takes some time. Give it more than none.")
    config = asked.load()
    job = config.job(pair)
    with (
        opened_store(config) as store,
        opened_pair(job, store, leased=False) as endpoints,
        stopping(asked.log_format) as stop,
        ExitStack() as stack,
    ):
        log, _ = opened_log(asked, stack, say)
        try:
            found = measure(job, endpoints, store, log, sla_s=sla_s, stop=stop.event)
        except Interrupted as error:
            tell_sentence(str(error), log_format=asked.log_format, pair=pair)
            return error.exit_code if stop.signal is None else 128 + stop.signal
    if isinstance(found, Summary):
        tell_sentence(_why(found), log_format=asked.log_format, pair=pair)
        return stop.exit_code(found)
    if as_json:
        say(json.dumps(_row(pair, found)))
    else:
        _tell(found)
    return 1 if found.verdict is Judgement.ESCALATE else 0


def _why(cut: Summary) -> str:
    """Why there is no verdict; what a closed gate saw has been told already."""
    if cut.halts:
        what = f"was halted by {', '.join(dict.fromkeys(halt.gate for halt in cut.halts))}"
    else:
        what = "was stopped by a signal" if cut.sentence is None else "was ended by max_duration"
    return f"The run that was to be timed {what}, so there is no verdict."


def _row(pair: str, figures: Figures) -> dict[str, object]:
    return {
        "pair": pair,
        "keys": {side.value: figures.keys[side] for side in Side},
        "WALK_TIME_S": round(figures.walk_time_s, 6),
        "LIST_TIME_S": round(figures.list_time_s, 6),
        "RECONCILE_S": round(figures.reconcile_s, 6),
        "UPLOAD_MBPS": round(figures.upload_mbps, 3),
        "SMALL_FILES_PER_S": round(figures.small_files_per_s, 3),
        "failed": figures.failed,
        "sla_s": figures.sla_s,
        "verdict": figures.verdict,
    }


def _tell(figures: Figures) -> None:
    one, two = (figures.keys[side] for side in Side)
    say(f"WALK_TIME_S        {figures.walk_time_s:>10.2f}  path1 listed, {one:,} keys")
    say(f"LIST_TIME_S        {figures.list_time_s:>10.2f}  path2 listed, {two:,} keys")
    say(f"RECONCILE_S        {figures.reconcile_s:>10.2f}  both listed at once, compared and planned")
    say(f"UPLOAD_MBPS        {figures.upload_mbps:>10.1f}  megabytes a second to path2, one object of 64 MiB")
    say(f"SMALL_FILES_PER_S  {figures.small_files_per_s:>10.1f}  objects of 10 KiB to path2")
    if figures.failed:
        say(f"failed             {figures.failed:>10,}  requests, for a while: the pauses were timed too")
    say(f"verdict            {figures.verdict}, of {figures.sla_s:g} s: {_MEANING[figures.verdict]}")
