"""Streams hold a place each for as long as they last: nobody may take those of all others."""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from flute_server.errors import RateLimited

MOST = 64
MOST_OF_ENVIRONMENT = 8
# An account may have as many environments as it likes.
MOST_OF_ACCOUNT = 16
RETRY_AFTER_S = 30.0


class Places:
    """Counts the streams that are open at this server."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._environments: Counter[uuid.UUID] = Counter()
        self._accounts: Counter[uuid.UUID] = Counter()

    @contextmanager
    def one(self, environment_id: uuid.UUID, account_id: uuid.UUID) -> Iterator[None]:
        """A stream of this environment is open inside this block. Raises RateLimited when too many are."""
        with self._lock:
            self._check(environment_id, account_id)
            self._environments[environment_id] += 1
            self._accounts[account_id] += 1
        try:
            yield
        finally:
            with self._lock:
                # Whoever has none left is forgotten.
                self._environments -= Counter([environment_id])
                self._accounts -= Counter([account_id])

    def _check(self, environment_id: uuid.UUID, account_id: uuid.UUID) -> None:
        own = "are open at this server already; close one, or use ListEvents"
        if self._environments[environment_id] >= MOST_OF_ENVIRONMENT:
            text = f"{MOST_OF_ENVIRONMENT} streams of this environment {own}"
        elif self._accounts[account_id] >= MOST_OF_ACCOUNT:
            text = f"{MOST_OF_ACCOUNT} streams of this account's environments {own}"
        elif self._accounts.total() >= MOST:
            text = "this server has no place for another stream just now; try again later, or use ListEvents"
        else:
            return
        raise RateLimited("TOO_MANY_STREAMS", text, RETRY_AFTER_S)
