"""Calls that wait for servers of others, whom a tenant names: only a few at a time.

Each keeps a thread for as long as such a server takes its time, and all calls of everybody share the threads.
"""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from flute_server.errors import RateLimited
from flute_server.rpc.principal import current

MOST_OF_ONE = 2
RETRY_AFTER_S = 3.0


class Waiting:
    """Counts who waits in this process. most: of all accounts together."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._running: Counter[uuid.UUID | None] = Counter()

    @contextmanager
    def one(self) -> Iterator[None]:
        """The present call waits inside this block. Raises RateLimited when too many do already."""
        whose = _account()
        with self._lock:
            self._check(whose)
            self._running[whose] += 1
        try:
            yield
        finally:
            with self._lock:
                self._running -= Counter([whose])

    def _check(self, whose: uuid.UUID | None) -> None:
        if whose and self._running[whose] >= MOST_OF_ONE:
            text = f"{MOST_OF_ONE} checks of this account wait for an answer already; try again when they end"
        elif self._running.total() >= self._most:
            text = "too many checks wait for other servers just now; try again in a moment"
        else:
            return
        raise RateLimited("BUSY", text, RETRY_AFTER_S)


@cache
def waiting(threads: int) -> Waiting:
    """The process's. threads: that all calls share; half of them stay free for those who do not wait."""
    return Waiting(max(1, threads // 2))


def _account() -> uuid.UUID | None:
    """Whose call it is; None for the operator's own programs."""
    principal = current.get()
    own = principal.sender or principal.person
    return own.account_id if own else None
