"""Every exception, with its exit code.

    BisyncerError                 1   failed; running again may help
     +- UsageError                2   wrong usage or wrong config; nothing was touched
     |   +- RootMissing           2
     |   +- AccessDenied          2
     |   +- SchemaAhead           2
     |   +- StateUnusable         2
     +- Unfinished                3   done, but some keys have problems
     +- ConflictsRemain           4   done, and conflicts wait
     +- Halted                    5   a gate or a preflight check closed; nothing was changed
     +- Leased                    6   another run holds the pair
     +- NeedsResync               7   no usable ancestors
     +- Interrupted             130   stopped by a signal (143 by SIGTERM); what was done is committed
     +- LeaseLost                 1   another run took the pair over while this one was paused
     +- EndpointError             1
         +- ListingIncomplete     5   a listing could not be read to its end
         +- Gone                  1   a store stopped answering in the middle of a run
         +- Transient                 worth trying again          (never reaches the user as such)
         +- Changed                   the store holds something else (becomes a raced outcome)
         +- Rejected                  this store will not do this to this key (becomes a problem)
             +- Clash                 it has the name already, in another spelling
             +- Blocked               a file is where a directory is to be, or the other way round
             +- NoFile                a link, a socket or a device is there
             +- NoRanges              it gives bodies whole, and no part of one

An error is a sentence: what happened, to which key or endpoint, and what to do now.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple


class BisyncerError(Exception):
    """Something failed; running again may help."""

    exit_code: ClassVar[int] = 1


class UsageError(BisyncerError):
    """What was asked for can't be done as asked; nothing was touched."""

    exit_code = 2


class RootMissing(UsageError):
    """A root, a bucket or a mount isn't there."""


class AccessDenied(UsageError):
    """A store refuses these credentials, or there are none."""


class SchemaAhead(UsageError):
    """The state database was written by a newer bisyncer."""


class StateUnusable(UsageError):
    """The state database can't be opened, written or understood."""


class Unfinished(BisyncerError):
    """The run is done, but some keys have problems; they are tried again next run."""

    exit_code = 3


class ConflictsRemain(BisyncerError):
    """The run is done, and conflicts wait for a person."""

    exit_code = 4


class Halt(NamedTuple):
    """A closed gate: its name, and a sentence with what was seen, the limit and what to do."""

    gate: str
    sentence: str


class Halted(BisyncerError):
    """One or more gates are closed; nothing was changed."""

    exit_code = 5

    def __init__(self, halts: tuple[Halt, ...]) -> None:
        super().__init__(" ".join(halt.sentence for halt in halts))
        self.halts = halts


class Leased(BisyncerError):
    """Another run holds the pair."""

    exit_code = 6


class NeedsResync(BisyncerError):
    """The pair has no usable ancestors: align it with `bisyncer init --resync` first."""

    exit_code = 7


class Interrupted(BisyncerError):
    """A signal ended the command; what was done is committed."""

    exit_code = 130


class LeaseLost(BisyncerError):
    """Another run took the pair over; this one stopped without writing anything more."""


class EndpointError(BisyncerError):
    """A store could not do what it was asked."""


class ListingIncomplete(EndpointError):
    """A listing could not be read to its end, so nothing may be concluded from it."""

    exit_code = 5


class Gone(EndpointError):
    """A store stopped answering; what was done is committed."""


class Transient(EndpointError):
    """The store failed in a way that may pass.

    `throttled` says that it asks for fewer requests (429, 503), `retry_after_s` when it wants the next one,
    and `heard` that the pace of the store has heard of it.
    """

    def __init__(
        self,
        sentence: str,
        *,
        throttled: bool = False,
        retry_after_s: float | None = None,
        heard: bool = False,
    ) -> None:
        super().__init__(sentence)
        self.throttled = throttled
        self.retry_after_s = retry_after_s
        self.heard = heard


class Changed(EndpointError):
    """The store holds something else than was expected; nothing was overwritten."""


class Rejected(EndpointError):
    """The store will not do this to this key, now or later."""


class Clash(Rejected):
    """The store holds the name in another spelling, and can't hold both."""


class Blocked(Rejected):
    """Another name stands in the way: a file where a directory is to be, or a directory where a file is."""


class NoFile(Rejected):
    """What is there is no file: a symbolic link, a socket, a device; `what` says which, in words."""

    def __init__(self, key: str, what: str) -> None:
        super().__init__(f"{key}: {what}. Move it away.")
        self.what = what


class NoRanges(Rejected):
    """The store gave something else than the part of a body that it was asked for."""
