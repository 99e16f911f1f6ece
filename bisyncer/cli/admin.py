"""Commands about the state database."""

from __future__ import annotations

import json

import typer

from bisyncer.cli.options import Asked, Json, command, with_examples
from bisyncer.cli.table import say
from bisyncer.config.setting import without_password

app = typer.Typer(
    help=with_examples("The state database.", ("bisyncer state upgrade",)), no_args_is_help=True
)


@app.command("upgrade")
@command(examples=("bisyncer state upgrade",))
def upgrade_state(asked: Asked, *, as_json: Json = False) -> int:
    """Bring the state database to the newest schema.

    It is made where there is none, and an SQLite file is copied before.
    """
    from bisyncer.state.migrate import upgrade  # noqa: PLC0415 -- see `opened`

    url = asked.load().state
    done = upgrade(url)
    if as_json:
        row = {
            "state": without_password(url),
            "before": done.before,
            "after": done.after,
            "backup": None if done.backup is None else str(done.backup),
        }
        say(json.dumps(row))
        return 0
    if asked.quiet:
        return 0
    if done.before == done.after:
        say(f"{without_password(url)} is at the newest schema, {done.after}.")
    else:
        say(f"{without_password(url)} went from {done.before or 'nothing'} to schema {done.after}.")
    if done.backup is not None:
        say(f"It was copied to {done.backup} before.")
    return 0
