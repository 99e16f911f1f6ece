"""Copies that the service makes: asked for, done some time later, and verified by a look.

The conditions go with the request, and the service tests them when it makes the copy. So a copy of which
nothing is known any more (its answer was lost, or it took too long) can still be made at any later time, and
does no harm then. It needs the version of the source that was seen, and at the destination the version that
was seen, or nothing; each ETag is given once. So it replaces nothing that wasn't seen, and where a later run
decided otherwise meanwhile, and acted on either side, it fails. Where no run did, it does what was planned,
and the next run finds two sides that are the same. At worst it brings back a key that somebody deleted from
the destination a moment ago, while the source still has it. What is given up is called off, so that even
this is rare.
https://docs.oracle.com/iaas/Content/Object/Tasks/copyingobjects.htm
"""

from __future__ import annotations

import contextlib
import time
from typing import Any, NamedTuple

from bisyncer.endpoints.backoff import persist
from bisyncer.endpoints.oci_bucket import Bucket
from bisyncer.endpoints.oci_client import post
from bisyncer.endpoints.oci_error import Failed, Kind, one_line
from bisyncer.endpoints.oci_object import Found, timed
from bisyncer.errors import EndpointError, Transient
from bisyncer.model import Entry

_NUMBER = "opc-work-request-id"
_FIRST_S = 0.1  # between two looks at a copy under way; half as much again each time
_LONGEST_S = 10.0
_STILL_S = 300.0  # a copy that doesn't get on for so long is given up

_FORBIDDEN = {"InsufficientServicePermissions", "NotAuthorizedOrNotFound", "NotAuthorized", "Forbidden"}


class _Work(NamedTuple):
    """The state of a copy; `progress` moves while it gets on."""

    status: str
    progress: object


def copy(origin: Bucket, bucket: Bucket, key: str, entry: Entry, expect: Entry | None) -> Entry | None:
    """Copy the version `entry` from `origin` to `key` in `bucket`, with its time and fields.

    Returns None, and does nothing, where these credentials or the service itself may not, or where the
    service doesn't take such a request. Raises `Changed`, `Transient` or `Rejected`.
    """
    old_name = origin.name(entry.key)
    if not _reaches(origin, bucket):
        return None
    source = origin.head(entry.key, old_name)
    if source is None or source.entry.stamp != entry.stamp:
        raise origin.changed(entry.key, entry)
    copying = _Copying(origin, bucket, source, key, expect)
    try:
        answer = origin.client.send(
            "copy", "POST", f"{origin.path}/actions/copyObject", tells=(_NUMBER,), **copying.request()
        )
    except Failed as error:
        match error.trouble.kind:
            case Kind.DENIED | Kind.NO_BUCKET | Kind.REFUSED:
                return None
            case Kind.STALE | Kind.MISSING:
                raise bucket.changed(key, expect) from None
            case Kind.PASSING if landed := persist(copying.landed):
                return landed
            case _:
                raise error.trouble.error(bucket.place(key)) from None
    return copying.await_end(answer.headers[_NUMBER])


def _reaches(origin: Bucket, bucket: Bucket) -> bool:
    """Whether one service holds both, and one user asks it for both."""
    one, two = origin.remote, bucket.remote
    if (one.auth, one.config_file, one.profile) != (two.auth, two.config_file, two.profile):
        return False
    here, there = origin.client.service, bucket.client.service
    return there.region is not None and (here.endpoint_url == there.endpoint_url or (here.own and there.own))


class _Copying:
    """One copy, from the request to its verified end."""

    def __init__(self, origin: Bucket, bucket: Bucket, source: Found, key: str, expect: Entry | None) -> None:
        self._origin = origin
        self._bucket = bucket
        self._source = source
        self._key = key
        self._name = bucket.name(key)
        self._expect = expect

    def request(self) -> dict[str, Any]:
        """The request: without fields of its own, the copy takes over those of the source."""
        origin, bucket, expect = self._origin, self._bucket, self._expect
        optional = {
            "destinationObjectMetadata": timed(self._source),
            "destinationObjectStorageTier": bucket.remote.storage_class,
            "destinationObjectIfMatchETag": expect and expect.stamp,
            "destinationObjectIfNoneMatchETag": None if expect else "*",
        }
        return post(
            {
                "sourceObjectName": origin.name(self._source.entry.key),
                "sourceObjectIfMatchETag": self._source.entry.stamp,
                "destinationRegion": bucket.client.service.region,
                "destinationNamespace": bucket.namespace,
                "destinationBucket": bucket.bucket,
                "destinationObjectName": self._name,
                **{name: value for name, value in optional.items() if value is not None},
            },
            bucket.encryption,
        )

    def landed(self) -> Entry | None:
        """The entry of the key where it holds the copy for sure, and didn't before."""
        found = self._bucket.head(self._key, self._name)
        if found is None or found.entry.stamp == (self._expect and self._expect.stamp):
            return None
        same_time = found.entry.mtime_ns == self._source.entry.mtime_ns
        return found.entry if same_time and self._source.holds(found) else None

    def await_end(self, number: str) -> Entry | None:
        """Wait for the copy to be made; what is given up is called off as well."""
        path = f"/workRequests/{number}"
        try:
            status = self._watch(path)
        except EndpointError as error:
            return self._given_up(path, str(error))
        except BaseException:
            self._call_off(path)
            raise
        match status:
            case "COMPLETED":
                return self._made()
            case "FAILED":
                if failure := self._failure(path):
                    raise failure
                return None
            case "CANCELED":
                raise self._undone("somebody has called the copy off")
            case _:
                return self._given_up(path, f"the copy stands still as {status}")

    def _watch(self, path: str) -> str:
        """The last state of a copy: its end, or the one in which it stands still."""
        pause_s = _FIRST_S
        work = persist(lambda: self._look(path))
        since_s = time.monotonic()
        while work.status not in {"COMPLETED", "FAILED", "CANCELED"}:
            if time.monotonic() - since_s > _STILL_S:
                break
            time.sleep(pause_s)
            pause_s = min(pause_s * 1.5, _LONGEST_S)
            before, work = work, persist(lambda: self._look(path))
            if work != before:
                since_s = time.monotonic()
        return work.status

    def _look(self, path: str) -> _Work:
        told = self._ask(path)
        if not isinstance(told, dict) or not isinstance(told.get("status"), str):
            raise self._undone("the state of the copy can't be understood")
        return _Work(told["status"], told.get("percentComplete"))

    def _ask(self, path: str) -> Any:
        try:
            return self._origin.client.send("poll", "GET", path).json()
        except Failed as error:
            raise error.trouble.error(self._bucket.place(self._key)) from None
        except ValueError:
            return None

    def _made(self) -> Entry:
        """The entry of the copy; raises `Changed` where something else is there."""
        found = persist(lambda: self._bucket.head(self._key, self._name))
        if found is None or not self._may_be_copy(found):
            raise self._bucket.changed(self._key, self._expect)
        if found.entry.stamp == (self._expect and self._expect.stamp):
            raise self._undone("the copy is said to be made, and isn't there")
        return found.entry

    def _may_be_copy(self, found: Found) -> bool:
        """Whether the MD5s say so; where they can't tell, the time does, which travels with each copy."""
        told = self._source.holds(found)
        return found.entry.mtime_ns == self._source.entry.mtime_ns if told is None else told

    def _failure(self, path: str) -> EndpointError | None:
        """Why nothing was copied; None where the service may not copy."""
        found = persist(lambda: self._bucket.head(self._key, self._name))
        if (found and found.entry.stamp) != (self._expect and self._expect.stamp):
            return self._bucket.changed(self._key, self._expect)
        seen = self._source.entry
        source = persist(lambda: self._origin.head(seen.key, self._origin.name(seen.key)))
        if source is None or source.entry.stamp != seen.stamp:
            return self._origin.changed(seen.key, seen)
        said = persist(lambda: self._ask(f"{path}/errors"))
        errors = [error for error in said if isinstance(error, dict)] if isinstance(said, list) else []
        if any(error.get("code") in _FORBIDDEN for error in errors):
            return None
        told = ", ".join(one_line(f"{error.get('code')}: {error.get('message')}") for error in errors)
        return self._undone(f"the service failed to copy it ({told or 'no reason given'})")

    def _given_up(self, path: str, reason: str) -> Entry:
        self._call_off(path)
        if landed := persist(self.landed):
            return landed
        raise self._undone(f"nobody knows whether it was copied ({one_line(reason)})")

    def _call_off(self, path: str) -> None:
        with contextlib.suppress(Failed):
            self._origin.client.send("delete", "DELETE", path)

    def _undone(self, reason: str) -> Transient:
        return Transient(f"{self._bucket.place(self._key)}: {reason}. Run again later.")
