"""A mail in a worker's hands."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from flute_server.domain.message import Message, Recipient

AccountId = uuid.UUID


@dataclass(slots=True)
class Pending:
    """A recipient that still needs a provider.

    tried: accounts that were called for it this round; for_good: those whose refusal another round
    cannot change, with their words; waiting: not before the next round; held: its last attempt is
    ambiguous and the policy is to wait.
    """

    recipient: Recipient
    row_id: int
    tried: set[AccountId] = field(default_factory=set)
    for_good: dict[AccountId, str] = field(default_factory=dict)
    waiting: bool = False
    held: bool = False


@dataclass(slots=True)
class Task:
    """A claimed email. lease: the fencing token; calls: how many of its calls are under way.

    held_until: when a held recipient is decided upon, if there is one; abandoned: a turn failed and what
    is in memory cannot be trusted, so the email goes back as soon as its calls have ended.
    """

    email_id: uuid.UUID
    environment_id: uuid.UUID
    lease: int
    round: int
    create_time: datetime
    message: Message
    pending: dict[int, Pending]
    calls: int = 0
    held_until: datetime | None = None
    abandoned: bool = False

    def hold(self, until: datetime) -> None:
        """Remember the earliest time at which held recipients are decided upon."""
        self.held_until = min(until, self.held_until or until)

    def groups(self) -> list[list[Pending]]:
        """The recipients that may be sent to now, those with the same history together."""
        by_history: dict[frozenset[AccountId], list[Pending]] = {}
        for pending in self.pending.values():
            if not pending.waiting and not pending.held:
                by_history.setdefault(frozenset(pending.tried), []).append(pending)
        return list(by_history.values())


@dataclass(frozen=True, slots=True)
class Policy:
    """An environment's settings that decide how its mail is sent."""

    hold_ambiguous: bool
    ambiguity_wait: timedelta
    give_up_after: timedelta
