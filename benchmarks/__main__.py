"""Measure all cases, side by side, and print one table each: `python -m benchmarks [--quick]`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.case import Bench, Turn
from benchmarks.cases import EVERYONE, LONG, QUICK, Case
from benchmarks.machine import machine, versions
from benchmarks.measure import measure
from benchmarks.place import Place, Prefix, Store
from benchmarks.result import Figures, Result, Run, shown, today
from benchmarks.servers import Servers


def main(arguments: Sequence[str] | None = None, cases: Sequence[Case] | None = None) -> int:
    """Measure what was asked for, and tell it; exit code 1 where a tool failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="the cases of 10,000 and 100,000 keys, in minutes"
    )
    parser.add_argument("--list", action="store_true", help="name the cases")
    parser.add_argument(
        "--case", action="append", help="only this one, or all that end so, as '1M'; repeatable"
    )
    parser.add_argument("--tool", action="append", help="only this one; repeatable")
    parser.add_argument("--runs", type=int, default=5, help="measured runs of each, after one that warms up")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--work", type=Path, help="where the data is put; unset, the folder for temporary files"
    )
    parser.add_argument(
        "--json", type=Path, help="a folder: write the figures of each case into a file there"
    )
    parser.add_argument(
        "--add", action="store_true", help="go on from the runs that these files have, up to --runs of them"
    )
    parser.add_argument("--server", help="the URL of an S3 server; unset, one is started")
    parser.add_argument("--ready", help="TREE=BUCKET/PREFIX: what holds the keys of the cases there already")
    asked = parser.parse_args(arguments)
    if (asked.server is None) != (asked.ready is None):
        parser.error("--server and --ready go together")
    if asked.add and asked.json is None:
        parser.error("--add goes with --json")
    # Ended by force, the server would outlive us.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    cases = cases or (QUICK if asked.quick else LONG)
    if asked.list:
        print("\n".join(case.name for case in cases))
        return 0
    for word in asked.case or ():
        if not any(_is(case, word) for case in cases):
            parser.error(f"no case {word!r}; there are: {'; '.join(case.name for case in cases)}")
    for word in asked.tool or ():
        if word not in (names := [tool.name for tool in EVERYONE]):
            parser.error(f"no tool {word!r}; there are: {'; '.join(names)}")
    tools = [tool for tool in EVERYONE if not asked.tool or tool.name in asked.tool]
    failed = False
    with (
        tempfile.TemporaryDirectory(prefix="bisyncer-bench-", dir=asked.work) as folder,
        ExitStack() as stack,
    ):
        work = Path(folder)
        ready = _ready(asked.server, asked.ready) if asked.server else None
        servers = Servers(stack, work, ready.path2.store if ready else None)
        bench = Bench(servers, work, asked.seed, ready=ready)
        for case in cases:
            if asked.case and not any(_is(case, word) for word in asked.case):
                continue
            bench.tools = [tool for tool in tools if case.most.get(tool, 1)]
            failed = not _measured(case, bench, asked.runs, asked.json, add=asked.add) or failed
    return int(failed)


def _ready(url: str, there: str) -> Place:
    """A tree and a prefix of a server that runs, which hold the same; the keys are in the environment."""
    environment = {name: os.environ[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    environment["AWS_REGION"] = os.environ.get("AWS_REGION", "us-east-1")
    root, _, place = there.partition("=")
    bucket, _, prefix = place.partition("/")
    return Place(Path(root), Prefix(Store("b", "s3", url, environment), bucket, prefix))


def _is(case: Case, word: str) -> bool:
    return case.name == word or case.name.endswith(f", {word}")


def _measured(case: Case, bench: Bench, runs: int, folder: Path | None, *, add: bool) -> bool:
    """Measure one case and tell what came of it; whether no tool failed."""
    result = Result(case.name, today(), bench.seed, machine(), versions(), {})
    try:
        known = result.before(folder) if add and folder is not None else {}
        for result.tools in _rounds(case, bench, runs, known):
            if folder and result.measured:  # a long case that is cut off keeps its whole rounds
                result.write(folder)
    except (RuntimeError, OSError) as error:  # in what is done before: the other cases go on
        said = shown(str(error).split(), bench.work)[-500:]
        print(f"{case.name}: can't be prepared: {said}", file=sys.stderr, flush=True)
        return False
    print(f"\n{case.name}\n{result.table()}", flush=True)
    return not any(figures.failed for figures in result.tools.values())


def _rounds(
    case: Case, bench: Bench, runs: int, known: Mapping[str, Figures]
) -> Iterator[dict[str, Figures]]:
    """Measure every tool once a round, each round beginning with another one; the figures after each round.

    So what the machine does meanwhile, and what one tool leaves behind in a cache, hits all alike. `known`
    are figures from before, to which the rounds add.
    """
    with ExitStack() as bench.after:
        ready = list(case.prepare(bench))
        found = {turn.tool.name: known.get(turn.tool.name) or Figures() for turn in ready}
        for number in range(runs + 1):  # the first one warms caches up, and isn't counted
            first = number % len(ready) if ready else 0
            for turn in (*ready[first:], *ready[:first]):
                figures = found[turn.tool.name]
                most = min(runs, case.most.get(type(turn.tool), runs))
                # What takes so long that it is run only once isn't warmed up.
                if figures.failed or len(figures.runs) >= most or (number == 0 and runs > most == 1):
                    continue
                _one(case, bench, turn, figures, counted=number > 0)
            yield found


def _one(case: Case, bench: Bench, turn: Turn, figures: Figures, *, counted: bool) -> None:
    try:
        turn.before()
        place = turn.place()
        command = turn.command(place)
        one = measure(command, turn.tool.environment(place))
    except (RuntimeError, OSError) as error:  # the others go on: this may have taken hours
        figures.failed = shown(str(error).split(), bench.work)[-500:]
        print(f"{case.name}: {turn.tool.name} failed: {figures.failed}", file=sys.stderr, flush=True)
        return
    print(f"{case.name}: {turn.tool.name}: {one.wall_s:.2f} s", file=sys.stderr, flush=True)
    if counted:
        figures.command = shown(command, bench.work)
        figures.runs.append(Run(*one, dict(turn.requests()) if turn.requests else {}))


if __name__ == "__main__":
    sys.exit(main())
