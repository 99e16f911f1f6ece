"""Servers that go wrong on purpose: a proxy that loses answers, and a server with canned ones."""

from __future__ import annotations

import http.client
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

_CODES = {403: "AccessDenied", 501: "NotImplemented"}  # what S3 says with a status
_HOP = {"connection", "transfer-encoding", "content-length", "expect", "date", "server"}


class Answer(NamedTuple):
    """An HTTP answer."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


class Fault:
    """What befalls the next `left` (first: `times`) requests of which 'METHOD /path?query' matches `pattern`.

    `lose`: the server does it, and the answer never comes. `swallow`: the server never hears of it.
    `cut`: the answer's body breaks off in the middle. `garble`: the server gets another body of that length.
    A number: that status instead of the server.
    `then` runs between the deed and the loss of its answer.
    """

    def __init__(
        self, pattern: str, what: str | int, *, times: int = 1, then: Callable[[], object] | None = None
    ) -> None:
        self.pattern = re.compile(pattern)
        self.what = what
        self.then = then
        self.seen = 0
        self.left = times
        self._lock = threading.Lock()

    def strikes(self, request: str) -> bool:
        with self._lock:
            if not self.left or not self.pattern.search(request):
                return False
            self.left -= 1
            self.seen += 1
            return True


@contextmanager
def proxy(
    upstream: str,
    *faults: Fault,
    instead: Callable[[BaseHTTPRequestHandler, bytes], Answer | None] = lambda _request, _body: None,
) -> Iterator[str]:
    """The URL of a proxy before the server at `upstream`; `instead` answers what that server can't."""

    class Handler(_Handler):
        def answer(self, body: bytes) -> Answer | None:
            struck = next((fault for fault in faults if fault.strikes(f"{self.command} {self.path}")), None)
            if struck is None:
                return instead(self, body) or _forwarded(self, upstream, body)
            if isinstance(struck.what, int):
                code = _CODES.get(struck.what, "InternalError")
                return Answer(struck.what, f"<Error><Code>{code}</Code></Error>".encode())
            if struck.what == "swallow":
                return None
            if struck.what == "garble":
                return _forwarded(self, upstream, bytes(len(body)))
            answer = instead(self, body) or _forwarded(self, upstream, body)
            if struck.then:
                struck.then()
            self.cut = struck.what == "cut"
            return answer if self.cut else None

    with _serving(Handler) as url:
        yield url


def _forwarded(request: BaseHTTPRequestHandler, upstream: str, body: bytes) -> Answer:
    connection = http.client.HTTPConnection(urlsplit(upstream).netloc, timeout=60)
    try:
        # The host is signed, so the server is told the proxy's.
        connection.putrequest(request.command, request.path, skip_host=True, skip_accept_encoding=True)
        for name, value in request.headers.items():
            if name.lower() not in _HOP - {"date"}:
                connection.putheader(name, value)
        if request.command in {"PUT", "POST"}:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        headers = [(name, value) for name, value in response.getheaders() if name.lower() not in _HOP]
        if request.command == "HEAD":
            headers.append(("Content-Length", response.headers.get("Content-Length", "0")))
        return Answer(response.status, response.read(), tuple(headers))
    finally:
        connection.close()


@contextmanager
def canned(respond: Callable[[str, str, dict[str, str]], Answer]) -> Iterator[str]:
    """The URL of a server that answers with what `respond` makes of method, path and query."""

    class Handler(_Handler):
        def answer(self, body: bytes) -> Answer | None:
            url = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
            return respond(self.command, url.path, query)

    with _serving(Handler) as url:
        yield url


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else a body waits 40 ms for its headers to be acknowledged
    cut = False

    def answer(self, body: bytes) -> Answer | None:
        raise NotImplementedError

    def do_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        answer = self.answer(body)
        if answer is None:
            self.close_connection = True
            return
        self.send_response_only(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body[: len(answer.body) // 2] if self.cut else answer.body)
        if self.cut:
            self.close_connection = True

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = do_any  # noqa: N815 -- http.server's names

    def log_message(self, *_: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, *_: Any) -> None:
        """A client that goes away is what these servers are for."""


@contextmanager
def _serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = _Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
