"""A small OCI Object Storage: its documented REST API over HTTP on the loopback interface.

https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/
"""

from __future__ import annotations

import email.utils
import json
import re
import tempfile
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from tests.oci.body import Body, Cut, md5_text, received
from tests.oci.signature import Unsigned, verify
from tests.oci.store import (
    STANDARD,
    Bucket,
    Conditions,
    Object,
    Refused,
    Store,
    Upload,
    WorkRequest,
    archival_state_of,
    instant,
    tier_of,
    without_prefix,
)


@dataclass
class Answer:
    status: int = 200
    body: object = None  # the pieces of a body as they are; anything else as JSON
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Request:
    """A request whose signature fits."""

    method: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Body

    @property
    def json(self) -> Any:
        try:
            return json.loads(self.body.data)
        except ValueError:
            raise Refused(400, "CannotParseRequest", "The body isn't JSON") from None

    @property
    def conditions(self) -> Conditions:
        return Conditions(self.headers.get("if-match"), self.headers.get("if-none-match"))

    @property
    def metadata(self) -> dict[str, str]:
        names = [name for name in self.headers if name.startswith("opc-meta-")]
        return without_prefix({name: self.headers[name] for name in names})

    def check_md5(self) -> str:
        """See that the body is the one that was meant; return its MD5."""
        md5 = md5_text(self.body.md5)
        if self.headers.get("content-md5", md5) != md5:
            raise Refused(400, "UnmatchedContentMD5", "The computed MD5 does not match the given Content-MD5")
        return md5


class OciServer:
    """A running server: `store` is what it holds, `keys` the public keys that it knows, by key id."""

    def __init__(self, namespace: str, region: str, keys: Mapping[str, RSAPublicKey], folder: Path) -> None:
        self.store = Store(namespace, region)
        self.folder = folder  # of large bodies
        self.keys = dict(keys)
        self.seen: list[str] = []  # 'METHOD /path?query' of each request
        self.endpoint_url = ""

    def answer(self, request: Request, path: str) -> Answer:
        for method, pattern, route in _ROUTES:
            match = pattern.fullmatch(path)
            if match and method == request.method:
                return route(
                    self.store, request, *(unquote(part, errors="strict") for part in match.groups())
                )
        raise Refused(404, "NotAuthorizedOrNotFound", f"Nothing is known of {request.method} {path}")


def _namespace(store: Store, _: Request) -> Answer:
    return Answer(body=store.namespace)


def _buckets(store: Store, _: Request, _namespace_name: str) -> Answer:
    return Answer(body=[_described(store, bucket) for bucket in store.buckets.values()])


def _create_bucket(store: Store, request: Request, _namespace_name: str) -> Answer:
    name = request.json["name"]
    if name in store.buckets:
        raise Refused(409, "BucketAlreadyExists", f"There is a bucket '{name}' already")
    store.buckets[name] = Bucket(name)
    return Answer(body=_described(store, store.buckets[name]))


def _bucket(store: Store, request: Request, namespace: str, name: str) -> Answer:
    bucket = store.bucket(namespace, name)
    body = None if request.method == "HEAD" else _described(store, bucket)
    return Answer(body=body, headers={"etag": bucket.etag})


def _delete_bucket(store: Store, _: Request, namespace: str, name: str) -> Answer:
    if store.bucket(namespace, name).objects:
        raise Refused(409, "BucketNotEmpty", f"The bucket '{name}' holds objects")
    del store.buckets[name]
    return Answer(204)


def _list(store: Store, request: Request, namespace: str, name: str) -> Answer:
    return Answer(body=store.bucket(namespace, name).listed(request.query))


def _get(store: Store, request: Request, namespace: str, name: str, key: str) -> Answer:
    found = store.bucket(namespace, name).get(key)
    if request.headers.get("if-match", found.etag) != found.etag:
        Conditions(request.headers["if-match"]).check(found)
    if request.headers.get("if-none-match") in {"*", found.etag}:
        return Answer(304)
    headers = _headers(found)
    if request.method == "HEAD":
        return Answer(headers={**headers, "content-length": str(found.body.size)})
    if found.archival_state == "Archived":
        raise Refused(409, "NotRestored", f"The object '{key}' is archived, and must be restored first")
    asked = request.headers.get("range")
    if asked is None:
        headers["content-length"] = str(found.body.size)
        return Answer(body=found.body.pieces(), headers=headers)
    first, last = _range(asked, found.body.size)
    headers["content-range"] = f"bytes {first}-{last}/{found.body.size}"
    headers["content-length"] = str(last + 1 - first)
    return Answer(206, found.body.pieces(first, last + 1), headers)


def _put(store: Store, request: Request, namespace: str, name: str, key: str) -> Answer:
    bucket = store.bucket(namespace, name)
    md5 = request.check_md5()
    kind = request.headers.get("content-type", "application/octet-stream")
    tier = tier_of(request.headers.get("storage-tier"), bucket)
    standard = {name: request.headers[name] for name in STANDARD if name in request.headers}
    new = Object(key, request.body, kind, request.metadata, None, tier, archival_state_of(tier), standard)
    made = bucket.put(new, request.conditions)
    return Answer(headers={"etag": made.etag, "opc-content-md5": md5, "last-modified": _http(made.created)})


def _delete(store: Store, request: Request, namespace: str, name: str, key: str) -> Answer:
    store.bucket(namespace, name).delete(key, request.conditions)
    return Answer(204)


def _delete_many(store: Store, request: Request, namespace: str, name: str) -> Answer:
    bucket, asked = store.bucket(namespace, name), request.json
    if not 1 <= len(asked["objects"]) <= 1000:
        raise Refused(400, "InvalidParameter", "A batch has 1 to 1,000 objects")
    told: dict[str, list[dict[str, object]]] = {"deleted": [], "failed": []}
    for each in asked["objects"]:
        key = each["objectName"]
        try:
            bucket.delete(key, Conditions(each.get("ifMatch")))
        except Refused as error:
            told["failed"].append(
                {"objectName": key, "statusCode": error.status, "errorMessage": error.message}
            )
        else:
            if not asked.get("isSkipDeletedResult"):
                told["deleted"].append({"objectName": key, "timeLastModified": instant(datetime.now(UTC))})
    return Answer(body=told)


def _rename(store: Store, request: Request, namespace: str, name: str) -> Answer:
    asked = request.json
    moved = store.bucket(namespace, name).rename(
        asked["sourceName"],
        asked["newName"],
        Conditions(asked.get("srcObjIfMatchETag")),
        Conditions(asked.get("newObjIfMatchETag"), asked.get("newObjIfNoneMatchETag")),
    )
    return Answer(headers={"etag": moved.etag, "last-modified": _http(moved.created)})


def _copy(store: Store, request: Request, namespace: str, name: str) -> Answer:
    work = store.copy(store.bucket(namespace, name), request.json)
    return Answer(202, headers={"opc-work-request-id": work.id})


def _work_request(store: Store, _: Request, number: str) -> Answer:
    work = _work(store, number)
    percent, status = work.percent_complete, work.look()
    return Answer(
        body={
            "id": work.id,
            "operationType": "COPY_OBJECT",
            "status": status,
            "compartmentId": "compartment",
            "resources": [
                {"actionType": action, "entityType": "object", "entityUri": uri, "identifier": uri}
                for action, uri in (("READ", work.source), ("WRITTEN", work.destination))
            ],
            "percentComplete": percent,
            "timeAccepted": instant(work.accepted),
            "timeStarted": instant(work.accepted),
            "timeFinished": instant(work.finished) if work.finished else None,
        }
    )


def _work_request_errors(store: Store, _: Request, number: str) -> Answer:
    work = _work(store, number)
    error, when = work.error, instant(work.finished or work.accepted)
    return Answer(body=[{"code": error.code, "message": error.message, "timestamp": when}] if error else [])


def _work_request_logs(store: Store, _: Request, number: str) -> Answer:
    work = _work(store, number)
    log = [{"message": f"Copying {work.source} to {work.destination}", "timestamp": instant(work.accepted)}]
    if work.finished:
        log.append({"message": f"The work request is {work.status}", "timestamp": instant(work.finished)})
    return Answer(body=log)


def _cancel(store: Store, _: Request, number: str) -> Answer:
    _work(store, number).cancel()
    return Answer(202)


def _work(store: Store, number: str) -> WorkRequest:
    if number not in store.work_requests:
        raise Refused(404, "NotAuthorizedOrNotFound", f"There is no work request '{number}'")
    return store.work_requests[number]


def _retention_rules(store: Store, _: Request, namespace: str, name: str) -> Answer:
    return Answer(body={"items": store.bucket(namespace, name).retention_rules})


def _uploads(store: Store, _: Request, namespace: str, name: str) -> Answer:
    bucket = store.bucket(namespace, name)
    return Answer(body=[_described_upload(store, bucket, upload) for upload in bucket.uploads.values()])


def _begin(store: Store, request: Request, namespace: str, name: str) -> Answer:
    bucket, asked = store.bucket(namespace, name), request.json
    upload = Upload(
        str(uuid.uuid4()),
        asked["object"],
        asked.get("contentType") or "application/octet-stream",
        without_prefix(asked.get("metadata") or {}),
        {name: asked[ours] for name, ours in STANDARD.items() if asked.get(ours)},
        tier_of(asked.get("storageTier"), bucket),
        datetime.now(UTC),
    )
    return Answer(body=_described_upload(store, bucket, bucket.begin(upload, request.conditions)))


def _part(store: Store, request: Request, namespace: str, name: str, key: str) -> Answer:
    upload = store.bucket(namespace, name).upload(key, request.query["uploadId"])
    number = int(request.query["uploadPartNum"])
    if not 1 <= number <= 10_000:
        raise Refused(400, "InvalidUploadPart", "Parts are numbered from 1 to 10,000")
    md5 = request.check_md5()
    etag = str(uuid.uuid4())
    upload.parts[number] = (etag, request.body)
    return Answer(headers={"etag": etag, "opc-content-md5": md5})


def _parts(store: Store, request: Request, namespace: str, name: str, key: str) -> Answer:
    upload = store.bucket(namespace, name).upload(key, request.query["uploadId"])
    return Answer(
        body=[
            {"partNumber": number, "etag": etag, "md5": md5_text(body.md5), "size": body.size}
            for number, (etag, body) in sorted(upload.parts.items())
        ]
    )


def _commit(store: Store, request: Request, namespace: str, name: str, key: str) -> Answer:
    bucket = store.bucket(namespace, name)
    parts = request.json["partsToCommit"]
    made = bucket.commit(key, request.query["uploadId"], parts, request.conditions)
    return Answer(
        headers={
            "etag": made.etag,
            "opc-multipart-md5": made.multipart_md5 or "",
            "last-modified": _http(made.created),
        }
    )


def _abort(store: Store, request: Request, namespace: str, name: str, key: str) -> Answer:
    bucket = store.bucket(namespace, name)
    del bucket.uploads[bucket.upload(key, request.query["uploadId"]).id]
    return Answer(204)


_IN_A_BUCKET = "/n/([^/]+)/b/([^/]+)"
_ROUTES = tuple(
    (method, re.compile(pattern), route)
    for method, pattern, route in (
        ("GET", "/n/?", _namespace),
        ("GET", "/n/([^/]+)/b/?", _buckets),
        ("POST", "/n/([^/]+)/b/?", _create_bucket),
        ("GET", f"{_IN_A_BUCKET}/?", _bucket),
        ("HEAD", f"{_IN_A_BUCKET}/?", _bucket),
        ("DELETE", f"{_IN_A_BUCKET}/?", _delete_bucket),
        ("GET", f"{_IN_A_BUCKET}/o", _list),
        ("GET", f"{_IN_A_BUCKET}/o/(.+)", _get),
        ("HEAD", f"{_IN_A_BUCKET}/o/(.+)", _get),
        ("PUT", f"{_IN_A_BUCKET}/o/(.+)", _put),
        ("DELETE", f"{_IN_A_BUCKET}/o/(.+)", _delete),
        ("POST", f"{_IN_A_BUCKET}/actions/batchDeleteObjects", _delete_many),
        ("POST", f"{_IN_A_BUCKET}/actions/renameObject", _rename),
        ("POST", f"{_IN_A_BUCKET}/actions/copyObject", _copy),
        ("GET", "/workRequests/([^/]+)", _work_request),
        ("DELETE", "/workRequests/([^/]+)", _cancel),
        ("GET", "/workRequests/([^/]+)/errors", _work_request_errors),
        ("GET", "/workRequests/([^/]+)/logs", _work_request_logs),
        ("GET", f"{_IN_A_BUCKET}/retentionRules", _retention_rules),
        ("GET", f"{_IN_A_BUCKET}/u", _uploads),
        ("POST", f"{_IN_A_BUCKET}/u", _begin),
        ("GET", f"{_IN_A_BUCKET}/u/(.+)", _parts),
        ("PUT", f"{_IN_A_BUCKET}/u/(.+)", _part),
        ("POST", f"{_IN_A_BUCKET}/u/(.+)", _commit),
        ("DELETE", f"{_IN_A_BUCKET}/u/(.+)", _abort),
    )
)


def _described(store: Store, bucket: Bucket) -> dict[str, object]:
    return {
        "namespace": store.namespace,
        "name": bucket.name,
        "compartmentId": "compartment",
        "createdBy": "user",
        "timeCreated": instant(bucket.created),
        "etag": bucket.etag,
        "metadata": {},
        "storageTier": bucket.tier,
        "publicAccessType": "NoPublicAccess",
        "versioning": bucket.versioning,
        "isReadOnly": bucket.read_only,
    }


def _described_upload(store: Store, bucket: Bucket, upload: Upload) -> dict[str, object]:
    return {
        "namespace": store.namespace,
        "bucket": bucket.name,
        "object": upload.object,
        "uploadId": upload.id,
        "timeCreated": instant(upload.created),
        "storageTier": upload.tier,
    }


def _headers(found: Object) -> dict[str, str]:
    optional = {
        "content-md5": found.md5,
        "opc-multipart-md5": found.multipart_md5,
        "archival-state": found.archival_state,
    }
    return {
        "etag": found.etag,
        "last-modified": _http(found.created),
        "content-type": found.content_type,
        "storage-tier": found.tier,
        "accept-ranges": "bytes",
        **found.standard,
        **{f"opc-meta-{name}": value for name, value in found.metadata.items()},
        **{name: value for name, value in optional.items() if value},
    }


def _range(asked: str, size: int) -> tuple[int, int]:
    """The first and the last byte that a Range header asks for."""
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", asked)
    if not match or not any(match.groups()):
        raise Refused(400, "InvalidRange", f"{asked!r} is no range")
    first, last = match.groups()
    if not first:
        return max(0, size - int(last)), size - 1
    if int(first) >= size:
        raise Refused(416, "InvalidRange", f"There are only {size} bytes")
    return int(first), min(int(last or size), size - 1)


def _http(when: datetime) -> str:
    return email.utils.format_datetime(when.replace(microsecond=0), usegmt=True)


@contextmanager
def serving(namespace: str, region: str, keys: Mapping[str, RSAPublicKey]) -> Iterator[OciServer]:
    """Run a server on a free port."""
    with tempfile.TemporaryDirectory(prefix="bisyncer-oci-") as folder:
        yield from _serving(OciServer(namespace, region, keys, Path(folder)))


def _serving(served: OciServer) -> Iterator[OciServer]:

    class Handler(_Handler):
        oci = served

    http = _Http(("127.0.0.1", 0), Handler)
    served.endpoint_url = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield served
    finally:
        http.shutdown()
        thread.join()
        http.server_close()


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, *_: Any) -> None:
        """A client may go away."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    oci: OciServer

    def do_any(self) -> None:
        path, _, query = self.path.partition("?")
        try:
            body = received(self.rfile, int(self.headers.get("Content-Length", 0)), self.oci.folder)
        except Cut:
            self.close_connection = True
            return
        self.oci.seen.append(f"{self.command} {self.path}")
        try:
            # The bodies of objects and parts needn't be signed.
            signed = self.command in {"POST", "PUT"} and not re.match(r"/n/[^/]+/b/[^/]+/[ou]/", path)
            verify(self.oci.keys, self.command, self.path, self.headers, body, body_signed=signed)
            request = Request(
                self.command,
                dict(parse_qsl(query, keep_blank_values=True, errors="strict")),
                {name.lower(): value for name, value in self.headers.items()},
                body,
            )
            answer = self.oci.answer(request, path)
        except Unsigned as error:
            message = f"The required information to complete authentication was not provided: {error}"
            answer = Answer(401, {"code": "NotAuthenticated", "message": message})
        except Refused as error:
            answer = Answer(error.status, {"code": error.code, "message": error.message})
        except (KeyError, TypeError, ValueError) as error:
            answer = Answer(400, {"code": "InvalidParameter", "message": f"{type(error).__name__}: {error}"})
        self._send(answer)

    def _send(self, answer: Answer) -> None:
        headers = {"opc-request-id": uuid.uuid4().hex, "date": email.utils.formatdate(usegmt=True)}
        headers |= answer.headers
        if isinstance(answer.body, Iterator):
            pieces = answer.body
        else:
            body = b"" if answer.body is None else json.dumps(answer.body).encode()
            pieces = iter((body,))
            if body:
                headers.setdefault("content-type", "application/json")
            if answer.status not in {204, 304}:
                headers.setdefault("content-length", str(len(body)))
        self.send_response_only(answer.status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            for piece in pieces:
                self.wfile.write(piece)
        self.wfile.flush()

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = do_any  # noqa: N815 -- http.server's names

    def log_message(self, *_: Any) -> None:
        pass
