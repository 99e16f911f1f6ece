"""An S3 server that does next to nothing: what a client costs beside it is the client's own.

Its one bucket holds a tree as it was at the start, each object's line of a list page written beforehand, and
what is put there later, in memory. It tests conditions on objects that are sent in one request and on
deletions, publishes no upload in parts, and copies nothing. It counts what it is asked for.

`python -m benchmarks.canned TREE BUCKET/PREFIX` prints its address, and lives until its input ends.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
import time
from bisect import bisect_left, bisect_right
from collections import Counter
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar, Final, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

COUNTS: Final = "/counts"  # what was asked for since it was last asked for this
_PAGE: Final = 1000
_HIGHEST: Final = "\U0010ffff"
_NOW: Final = int(time.time())  # when all objects were sent: after the files that they come from
_TIME: Final = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(_NOW))


class Object(NamedTuple):
    """What a GET tells; the content of an object of the tree is read when it is asked for."""

    etag: str
    size: int
    mtime: str
    body: bytes | Path


class Bucket:
    """Names in the order of a listing, each with its line of a page."""

    def __init__(self, root: Path, prefix: str) -> None:
        found = sorted(_objects(root, prefix))
        self.names = [name for name, _ in found]
        self._lines = [_line(name, held) for name, held in found]
        self._held = dict(found)
        self._lock = threading.Lock()

    def get(self, name: str) -> Object | None:
        """What is held under a name."""
        return self._held.get(name)

    def put(self, name: str, body: bytes, mtime: str) -> str:
        """Hold it; return its ETag."""
        held = Object(hashlib.md5(body).hexdigest(), len(body), mtime, body)  # noqa: S324 -- as S3 names it
        with self._lock:
            self._remove(name)
            at = bisect_left(self.names, name)
            self.names.insert(at, name)
            self._lines.insert(at, _line(name, held))
            self._held[name] = held
        return held.etag

    def delete(self, name: str) -> None:
        """Hold it no more."""
        with self._lock:
            self._remove(name)

    def _remove(self, name: str) -> None:
        if self._held.pop(name, None) is not None:
            at = bisect_left(self.names, name)
            del self.names[at], self._lines[at]

    def page(self, prefix: str, after: str, delimiter: str, limit: int) -> bytes:
        """A page of the names that start with `prefix` and follow `after`."""
        if delimiter and after.endswith(delimiter):
            after += _HIGHEST  # what is below it was told by its name
        with self._lock:
            at = max(bisect_left(self.names, prefix), bisect_right(self.names, after) if after else 0)
            end = bisect_left(self.names, prefix + _HIGHEST)
            if not delimiter:
                to = min(at + limit, end)
                last = self.names[to - 1] if to > at else ""
                return _page(self._lines[at:to], max(to - at, 0), last if to < end else "")
            lines: list[bytes] = []
            last = ""
            while at < end and len(lines) < limit:
                folder, found, _ = self.names[at][len(prefix) :].partition(delimiter)
                if found:
                    last = prefix + folder + delimiter
                    lines.append(b"<CommonPrefixes><Prefix>%s</Prefix></CommonPrefixes>" % _text(last))
                    at = bisect_left(self.names, last + _HIGHEST)
                else:
                    last = self.names[at]
                    lines.append(self._lines[at])
                    at += 1
            return _page(lines, len(lines), last if at < end else "")


def _objects(root: Path, prefix: str) -> list[tuple[str, Object]]:
    found = []
    for folder, _, files in os.walk(root):
        for file in files:
            path = Path(folder, file)
            body = path.read_bytes()
            etag = hashlib.md5(body).hexdigest()  # noqa: S324 -- as S3 names it
            mtime = f"{path.stat().st_mtime_ns / 1e9:.9f}"
            found.append((f"{prefix}/{path.relative_to(root)}", Object(etag, len(body), mtime, path)))
    return found


def _text(name: str) -> bytes:
    return escape(name).encode()


def _line(name: str, held: Object) -> bytes:
    return (
        b"<Contents><Key>%s</Key><LastModified>%s</LastModified><ETag>&quot;%s&quot;</ETag>"
        b"<Size>%d</Size><StorageClass>STANDARD</StorageClass></Contents>"
    ) % (_text(name), _TIME.encode(), held.etag.encode(), held.size)


def _page(lines: list[bytes], count: int, token: str) -> bytes:
    following = b"<NextContinuationToken>%s</NextContinuationToken>" % token.encode().hex().encode()
    following += b"<NextMarker>%s</NextMarker>" % _text(token)  # for the first version of the request
    return b"".join(
        (
            b'<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult>',
            b"<KeyCount>%d</KeyCount><MaxKeys>1000</MaxKeys>" % count,
            b"<IsTruncated>true</IsTruncated>" + following if token else b"<IsTruncated>false</IsTruncated>",
            *lines,
            b"</ListBucketResult>",
        )
    )


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    bucket: ClassVar[Bucket]
    counts: ClassVar[Counter[str]] = Counter()

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query, keep_blank_values=True).items()}
        name = self._name(url.path)
        if url.path == COUNTS:
            counts = json.dumps(self.counts).encode()
            self.counts.clear()
            self._answer(200, counts)
        elif name:
            self._count("GET" if self.command == "GET" else "HEAD")
            self._object(name)
        elif self.command == "HEAD":
            self._count("HEAD")
            self._answer(200)
        elif "list-type" in query or "prefix" in query:
            self._count("LIST")
            token = bytes.fromhex(query.get("continuation-token", "")).decode()
            after = max(query.get("start-after", ""), query.get("marker", ""), token)
            limit = min(int(query.get("max-keys", _PAGE)), _PAGE)
            self._answer(
                200, self.bucket.page(query.get("prefix", ""), after, query.get("delimiter", ""), limit)
            )
        elif "versioning" in query:
            self._count("other")
            self._answer(200, b"<VersioningConfiguration/>")
        else:
            self._count("other")
            self._refuse(501, "NotImplemented")

    do_HEAD = do_GET  # noqa: N815 -- the name that the library asks for

    def do_PUT(self) -> None:
        self._count("PUT")
        body = self._body()
        name = self._name(urlsplit(self.path).path)
        held = self.bucket.get(name)
        if "x-amz-copy-source" in self.headers:
            self._refuse(501, "NotImplemented")
        elif "partNumber=" in self.path:
            self._answer(200, etag=hashlib.md5(body).hexdigest())  # noqa: S324 -- as S3 names it
        elif not self._holds(held):
            self._refuse(412, "PreconditionFailed")
        else:
            self._answer(200, etag=self.bucket.put(name, body, self.headers.get("x-amz-meta-mtime", "0")))

    def do_POST(self) -> None:
        self._count("other")
        self._body()
        if "uploads" in urlsplit(self.path).query:
            self._answer(
                200,
                b"<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>",
            )
        else:
            self._refuse(412, "PreconditionFailed")

    def do_DELETE(self) -> None:
        self._count("DELETE")
        name = self._name(urlsplit(self.path).path)
        if "uploadId=" not in self.path:
            if not self._holds(self.bucket.get(name)):
                self._refuse(412, "PreconditionFailed")
                return
            self.bucket.delete(name)
        self._answer(204)

    def _count(self, kind: str) -> None:
        self.counts[kind] += 1

    def _name(self, path: str) -> str:
        return unquote(path).lstrip("/").partition("/")[2]

    def _holds(self, held: Object | None) -> bool:
        wanted = self.headers.get("If-Match", "").strip('"')
        if self.headers.get("If-None-Match") == "*":
            return held is None
        return not wanted or (held is not None and held.etag == wanted)

    def _object(self, name: str) -> None:
        held = self.bucket.get(name)
        if held is None:
            self._refuse(404, "NoSuchKey")
        elif not self._holds(held):
            self._refuse(412, "PreconditionFailed")
        else:
            body = b"" if self.command == "HEAD" else held.body
            content = body.read_bytes() if isinstance(body, Path) else body
            self._answer(200, content, held.etag, size=held.size, mtime=held.mtime)

    def _refuse(self, status: int, code: str) -> None:
        self._answer(status, b"<Error><Code>%s</Code></Error>" % code.encode())

    def _answer(
        self, status: int, body: bytes = b"", etag: str = "", *, size: int | None = None, mtime: str = ""
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if size is None else size))
        if etag:
            self.send_header("ETag", f'"{etag}"')
        if mtime:
            self.send_header("Last-Modified", formatdate(_NOW, usegmt=True))
            self.send_header("x-amz-meta-mtime", mtime)
        self._headers_buffer: list[bytes]
        self._headers_buffer.append(b"\r\n")
        if self.command != "HEAD":
            self._headers_buffer.append(body)
        self.flush_headers()  # in one piece

    def _body(self) -> bytes:
        """What was sent, without the frames of a body that is signed piece by piece."""
        sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if "aws-chunked" not in self.headers.get("Content-Encoding", ""):
            return sent
        whole = b""
        while sent:
            head, _, rest = sent.partition(b"\r\n")
            size = int(head.partition(b";")[0], 16)
            if size == 0:
                break
            whole += rest[:size]
            sent = rest[size + 2 :]
        return whole


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Tell what went wrong here; a client that ends without closing its connections did nothing wrong."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]  # it only passes them on


def main(arguments: list[str]) -> None:
    """Serve a tree; see the top of this file."""
    root, place = arguments
    _Handler.bucket = Bucket(Path(root), place.partition("/")[2])
    with _Server(("127.0.0.1", 0), _Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        sys.stdin.read()  # ends with the process that started us


if __name__ == "__main__":
    main(sys.argv[1:])
