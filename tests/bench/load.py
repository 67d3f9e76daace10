"""A load generator that costs little, so that it measures Flute and not itself."""

from __future__ import annotations

import json
import socket
import threading
import time
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection as PipeEnd
from urllib.parse import urlsplit


def request_bytes(url: str, body: dict[str, object]) -> bytes:
    """One HTTP/1.1 POST, ready to be written again and again."""
    parts = urlsplit(url)
    payload = json.dumps(body).encode()
    head = (
        f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(payload)}\r\n\r\n"
    )
    return head.encode() + payload


class Connection:
    """A kept-alive connection; opened anew when the server ends it."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._socket: socket.socket | None = None

    def call(self, request: bytes) -> tuple[int, bytes]:
        """Status and body of the answer."""
        if self._socket is None:
            self._socket = socket.create_connection(self._address, 30)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(request)
        data = b""
        while b"\r\n\r\n" not in data:
            chunk = self._socket.recv(65536)
            if not chunk:
                self._socket = None
                return self.call(request)
            data += chunk
        head, _, body = data.partition(b"\r\n\r\n")
        lower = head.lower()
        length = int(lower.partition(b"content-length:")[2].partition(b"\r\n")[0])
        while len(body) < length:
            body += self._socket.recv(65536)
        if b"connection: close" in lower:
            self._socket.close()
            self._socket = None
        return int(head[9:12]), body


@dataclass
class Tally:
    """What one process did. times: seconds a call."""

    done: int = 0
    refused: int = 0
    times: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Load:
    """calls: how many in all, 0 for no limit."""

    url: str
    body: dict[str, object]
    clients: int
    seconds: float
    calls: int


def run(url: str, body: dict[str, object], *, clients: int, seconds: float, calls: int = 0) -> Tally:
    """Call for so many seconds, or so many times in all, from a process of its own."""
    context = get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    load = Load(url, body, clients, seconds, calls)
    process = context.Process(target=_generate, args=(send, load))
    process.start()
    tally: Tally = receive.recv()
    process.join()
    return tally


def _generate(pipe: PipeEnd, load: Load) -> None:
    parts = urlsplit(load.url)
    request = request_bytes(load.url, load.body)
    tally, lock = Tally(), threading.Lock()
    end = time.monotonic() + load.seconds
    started = 0

    def work() -> None:
        nonlocal started
        connection = Connection((parts.hostname or "", parts.port or 80))
        while time.monotonic() < end:
            with lock:
                if load.calls and started >= load.calls:
                    return
                started += 1
            begin = time.perf_counter()
            status, _ = connection.call(request)
            with lock:
                tally.times.append(time.perf_counter() - begin)
                tally.done += status == 202
                tally.refused += status != 202

    threads = [threading.Thread(target=work) for _ in range(load.clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pipe.send(tally)
