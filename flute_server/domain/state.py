"""Where a mail to one recipient stands, which moves are allowed, and what that makes of the whole email."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class State(StrEnum):
    """A recipient's state; see DeliveryState in the proto for each word's meaning."""

    SCHEDULED = "scheduled"
    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    DEFERRED = "deferred"
    DELIVERED = "delivered"
    BOUNCED = "bounced"
    FAILED = "failed"
    SUPPRESSED = "suppressed"
    CANCELED = "canceled"


class EventType(StrEnum):
    """The words of the timeline."""

    ACCEPTED = "accepted"  # stored durably
    SCHEDULED = "scheduled"  # given a time to be sent at, or another one
    ATTEMPT = "attempt"  # a call to a provider account began
    SENT = "sent"  # a provider took responsibility
    DEFERRED = "deferred"  # tried, to be tried again
    DELIVERED = "delivered"  # the receiver took it
    BOUNCED = "bounced"  # refused for the recipient's cause
    FAILOVER = "failover"  # moved on to the next provider
    FAILED = "failed"  # given up, or refused for the message's cause
    COMPLAINED = "complained"  # the recipient called it spam
    OPENED = "opened"
    CLICKED = "clicked"
    UNSUBSCRIBED = "unsubscribed"
    SUPPRESSED = "suppressed"  # not sent: the address is on the suppression list
    CANCELED = "canceled"


# Nothing leaves these by our own doing; a provider's later word still may (a bounce after `delivered`).
FINAL = frozenset({State.DELIVERED, State.BOUNCED, State.FAILED, State.SUPPRESSED, State.CANCELED})

# The email is where its slowest recipient is; once all have ended, the worst end is what a caller must see.
_PROGRESS = (
    State.SENDING,
    State.QUEUED,
    State.SCHEDULED,
    State.DEFERRED,
    State.FAILED,
    State.BOUNCED,
    State.SUPPRESSED,
    State.SENT,
    State.DELIVERED,
    State.CANCELED,
)


def email_state(recipients: Iterable[State]) -> State:
    """The state of an email with recipients in these states (at least one)."""
    states = set(recipients)
    return next(state for state in _PROGRESS if state in states)
