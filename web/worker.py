"""gunicorn's threaded worker, with what it lacks: patience that ends, and its own errors in our shape."""

from __future__ import annotations

import ctypes
import logging
import socket
import uuid
from collections.abc import Callable
from typing import Protocol

from gunicorn import util  # type: ignore[import-untyped]  # gunicorn has no annotations
from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

from web import patience
from web.config import WebConfig
from web.errors import Problem, to_json
from web.redact import RedactKeys


class _Connection(Protocol):
    sock: socket.socket


class Worker(ThreadWorker):  # type: ignore[misc]  # see above
    """Threads, kept-alive connections, and no thread that waits for a client for ever."""

    _watchdog: patience.Watchdog

    def init_process(self) -> None:
        """Runs in the worker, after the fork."""
        self._watchdog = patience.start(self.cfg.threads, WebConfig.from_env().body_timeout_s)
        # gunicorn logs the header lines that it refuses, and the Authorization header may be among them.
        logging.getLogger("gunicorn.error").addFilter(RedactKeys())
        # It has no setting for the body of its own errors.
        util.write_error = _write_error
        util.write = _patient(util.write, self._watchdog)
        util.write_chunk = _patient(util.write_chunk, self._watchdog)
        _give_large_blocks_back()
        super().init_process()

    def handle(self, conn: _Connection) -> object:
        """Serve one request of a connection; the head must arrive in time."""
        self._watchdog.begin(conn.sock.fileno())
        try:
            return super().handle(conn)
        finally:
            self._watchdog.end()

    def handle_request(self, req: object, conn: _Connection) -> object:
        """Called with a complete head."""
        self._watchdog.end()
        return super().handle_request(req, conn)


def _patient(write: Callable[..., None], watchdog: patience.Watchdog) -> Callable[..., None]:
    """The same, without waiting for ever for a client that does not read."""

    def patiently(sock: socket.socket, data: bytes, *more: bool) -> None:
        watchdog.begin(sock.fileno(), len(data), writes=True)
        try:
            write(sock, data, *more)
        finally:
            watchdog.end()

    return patiently


def _give_large_blocks_back() -> None:
    """Tell glibc to map blocks above 1 MB singly, so that memory goes back to the system after a large mail.

    Left alone it raises that limit to 32 MB by itself, and six mails of 25 MB at once left 460 MB behind.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries do not have it
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 1 << 20)


_M_MMAP_THRESHOLD = -3  # from glibc's malloc.h

_PROBLEMS = {
    414: Problem(414, "uri_too_long", "The address is longer than 4,000 bytes."),
    417: Problem(417, "expectation_failed", "The only expectation that can be met is 100-continue."),
    431: Problem(431, "headers_too_large", "The header is larger than this server accepts."),
}
_MALFORMED = Problem(400, "malformed_request", "The request is not valid HTTP.")
_BROKEN = Problem(503, "unavailable", "Something went wrong on our side. Please try again.")


def _write_error(connection: socket.socket, status: int, _reason: str, _message: str) -> None:
    """Stands in for gunicorn.util.write_error. The message is left out: it quotes the request."""
    problem = _PROBLEMS.get(status, _MALFORMED if status < 500 or status == 501 else _BROKEN)
    request_id = uuid.uuid4().hex
    body = to_json(problem, request_id)
    head = [
        f"HTTP/1.1 {problem.status} {problem.title}",
        "Connection: close",
        "Content-Type: application/problem+json",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        f"X-Request-Id: {request_id}",
        *(["Retry-After: 1"] if problem.status == 503 else []),
    ]
    util.write_nonblock(connection, "\r\n".join([*head, "", body]).encode("latin-1"))
