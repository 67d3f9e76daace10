"""Slow clients: who waits too long is ended, sooner the fewer threads are left for others."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest

from web.patience import HURRIED_S, SLOW_S, Watchdog

THREADS = 8


@contextmanager
def waiting(watchdog: Watchdog, count: int) -> Iterator[list[socket.socket]]:
    """So many threads that wait for a client each."""
    over = threading.Event()
    with ExitStack() as stack:
        pairs = [socket.socketpair() for _ in range(count)]
        for ours, theirs in pairs:
            stack.enter_context(ours)
            stack.enter_context(theirs)
        begun = threading.Barrier(count + 1)

        def wait(ours: socket.socket) -> None:
            watchdog.begin(ours.fileno())
            begun.wait()
            over.wait()
            watchdog.end()

        threads = [threading.Thread(target=wait, args=(ours,)) for ours, _ in pairs]
        for thread in threads:
            thread.start()
        begun.wait()
        try:
            yield [ours for ours, _ in pairs]
        finally:
            over.set()
            for thread in threads:
                thread.join()


def ended(sockets: list[socket.socket]) -> int:
    """How many of them read the end of the data."""
    count = 0
    for one in sockets:
        one.setblocking(False)
        with suppress(BlockingIOError):
            count += one.recv(1) == b""
    return count


@pytest.mark.parametrize(
    ("count", "after_s", "expected"),
    [
        (THREADS, HURRIED_S / 2, 0),
        (THREADS, HURRIED_S + 0.1, THREADS // 2),
        (THREADS - 1, HURRIED_S + 0.1, 0),
        (THREADS - 1, SLOW_S + 0.1, THREADS - 1 - THREADS // 2),
        (THREADS // 2, SLOW_S + 0.1, 0),
        (1, 10.1, 1),
    ],
)
def test_the_fewer_threads_are_left_the_sooner_waits_end(count: int, after_s: float, expected: int) -> None:
    watchdog = Watchdog(THREADS, timeout_s=10.0)
    with waiting(watchdog, count) as sockets:
        watchdog.check(time.monotonic() + after_s)
        assert ended(sockets) == expected
