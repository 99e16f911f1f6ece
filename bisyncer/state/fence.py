"""The fence of a lease: what another run has taken over is written no more."""

from __future__ import annotations

from typing import Protocol

from sqlalchemy import Connection, bindparam, select

from bisyncer.errors import BisyncerError, LeaseLost
from bisyncer.state import schema

# Made once: making it takes longer than asking it.
_HELD = (
    select(schema.lease.c.token, schema.lease.c.holder)
    .where(schema.lease.c.pair_id == bindparam("pair"))
    .with_for_update()
)


class Fence(Protocol):
    """What a lease shows with every write of ancestors: the pair, and the token it was given."""

    @property
    def pair_id(self) -> int:
        """The pair that is held."""
        ...

    @property
    def token(self) -> int:
        """The token of this holder: no other holder of the pair had it or will have it."""
        ...


def hold(connection: Connection, lease: Fence, pair_id: int) -> None:
    """Raise `LeaseLost` unless `lease` is still the one that holds its pair, and keep it so until commit."""
    if lease.pair_id != pair_id:
        raise BisyncerError("A pair was about to be written under another pair's lease: this is a bug.")
    held = connection.execute(_HELD, {"pair": pair_id}).first()
    if held is None or held.token != lease.token or held.holder is None:
        raise LeaseLost(
            "Another run took this pair over while this one was paused or cut off; this one stopped and "
            "wrote nothing more. Nothing is lost: the next run looks at both sides afresh."
        )
