"""Getting events out: in batches, a few at a time, again and again until the receiver has taken them."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import NamedTuple
from uuid import uuid4

from flute_server.sandbox.events import Event

LANES = 8
FLUSH_S = 0.02
MAX_PENDING = 100_000
MAX_LOG = 100_000
# Real providers pause for minutes and give up after hours; here all is a few hundred times faster.
FIRST_PAUSE_S = 0.05
MAX_PAUSE_S = 1.0
GIVE_UP_AFTER_S = 180.0

PENDING = "pending"
TAKEN = "taken"
GIVEN_UP = "given up"
CANCELED = "canceled"


@dataclass(slots=True)
class Outgoing:
    """One event on its way to the receiver. A duplicate is an Outgoing of its own."""

    provider: str
    event: Event
    duplicate: bool = False
    state: str = PENDING
    url: str = ""
    status: str = ""
    tries: int = 0
    tried: asyncio.Future[None] | None = None

    def mark_tried(self) -> None:
        """Wake whoever waits for the first try."""
        if self.tried is not None and not self.tried.done():
            self.tried.set_result(None)

    def describe(self) -> dict[str, object]:
        """As the control API shows it."""
        event = self.event
        return {
            "provider": self.provider,
            "kind": event.kind.value,
            "event_id": event.id,
            "message_id": event.letter.message_id,
            "recipient": event.letter.recipient,
            "ids": dict(event.letter.metadata),
            "at": datetime.fromtimestamp(event.at, UTC).isoformat(),
            "text": event.text,
            "duplicate": self.duplicate,
            "state": self.state,
            "url": self.url,
            "status": self.status,
            "tries": self.tries,
        }


class Verdict(NamedTuple):
    """What the receiver said to a batch: its status, and whether to try again."""

    url: str
    status: str
    taken: bool
    final: bool = False


@dataclass(slots=True)
class Batch:
    """Events that travel together; a retry is the same batch."""

    items: list[Outgoing]
    id: str = field(default_factory=lambda: str(uuid4()))
    first_try: float = 0.0
    tries: int = 0


Deliver = Callable[[Batch], Awaitable[Verdict]]


class EventLog:
    """Every event that was sent or is about to be, oldest first, bounded."""

    def __init__(self) -> None:
        self._items: deque[Outgoing] = deque(maxlen=MAX_LOG)

    def add(self, item: Outgoing) -> None:
        self._items.append(item)

    def clear(self) -> int:
        gone = len(self._items)
        self._items.clear()
        return gone

    def select(
        self, wanted: Callable[[Outgoing], bool], offset: int = 0, limit: int | None = None
    ) -> list[Outgoing]:
        stop = None if limit is None else offset + limit
        return list(islice(filter(wanted, self._items), offset, stop))

    def count(self, wanted: Callable[[Outgoing], bool]) -> dict[str, object]:
        """How many there are, by kind and by state."""
        items = self.select(wanted)
        kinds = Counter(item.event.kind.value for item in items)
        states = Counter(item.state for item in items)
        return {"count": len(items), "kinds": dict(kinds), "states": dict(states)}


class Poster:
    """The way out for one provider's events."""

    def __init__(
        self,
        deliver: Deliver,
        batch_size: int,
        max_pending: int = MAX_PENDING,
        give_up_after_s: float = GIVE_UP_AFTER_S,
    ) -> None:
        self._deliver = deliver
        self._size = batch_size
        self._max_pending = max_pending
        self._give_up_after_s = give_up_after_s
        self._ready: deque[Outgoing] = deque()
        self._again: deque[Batch] = deque()
        self._there_is_work = asyncio.Event()
        self._turn = asyncio.Lock()
        self._lanes: list[asyncio.Task[None]] = []
        self._failures = 0  # in a row, over all lanes
        self._generation = 0
        self._pending = 0

    def put(self, item: Outgoing, delay: float = 0) -> None:
        """Send it, after so many seconds; unless far too many are on their way."""
        self._pending += 1
        if self._pending > self._max_pending:
            self._settle(item, GIVEN_UP)
        elif delay > 0:
            asyncio.get_running_loop().call_later(delay, self._due, item, self._generation)
        else:
            self._due(item, self._generation)

    def clear(self) -> None:
        """Forget all that is on its way."""
        self._generation += 1
        self._failures = 0
        while self._ready:
            self._settle(self._ready.popleft(), CANCELED)
        while self._again:
            self._settle_all(self._again.popleft(), CANCELED)

    async def close(self) -> None:
        self.clear()
        for lane in self._lanes:
            lane.cancel()
        await asyncio.gather(*self._lanes, return_exceptions=True)
        self._lanes.clear()

    def _due(self, item: Outgoing, generation: int) -> None:
        if generation != self._generation:
            self._settle(item, CANCELED)
            return
        self._ready.append(item)
        self._work()

    def _work(self) -> None:
        self._there_is_work.set()
        if not self._lanes:
            self._lanes = [asyncio.create_task(self._lane()) for _ in range(LANES)]

    async def _lane(self) -> None:
        while True:
            batch = await self._next()
            generation = self._generation
            if batch.items:
                self._judge(batch, await self._try(batch), generation)

    async def _next(self) -> Batch:
        """The next batch, once it is full or has waited for company; after failures, slowly."""
        async with self._turn:
            await self._there_is_work.wait()
            if self._failures:
                await asyncio.sleep(_pause(self._failures))
            if not self._again and 1 < self._size > len(self._ready):
                await asyncio.sleep(FLUSH_S)
            if self._again:
                batch = self._again.popleft()
            else:
                count = min(self._size, len(self._ready))
                batch = Batch([self._ready.popleft() for _ in range(count)])
            if not self._ready and not self._again:
                self._there_is_work.clear()
            return batch

    async def _try(self, batch: Batch) -> Verdict:
        batch.first_try = batch.first_try or asyncio.get_running_loop().time()
        try:
            verdict = await self._deliver(batch)
        except Exception as error:  # a fault of ours: shown with the event, and no end to the others
            verdict = Verdict("", f"sandbox error: {error!r}", taken=False, final=True)
        batch.tries += 1
        for item in batch.items:
            item.tries, item.url, item.status = batch.tries, verdict.url, verdict.status
            item.mark_tried()
        return verdict

    def _judge(self, batch: Batch, verdict: Verdict, generation: int) -> None:
        loop = asyncio.get_running_loop()
        self._failures = 0 if verdict.taken or verdict.final else self._failures + 1
        overdue = loop.time() - batch.first_try > self._give_up_after_s
        if verdict.taken:
            self._settle_all(batch, TAKEN)
        elif verdict.final or overdue:
            self._settle_all(batch, GIVEN_UP)
        elif generation != self._generation:
            self._settle_all(batch, CANCELED)
        else:
            loop.call_later(_pause(batch.tries), self._retry, batch, generation)

    def _retry(self, batch: Batch, generation: int) -> None:
        if generation != self._generation:
            self._settle_all(batch, CANCELED)
            return
        self._again.append(batch)
        self._work()

    def _settle_all(self, batch: Batch, state: str) -> None:
        for item in batch.items:
            self._settle(item, state)

    def _settle(self, item: Outgoing, state: str) -> None:
        self._pending -= 1
        item.state = state
        item.mark_tried()


def _pause(failures: int) -> float:
    return min(MAX_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(failures - 1, 10))
