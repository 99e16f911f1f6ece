"""Buckets, with the rules of OCI Object Storage about names, conditions, parts, copies and listings."""

from __future__ import annotations

import hashlib
import threading
import uuid
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from tests.oci.body import Body, md5_text

MOST_LISTED = 1000
FIELDS = ("name", "size", "etag", "md5", "timeCreated", "timeModified", "storageTier", "archivalState")

# What every object has room for, by its header, and what JSON calls it.
STANDARD = {
    "cache-control": "cacheControl",
    "content-disposition": "contentDisposition",
    "content-encoding": "contentEncoding",
    "content-language": "contentLanguage",
}
TIERS = ("Standard", "InfrequentAccess", "Archive")


class Refused(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


@dataclass(frozen=True)
class Conditions:
    """The conditions of one request."""

    if_match: str | None = None
    if_none_match: str | None = None

    def check(self, found: Object | None) -> None:
        if self.if_match is not None and (found is None or found.etag != self.if_match):
            raise Refused(412, "IfMatchFailed", "The If-Match header is set and the ETag does not match")
        if self.if_none_match not in {None, "*"}:
            raise Refused(400, "InvalidParameter", "if-none-match can only be '*' here")
        if self.if_none_match == "*" and found is not None:
            raise Refused(412, "IfNoneMatchFailed", f"The object '{found.name}' already exists")


@dataclass(frozen=True)
class Object:
    name: str
    body: Body
    content_type: str
    metadata: Mapping[str, str]  # without 'opc-meta-'
    multipart_md5: str | None = None
    tier: str = "Standard"
    archival_state: str | None = None
    standard: Mapping[str, str] = field(default_factory=dict)  # by header
    etag: str = field(default_factory=lambda: str(uuid.uuid4()))
    created: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def md5(self) -> str | None:
        """Base64; an object made of parts has none."""
        return None if self.multipart_md5 else md5_text(self.body.md5)

    @property
    def data(self) -> bytes:
        return self.body.data

    def again(self, **changes: Any) -> Object:
        """The same content as another version."""
        return replace(self, **{"etag": str(uuid.uuid4()), "created": datetime.now(UTC), **changes})

    def summary(self, fields: set[str]) -> dict[str, object]:
        when = instant(self.created)
        values = (
            self.name,
            self.body.size,
            self.etag,
            self.md5,
            when,
            when,
            self.tier,
            self.archival_state,
        )
        return {name: value for name, value in zip(FIELDS, values, strict=True) if name in fields}


@dataclass
class Upload:
    id: str
    object: str
    content_type: str
    metadata: Mapping[str, str]
    standard: Mapping[str, str]
    tier: str
    created: datetime
    parts: dict[int, tuple[str, Body]] = field(default_factory=dict)  # ETag and bytes by number


class Bucket:
    """The objects of one bucket, and the uploads that nobody has made an object of yet."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.tier = "Standard"
        self.versioning = "Disabled"
        self.read_only = False
        self.honours = True  # conditions, as the service does; otherwise it ignores them
        self.retention_rules: list[dict[str, object]] = []
        self.etag = str(uuid.uuid4())
        self.created = datetime.now(UTC)
        self.objects: dict[str, Object] = {}
        self.uploads: dict[str, Upload] = {}
        self._lock = threading.RLock()
        self._names: list[str] | None = None

    def get(self, name: str) -> Object:
        found = self.objects.get(name)
        if found is None:
            raise Refused(404, "ObjectNotFound", f"The object '{name}' was not found in '{self.name}'")
        return found

    def put(self, made: Object, conditions: Conditions) -> Object:
        check_name(made.name)
        with self._lock:
            self._check(conditions, made.name)
            self._check_retention(made.name)
            self._set(made)
        return made

    def delete(self, name: str, conditions: Conditions) -> None:
        with self._lock:
            self.get(name)
            self._check(conditions, name)
            self._check_retention(name)
            del self.objects[name]
            self._names = None

    def rename(self, old: str, new: str, of_old: Conditions, of_new: Conditions) -> Object:
        check_name(new)
        with self._lock:
            found = self.get(old)
            self._check(of_old, old)
            self._check(of_new, new)
            self._check_retention(old)
            self._check_retention(new)
            moved = found.again(name=new)
            del self.objects[old]
            self._set(moved)
        return moved

    def archive(self, name: str) -> None:
        self._set(replace(self.get(name), tier="Archive", archival_state="Archived"))

    def begin(self, upload: Upload, conditions: Conditions) -> Upload:
        check_name(upload.object)
        with self._lock:
            self._check(conditions, upload.object)
            self.uploads[upload.id] = upload
        return upload

    def upload(self, name: str, upload_id: str) -> Upload:
        found = self.uploads.get(upload_id)
        if found is None or found.object != name:
            raise Refused(404, "NoSuchUpload", f"There is no upload '{upload_id}' of '{name}'")
        return found

    def commit(self, name: str, upload_id: str, parts: list[Any], conditions: Conditions) -> Object:
        with self._lock:
            upload = self.upload(name, upload_id)
            self._check(conditions, name)
            self._check_retention(name)
            parts = sorted(parts, key=lambda part: int(part["partNum"]))  # they may come in any order
            if not parts or len({part["partNum"] for part in parts}) != len(parts):
                raise Refused(400, "InvalidUploadPart", "Parts must be named, each once")
            held = []
            for part in parts:
                etag, body = upload.parts.get(part["partNum"], (None, Body()))
                if etag is None or etag != part["etag"]:
                    raise Refused(
                        400, "InvalidUploadPart", f"Part {part['partNum']} isn't the one that is here"
                    )
                held.append(body)
            whole = hashlib.md5(b"".join(body.md5 for body in held)).digest()
            made = Object(
                name,
                Body.of_parts(held),
                upload.content_type,
                upload.metadata,
                f"{md5_text(whole)}-{len(held)}",
                upload.tier,
                archival_state_of(upload.tier),
                upload.standard,
            )
            self._set(made)
            del self.uploads[upload_id]
        return made

    def listed(self, query: Mapping[str, str]) -> dict[str, object]:
        """One page of ListObjects."""
        fields, limit = _asked(query)
        rows: list[dict[str, object]] = []
        prefixes: dict[str, None] = {}
        following = None
        for name in self._from(query):
            cut = name.find("/", len(query.get("prefix", ""))) if "delimiter" in query else -1
            if cut >= 0 and name[: cut + 1] in prefixes:
                continue
            if len(rows) + len(prefixes) == limit:
                following = name
                break
            if cut >= 0:
                prefixes[name[: cut + 1]] = None
            elif name in self.objects:
                rows.append(self.objects[name].summary(fields | {"name"}))
        page: dict[str, object] = {"objects": rows}
        if "delimiter" in query:
            page["prefixes"] = list(prefixes)
        if following is not None:
            page["nextStartWith"] = following
        return page

    def _from(self, query: Mapping[str, str]) -> Iterator[str]:
        with self._lock:
            if self._names is None:
                self._names = sorted(self.objects)
            names = self._names
        prefix, end = query.get("prefix", ""), query.get("end")
        at = bisect_left(names, max(prefix, query.get("start", "")))
        if "startAfter" in query:
            at = max(at, bisect_right(names, query["startAfter"]))
        while at < len(names) and names[at].startswith(prefix) and (end is None or names[at] < end):
            yield names[at]
            at += 1

    def _check(self, conditions: Conditions, name: str) -> None:
        if self.honours:
            conditions.check(self.objects.get(name))

    def _check_retention(self, name: str) -> None:
        if self.retention_rules and name in self.objects:
            raise Refused(403, "RetentionRuleViolation", f"The object '{name}' is under a retention rule")

    def _set(self, made: Object) -> None:
        with self._lock:
            self.objects[made.name] = made
            self._names = None


class WorkRequest:
    """A copy, which happens some time after it was asked for: three states, each of which is seen.

    None passes by itself, whatever the machine is slow at: the next comes when somebody has looked.
    """

    def __init__(self, source: str, destination: str) -> None:
        self.id = str(uuid.uuid4())
        self.source, self.destination = source, destination  # as paths of the service
        self.accepted = datetime.now(UTC)
        self.status = "ACCEPTED"
        self.finished: datetime | None = None
        self.error: Refused | None = None
        self.ended = threading.Event()
        self._moved = threading.Condition()
        self._seen: set[str] = set()

    @property
    def percent_complete(self) -> float:
        return {"ACCEPTED": 0.0, "COMPLETED": 100.0}.get(self.status, 50.0)

    def look(self) -> str:
        """The state; it may be another from now on."""
        with self._moved:
            self._seen.add(self.status)
            self._moved.notify_all()
            return self.status

    def cancel(self) -> None:
        with self._moved:
            if self.finished:
                raise Refused(409, "Conflict", "The work request is finished")
            self.status = "CANCELING"
            self._moved.notify_all()

    def end(self) -> None:
        """Look until it has ended."""
        while not self.ended.wait(0.01):
            self.look()

    def run(self, hold: threading.Event, deed: Callable[[], object]) -> None:
        """Do it when somebody has seen each state, and nobody holds copies back."""
        with self._moved:
            self._stay("ACCEPTED")
            if self.status == "ACCEPTED":
                self.status = "IN_PROGRESS"
                self._stay("IN_PROGRESS")
        hold.wait()
        with self._moved:
            if self.status == "CANCELING":
                self._finish("CANCELED")
                return
            try:
                deed()
            except Refused as error:
                self.error = error
            self._finish("FAILED" if self.error else "COMPLETED")

    def _stay(self, status: str) -> None:
        """Wait until somebody has seen this state, or has called it off."""
        self._moved.wait_for(lambda: status in self._seen or self.status != status)

    def _finish(self, status: str) -> None:
        self.finished = datetime.now(UTC)
        self.status = status
        self.ended.set()


class Store:
    """All buckets of one namespace."""

    def __init__(self, namespace: str, region: str) -> None:
        self.namespace, self.region = namespace, region
        self.regions = {region: self}  # the services that this one copies to
        self.denied = False  # whether the service itself lacks the permission to copy
        self.breaks: Refused | None = None  # what every copy ends with
        self.copying = threading.Event()  # while it is clear, no copy gets on
        self.copying.set()
        self.buckets: dict[str, Bucket] = {}
        self.work_requests: dict[str, WorkRequest] = {}

    def bucket(self, namespace: str, name: str) -> Bucket:
        if namespace != self.namespace:
            raise Refused(404, "NamespaceNotFound", f"There is no namespace '{namespace}'")
        if name not in self.buckets:
            raise Refused(404, "BucketNotFound", f"Either the bucket named '{name}' does not exist in the "
                          f"namespace '{namespace}' or you are not authorized to access it")  # fmt: skip
        return self.buckets[name]

    def copy(self, source: Bucket, asked: Mapping[str, Any]) -> WorkRequest:
        """Accept a copy; its conditions are tested in the step that makes the object."""
        there = self.regions.get(asked["destinationRegion"])
        if there is None:
            raise Refused(400, "InvalidParameter", f"There is no region '{asked['destinationRegion']}' here")
        of_source = Conditions(asked.get("sourceObjectIfMatchETag"))
        of_made = Conditions(
            asked.get("destinationObjectIfMatchETag"), asked.get("destinationObjectIfNoneMatchETag")
        )
        old, new = asked["sourceObjectName"], asked["destinationObjectName"]
        to = there.bucket(asked["destinationNamespace"], asked["destinationBucket"])
        if self.denied:
            message = f"The service principal 'objectstorage-{self.region}' lacks permissions to this bucket"
            raise Refused(400, "InsufficientServicePermissions", message)
        found = source.get(old)
        if found.archival_state == "Archived":
            raise Refused(409, "NotRestored", f"The object '{old}' is archived, and must be restored first")
        of_source.check(found)
        tier = tier_of(asked.get("destinationObjectStorageTier"), to)

        def deed() -> None:
            if self.breaks:
                raise self.breaks
            found = source.get(old)
            of_source.check(found)
            metadata = asked.get("destinationObjectMetadata")
            made = found.again(
                name=new,
                metadata=without_prefix(metadata) if metadata else found.metadata,
                tier=tier,
                archival_state=archival_state_of(tier),
            )
            to.put(made, of_made)

        work = WorkRequest(
            f"/n/{self.namespace}/b/{source.name}/o/{old}", f"/n/{self.namespace}/b/{to.name}/o/{new}"
        )
        self.work_requests[work.id] = work
        threading.Thread(target=work.run, args=(self.copying, deed), daemon=True).start()
        return work


def tier_of(asked: str | None, bucket: Bucket) -> str:
    """The tier of a new object."""
    if asked is not None and asked not in TIERS:
        raise Refused(400, "InvalidParameter", f"A storage tier is one of {', '.join(TIERS)}")
    return asked or bucket.tier


def archival_state_of(tier: str) -> str | None:
    return "Archived" if tier == "Archive" else None


def _asked(query: Mapping[str, str]) -> tuple[set[str], int]:
    """Which fields a listing is to have, and how many rows a page."""
    fields = set(query.get("fields", "name").replace(" ", "").split(","))
    if not fields <= set(FIELDS):
        raise Refused(400, "InvalidParameter", f"fields may only be of {', '.join(FIELDS)}")
    limit = int(query.get("limit", MOST_LISTED))
    if not 1 <= limit <= MOST_LISTED:
        raise Refused(400, "InvalidParameter", f"limit must be from 1 to {MOST_LISTED}")
    if query.get("delimiter", "/") != "/":
        raise Refused(400, "InvalidParameter", "The one delimiter is '/'")
    return fields, limit


def check_name(name: str) -> None:
    """Names have up to 1,024 bytes, and neither NUL nor line breaks."""
    if not 1 <= len(name.encode()) <= 1024 or {"\0", "\n", "\r"} & set(name):
        raise Refused(400, "InvalidObjectName", "This isn't a valid name of an object")


def without_prefix(metadata: Mapping[str, str]) -> dict[str, str]:
    """The metadata of a request's body, where each name begins with 'opc-meta-'."""
    return {name.lower().removeprefix("opc-meta-"): value for name, value in metadata.items()}


def instant(when: datetime) -> str:
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")
