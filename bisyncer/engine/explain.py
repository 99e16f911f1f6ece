"""How one key is judged: the three facts, the two deltas, the agreement and the cell of the table."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import NamedTuple

from bisyncer.core.bounds import waits
from bisyncer.core.compare import compare
from bisyncer.core.decide import meaning
from bisyncer.core.filters import Filters
from bisyncer.core.reserved import is_reserved
from bisyncer.endpoints.base import Endpoint
from bisyncer.engine.left_alone import LeftAlone
from bisyncer.engine.look import by_facts, judge, look
from bisyncer.engine.marked import Marked
from bisyncer.engine.pairing import bound_pair, policy_for, resilient
from bisyncer.errors import EndpointError, NoFile, UsageError
from bisyncer.job import Job
from bisyncer.model import TRASH, Agreement, Delta, Entry, Mode, Side, Tally, Triple, Verdict
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
    if key == TRASH or is_reserved(key):
        raise UsageError(f"{key}: lies in a folder of bisyncer's own, and is never synced.")
    pair = bound_pair(job, endpoints, store)
    endpoints = resilient(endpoints, job)
    ancestor = None if job.resync else store.ancestors.of(pair.id, [key]).get(key)
    triple = look(key, ancestor, endpoints)
    policy = policy_for(job, endpoints, pair)
    if (left_out := Filters.of(job).reason(key)) is not None:
        delta1, delta2, agreement = compare(triple, policy)
        verdict = None
        if job.delete_excluded and policy.mode is Mode.MIRROR and isinstance(triple.path2, Entry):
            left_out = f"{left_out}, and deleted from path2, since delete_excluded is set"
            verdict = Verdict.DELETE_FROM_PATH2
        return Explanation(triple, delta1, delta2, agreement, verdict, None, left_out)
    marked = None if job.exclude_if_present is None else Marked(job.exclude_if_present)
    if marked is not None:
        marked.look([key], endpoints, job.transfers)
    if (first := by_facts(triple, policy)) is not None:
        left_alone, now_ns = LeftAlone(policy.bounds, marked, time.time_ns, Tally()), time.time_ns()
        why = left_alone.why(first, now_ns) or waits(first, policy.bounds, now_ns)
        if why is not None and first.verdict is not Verdict.NOTHING:
            sentence = f"left alone on both sides: {why}"
            return Explanation(triple, first.delta1, first.delta2, first.agreement, None, None, sentence)
    action = judge(triple, endpoints, policy)
    if action is not None and ancestor is None and (skipped := _skipped(key, endpoints)) is not None:
        return Explanation(triple, action.delta1, action.delta2, None, None, None, skipped)
    if action is None:
        sentence = "neither side holds it, now or before"
        return Explanation(triple, Delta.ABSENT, Delta.ABSENT, None, None, None, sentence)
    return Explanation(
        triple,
        action.delta1,
        action.delta2,
        action.agreement,
        action.verdict,
        action.winner,
        action.reason or meaning(policy.mode, action.verdict),
    )


def _skipped(key: str, endpoints: Mapping[Side, Endpoint]) -> str | None:
    """In words why a run passes over what has this name, where no file has it on either side."""
    found: str | None = None
    for side, endpoint in endpoints.items():
        try:
            if endpoint.stat(key) is not None:
                return None
        except NoFile as error:
            hint = " See the setting `links`." if "symbolic link" in error.what else ""
            found = found or f"{side}: {error.what}; runs pass over it.{hint}"
        except EndpointError:
            return None
    return found
