"""Who could stand at the other end of webhooks and bounces: for trying the sandbox by hand and for tests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple, Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from flute_server.sandbox.listener import bind


class Post(NamedTuple):
    """One request as it came in."""

    path: str
    headers: Mapping[str, str]
    body: bytes


class Receiver:
    """Keeps every POST and answers 200, or what it is told to."""

    def __init__(self, answers: Iterable[int] = ()) -> None:
        self.posts: list[Post] = []
        self._answers = iter(answers)
        self._changed = threading.Condition()
        self._server = _listen(self, 0)
        self.port: int = self._server.server_address[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def take(self, post: Post) -> int:
        """Keep it; the status to answer with. A status of 0 hangs up instead."""
        with self._changed:
            self.posts.append(post)
            self._changed.notify_all()
            return next(self._answers, 200)

    def wait(
        self, done: Callable[[list[Post]], Any], timeout_s: float = 60.0, what: str = "it did not come"
    ) -> list[Post]:
        """The POSTs, as soon as they satisfy. Raises TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: done(self.posts), timeout_s):
                raise TimeoutError(f"{what}; {len(self.posts)} posts came")
            return list(self.posts)

    def down(self) -> None:
        """Refuse connections and drop the open ones, as a killed process does."""
        self._server.shutdown()
        self._server.server_close()

    def up(self) -> None:
        """Listen again at the same address."""
        self._server = _listen(self, self.port)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()


class _Server(ThreadingHTTPServer):
    """Knows its connections, to cut them."""

    daemon_threads = True
    request_queue_size = 128
    receiver: Receiver

    def __init__(self, address: tuple[str, int], receiver: Receiver) -> None:
        super().__init__(address, _Handler)
        self.receiver = receiver
        self.open: set[Any] = set()

    def server_close(self) -> None:
        for connection in list(self.open):
            self.shutdown_request(connection)
        super().server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.open.add(self.connection)

    def finish(self) -> None:
        self.server.open.discard(self.connection)
        super().finish()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status = self.server.receiver.take(Post(self.path, dict(self.headers), body))
        if not status:
            self.close_connection = True
            return
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def handle(self) -> None:
        try:
            super().handle()
        except (OSError, ValueError):
            # Cut in the middle; that is what down() is for.
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def _listen(receiver: Receiver, port: int) -> _Server:
    server = _Server(("127.0.0.1", port), receiver)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    return server


class Arrived(NamedTuple):
    """One mail as it came in."""

    sender: str
    recipients: list[str]
    content: bytes


class Postbox:
    """A mail server that keeps what it gets; for bounces."""

    def __init__(self) -> None:
        self.mails: list[Arrived] = []
        with bind("127.0.0.1", 0) as free:
            # aiosmtpd connects to itself before it tells its port, so it has to be told one.
            self.port: int = free.getsockname()[1]
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port, ready_timeout=60)
        self._controller.start()

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        content = envelope.original_content or b""
        # aiosmtpd writes the null sender like this.
        sender = "" if envelope.mail_from == "<>" else envelope.mail_from or ""
        self.mails.append(Arrived(sender, list(envelope.rcpt_tos), content))
        return "250 2.0.0 OK"

    def wait(self, count: int, timeout_s: float = 60.0) -> list[Arrived]:
        """So many mails. Raises TimeoutError."""
        deadline = time.monotonic() + timeout_s
        while len(self.mails) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(self.mails)} of {count} mails came")
            time.sleep(0.01)
        return list(self.mails)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._controller.stop()
