"""The options that every command takes, and the flags that the table of settings makes.

A command is a function that gets an `Asked` and its own parameters, and returns its exit code. What is
given after the command beats what is given before it.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Self

import typer
from typer.core import TyperCommand, TyperGroup

from bisyncer.cli.failure import LogFormat, tell_error, tell_sentence
from bisyncer.config.config import Config
from bisyncer.config.load import load
from bisyncer.config.setting import GROUPS, Setting, Shape
from bisyncer.errors import UsageError

_REMOTES_PANEL = "Settings (remotes)"
_PANELS: Mapping[str, str] = {
    each.name: f"Settings ({group})" for group, settings in GROUPS.items() for each in settings
}
SETTINGS_PANELS = frozenset({_REMOTES_PANEL, *_PANELS.values()})


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for, whatever the command."""

    config: Path | None = None
    state: str | None = None
    rclone_config: str | None = None
    quiet: bool = False
    verbose: bool = False
    log_format: LogFormat = LogFormat.TEXT
    flags: Mapping[str, object] = field(default_factory=dict)  # settings of pairs, by name
    remotes: tuple[str, ...] = ()

    def load(self, *, new_pair: bool = False) -> Config:
        """The config, with what was asked for laid over it."""
        return load(
            self.config,
            flags=self.flags,
            state=self.state,
            rclone_config=self.rclone_config,
            remotes=self.remotes,
            new_pair=new_pair,
        )


MAX_NUMBER = 2**63 - 1  # the largest number that the state can hold

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

_COMMON: Mapping[str, Any] = {
    "config": Annotated[
        str | None, typer.Option("--config", metavar="FILE", help="The config file, a TOML file.")
    ],
    "state": Annotated[
        str | None, typer.Option("--state", metavar="URL", help="The state database, sqlite:///FILE.")
    ],
    "rclone_config": Annotated[
        str | None,
        typer.Option("--rclone-config", metavar="FILE", help="The rclone.conf with more remotes."),
    ],
    "quiet": Annotated[
        bool | None, typer.Option("--quiet", "-q", help="Say only what somebody should look at.")
    ],
    "verbose": Annotated[
        bool | None, typer.Option("--verbose", "-v", help="Say more, and show the traceback of a bug.")
    ],
    "log_format": Annotated[
        LogFormat | None, typer.Option("--log-format", help="How the log on stderr is written.")
    ],
}
_REMOTE = Annotated[
    list[str] | None,
    typer.Option(
        "--remote",
        metavar="NAME.KEY=VALUE",
        help="A key of a remote, such as minio.endpoint_url=http://127.0.0.1:9000. Repeatable.",
        rich_help_panel=_REMOTES_PANEL,
    ),
]


_WORDS = (str, list[str], bool)
_FILES = frozenset({"files_from"})  # whose names may hold any bytes, as those that are a Path


class _AsGiven:
    """Takes words, and what isn't given, as they are; typer makes the rest into what it is to be.

    For each of its parameters typer builds a validator of pydantic, be it given or not, and text of text. To
    load pydantic for that would be a tenth of what a run without changes takes.
    """

    def __init__(self, param: Any) -> None:
        self._typers = param.get_runtime_param

    def __call__(self) -> Self:
        return self

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """What a command gets for what was given."""
        if value is None:
            return () if param.multiple or param.nargs == -1 else None
        if param.type_descriptor.annotation in _WORDS:
            return value
        return self._typers().coerce(value, param=param, ctx=ctx)


class _Quick:
    """What has parameters, and takes them as they are given where that is all they need."""

    def get_params(self, ctx: Any) -> Any:
        """Its parameters, `--help` among them."""
        params = super().get_params(ctx)  # type: ignore[misc] # of the command that it is mixed into
        for each in params:
            if not isinstance(each.get_runtime_param, _AsGiven):
                each.get_runtime_param = _AsGiven(each)
        return params


class Commands(_Quick, TyperGroup):
    """All commands, with the options that stand before them."""


class Grouped(_Quick, TyperCommand):
    """A command whose help has its own options first, and then the settings by what they are about."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write a list under each heading."""
        panels: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for each in self.get_params(ctx):
            kind = "Arguments" if each.param_type_name == "argument" else "Options"
            record = each.get_help_record(ctx)
            if record is not None:
                panels.setdefault(getattr(each, "rich_help_panel", None) or kind, []).append(record)
        for panel, records in panels.items():
            if records:
                with formatter.section(panel):
                    formatter.write_dl(records)


def with_examples(text: str, examples: Sequence[str]) -> str:
    """A help text with examples below it."""
    # The backspace keeps the lines of the paragraph from being filled.
    shown = "\n".join(f"  {example}" for example in examples)
    return f"{text}\n\n\b\nExamples:\n{shown}\n"


def common(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give the common options to the callback that runs before any command."""

    @functools.wraps(function)
    def callback(ctx: typer.Context, **given: Any) -> None:
        ctx.obj = _merged(None, given)
        function(**given)

    return _signed(callback, _parameters(function), _COMMON)


def command(
    *settings: Setting[object], examples: Sequence[str]
) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Make a command of a function: with the common options, and a flag for each of `settings`."""

    def decorate(function: Callable[..., int]) -> Callable[..., int]:
        @functools.wraps(function)
        def run(ctx: typer.Context, **given: Any) -> int:
            asked = _merged(ctx.obj, given, settings)
            _quieten_libraries(asked.log_format, verbose=asked.verbose)
            try:
                _refuse_no_text(given)
                return function(asked, **given)
            except KeyboardInterrupt:
                tell_sentence("interrupted; nothing more is done.", log_format=asked.log_format)
                return 130
            except Exception as error:  # noqa: BLE001 -- whatever it is, it is told in one line
                return tell_error(error, verbose=asked.verbose, log_format=asked.log_format)

        run.__doc__ = with_examples(inspect.getdoc(function) or "", examples)
        flags = {each.name: _flag(each) for each in settings}
        return _signed(
            run, _parameters(function)[1:], flags, {"remote": _REMOTE} if settings else {}, _COMMON
        )

    return decorate


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    return list(inspect.signature(function, eval_str=True).parameters.values())


def _flag(each: Setting[object]) -> Any:
    """A setting as typer wants it: text, that the config judges with all the rest."""
    kind: Any = {Shape.ONE: str | None, Shape.MANY: list[str] | None, Shape.SWITCH: bool | None}[each.shape]
    name = f"{each.flag}/{each.flag.replace('--', '--no-', 1)}" if each.shape is Shape.SWITCH else each.flag
    more = " Repeatable." if each.shape is Shape.MANY else ""
    option = typer.Option(
        name, metavar=each.metavar or None, help=each.help + more, rich_help_panel=_PANELS[each.name]
    )
    return Annotated[kind, option]


def _merged(before: Asked | None, given: dict[str, Any], settings: Sequence[Setting[object]] = ()) -> Asked:
    """Take the common options out of `given`, and lay them over what was asked before the command."""
    base = before or Asked()
    flags = {each.name: given.pop(each.name) for each in settings}
    remotes = given.pop("remote", None)
    own = {name: given.pop(name) for name in _COMMON}
    for name in ("config", "state", "rclone_config"):
        if own[name] is not None and not own[name].strip():
            raise UsageError(f"--{name.replace('_', '-')} is empty. Give it a value, or leave it out.")
    return Asked(
        config=Path(own["config"]) if own["config"] else base.config,
        state=own["state"] or base.state,
        rclone_config=own["rclone_config"] or base.rclone_config,
        quiet=bool(own["quiet"]) or base.quiet,
        verbose=bool(own["verbose"]) or base.verbose,
        log_format=own["log_format"] or base.log_format,
        flags={name: value for name, value in flags.items() if value not in (None, [])},
        remotes=tuple(remotes or ()),
    )


def _refuse_no_text(given: Mapping[str, Any]) -> None:
    """Raise `UsageError` for a word that isn't UTF-8, which no key, name or root can be."""
    for name, value in given.items():
        if name in _FILES:
            continue
        words = value if isinstance(value, list | tuple) else (value,)
        for word in (each for each in words if isinstance(each, str)):
            try:
                word.encode()
            except UnicodeEncodeError:
                raise UsageError(
                    f"{word!r} isn't UTF-8, so it is no key, no name and no root. Nothing was touched."
                ) from None


def _signed(
    wrapper: Callable[..., Any],
    own: Sequence[inspect.Parameter],
    *added: Mapping[str, Any],
) -> Callable[..., Any]:
    """Let typer see the function's own parameters and those that the wrapper takes off."""
    parameters = [inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)]
    parameters += [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own]
    parameters += [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for options in added
        for name, annotation in options.items()
    ]
    signature = inspect.Signature(parameters)
    wrapper.__signature__ = signature  # type: ignore[attr-defined] # read by inspect.signature
    wrapper.__annotations__ = {each.name: each.annotation for each in parameters}
    return wrapper


class _Told(logging.Handler):
    """What libraries log, as a line of our own log."""

    def __init__(self, log_format: LogFormat) -> None:
        super().__init__(logging.WARNING)
        self._log_format = log_format

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; one that can't be told raises nothing into the library."""
        try:
            level = "error" if record.levelno >= logging.ERROR else "warning"
            sentence = f"{record.name}: {self.format(record)}"
        except Exception:  # noqa: BLE001 -- as every handler of the library does
            self.handleError(record)
        else:
            tell_sentence(sentence, log_format=self._log_format, level=level)


def _quieten_libraries(log_format: LogFormat, *, verbose: bool) -> None:
    """Keep what libraries log off the standard error, unless somebody looks for it."""
    root = logging.getLogger()
    if verbose:
        logging.basicConfig(level=logging.WARNING, handlers=[_Told(log_format)])
    elif not root.handlers:
        root.addHandler(logging.NullHandler())
