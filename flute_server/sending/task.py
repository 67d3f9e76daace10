"""A mail in a worker's hands."""

from __future__ import annotations

import uuid
from collections.abc import Container
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from flute_server.domain.message import Message, Recipient
from flute_server.domain.route import Wait

AccountId = uuid.UUID


@dataclass(slots=True)
class Pending:
    """A recipient that still needs a provider.

    tried: accounts that were called for it this round; for_good: those whose refusal another round
    cannot change, with their words; waiting: nothing to do for it now; wait: until when, None for the next
    round; held: its last attempt is ambiguous and the policy is to wait; needs_authentication: a receiver
    found the domain's SPF, DKIM or DMARC wanting, so only a provider known to sign for it may carry it;
    attempts: how many calls were made for it.
    """

    recipient: Recipient
    row_id: int
    tried: set[AccountId] = field(default_factory=set)
    for_good: dict[AccountId, str] = field(default_factory=dict)
    waiting: bool = False
    wait: Wait | None = None
    held: bool = False
    needs_authentication: bool = False
    attempts: int = 0


@dataclass(slots=True)
class Task:
    """A claimed email. lease: the fencing token; calls: how many of its calls are under way; fresh: it was
    claimed in this very turn, which has set its lease.

    held_until: when a held recipient is decided upon, if there is one; abandoned: a turn failed and what
    is in memory cannot be trusted, so the email goes back as soon as its calls have ended; test: no provider
    is called for it; send_time: when the caller wanted it sent, None for at once.
    """

    email_id: uuid.UUID
    environment_id: uuid.UUID
    lease: int
    round: int
    create_time: datetime
    message: Message
    pending: dict[int, Pending]
    calls: int = 0
    fresh: bool = True
    held_until: datetime | None = None
    abandoned: bool = False
    test: bool = False
    send_time: datetime | None = None

    @property
    def start_time(self) -> datetime:
        """From when on the time to give up counts."""
        return self.send_time or self.create_time

    def hold(self, until: datetime) -> None:
        """Remember the earliest time at which held recipients are decided upon."""
        self.held_until = min(until, self.held_until or until)

    def groups(self, apart: Container[str] = ()) -> list[list[Pending]]:
        """The recipients that may be sent to now, those with the same history and needs together.

        apart: receiving domains at which some route is not well; each gets a group of its own.
        """
        alike: dict[object, list[Pending]] = {}
        for pending in self.pending.values():
            if not pending.waiting and not pending.held:
                domain = pending.recipient.address.domain
                history = (frozenset(pending.tried), frozenset(pending.for_good))
                key = (history, pending.needs_authentication, domain if domain in apart else "")
                alike.setdefault(key, []).append(pending)
        return list(alike.values())


@dataclass(frozen=True, slots=True)
class Policy:
    """An environment's settings that decide how its mail is sent."""

    hold_ambiguous: bool
    ambiguity_wait: timedelta
    give_up_after: timedelta
    one_click_unsubscribe: bool = False
