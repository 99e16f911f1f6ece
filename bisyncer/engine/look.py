"""One key, looked at by itself: what a run would do about it now."""

from __future__ import annotations

from collections.abc import Mapping

from bisyncer.core.compare import compare
from bisyncer.core.decide import decide
from bisyncer.core.directories import settled
from bisyncer.endpoints.base import Endpoint
from bisyncer.engine.check import settle
from bisyncer.errors import EndpointError
from bisyncer.job import Policy
from bisyncer.model import Action, Ancestor, Delta, Entry, Item, Side, Triple, Unreadable, Verdict


def look(key: str, ancestor: Ancestor | None, endpoints: Mapping[Side, Endpoint]) -> Triple:
    """The three facts about a key, asked for now; what can't be looked at is an `Unreadable`."""
    triple = Triple(key, ancestor, look_at(endpoints[Side.PATH1], key), look_at(endpoints[Side.PATH2], key))
    if not key.endswith("/"):
        return triple
    return settled(triple) or Triple(key, None, None, None)


def judge(triple: Triple, endpoints: Mapping[Side, Endpoint], policy: Policy) -> Action | None:
    """What is to be done about a key, its content read where that decides; None where it is nowhere."""
    action = by_facts(triple, policy)
    if action is None:
        return None
    if action.verdict in {Verdict.CHECK, Verdict.CONFLICT}:
        return settle(action, triple.ancestor, endpoints, policy)
    if action.verdict is Verdict.HOLD:
        places = (item for item in (triple.path1, triple.path2) if isinstance(item, Unreadable))
        return action._replace(reason="; ".join(place.sentence for place in places))
    return action


def by_facts(triple: Triple, policy: Policy) -> Action | None:
    """What is to be done about a key by what is known without reading it; None where it is nowhere."""
    delta1, delta2, agreement = compare(triple, policy)
    if delta1 is Delta.ABSENT and delta2 is Delta.ABSENT:
        return None
    return Action(
        triple.key,
        decide(policy.mode, delta1, delta2, agreement),
        delta1,
        delta2,
        agreement,
        triple.path1 if isinstance(triple.path1, Entry) else None,
        triple.path2 if isinstance(triple.path2, Entry) else None,
    )


def look_at(endpoint: Endpoint, key: str) -> Item | None:
    """What one side holds at a key, asked for now; what can't be looked at is an `Unreadable`."""
    try:
        return endpoint.stat(key)
    except EndpointError as error:
        return Unreadable(key, str(error))
