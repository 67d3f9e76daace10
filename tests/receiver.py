"""A program of the owner, for tests: takes webhooks over HTTP and answers as it is told."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Taken:
    """One call. at: when it came, on the monotonic clock."""

    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def json(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.body)
        return parsed

    @property
    def type(self) -> str:
        return str(self.json["type"])


# What to answer: a status, and header fields.
Answer = tuple[int, dict[str, str]]


@dataclass
class Receiver:
    """calls: what came, in order. answer: decides on each call, and may wait."""

    calls: list[Taken] = field(default_factory=list)
    answer: Callable[[Taken], Answer] = lambda _: (204, {})
    url: str = ""
    most_at_once: int = 0
    _under_way: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, email_id: str) -> list[Taken]:
        return [call for call in self.calls if call.json["data"]["email_id"] == email_id]

    def take(self, headers: dict[str, str], body: bytes) -> Answer:
        call = Taken(headers, body, time.monotonic())
        with self._lock:
            self.calls.append(call)
            self._under_way += 1
            self.most_at_once = max(self.most_at_once, self._under_way)
        try:
            return self.answer(call)
        finally:
            with self._lock:
                self._under_way -= 1


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver on a port of its own."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, fields = receiver.take({k.lower(): v for k, v in self.headers.items()}, body)
            text = b"" if status == 204 else f"status {status}".encode()
            self.send_response(status)
            for name, value in fields.items():
                self.send_header(name, value)
            if status != 204:
                self.send_header("Content-Length", str(len(text)))
            # The caller may have hung up while the answer was held back.
            with suppress(ConnectionError):
                self.end_headers()
                self.wfile.write(text)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    receiver.url = f"http://127.0.0.1:{server.server_port}/flute"
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
