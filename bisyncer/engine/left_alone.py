"""Keys of which something changed, and that a run leaves alone all the same."""

from __future__ import annotations

from collections.abc import Callable

from bisyncer.core.bounds import ahead, left_alone, outside, waits
from bisyncer.engine.marked import Marked
from bisyncer.job import ANY_VERSION, Bounds
from bisyncer.model import Action, Delta, Tally, Verdict

_LOST = frozenset({Delta.DELETED, Delta.UNREADABLE})
_STANDS = frozenset({Verdict.HOLD, Verdict.FORGET})  # such a verdict touches no side


class LeftAlone:
    """Judges the actions of a plan as it is made; what waits is counted in the tally."""

    def __init__(
        self,
        bounds: Bounds,
        marked: Marked | None,
        now_ns: Callable[[], int],
        tally: Tally,
        *,
        first: bool = False,
    ) -> None:
        """`first`: what a side lost isn't taken for deleted yet, and would be by the next run."""
        self._first = first
        self._bounds = bounds
        self._marked = marked
        self._now_ns = now_ns
        self._tally = tally
        self.any = bounds != ANY_VERSION or marked is not None

    def judged(self, action: Action) -> Action | None:
        """The action as it is to be planned; None: nothing is to be done, and the record stays."""
        if action.verdict in _STANDS:
            return action
        now_ns = self._now_ns()
        why = self.why(action, now_ns)
        if why is not None:
            return left_alone(action, why)
        if (young := waits(action, self._bounds, now_ns)) is not None:
            self._tally.waiting += 1
            return action._replace(verdict=Verdict.FORGET, reason=young) if self.forgets(action) else None
        self._tally.ahead += ahead(action, self._bounds, now_ns)
        return action

    def forgets(self, action: Action) -> bool:
        """Whether the record of a key that is not brought back now is to be dropped, which makes it new."""
        return self._first and not _LOST.isdisjoint((action.delta1, action.delta2))

    def why(self, action: Action, now_ns: int) -> str | None:
        """Why the key is left alone however long one waits; None where it isn't."""
        marked = None if self._marked is None else self._marked.why(action.key)
        return marked or outside(action, self._bounds, now_ns)
