"""How one key is judged: the three facts, the two deltas, the agreement and the cell of the table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from bisyncer.core.compare import compare
from bisyncer.core.decide import MEANING, decide
from bisyncer.core.filters import Filters
from bisyncer.endpoints.base import Endpoint, NameRules
from bisyncer.engine.check import settle
from bisyncer.engine.pairing import bound_pair
from bisyncer.errors import EndpointError
from bisyncer.model import Action, Agreement, Delta, Entry, Job, Side, Triple, Unreadable, Verdict
from bisyncer.state.store import Store


class Explanation(NamedTuple):
    """One key, from its facts to what would be done; `sentence` says it in words."""

    triple: Triple
    delta1: Delta
    delta2: Delta
    agreement: Agreement | None
    verdict: Verdict | None  # None: the key is nowhere
    winner: Side | None
    sentence: str


def explain(job: Job, endpoints: Mapping[Side, Endpoint], store: Store, key: str) -> Explanation:
    """Look at one key on both sides and judge it as a run would, content and all; change nothing."""
    pair = bound_pair(job, endpoints, store)
    ancestor = None if job.resync else store.ancestors_of(pair.id, [key]).get(key)
    triple = Triple(key, ancestor, _look(endpoints[Side.PATH1], key), _look(endpoints[Side.PATH2], key))
    trees = (side for side, end in endpoints.items() if end.capabilities.names is NameRules.TREE)
    policy = replace(job.policy, restless=frozenset(trees))
    delta1, delta2, agreement = compare(triple, policy)
    if Filters(job.exclude).excluded(key):
        return Explanation(
            triple, delta1, delta2, agreement, None, None, "an exclude pattern leaves it out on both sides"
        )
    if delta1 is Delta.ABSENT and delta2 is Delta.ABSENT:
        return Explanation(triple, delta1, delta2, None, None, None, "neither side holds it, now or before")
    action = Action(
        key,
        decide(delta1, delta2, agreement),
        delta1,
        delta2,
        agreement,
        triple.path1 if isinstance(triple.path1, Entry) else None,
        triple.path2 if isinstance(triple.path2, Entry) else None,
    )
    if action.verdict in {Verdict.CHECK, Verdict.CONFLICT}:
        action = settle(action, ancestor, endpoints, policy)
    return Explanation(
        triple,
        action.delta1,
        action.delta2,
        action.agreement,
        action.verdict,
        action.winner,
        action.reason or MEANING[action.verdict],
    )


def _look(endpoint: Endpoint, key: str) -> Entry | Unreadable | None:
    try:
        return endpoint.stat(key)
    except EndpointError as error:
        return Unreadable(key, str(error))
