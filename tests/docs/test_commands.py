"""What the pages say about commands is so."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command

from bisyncer.cli.app import app
from bisyncer.config.load import load
from docs.generate import commands
from tests.docs.pages import PAGES, ROOT, Found, command_lines, fences, prompts

GROUP: Any = get_command(app)
NUMBERED = {"RUN": "1", "ID": "1", "N": "1"}
SWITCHES = {"-q", "-v", "--quiet", "--verbose", "--version"}
CLI = (ROOT / "docs/reference/cli.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("name", "command"), list(commands(GROUP)), ids=str)
def test_every_command_is_documented_with_each_of_its_flags(name: str, command: Any) -> None:
    section = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", CLI, re.MULTILINE | re.DOTALL)
    assert section, f"docs/reference/cli.md has no section of `{name}`"
    common = CLI.partition("## Common options")[2].partition("\n## ")[0]
    for parameter in command.params:
        for flag in (*parameter.opts, *parameter.secondary_opts):
            if flag.startswith("-"):
                assert re.search(rf"`{flag}[` ]", section[1] + common), f"{flag} of `{name}`"


@pytest.mark.parametrize("line", sorted(set(command_lines())), ids=str)
def test_every_command_line_of_a_page_parses(line: Found) -> None:
    words = [NUMBERED.get(word, word) for word in shlex.split(line.text)[1:]]
    assert parses(GROUP, words, whole=line.whole), f"`{line.text}` is no command line: {line.page.name}"


def parses(command: Any, words: list[str], *, whole: bool = True) -> bool:
    """Whether a command takes these words; of a whole line, raises typer's error where it doesn't."""
    flags = {flag for each in command.params for flag in (*each.opts, *each.secondary_opts)}
    if not hasattr(command, "commands"):
        if whole:
            return command.make_context(command.name, list(words)) is not None
        return all(word in flags for word in words if word.startswith("-"))
    if words and words[0] in flags:  # an option of all commands, and its value
        return parses(command, words[1 if words[0] in SWITCHES else 2 :], whole=whole)
    if not words or words[0] == "COMMAND":
        return not whole
    return words[0] in command.commands and parses(command.commands[words[0]], words[1:], whole=whole)


@pytest.mark.parametrize("line", ["run --forse max-delete", "conflicts resolve 3", "show one", "init"])
def test_a_wrong_command_line_is_noticed(line: str) -> None:
    with pytest.raises(typer.TyperException):
        parses(GROUP, line.split())


def test_an_unknown_command_is_noticed() -> None:
    assert not parses(GROUP, ["runn", "cms"])
    assert not parses(GROUP, ["run", "--forse"], whole=False)


@pytest.mark.parametrize(
    "found",
    [Found(page, text) for page in PAGES for text in fences(page, "toml")],
    ids=lambda found: str(found).partition("\n")[0],
)
def test_every_config_of_a_page_is_one(found: Found, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RCLONE_CONFIG_OCI_FK_TYPE", "oracleobjectstorage")  # what a reader's rclone.conf has
    (tmp_path / "bisyncer.toml").write_text(found.text, encoding="utf-8")
    config = load(tmp_path / "bisyncer.toml")
    for name in config.pairs:
        assert config.job(name).pair == name


def test_the_pages_show_commands() -> None:
    assert len(list(prompts(ROOT / "README.md"))) > 5
    assert len(set(command_lines())) > 40
