"""What HTTP and SMTP providers have in common: a name, a mode, counters, a place in the inbox."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass, field
from typing import ClassVar

from flute_server.sandbox.aftermath import Aftermath
from flute_server.sandbox.events import Event
from flute_server.sandbox.inbox import Entry, Inbox
from flute_server.sandbox.listener import Listener
from flute_server.sandbox.mail import Mail
from flute_server.sandbox.modes import Mode
from flute_server.sandbox.poster import Deliver, EventLog, Outgoing, Poster


@dataclass(slots=True)
class Calls:
    """How often the provider was called, and what it said.

    An answer is an HTTP status or SMTP reply code; or, where there was none, `reset`, `drop_answer`, `hang`
    or `gone` (the client left before). For SMTP a call is a transaction or a refused login, and a
    transaction has as many answers as it has refused recipients, and the one to its end.
    """

    calls: int = 0
    accepted: int = 0
    answers: Counter[str] = field(default_factory=Counter)

    def begin(self) -> None:
        self.calls += 1

    def answer(self, answer: str) -> None:
        self.answers[answer] += 1

    def describe(self) -> dict[str, object]:
        return {"calls": self.calls, "accepted": self.accepted, "answers": dict(self.answers)}


class Provider(ABC):
    """One played provider."""

    name: ClassVar[str]
    scheme: ClassVar[str]
    credentials: ClassVar[dict[str, str]]
    listener: Listener

    def __init__(self, inbox: Inbox, log: EventLog, deliver: Deliver, batch_size: int = 1) -> None:
        """deliver: how this provider's events go out, so many at a time."""
        self.inbox = inbox
        self.poster = Poster(deliver, batch_size)
        self.aftermath = Aftermath(self.name, self.poster, log, self.tells)
        self.mode = Mode()
        self.calls = Calls()
        self._changing = asyncio.Lock()
        inbox.register(self.name, self.read)

    @property
    def base_url(self) -> str:
        host = f"[{self.listener.host}]" if ":" in self.listener.host else self.listener.host
        return f"{self.scheme}://{host}:{self.listener.port}"

    async def set_mode(self, mode: Mode) -> None:
        """Behave so from now on; in force when this returns, also for kept-alive connections."""
        async with self._changing:
            self.mode = mode
            if mode.name == "down":
                self.listener.close()
            else:
                await self.listener.open()
            if mode.name in {"down", "reset"}:
                self.drop_connections()

    def describe(self) -> dict[str, object]:
        """As the control API lists it."""
        return {
            "base_url": self.base_url,
            "host": self.listener.host,
            "port": self.listener.port,
            "credentials": dict(self.credentials),
            "mode": self.mode.describe(),
        }

    def keep(self, entry: Entry, mail: Mail | None) -> list[Outgoing]:
        """Take a mail into the inbox; the events that will tell of it. Without a mail there are none."""
        self.calls.accepted += 1
        self.inbox.add(entry)
        return self.aftermath.follow(entry, mail) if mail and self.listens else []

    def check_mode(self, mode: Mode) -> None:
        """Raises ModeError when this provider has no such class of bounces."""
        if mode.klass:
            self.check_class(mode.klass)

    @property
    @abstractmethod
    def listens(self) -> bool:
        """Has anybody asked for events?"""

    @abstractmethod
    def tells(self, event: Event) -> bool:
        """Has this provider words for the event?"""

    @abstractmethod
    def check_class(self, klass: str) -> None:
        """Raises ModeError with the classes there are."""

    @abstractmethod
    def read(self, entry: Entry) -> Mail:
        """Understand an accepted mail again, from its raw form."""

    @abstractmethod
    def drop_connections(self) -> None:
        """Cut all open connections."""

    @abstractmethod
    async def close(self) -> None:
        """Stop for good."""
