"""A threading HTTP server with ranges on loopback, which injects faults."""

from __future__ import annotations

import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit


@dataclass
class Fault:
    """What a server does instead of answering.

    ``times`` counts down; a negative number never ends.
    """

    status: int = 0
    truncate: bool = False
    slow: float = 0.0
    times: int = 1
    headers: dict[str, str] = field(default_factory=dict)


class Server(ThreadingHTTPServer):
    """Serves files of a folder by ranges; ``faults`` by part of a path."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder = folder
        self.faults: dict[str, Fault] = {}
        self.requests: list[str] = []
        self.sent = 0
        self.ranges = True
        #: A service that answers all requests that are not for files in ``/data``.
        self.upstream = ""
        #: Returns whether a signature (the query ``sig``) is valid; None needs no signature.
        self.accepts: Callable[[str], bool] | None = None
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def fault(self, path: str) -> Fault | None:
        with self.lock:
            for part, fault in self.faults.items():
                if part in path and fault.times != 0:
                    fault.times -= 1
                    return fault
        return None


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def do_POST(self) -> None:
        self.answer(body=True)

    def forwarded(self) -> bytes | None:
        """Return the answer of the upstream service; None if it reports an error."""
        size = int(self.headers.get("Content-Length") or 0)
        request = urllib.request.Request(
            self.server.upstream + self.path,
            data=self.rfile.read(size) if size else None,
            headers={"Content-Type": self.headers.get("Content-Type", "application/json")},
            method=self.command,
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                content: bytes = answer.read()
                return content
        except urllib.error.HTTPError:
            return None

    def answer(self, *, body: bool) -> None:
        parts = urlsplit(self.path)
        self.server.requests.append(f"{self.command} {self.path} {self.headers.get('Range', '')}")
        fault = self.server.fault(parts.path)
        if fault is not None and fault.status:
            return self.plain(fault.status, fault.headers)
        accepts = self.server.accepts
        if accepts is not None and not accepts(parse_qs(parts.query).get("sig", [""])[0]):
            return self.plain(403)
        data = self.content(parts.path)
        if data is None:
            return self.plain(404)
        total = len(data)
        wanted = self.headers.get("Range", "")
        if wanted and self.server.ranges:
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            start, end = int(first), min(int(last or total - 1), total - 1)
            if start >= total:
                return self.plain(416)
            data = data[start : end + 1]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{end}/{total}")
        else:
            self.send_response(200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(data)))
        cut = fault is not None and fault.truncate
        if cut:
            self.send_header("Connection", "close")
        self.end_headers()
        if not body:
            return None
        if fault is not None and fault.slow:
            time.sleep(fault.slow)
        with suppress(OSError):
            self.wfile.write(data[: len(data) // 2] if cut else data)
        self.server.sent += len(data)
        self.close_connection = cut
        return None

    def content(self, path: str) -> bytes | None:
        if self.server.upstream and not path.startswith("/data/"):
            return self.forwarded()
        file = self.server.folder / path.lstrip("/")
        return file.read_bytes() if file.is_file() else None

    def plain(self, status: int, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """Serve a folder on loopback."""
    server = Server(folder)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
