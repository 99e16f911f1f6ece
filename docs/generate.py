"""The pages that the code writes: `python docs/generate.py` writes them all below docs/.

The page of the config is written by `bisyncer.config.page`; `make docs` does both.
"""  # noqa: INP001 -- a folder of pages, no package

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cmp_to_key
from pathlib import Path
from typing import Any, Final

from typer.main import get_command

from bisyncer import errors
from bisyncer.cli.app import app
from bisyncer.cli.failure import most_serious
from bisyncer.cli.options import SETTINGS_PANELS
from bisyncer.config import setting
from bisyncer.core.decide import BOTH, BOTH_SIDES, COLUMNS, TABLES, meaning, verdicts
from bisyncer.endpoints import azure, local, oci, s3
from bisyncer.endpoints.base import Capabilities
from bisyncer.engine.run import EXIT_CODES
from bisyncer.model import Agreement, Delta, Mode, RunOutcome

HERE: Final = Path(__file__).resolve().parent

DELTAS: Final[Mapping[Delta, str]] = {
    Delta.ABSENT: "it isn't there, and wasn't when the sides last agreed",
    Delta.NEW: "it is there, and wasn't when the sides last agreed",
    Delta.UNCHANGED: "it is what it was",
    Delta.TOUCHED: "its stamp moved and its size didn't: only the content can tell whether it changed",
    Delta.CHANGED: "it is something else than it was",
    Delta.DELETED: "it was there, and isn't any more",
    Delta.UNREADABLE: "the listing can't see it, or something that isn't synced is in its place",
}
AGREEMENTS: Final[Mapping[Agreement, str]] = {
    Agreement.SAME: "both hold the same content",
    Agreement.DIFFERENT: "they hold different content",
    Agreement.UNKNOWN: "what the listings tell can't settle it",
}
CODES: Final[Mapping[int, str]] = {
    0: "Done, and nothing is left over. Conflicts that wait don't count without `--fail-on-conflict`.",
    1: "Something failed, and running again may help; or a pair is stale (`bisyncer status`); or both sides "
    "differ (`bisyncer check`); or something is to be put right (`bisyncer doctor`).",
    2: "Wrong usage, wrong config, a root that isn't there or may not be used, or a state that can't be "
    "used. Running again won't help before something is put right.",
    3: "Done, but some keys have problems, `max_duration` was over, or `strict` stopped it. The next run "
    "goes on.",
    4: "Done, and conflicts wait for a person. Only with `run --fail-on-conflict`.",
    5: "Halted by a gate or a preflight check, or a listing broke off. No key was changed on either side.",
    6: "Another run holds the pair. No failure for a timer: the other run does the work.",
    7: "The pair has no usable ancestors. `bisyncer init PAIR --resync` makes them.",
    130: "Interrupted by SIGINT (Ctrl-C). What was done is committed.",
    143: "Ended by SIGTERM. What was done is committed.",
}

ROOT: Final[Any] = get_command(app)
_CONTEXT: Final = ROOT.make_context("bisyncer", [], resilient_parsing=True)

_NEVER_SEEN: Final = (errors.Transient, errors.Changed, errors.Rejected)  # each becomes a problem, or passes


def decision_table() -> str:
    """The page of the decision tables."""
    return "\n".join(
        [
            "# The decision table",
            "",
            "<!-- Written by `make docs` from bisyncer/core/decide.py: change it there. -->",
            "",
            "A run decides about each key by itself.",
            "It holds what each side has now against what that same side held when the key last agreed (its",
            "*ancestor*), and gets one *delta* a side.",
            "The two deltas name a cell of a table, and the cell says what is done.",
            "There is one table for each [mode](../modes/bisync.md).",
            "",
            "Rows are what path1 did, columns what path2 did.",
            "A dot is a pair of deltas that can't occur.",
            "",
            *(line for mode in Mode for line in _mode(mode)),
            "## Deltas",
            "",
            "| delta | what the side did |",
            "|---|---|",
            *(f"| {delta} | {DELTAS[delta]} |" for delta in Delta),
            "",
            "## What follows from it",
            "",
            "- bisync and dual-copy: nothing that is new or changed is ever deleted, and none is overwritten",
            "  but as the loser of a conflict, of which a copy is kept first.",
            "  An edit beats a deletion, and the run [says so](../guides/conflicts.md).",
            "- mirror and copy: path1 is never written.",
            "  What path2 has of its own is overwritten by path1's version, and in a mirror deleted where",
            "  path1 has none; the [trash](../guides/trash.md) of path2 keeps it.",
            "- `check` never stays: a run reads the content, which turns `touched` into `unchanged` or",
            "  `changed` and `unknown` into `same` or `different`, and looks the cell up again.",
            "- A resync is a table read with no ancestors, so that only the corner of `absent` and `new` and",
            "  the edges of `unreadable` can occur.",
            "  A mirror reads that of copy for it, and bisync that of dual-copy, which has the same corner.",
            "  So a resync deletes nothing.",
            "- The first run after the mode of a pair was changed reads the same tables, with its ancestors.",
            "  It deletes nothing either.",
            "- `bisyncer plan PAIR --explain KEY` shows the facts, the deltas and the verdict of one key.",
            "",
        ]
    )


def _mode(mode: Mode) -> Iterator[str]:
    """The table of one mode, and what its verdicts mean."""
    yield f"## {mode}"
    yield ""
    yield f"| path1 \\ path2 | {' | '.join(COLUMNS)} |"
    yield "|---" * (len(COLUMNS) + 1) + "|"
    yield from (f"| **{row}** | {' | '.join(map(_cell, each))} |" for row, each in TABLES[mode].items())
    yield ""
    yield "Where both sides hold something new, it depends on whether the contents agree:"
    yield ""
    yield "| the contents | verdict | |"
    yield "|---|---|---|"
    yield from (f"| {each} | {verdict} | {AGREEMENTS[each]} |" for each, verdict in BOTH_SIDES[mode].items())
    yield ""
    yield "| verdict | meaning |"
    yield "|---|---|"
    yield from (f"| {verdict} | {meaning(mode, verdict)} |" for verdict in verdicts(mode))
    yield ""


def _cell(verdict: object) -> str:
    if verdict is None:
        return "·"
    return "*both sides*" if verdict is BOTH else str(verdict)


def exit_codes() -> str:
    """The page of the exit codes."""
    classes = sorted(_classes(errors.BisyncerError), key=lambda each: (each.exit_code, each.__name__))
    assert {each.exit_code for each in classes} | set(EXIT_CODES.values()) < CODES.keys()
    order = sorted(CODES, key=cmp_to_key(_by_weight))
    return "\n".join(
        [
            "# Exit codes",
            "",
            "<!-- Written by `make docs` from bisyncer/errors.py and docs/generate.py: change it there. -->",
            "",
            "| code | when |",
            "|---|---|",
            *(f"| {code} | {when} |" for code, when in CODES.items()),
            "",
            "A command that does several things, such as `bisyncer run --all`, exits with the most serious",
            f"of its codes: {', '.join(str(code) for code in order[:-1])}, and 0 only where all were 0.",
            "",
            "A timer may take 6 and 143 for success; the units in [systemd/](../../systemd/) do.",
            "",
            "## By the outcome of a run",
            "",
            "`outcome` is what the [report](report.md) says.",
            "",
            "| outcome | code |",
            "|---|---|",
            *(f"| {outcome} | {_code_of(outcome)} |" for outcome in RunOutcome),
            "",
            "## By the error",
            "",
            "Each error is one line on the standard error:",
            "what happened, to which key or root, and what to do now.",
            "",
            "| code | error | when |",
            "|---|---|---|",
            *(
                f"| {each.exit_code} | `{each.__name__}` | {_first_line(each)} |"
                for each in classes
                if each not in _NEVER_SEEN
            ),
            "",
            "A store also answers `Transient`, `Changed` and `Rejected`.",
            "About one key they become its problem, a transient one after four attempts in all.",
            "A transient failure of a whole store ends the run with 1.",
            "",
            "A traceback is a bug. `--verbose` shows it.",
            "",
        ]
    )


def _by_weight(one: int, two: int) -> int:
    return -1 if most_serious([one, two]) == one else 1


def _classes(root: type[errors.BisyncerError]) -> Iterator[type[errors.BisyncerError]]:
    if root.__module__ != errors.__name__:
        return
    yield root
    for each in root.__subclasses__():
        yield from _classes(each)


def _first_line(each: type) -> str:
    return (each.__doc__ or "").partition("\n")[0]


def _code_of(outcome: RunOutcome) -> str:
    if outcome is RunOutcome.LEASED:
        return str(errors.Leased.exit_code)
    if outcome is RunOutcome.NEEDS_RESYNC:
        return str(errors.NeedsResync.exit_code)
    more = {
        RunOutcome.SUCCESS: ", or 4 with `--fail-on-conflict`",
        RunOutcome.FAILED: ", or the code of the error",
        RunOutcome.INTERRUPTED: ", or 143 by SIGTERM, or 3 where `max_duration` or `strict` ended it",
    }
    return f"{EXIT_CODES[outcome]}{more.get(outcome, '')}"


def cli() -> str:
    """The page of the commands."""
    root = ROOT
    common = {option for each in root.params for option in each.opts}
    return "\n".join(
        [
            "# Commands",
            "",
            "<!-- Written by `make docs` from bisyncer/cli: change it there. -->",
            "",
            "The answer of a command is on the standard output.",
            "Errors, progress and the log are on the standard error.",
            "`bisyncer COMMAND --help` prints what stands here.",
            "",
            "| command | |",
            "|---|---|",
            *(
                f"| [`{name}`](#{name.replace(' ', '-')}) | {_summary(each)} |"
                for name, each in commands(root)
            ),
            "",
            "## Common options",
            "",
            "They may stand before the command or after it;",
            "`--version` and those for the shell only before it.",
            "On a terminal, runs, plans and benchmarks have progress bars;",
            "elsewhere there is a line every 10 seconds.",
            "Colour obeys `NO_COLOR`.",
            "",
            *_table(root.params),
            "",
            *(line for name, each in commands(root) for line in _command(name, each, common)),
        ]
    )


def commands(group: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """Every command below `group` that does something, with its full name."""
    for name, each in group.commands.items():
        if hasattr(each, "commands"):
            yield from commands(each, f"{before}{name} ")
        else:
            yield f"{before}{name}", each


def _command(name: str, command: Any, common: set[str]) -> Iterator[str]:
    paragraphs = (command.help or "").split("\n\n")
    examples = next((each for each in paragraphs if "Examples:" in each), "")
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    options = [each for each in command.params if each.param_type_name == "option"]
    settings = [each for each in options if each.rich_help_panel in SETTINGS_PANELS]
    own = [each for each in options if each not in settings and not set(each.opts) <= common]
    yield f"## {name}"
    yield ""
    yield "```text"
    yield " ".join(["bisyncer", name, *map(_usage, arguments), "[OPTIONS]"])
    yield "```"
    yield ""
    for paragraph in paragraphs:
        if paragraph != examples:
            yield " ".join(paragraph.split()).replace(". ", ".\n")
            yield ""
    if arguments or own:
        yield from _table([*arguments, *own])
        yield ""
    if settings:
        named = {each.flag for each in (*setting.PAIR, setting.STATE)}
        pair = [_names(each) for each in settings if set(each.opts) & named]
        yield "[Settings](config.md), as the config has them:"
        yield ",\n".join(pair) + "."
        yield ""
        yield from _table([each for each in settings if not set(each.opts) & named])
        yield ""
    lines = [line.strip() for line in examples.splitlines() if line.strip().startswith("bisyncer ")]
    if lines:
        yield "```console"
        yield from (f"$ {line}" for line in lines)
        yield "```"
        yield ""


def _usage(argument: Any) -> str:
    many = "..." if argument.nargs == -1 and "|" not in argument.metavar else ""
    return f"{argument.metavar}{many}" if argument.required else f"[{argument.metavar}{many}]"


def _table(parameters: list[Any]) -> Iterator[str]:
    yield "| option | meaning |"
    yield "|---|---|"
    for each in parameters:
        must = " Required." if each.required else ""
        yield f"| {_names(each)} | {each.help}{must} |"


def _names(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{parameter.metavar}`".replace("|", "\\|")
    value = ""
    if not parameter.is_flag and not parameter.count:
        value = " " + (parameter.metavar or parameter.display_type(_CONTEXT).strip("<>").replace("|", "\\|"))
    names = [*parameter.opts, *parameter.secondary_opts]
    return ", ".join(f"`{name}{value}`" for name in sorted(names, key=len, reverse=True))


def _summary(command: Any) -> str:
    return (command.help or "").partition("\n")[0]


STORES: Final[Mapping[str, Capabilities]] = {
    "local tree": local.CAPABILITIES,
    "S3": s3.CAPABILITIES,
    "Azure Blob": azure.CAPABILITIES,
    "OCI": oci.CAPABILITIES,
}
PROMISES: Final[Mapping[str, str]] = {
    "names": "which keys it holds",
    "max_key_bytes": "the longest key, in bytes of UTF-8 with its prefix",
    "conditional_write": "the store itself tests that a write replaces what was seen",
    "conditional_delete": "the store itself tests that a deletion removes what was seen",
    "atomic_parts": "the condition of a body in parts is tested in the step that publishes it",
    "ordered_listing": "lists in the order of keys; else the listing is sorted on disk",
    "one_process": "no other process sees what it holds",
    "ranged_listing": "a part of the keys is listed by itself; else all is listed for it",
    "whole_directories": "for a part of a directory, all names in it are read",
    "folds_case": "finds a name in upper and lower case alike, so it can't hold both",
    "listed_mtime": "a listing tells the time of the content, not that of its upload",
    "listed_digests": "what a listing may tell of the content",
    "server_copy": "copies inside the store, between roots of one account",
    "atomic_move": "a move is one step; else a copy, then a deletion",
    "max_object_bytes": "the largest object",
    "single_put_bytes": "the largest body in one request; a larger one goes in parts",
    "deletes_at_once": "the most deletions in one request, each on its own condition; S3: Amazon's alone",
}


def stores() -> str:
    """The page of what each store can promise."""
    return "\n".join(
        [
            "# What each store can promise",
            "",
            "<!-- Written by `make docs` from the CAPABILITIES of bisyncer/endpoints: change it there. -->",
            "",
            "This is what a store promises where nothing else is found.",
            "`bisyncer init` and `bisyncer doctor` try the very store:",
            "a file system that can't exchange two files promises less, and so does a server that ignores",
            "conditions, and they say so.",
            "[Stores](../concepts/stores.md) tells what follows from each line.",
            "",
            f"| | {' | '.join(STORES)} |",
            "|---" * (len(STORES) + 1) + "|",
            *(
                f"| {promise} | {' | '.join(_promised(getattr(each, name)) for each in STORES.values())} |"
                for name, promise in PROMISES.items()
            ),
            "",
            "All keep the time of the content, its mode and its owner;",
            "a bucket keeps them as metadata of the object, under the names that rclone uses.",
            "",
        ]
    )


def _promised(value: object) -> str:
    if value is None:
        return "no limit"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "nothing"
    if isinstance(value, int):
        units = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"))
        return next((f"{value / size:g} {unit}" for size, unit in units if value >= size), f"{value:,}")
    return str(value)


PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "concepts/decision-table.md": decision_table,
    "reference/cli.md": cli,
    "reference/exit-codes.md": exit_codes,
    "reference/stores.md": stores,
}

if __name__ == "__main__":
    for place, page in PAGES.items():
        (HERE / place).write_text(page(), encoding="utf-8")
