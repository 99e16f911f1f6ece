"""The `bisyncer` command: parses, hands over, exits."""

from __future__ import annotations

import gc
import os
import sys
from functools import cache
from itertools import pairwise
from typing import Annotated, Any, Final

import typer
from typer.main import get_command

from bisyncer import __version__
from bisyncer.cli import admin, bench, check, conflicts, demo, doctor, inspect, run, trash
from bisyncer.cli.failure import AnswerLost, LogFormat, silence_answer, tell_error, tell_sentence
from bisyncer.cli.options import Commands, Grouped, common

# What a run holds of a listing is in no cycles. To look for them at every 700 new values, as Python does by
# itself, takes a fifth of its CPU time.
_GARBAGE_AFTER: Final = 50_000

app = typer.Typer(
    name="bisyncer",
    cls=Commands,
    help="Keep a tree and a bucket, or two buckets, equal in both directions, and never lose a version.",
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help comes three times as fast
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 -- typer calls it so
    if wanted:
        typer.echo(f"bisyncer {__version__}")
        raise typer.Exit


@app.callback()
@common
def _options(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Keep a file tree and a bucket equal in both directions, and never lose a version."""


app.command("init", cls=Grouped)(run.init)
app.command("run", cls=Grouped)(run.run)
app.command("plan", cls=Grouped)(run.plan)
app.command("apply", cls=Grouped)(run.apply)
app.command("check", cls=Grouped)(check.check)
app.command("status", cls=Grouped)(inspect.status)
app.command("history", cls=Grouped)(inspect.history)
app.command("show", cls=Grouped)(inspect.show)
app.add_typer(conflicts.app, name="conflicts")
app.add_typer(trash.app, name="trash")
app.command("problems", cls=Grouped)(inspect.problems)
app.command("bench", cls=Grouped)(bench.bench)
app.command("doctor", cls=Grouped)(doctor.doctor)
app.add_typer(admin.app, name="state")
app.command("demo", cls=Grouped)(demo.demo)


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit with its code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    gc.set_threshold(_GARBAGE_AFTER)
    _open_what_is_closed()
    # A key may hold what the terminal's encoding can't: it is written as an escape, and never raises.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    code = _run(arguments)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        silence_answer()  # whoever read the answer has read enough
    except OSError as error:
        tell_error(AnswerLost(error), verbose=False, log_format=_log_format(arguments))
        code = code or AnswerLost.exit_code
    sys.exit(code)


def _open_what_is_closed() -> None:
    """Give the null device to whichever standard stream the caller has closed.

    Else the next file that is opened would get its number: the state, say, and whoever writes to the
    standard error by number would write into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    # Typed as never None, which is what they are where the number was closed at start.
    if not sys.stdout:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 -- for the whole process
    if not sys.stderr:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 -- for the whole process


@cache
def _command() -> Any:
    """All commands, read from their functions once a process: that takes longer than many a command does."""
    return get_command(app)


def _run(arguments: list[str]) -> int:
    try:
        answer: Any = _command().main(arguments, prog_name="bisyncer", standalone_mode=False)
    except typer.TyperException as error:
        message = error.format_message()
        log_format = _log_format(arguments)
        if "Usage:" not in message:
            tell_sentence(_one_line(error), log_format=log_format)
        elif log_format is LogFormat.JSON:
            tell_sentence(f"Another word is missing. See `{_path(error)} --help`.", log_format=log_format)
        else:  # a command that needs another word: its help says which
            sys.stderr.write(message.strip() + "\n")
        return error.exit_code
    except BrokenPipeError:
        silence_answer()
        return 0
    except OSError as error:  # what commands raise is told by them: this is the help, or the version
        return tell_error(AnswerLost(error), verbose=False, log_format=_log_format(arguments))
    except Exception as error:  # noqa: BLE001 -- a traceback is a bug
        verbose = "--verbose" in arguments or "-v" in arguments
        return tell_error(error, verbose=verbose, log_format=_log_format(arguments))
    return answer if isinstance(answer, int) else 0


def _log_format(arguments: list[str]) -> LogFormat:
    """The format of the log, as the words have it: a command line that is wrong is told in it too."""
    given = ""
    for word, following in pairwise([*arguments, ""]):
        flag, _, value = word.partition("=")
        if flag == "--log-format":
            given = value or following
    return LogFormat.JSON if given == LogFormat.JSON else LogFormat.TEXT


def _one_line(error: typer.TyperException) -> str:
    """What was wrong about the command line, and where to read how it is written."""
    # The words before the comma are pydantic's, which typer judges values with.
    sentence = " ".join(error.format_message().split()).replace(": Value error, ", ": ").rstrip(".")
    return f"{sentence}. See `{_path(error)} --help`."


def _path(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    return context.command_path if context is not None else "bisyncer"
