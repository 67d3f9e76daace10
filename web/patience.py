"""How long we wait for a request that arrives slowly, and for a client that does not take its answer, so that
a few slow clients cannot hold every thread.

A thread that reads from a client or writes to one says so here; one watchdog thread per process ends the
waits that take too long. Of who reads it closes the reading side of the connection: the reader then sees the
end of the data, and can still answer. Of who writes it closes the connection.

The rules: a request has `timeout_s` for its head and for its body, with more time for a larger body; when
half of the threads have waited for more than a second, those that waited longest are ended first; and when
all of them wait, so that nobody is served, a third of a second is enough for that.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

CHECK_EVERY_S = 0.1
SLOW_S = 1.0
HURRIED_S = 0.33
# A client with an uplink of 1 Mbit/s may still send the largest body.
MIN_BYTES_PER_S = 128 * 1024


@dataclass(frozen=True, slots=True)
class _Wait:
    fd: int
    since: float
    deadline: float
    how: int  # as socket.shutdown has it


class Watchdog:
    """Ends waits that take too long. Start it after the fork."""

    def __init__(self, threads: int, timeout_s: float) -> None:
        self._threads = threads
        self._bearable = max(1, threads // 2)
        self._timeout_s = timeout_s
        # By thread: each reads from one connection at a time. Whoever pops an entry decides its fate.
        self._waits: dict[int, _Wait] = {}

    def start(self) -> None:
        """Watch until the process ends."""
        threading.Thread(target=self._watch, name="patience", daemon=True).start()

    def begin(self, fd: int, expected_bytes: int = 0, *, writes: bool = False) -> None:
        """The calling thread starts to wait for data on this socket, or until data has left by it."""
        now = time.monotonic()
        deadline = now + self._timeout_s + expected_bytes / MIN_BYTES_PER_S
        how = socket.SHUT_RDWR if writes else socket.SHUT_RD
        self._waits[threading.get_ident()] = _Wait(fd, now, deadline, how)

    def end(self) -> None:
        """The calling thread waits no longer."""
        self._waits.pop(threading.get_ident(), None)

    def _watch(self) -> None:
        while True:
            time.sleep(CHECK_EVERY_S)
            if self._waits:
                self.check(time.monotonic())

    def check(self, now: float) -> None:
        """End what is overdue, and the oldest of the slow ones if there are too many."""
        waits = sorted(self._waits.copy().items(), key=lambda item: item[1].since)
        patience_s = SLOW_S if len(waits) < self._threads else HURRIED_S
        slow = sum(now - wait.since > patience_s for _, wait in waits)
        for index, (thread, wait) in enumerate(waits):
            too_many = index < slow - self._bearable
            if (too_many or now > wait.deadline) and self._waits.pop(thread, None) is wait:
                _stop(wait)


def _stop(wait: _Wait) -> None:
    try:
        # A duplicate, and a plain socket: SSLSocket.shutdown would make the answer leave unencrypted.
        with socket.socket(fileno=os.dup(wait.fd)) as connection:
            connection.shutdown(wait.how)
    except OSError:
        pass  # the client has gone already


_watchdog: Watchdog | None = None


def start(threads: int, timeout_s: float) -> Watchdog:
    """Start the watchdog of this process. Without it, as under other servers, nothing is limited."""
    global _watchdog  # noqa: PLW0603 (one per process, like the process's threads themselves)
    _watchdog = Watchdog(threads, timeout_s)
    _watchdog.start()
    return _watchdog


@contextmanager
def reading_body(connection: socket.socket | None, expected_bytes: int) -> Iterator[None]:
    """The calling thread reads a request's body inside this block."""
    watchdog = _watchdog
    if watchdog is None or connection is None:
        yield
        return
    watchdog.begin(connection.fileno(), expected_bytes)
    try:
        yield
    finally:
        watchdog.end()
