"""Gates that need a look at the stores before anything is listed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial

from bisyncer.core.gates import let_pass
from bisyncer.endpoints.base import Endpoint, Probe
from bisyncer.errors import Halt, Halted
from bisyncer.job import Job
from bisyncer.model import Side

_Otherwise = Callable[[str], str]
_BY_HAND = {"mount": "say --no-require-mount", "check-file": "take check_file out of the config"}


def probed(endpoints: Mapping[Side, Endpoint], tried: Collection[Side] = ()) -> dict[Side, Probe]:
    """A look at both roots, of which some are `tried` with an object of ours that is removed again.

    Raises `RootMissing` or `AccessDenied` where one can't be used at all.
    """
    return {side: endpoint.probe(scratch=side in tried) for side, endpoint in endpoints.items()}


def halts(
    job: Job,
    endpoints: Mapping[Side, Endpoint],
    probes: Mapping[Side, Probe],
    otherwise: _Otherwise | None = None,
) -> tuple[Halt, ...]:
    """All closed gates; `otherwise` says of each what else lets it pass, if not what does for a run."""
    otherwise = otherwise or partial(let_pass, resync=job.resync)
    return (*_mount(job, endpoints, probes, otherwise), *_check_file(job, endpoints, otherwise))


def passed(job: Job, endpoints: Mapping[Side, Endpoint]) -> dict[Side, Probe]:
    """A look at both roots ahead of what a person asks for; raises `Halted` where a gate is closed."""
    probes = probed(endpoints)
    if found := halts(job, endpoints, probes, _BY_HAND.__getitem__):
        raise Halted(found)
    return probes


def pass_guards(job: Job, endpoints: Mapping[Side, Endpoint]) -> None:
    """The same where the job has guards; without any no root is looked at, which may be out of reach."""
    if job.require_mount or job.check_file is not None:
        passed(job, endpoints)


def _mount(
    job: Job, endpoints: Mapping[Side, Endpoint], probes: Mapping[Side, Probe], otherwise: _Otherwise
) -> list[Halt]:
    if not job.require_mount:
        return []
    return [
        Halt(
            "mount",
            f"{side} ({endpoints[side].root}) lies on the mount of /, and require_mount is set. "
            f"Nothing was changed. Mount it; if a plain directory is meant, {otherwise('mount')}.",
        )
        for side in Side
        if probes[side].mounted is False
    ]


def _check_file(job: Job, endpoints: Mapping[Side, Endpoint], otherwise: _Otherwise) -> list[Halt]:
    if job.check_file is None:
        return []
    return [
        Halt(
            "check-file",
            f"{side} ({endpoints[side].root}) has no {job.check_file}, so it may be another place than it "
            f"should be. Nothing was changed. If it is the right place, create {job.check_file} there; "
            f"or {otherwise('check-file')}.",
        )
        for side in Side
        if endpoints[side].stat(job.check_file) is None
    ]
