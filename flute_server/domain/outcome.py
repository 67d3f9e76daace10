"""What a provider's answer to an attempt means, and what follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Outcome(StrEnum):
    """The ledger's word on one recipient of one attempt: can this attempt still deliver?"""

    ACCEPTED = "accepted"  # the provider took responsibility
    NOT_SENT = "not_sent"  # the provider certainly does not have the mail
    REFUSED = "refused"  # the provider or its receiver answered no
    AMBIGUOUS = "ambiguous"  # the request went out and no answer came back


class Fate(StrEnum):
    """What became of an accepted attempt for one recipient; a later word never undoes a higher one.

    In this order: a receiver may bounce what it had taken, but never takes what it had refused.
    """

    DEFERRED = "deferred"
    DELIVERED = "delivered"
    BOUNCED = "bounced"


class ErrorKind(StrEnum):
    """Why an attempt did not end in `accepted`; the words of every provider map onto these."""

    UNREACHABLE = "unreachable"  # refused, no DNS, TLS failure, connect time-out: nothing was sent
    AUTH = "auth"  # key bad, revoked or without the scope
    QUOTA = "quota"  # plan, credits or daily limit used up
    SUSPENDED = "suspended"  # account, stream or domain switched off
    SENDER = "sender"  # FROM address or domain not verified at this provider
    RATE = "rate"  # too many calls
    SERVER = "server"  # 5xx with a body that says the mail was not taken
    REQUEST = "request"  # this provider's own rule or our call's form; another provider may take the mail
    TOO_LARGE = "too_large"  # over this provider's size or recipient cap
    RECIPIENT = "recipient"  # the address is malformed, unknown or refused
    SUPPRESSED = "suppressed"  # on this provider's own suppression list
    MESSAGE = "message"  # the mail itself is at fault
    TEMPORARY = "temporary"  # the receiver asks for a later try of this recipient (greylisting, busy, full)
    AMBIGUOUS = "ambiguous"  # sent, no answer: may or may not have been taken
    UNCALLED = "uncalled"  # our worker was held up for too long to call at all


@dataclass(frozen=True, slots=True)
class Reply:
    """A provider's answer about one recipient. `kind` None means accepted.

    status: HTTP status or SMTP reply code; code: the provider's own or the enhanced status code;
    text: what it said, secrets removed; retry_after: seconds it asked us to wait.
    """

    kind: ErrorKind | None
    status: str = ""
    code: str = ""
    text: str = ""
    provider_message_id: str = ""
    retry_after: float | None = None

    @property
    def accepted(self) -> bool:
        return self.kind is None


@dataclass(frozen=True, slots=True)
class SendResult:
    """The answer to one attempt: `reply` for all recipients but those in `exceptions`, by recipient id."""

    reply: Reply
    exceptions: Mapping[str, Reply] = field(default_factory=dict)

    def of(self, recipient_id: str) -> Reply:
        return self.exceptions.get(recipient_id, self.reply)
