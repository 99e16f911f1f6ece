"""All that was wished for, and the job of one pair that comes of it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from bisyncer.config import rclone_file, setting
from bisyncer.config.mode import refuse_unfit
from bisyncer.config.relative import absolute_root
from bisyncer.config.values import Given, Values
from bisyncer.core.filters import Filters
from bisyncer.endpoints.home import from_home
from bisyncer.endpoints.open import REMOTE_SCHEMES, remote_name
from bisyncer.errors import UsageError
from bisyncer.job import Bounds, FilterFile, Job, Limits, Loser, Policy, Remote, Retention

PAIR_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
ROOTS: Final = (setting.PATH1, setting.PATH2, setting.BACKUP_DIR1, setting.BACKUP_DIR2)


@dataclass(frozen=True, slots=True)
class Config:
    """All that was wished for. `path` is the file in use, or where a new one would be written."""

    path: Path
    exists: bool
    state: str
    remotes: Mapping[str, Remote]
    pairs: Mapping[str, Values]
    overrides: Mapping[str, Given]  # settings of pairs that came from the environment and from flags
    remotes_where: Mapping[str, Values]
    rclone_config: str | None = None  # None: the file that rclone would read

    def pair(self, name: str) -> Values:
        """The settings of a pair; raises `UsageError` where the config has no such pair."""
        if name in self.pairs:
            return self.pairs[name]
        if not self.exists:
            raise UsageError(
                f"There is no pair '{name}', since there is no config file yet; {self.path} would be one. "
                "Write it, or make a pair with `bisyncer init PATH1 PATH2`."
            )
        known = ", ".join(self.pairs) or "none"
        raise UsageError(
            f"{self.path} has no pair '{name}' (there: {known}). Name one of these, or add [pairs.{name}]."
        )

    def with_pair(self, name: str, path1: str, path2: str) -> Config:
        """The same, with one more pair: the roots as given, the rest from environment and flags."""
        if not PAIR_NAME.fullmatch(name):
            raise UsageError(
                f"'{name}' can't be the name of a pair. Use up to 64 letters, digits, '.', '_' and '-', "
                "beginning with a letter or digit."
            )
        if name in self.pairs:
            raise UsageError(
                f"{self.path} has a pair '{name}' already. Give another with --name, or run "
                f"`bisyncer init {name}` for the one that is there."
            )
        here = Path.cwd()
        given = dict(self.overrides)
        given["path1"] = Given(absolute_root(path1, here), "PATH1")
        given["path2"] = Given(absolute_root(path2, here), "PATH2")
        return replace(self, pairs={**self.pairs, name: Values(setting.PAIR, given)})

    def job(
        self, name: str, *, dry_run: bool = False, resync: bool = False, force: Iterable[str] = ()
    ) -> Job:
        """All of one pair for one run; raises `UsageError` where a secret it needs is missing."""
        values = self.pair(name)
        path1, path2 = values[setting.PATH1], values[setting.PATH2]
        roots = [root for each in ROOTS if (root := values.get(each)) is not None]
        self._check_secrets(roots)
        remotes = {**self.remotes, **self._of_rclone(roots)}
        limit = values[setting.MAX_DELETE]
        job = Job(
            pair=name,
            path1=path1,
            path2=path2,
            mode=values[setting.MODE],
            remotes=tuple(remotes.values()),
            policy=Policy(
                compare=values[setting.COMPARE],
                modify_window_ns=values[setting.MODIFY_WINDOW],
                conflict_resolve=values[setting.CONFLICT_RESOLVE],
                conflict_loser=values[setting.CONFLICT_LOSER],
                conflict_suffix=_suffixes(values),
                resync_mode=values[setting.RESYNC_MODE],
                track_renames=values[setting.TRACK_RENAMES],
                match_names=values[setting.MATCH_NAMES],
                fix_case=values[setting.FIX_CASE],
                create_empty_dirs=values[setting.CREATE_EMPTY_DIRS],
                bounds=_bounds(values),
            ),
            limits=Limits(
                max_delete_percent=limit.percent,
                max_delete_count=limit.number,
                force=frozenset(force),
                max_skew_ns=values[setting.MAX_SKEW],
            ),
            strict=values[setting.STRICT],
            trash=_trash(values),
            backup_dir1=values.get(setting.BACKUP_DIR1),
            backup_dir2=values.get(setting.BACKUP_DIR2),
            exclude=values[setting.EXCLUDE],
            include=values[setting.INCLUDE],
            filter_file=_filter_file(values),
            delete_excluded=values[setting.DELETE_EXCLUDED],
            exclude_if_present=values.get(setting.EXCLUDE_IF_PRESENT),
            check_file=values.get(setting.CHECK_FILE),
            require_mount=values[setting.REQUIRE_MOUNT],
            transfers=values[setting.TRANSFERS],
            links=values[setting.LINKS],
            remove_empty_dirs=self._removes_empty(values),
            metadata=values[setting.METADATA],
            require_conditional=values[setting.REQUIRE_CONDITIONAL],
            bwlimit=values[setting.BWLIMIT],
            max_duration_ns=values[setting.MAX_DURATION],
            dry_run=dry_run,
            resync=resync,
        )
        refuse_unfit(job, values.where)
        return job

    def _removes_empty(self, values: Values) -> bool:
        removes: bool = values[setting.REMOVE_EMPTY_DIRS]
        if values[setting.CREATE_EMPTY_DIRS] and not removes:
            raise UsageError(
                f"{values.where(setting.REMOVE_EMPTY_DIRS)}: with create_empty_dirs, a directory that was "
                "left behind empty would be made again on the other side. Switch one of the two."
            )
        return removes

    def stale_after_ns(self, name: str) -> int | None:
        """The age of the last good run from which a pair is stale; None: never, or a pair of no config."""
        return self.pairs[name][setting.STALE_AFTER] if name in self.pairs else None

    def _of_rclone(self, roots: Iterable[str]) -> dict[str, Remote]:
        """The remotes of these roots that this config hasn't, and rclone's has; it is read only for them."""
        found: dict[str, Remote] = {}
        for root in roots:
            name = remote_name(root)
            if name is None or name in self.remotes:
                continue
            from bisyncer.config.rclone_remote import remote_of  # noqa: PLC0415 -- most configs don't need it

            file = rclone_file.read(self.rclone_config)
            remote = remote_of(name, file, self.remotes)
            if remote is None:
                ours, theirs = (", ".join(sorted(each)) or "none" for each in (self.remotes, file.sections))
                nor = f"; {file.missing}" if file.missing else f", nor in {file.path} (there: {theirs})"
                raise UsageError(
                    f"{root}: no remote named '{name}' in the config (there: {ours}){nor}. Add "
                    f"[remotes.{name}], name the rclone.conf that has it with rclone_config, or write "
                    f"./{root} for a directory of that name."
                )
            found[name] = remote
        return found

    def _check_secrets(self, roots: Iterable[str]) -> None:
        """See that what the remotes of these roots name is there, before anything is begun."""
        for root in roots:
            word, _, rest = root.partition(":")
            name = REMOTE_SCHEMES.get(word.lower(), word) if rest.startswith("//") else word
            if name not in self.remotes_where:
                continue
            values = self.remotes_where[name]
            for each in setting.REMOTE:
                value = values.get(each)
                if each.name.endswith("_env") and value is not None and not os.environ.get(str(value)):
                    # What isn't spelled as variables are may be the secret itself, by mistake.
                    said = f"has no {value}" if _VARIABLE.fullmatch(str(value)) else "has no such variable"
                    raise UsageError(
                        f"{values.where(each)}: the environment {said}. Set it, or name the variable that "
                        "holds the secret."
                    )
                if each.name.endswith("_file") and value is not None and not _is_readable(str(value)):
                    raise UsageError(
                        f"{values.where(each)}: {value} isn't there or can't be read. Put the secret "
                        "there, or name the file that holds it."
                    )


def _suffixes(values: Values) -> tuple[str, str]:
    """The suffixes as given; unset, the names of versions that say their side end in path1 and path2."""
    if values[setting.CONFLICT_LOSER] is Loser.PATHNAME and not values.given(setting.CONFLICT_SUFFIX):
        return ("path", "path")
    return values[setting.CONFLICT_SUFFIX]


def _bounds(values: Values) -> Bounds:
    bounds = Bounds(
        values[setting.MIN_SIZE], values[setting.MAX_SIZE], values[setting.MIN_AGE], values[setting.MAX_AGE]
    )
    for least, most, name in (
        (bounds.min_size, bounds.max_size, setting.MAX_SIZE),
        (bounds.min_age_ns, bounds.max_age_ns, setting.MAX_AGE),
    ):
        if least is not None and most is not None and least > most:
            raise UsageError(
                f"{values.where(name)}: it is less than {name.name.replace('max', 'min')}, so no version is "
                "within both. Set one of them otherwise."
            )
    return bounds


def _filter_file(values: Values) -> FilterFile | None:
    """The file of patterns, read anew by each command; raises `UsageError` at a line that is none."""
    named = values.get(setting.FILTERS_FILE)
    if named is None:
        return None
    try:
        text = Path(named).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "this isn't UTF-8"
        raise UsageError(
            f"{values.where(setting.FILTERS_FILE)}: {named} can't be read: {why}. Without it, keys that it "
            "leaves out would be synced; name the file that has the patterns."
        ) from error
    file = FilterFile(named, tuple(line.removesuffix("\r") for line in text.split("\n")))
    try:
        Filters(file=file)
    except ValueError as error:
        raise UsageError(f"{error}.") from error
    return file


def _is_readable(path: str) -> bool:
    return os.access(from_home(path), os.R_OK)


def _trash(values: Values) -> Retention:
    """Which sides have a trash: one whose place is named has."""
    trash = values[setting.TRASH]
    for each, name in ((setting.BACKUP_DIR1, "path1"), (setting.BACKUP_DIR2, "path2")):
        if values.get(each) is None:
            continue
        if getattr(trash, name) is False:
            raise UsageError(
                f"{values.where(each)}: says where {name} has its trash, and trash says that it has none. "
                "Leave one of the two out."
            )
        trash = replace(trash, **{name: True})
    return trash
