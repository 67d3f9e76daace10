"""What a provider tells afterwards about a mail that it took, in one vocabulary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from flute_server.domain.verdict import Diagnostic


class ProviderEventKind(StrEnum):
    """The words of every provider map onto these."""

    ACCEPTED = "accepted"  # taken, queued, processed
    DEFERRED = "deferred"  # the provider goes on trying
    DELIVERED = "delivered"  # the receiver took it
    BOUNCED = "bounced"  # the receiver refused it for good, or the provider gave up
    DROPPED = "dropped"  # the provider did not try: its own suppression list or policy
    COMPLAINED = "complained"  # the recipient called it spam
    OPENED = "opened"
    CLICKED = "clicked"
    UNSUBSCRIBED = "unsubscribed"
    OTHER = "other"  # kept, without effect


@dataclass(frozen=True, slots=True)
class ProviderEvent:
    """One event about one recipient, as far as the provider tells; unknown parts are empty.

    time: when it happened; when it was read, if the provider does not say or cannot be right.
    key: what is the same when the provider repeats the event, and different otherwise. email_id, attempt_id
    and recipient_id are ours, as they came back in the provider's metadata. raw: the provider's own words.
    """

    kind: ProviderEventKind
    key: str
    time: datetime
    recipient: str = ""
    email_id: str = ""
    attempt_id: str = ""
    recipient_id: str = ""
    provider_message_id: str = ""
    diagnostic: Diagnostic = field(default_factory=Diagnostic)
    raw: Mapping[str, Any] = field(default_factory=dict)
