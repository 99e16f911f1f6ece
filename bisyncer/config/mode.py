"""What the mode of a pair rules out among its other settings."""

from __future__ import annotations

from collections.abc import Callable

from bisyncer.config import setting
from bisyncer.config.setting import Setting
from bisyncer.core.filters import Filters
from bisyncer.errors import UsageError
from bisyncer.job import Job, Resolve
from bisyncer.model import Mode, Side

_PATH1_PREVAILS = frozenset({Resolve.NONE, Resolve.PATH1})


def refuse_unfit(job: Job, where: Callable[[Setting[object]], str]) -> None:
    """Raise `UsageError` for a setting that this mode can't keep to; `where` tells where one was given."""
    rules = [(setting.RESYNC_MODE, job.policy.resync_mode)]
    if where(setting.CONFLICT_RESOLVE) == setting.CONFLICT_RESOLVE.flag:  # else it may be for other pairs
        rules.append((setting.CONFLICT_RESOLVE, job.policy.conflict_resolve))
    for each, rule in rules:
        if Side.PATH1 not in job.mode.writes and rule not in _PATH1_PREVAILS:
            raise UsageError(
                f"{where(each)}: the mode of the pair is {job.mode}, in which path1 prevails, so {rule} has "
                "no say. Leave it out."
            )
    if Side.PATH1 not in job.mode.writes and job.backup_dir1 is not None:
        raise UsageError(
            f"{where(setting.BACKUP_DIR1)}: the mode of the pair is {job.mode}, in which path1 is never "
            "written, so nothing of it is to be kept. Leave it out."
        )
    if not job.delete_excluded:
        return
    given = where(setting.DELETE_EXCLUDED)
    if job.mode is not Mode.MIRROR:
        raise UsageError(
            f"{given}: this is for the mode mirror, and that of the pair is {job.mode}. Leave it out."
        )
    if job.check_file is not None and (left_out := Filters.of(job).reason(job.check_file)) is not None:
        raise UsageError(
            f"{given}: {job.check_file}, the check_file, is {left_out}, so a run would delete it from path2. "
            "Let the filters keep it in."
        )
