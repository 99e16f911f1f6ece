"""The reference page of the config, written from the table: `python -m bisyncer.config.page FILE`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from bisyncer.config import setting
from bisyncer.config.setting import Setting, Shape

_HEAD = """\
# Config

<!-- Written by `make docs` from bisyncer/config/setting.py: change it there. -->

One TOML file: `--config`, else `$BISYNCER_CONFIG`, else `./bisyncer.toml`, else `bisyncer/bisyncer.toml`
in the user's config folder (`~/.config` on Linux), else `/etc/bisyncer/bisyncer.toml`.

Every key can also be set by an environment variable and by a flag.
A flag beats the environment, and the environment beats the file.
In the environment a list is written with commas between its values; a flag is repeated.
A list from there takes the place of all of the file's list: `--exclude '*.bak'` alone lets in what the
file's `exclude` leaves out.
An unknown key, an unknown `BISYNCER_...` variable, a bad value and a missing secret are each one line with
the place where it stands, and exit code 2.

Durations are numbers with units: `500ms`, `2s`, `5m`, `1h30m`, `7d`.
"""
_REMOTES = """
Secrets never stand in the file: they come from the SDK's own chain (environment, profiles, instance roles),
or from where an `..._env` or `..._file` key points.
`s3://BUCKET/PREFIX` is served by the remote named `s3` where there is one, and
`oci://BUCKET/PREFIX` by the one named `oci`.
`azure://CONTAINER/PREFIX`, or `az://` for short, is served by the one named `azure`.
A remote of Azure that names no secret uses `AZURE_STORAGE_CONNECTION_STRING`, `AZURE_STORAGE_KEY` or
`AZURE_STORAGE_SAS_TOKEN` where they are set; the account may stand in `AZURE_STORAGE_ACCOUNT`.
A flag is `--remote NAME.KEY=VALUE`, a variable `BISYNCER_REMOTES_NAME_KEY`.

A remote that isn't here is looked for in [rclone's config](../guides/rclone-remotes.md).
"""


def page() -> str:
    """The whole page."""
    return "\n".join(
        [
            _HEAD,
            "## Top level\n",
            *_table((setting.STATE, setting.RCLONE_CONFIG)),
            "\n## `[pairs.NAME]`\n",
            *_groups(),
            "\n## `[remotes.NAME]`",
            _REMOTES,
            *_table(setting.REMOTE, flags=False),
            "",
        ]
    )


def _groups() -> Iterator[str]:
    for name, settings in setting.GROUPS.items():
        yield f"### {name[0].upper()}{name[1:]}\n"
        yield from _table(settings)
        yield ""


def _table(settings: Sequence[Setting[object]], *, flags: bool = True) -> Iterator[str]:
    yield "| key | default | flag, variable | meaning |" if flags else "| key | default | meaning |"
    yield "|---|---|---|---|" if flags else "|---|---|---|"
    for each in settings:
        default = "" if each.default is None else f"`{json.dumps(each.default)}`"
        names = f" {_flag(each)}, `{each.variable}` |" if flags else ""
        yield f"| `{each.name}` | {default} |{names} {each.help} |"


def _flag(each: Setting[object]) -> str:
    if each.shape is Shape.SWITCH:
        return f"`{each.flag}`, `{each.flag.replace('--', '--no-', 1)}`"
    return f"`{each.flag} {each.metavar}`"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
