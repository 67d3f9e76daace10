"""What a provider does about a mail once it is accepted: letting happen what its mode says, and telling."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable

from flute_server.sandbox.events import Event
from flute_server.sandbox.fate import Told, reports
from flute_server.sandbox.inbox import Entry, letters
from flute_server.sandbox.mail import Mail
from flute_server.sandbox.modes import Mode
from flute_server.sandbox.poster import EventLog, Outgoing, Poster

# A duplicate comes so much later at most, and disorder spreads events over so much time.
SPREAD_S = 0.2
# A send's answer waits no longer than this for an event that shall overtake it.
OVERTAKE_S = 2.0


class Aftermath:
    """One provider's events."""

    def __init__(self, provider: str, poster: Poster, log: EventLog, tells: Callable[[Event], bool]) -> None:
        self._provider = provider
        self._poster = poster
        self._log = log
        # Whether there is anybody to tell, and words to tell it in.
        self._tells = tells
        self._random = random.Random(1)  # noqa: S311 - disorder, repeatable

    def follow(self, entry: Entry, mail: Mail) -> list[Outgoing]:
        """Report all that happens to an accepted mail, each thing when it happens."""
        mode = entry.fate
        told = [
            report
            for letter in letters(entry, mail)
            for report in reports(mode, letter, entry.received_at)
            if self._tells(report.event)
        ]
        if mode.shuffle_events:
            told = self._shuffled(told)
        return [self._send(event, delay, mode.duplicate_events) for event, delay in told]

    def report(self, event: Event) -> Outgoing:
        """Tell of an event that somebody made up."""
        return self._send(event, 0, duplicate=False)

    def _send(self, event: Event, delay: float, duplicate: bool) -> Outgoing:
        if duplicate:
            self._put(Outgoing(self._provider, event, duplicate=True), delay + self._some_time())
        return self._put(Outgoing(self._provider, event), delay)

    def _put(self, item: Outgoing, delay: float) -> Outgoing:
        self._log.add(item)
        self._poster.put(item, delay)
        return item

    def _shuffled(self, told: Iterable[Told]) -> list[Told]:
        """In any order once the last of them has happened: none is told before its time."""
        items = list(told)
        last = max((item.delay for item in items), default=0.0)
        return [Told(item.event, last + self._some_time()) for item in items]

    def _some_time(self) -> float:
        return self._random.uniform(0.001, SPREAD_S)


async def let_overtake(mode: Mode, items: list[Outgoing]) -> None:
    """With shuffle_events, half of the sends are answered only when an event of theirs was posted."""
    if not mode.shuffle_events or not items or not mode.toss():
        return
    futures = []
    for item in items:
        item.tried = asyncio.get_running_loop().create_future()
        futures.append(item.tried)
    await asyncio.wait(futures, timeout=OVERTAKE_S, return_when=asyncio.FIRST_COMPLETED)
