"""Commands that change something: init, run and plan."""

from __future__ import annotations

import json
import re
from collections.abc import Container, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bisyncer.cli.failure import most_serious, tell_error, tell_sentence
from bisyncer.cli.opened import opened_pair, opened_store
from bisyncer.cli.options import MAX_NUMBER, Asked, Json, command
from bisyncer.cli.part import FilesFrom, FilesFromNull, Prefix, part
from bisyncer.cli.running import run_pair
from bisyncer.cli.stopping import stopping
from bisyncer.cli.table import entry_row, entry_text, say
from bisyncer.config import setting
from bisyncer.config.config import Config
from bisyncer.config.environment import counted_remote_flag
from bisyncer.endpoints.base import Probe
from bisyncer.errors import BisyncerError, UsageError
from bisyncer.job import Job, Scope
from bisyncer.model import Entry, Item, Side
from bisyncer.report.words import shown_count, shown_key, shown_line, without_key

if TYPE_CHECKING:
    from bisyncer.engine.explain import Explanation
    from bisyncer.engine.pairing import InitReport
    from bisyncer.state.store import Store

GATES = (
    "max-delete",
    "all-changed",
    "emptied",
    "check-file",
    "mount",
    "identity",
    "free-space",
    "clock-skew",
)

Resync = Annotated[
    bool, typer.Option("--resync", help="Align afresh, as if nothing were known: deletes nothing.")
]


@command(
    *setting.PAIR[2:],
    examples=(
        "bisyncer init cms --resync",
        "bisyncer init /mnt/nfs/content s3://cms-content/live --name cms --exclude '*.tmp' --resync",
    ),
)
def init(
    asked: Asked,
    roots: Annotated[
        list[str],
        typer.Argument(metavar="PAIR | PATH1 PATH2", help="A pair, or two roots.", show_default=False),
    ],
    *,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="The name of a new pair.")] = None,
    resync: Resync = False,
    as_json: Json = False,
) -> int:
    """Check and record a pair; --resync aligns it.

    Both roots are looked at and tried with an object that is removed again. PAIR is a pair of the config.
    With two roots a new pair is made of them and written to the config, with the settings given here but for
    --resync-mode, which is for this resync.
    """
    if len(roots) > 2 or (len(roots) == 1 and name is not None):
        raise UsageError("init takes the name of a pair of the config, or two roots and maybe --name.")
    _refuse_idle_mode(asked, resync=resync)
    new = len(roots) == 2
    before = asked.load(new_pair=new)
    if new:
        _refuse_unwritten(before, asked)
    # What is refused is refused before a state is made, which may have the name that comes of the roots.
    config, job = _asked_for(before, roots, name, before.pairs, resync=resync)
    with opened_store(config) as store:
        if new and name is None:
            taken = {*before.pairs, *(each.name for each in store.pairs())}
            config, job = _asked_for(before, roots, name, taken, resync=resync)
        from bisyncer.engine import pairing  # noqa: PLC0415 -- see `opened`

        with opened_pair(job, store) as endpoints:
            found = pairing.init(job, endpoints, store)
            if new:
                _write(config, job.pair, asked)
            for warning in found.warnings:
                tell_sentence(warning, log_format=asked.log_format, pair=job.pair, level="warning")
            if as_json and not resync:
                say(json.dumps(_init_row(found, job)))
            elif not as_json and not asked.quiet:
                _tell_init(found, config, new=new, aligned=resync or found.pair.aligned_ns is not None)
        if not resync:
            return 0
        # Opened anew: from here on the roots are those of a recorded pair, under its own owner.
        with stopping(asked.log_format) as stop:
            return run_pair(job, store, asked, stop, as_json=as_json)


@command(
    *setting.PAIR,
    examples=(
        "bisyncer run cms",
        "bisyncer run cms --dry-run",
        "bisyncer run --all --json",
        "bisyncer run cms --force max-delete",
        "bisyncer run cms --prefix reports/2026",
        "bisyncer run cms --files-from changed.list",
    ),
)
def run(
    asked: Asked,
    pairs: Annotated[
        list[str] | None, typer.Argument(metavar="PAIR", help="Pairs of the config.", show_default=False)
    ] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="Every pair of the config.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tell what would be done, and do nothing.")
    ] = False,
    resync: Resync = False,
    force: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GATE",
            help=f"Open one closed gate, for this run only: {', '.join(GATES)}. Repeatable, a gate each.",
        ),
    ] = None,
    prefix: Prefix = None,
    files_from: FilesFrom = None,
    files_from_null: FilesFromNull = False,
    shards: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            max=MAX_NUMBER,
            help="List the pair in about so many ranges of keys; unset, one for each 9,900.",
        ),
    ] = None,
    fail_on_conflict: Annotated[
        bool, typer.Option("--fail-on-conflict", help="Exit with 4 while conflicts wait for a person.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Bring both sides of a pair to agree, once.

    Without PAIR it is the only pair of the config. Several pairs run one after the other, and the exit
    code is that of the worst. A run of a part (--prefix, --files-from) leaves all other keys as they are,
    and doesn't count as a good run of the pair.
    """
    _refuse_idle_mode(asked, resync=resync)
    config = asked.load()
    names = _chosen(config, pairs or [], every=every)
    gates = _gates(force or [])
    if len(names) > 1 and (prefix is not None or files_from is not None):
        raise UsageError("--prefix and --files-from are about the keys of one pair. Name that pair.")
    jobs: list[Job] = []
    codes: list[int] = []
    for each in names:
        try:
            job = config.job(each, dry_run=dry_run, resync=resync, force=gates)
        except BisyncerError as error:
            if not every or len(names) == 1:
                raise
            # A secret that one pair misses keeps no other from its turn.
            codes.append(tell_error(error, verbose=asked.verbose, log_format=asked.log_format, pair=each))
        else:
            job = part(job, prefix, files_from, asked, null=files_from_null)
            jobs.append(replace(job, shards=shards))
    with opened_store(config) as store, stopping(asked.log_format) as stop:
        for job in jobs:
            if stop.signal is not None:
                codes.append(128 + stop.signal)
                break
            codes.append(
                run_pair(job, store, asked, stop, as_json=as_json, fail_on_conflict=fail_on_conflict)
            )
    return most_serious(codes)


@command(
    *setting.PAIR,
    examples=(
        "bisyncer plan cms",
        "bisyncer plan cms --explain reports/q3.pdf",
        "bisyncer plan cms --prefix reports/2026",
        "bisyncer plan cms --out cms.plan",
    ),
)
def plan(
    asked: Asked,
    pair: Annotated[str, typer.Argument(metavar="PAIR", help="A pair of the config.", show_default=False)],
    *,
    explain: Annotated[
        str | None, typer.Option(metavar="KEY", help="Tell how this one key is judged, and why.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Keep the plan, for `bisyncer apply`.")
    ] = None,
    prefix: Prefix = None,
    files_from: FilesFrom = None,
    files_from_null: FilesFromNull = False,
    resync: Resync = False,
    as_json: Json = False,
) -> int:
    """Show what a run would do, and do nothing.

    With --prefix or --files-from it is the plan of a run of that part.
    """
    if out is not None and (resync or explain is not None):
        raise UsageError("--out keeps the plan of a run, and goes with neither --resync nor --explain.")
    if explain is not None and (prefix is not None or files_from is not None):
        raise UsageError("--explain is about one key. Leave out --prefix and --files-from.")
    _refuse_idle_mode(asked, resync=resync)
    config = asked.load()
    job = config.job(pair, dry_run=True, resync=resync)
    job = part(job, prefix, files_from, asked, null=files_from_null)
    with opened_store(config) as store:
        if out is not None:
            return _keep_plan(job, store, asked, out, as_json=as_json)
        if explain is None:
            with stopping(asked.log_format) as stop:
                return run_pair(job, store, asked, stop, as_json=as_json, with_plan=True)
        from bisyncer.engine import explain as explaining  # noqa: PLC0415 -- see `opened`

        with opened_pair(job, store) as endpoints:
            found = explaining.explain(job, endpoints, store, explain)
        met = next((each.sentence for each in store.problems.told(pair) if each.key == explain), None)
        _tell_explanation(found, met, as_json=as_json)
    return 0


@command(
    *setting.PAIR,
    examples=(
        "bisyncer apply cms cms.plan",
        "bisyncer apply cms cms.plan --dry-run",
    ),
)
def apply(
    asked: Asked,
    pair: Annotated[str, typer.Argument(metavar="PAIR", help="A pair of the config.", show_default=False)],
    plan: Annotated[
        Path, typer.Argument(metavar="PLAN", help="What `plan --out` has kept.", show_default=False)
    ],
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tell what would still be done, and do nothing.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Carry out a kept plan, and nothing else.

    What moved since the plan was made is left alone, and is a problem of this run. The gates that were closed
    when the plan was made are open for it, since somebody saw it; all others stand.
    """
    from bisyncer.engine.kept_plan import KeptPlan  # noqa: PLC0415 -- see `opened`

    config = asked.load()
    kept = KeptPlan.read(plan)
    job = replace(config.job(pair, dry_run=dry_run), scope=Scope(plan=kept.run))
    with opened_store(config) as store, stopping(asked.log_format) as stop:
        return run_pair(job, store, asked, stop, as_json=as_json, plan=kept)


def _keep_plan(job: Job, store: Store, asked: Asked, out: Path, *, as_json: bool) -> int:
    """Make a plan and keep it in a file; a plan that a gate would halt is kept too."""
    from bisyncer.engine.kept_plan import PlanWriter  # noqa: PLC0415 -- see `opened`

    writer = PlanWriter(out)
    try:
        with stopping(asked.log_format) as stop:
            code = run_pair(job, store, asked, stop, as_json=as_json, with_plan=True, hears=writer)
    finally:
        kept = writer.close()
    if kept is None:
        tell_sentence(f"No plan was made, so none is in {out}.", log_format=asked.log_format, pair=job.pair)
    elif not asked.quiet and not as_json:
        say(f"{out}: {shown_count(kept, 'action')} kept; to do them: bisyncer apply {job.pair} {out}")
    return code


def _refuse_idle_mode(asked: Asked, *, resync: bool) -> None:
    """Refuse a flag that would change nothing; the config may have the setting for a later resync."""
    if setting.RESYNC_MODE.name in asked.flags and not resync:
        raise UsageError(
            "--resync-mode goes with --resync: a run that knows the past goes by --conflict-resolve."
        )


def _chosen(config: Config, names: Sequence[str], *, every: bool) -> list[str]:
    if every and names:
        raise UsageError("run takes the names of pairs or --all, not both.")
    if names:
        return list(dict.fromkeys(names))
    if not config.pairs:
        raise UsageError(
            f"There is no pair to run: {config.path} "
            + ("has none. Add [pairs.NAME] to it" if config.exists else "isn't there. Write it")
            + ", or make a pair with `bisyncer init PATH1 PATH2`."
        )
    if every or len(config.pairs) == 1:
        return list(config.pairs)
    raise UsageError(f"Which pair? Name one or more of: {', '.join(config.pairs)}; or say --all.")


def _gates(names: Sequence[str]) -> frozenset[str]:
    for name in names:
        if name == "listing-incomplete":
            raise UsageError(
                "--force: an incomplete listing can't be forced: what wasn't listed isn't known."
            )
        if name not in GATES:
            raise UsageError(
                f"--force: '{name}' is no gate. The gates are: {', '.join(GATES)}. "
                "Give one, and --force again for another."
            )
    return frozenset(names)


def _asked_for(
    config: Config, roots: Sequence[str], name: str | None, taken: Container[str], *, resync: bool
) -> tuple[Config, Job]:
    """The pair that `init` is about: one of the config, or a new one by a name that isn't `taken`."""
    pair = roots[0]
    if len(roots) == 2:
        pair = _free_name(roots, taken) if name is None else name
        config = config.with_pair(pair, *roots)
    return config, config.job(pair, resync=resync)


def _free_name(roots: Sequence[str], taken: Container[str]) -> str:
    """A name for a new pair, from the last segments of its roots."""
    ends = [re.sub(r"[^A-Za-z0-9_.-]+", "-", re.split(r"[/:]", root.rstrip("/"))[-1]) for root in roots]
    words = dict.fromkeys(end.strip("-._") for end in ends)
    base = "-".join(word for word in words if word)[:48] or "pair"
    return next(
        name for number in count(1) if (name := base if number == 1 else f"{base}-{number}") not in taken
    )


def _refuse_unwritten(config: Config, asked: Asked) -> None:
    from bisyncer.config.write import refuse_closed, refuse_unwritten  # noqa: PLC0415 -- tomlkit takes time

    refuse_closed(config.path)
    if asked.remotes or asked.state:
        remotes = list(map(counted_remote_flag, asked.remotes))
        refuse_unwritten(config.path, remotes, config.state if asked.state else None)


def _write(config: Config, pair: str, asked: Asked) -> None:
    """Write a new pair to the config, with the settings that were given as flags.

    How this one resync treats conflicts isn't one of them: a later one, after a loss, would replace versions.
    """
    from bisyncer.config.write import add_pair  # noqa: PLC0415 -- as above

    values = config.pair(pair)
    roots = {"path1": values[setting.PATH1], "path2": values[setting.PATH2]}
    top = {
        "state": config.state if asked.state else None,
        "rclone_config": config.rclone_config if asked.rclone_config else None,
    }
    # A relative place would count from the folder of the config there.
    places = (setting.FILTERS_FILE, setting.BACKUP_DIR1, setting.BACKUP_DIR2)
    counted = {each.name: values[each] for each in places if each.name in asked.flags}
    remotes = list(map(counted_remote_flag, asked.remotes))
    flags = {key: value for key, value in asked.flags.items() if key != setting.RESYNC_MODE.name}
    add_pair(config.path, pair, roots | flags | counted, remotes=remotes, top=top)


def _init_row(found: InitReport, job: Job) -> dict[str, object]:
    sides = {
        side.value: {
            "root": found.pair.path1 if side is Side.PATH1 else found.pair.path2,
            "filesystem": probe.filesystem,
            "mounted": probe.mounted,
            "conditional_write": probe.conditional_write,
            "conditional_delete": probe.conditional_delete,
            "remarks": list(probe.remarks),
            "clock_skew_s": None if probe.skew_ns is None else round(probe.skew_ns / 1e9, 1),
        }
        for side, probe in found.probes.items()
    }
    return {"pair": found.pair.name, "mode": job.mode, **sides, "warnings": list(found.warnings)}


def _tell_init(found: InitReport, config: Config, *, new: bool, aligned: bool) -> None:
    pair = found.pair
    for side, root in ((Side.PATH1, pair.path1), (Side.PATH2, pair.path2)):
        say(f"{side} {shown_line(root)}: {_probe_text(found.probes[side])}")
        for remark in found.remarks[side]:
            say(f"      {remark}")
    say(f"{pair.name}: recorded" + (f", and written to {config.path}" if new else ""))
    if not aligned:
        say(f"Next: bisyncer init {pair.name} --resync, the first alignment. It deletes nothing.")


def _probe_text(probe: Probe) -> str:
    kept = probe.conditional_write and probe.conditional_delete
    conditions = "kept" if kept else "not kept on every call"
    return f"reachable, {shown_line(probe.place)}, conditions {conditions}"


def _tell_explanation(found: Explanation, met: str | None, *, as_json: bool) -> None:
    """Tell how a key is judged, and which problem with it the last run has `met`."""
    triple = found.triple
    if as_json:
        known = triple.ancestor
        say(
            json.dumps(
                {
                    "key": triple.key,
                    "ancestor": known and {side.value: entry_row(known.side(side)) for side in Side},
                    "path1": _item_row(triple.path1),
                    "path2": _item_row(triple.path2),
                    "delta1": found.delta1,
                    "delta2": found.delta2,
                    "agreement": found.agreement,
                    "verdict": found.verdict,
                    "winner": found.winner,
                    "sentence": found.sentence,
                    "problem": met,
                }
            )
        )
        return
    say(f"key        {shown_key(triple.key)}")
    if triple.ancestor is None:
        say("ancestor   none: the sides are not known to have agreed on it")
    else:
        for side in Side:
            say(f"ancestor   {side}: {entry_text(triple.ancestor.side(side))}")
    say(f"path1      {found.delta1}: {_item_text(triple.path1)}")
    say(f"path2      {found.delta2}: {_item_text(triple.path2)}")
    say(f"agreement  {found.agreement or 'not asked'}")
    say(
        f"verdict    {found.verdict or 'none'}" + (f", {found.winner} keeps the name" if found.winner else "")
    )
    say(f"why        {shown_line(found.sentence)}")
    if met is not None:
        say(f"problem    of the last run: {shown_line(without_key(met, triple.key))}")


def _item_row(item: Item | None) -> dict[str, object] | None:
    if item is None or isinstance(item, Entry):
        return entry_row(item)
    return {"unreadable": item.sentence}


def _item_text(item: Item | None) -> str:
    if item is None or isinstance(item, Entry):
        return entry_text(item)
    return shown_line(item.sentence)
