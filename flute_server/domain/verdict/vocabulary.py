"""The words of a verdict: whose fault a failure is, what to do, and how sure we are."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Cause(StrEnum):
    """Whose fault a failed delivery is."""

    RECIPIENT = "recipient"  # the address, its mailbox, its domain or its owner's rules
    PROVIDER = "provider"  # the sending service: its IPs, host names, limits, credentials
    MESSAGE = "message"  # what was sent: size, virus, attachment, headers, spam score
    SENDER_DOMAIN = "sender_domain"  # SPF, DKIM, DMARC, or the From domain itself
    TRANSIENT = "transient"  # nobody's yet: greylisting, time-outs, a busy receiver
    NOT_A_BOUNCE = "not_a_bounce"  # delivered, complaint, out of office
    UNKNOWN = "unknown"  # the text names no cause


class Action(StrEnum):
    """What Flute does about it."""

    FAILOVER = "failover"  # resend at once through another provider
    FAILOVER_IF_AUTHENTICATED = "failover_if_authenticated"  # once, where the domain has DKIM
    RETRY = "retry"  # wait for the same provider, then try another one
    SUPPRESS = "suppress"  # stop, and never mail this address again
    STOP = "stop"  # no resend; tell the caller
    REVIEW = "review"  # no resend; flag it for a person
    NONE = "none"  # nothing failed


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """What is known about a failure; every field may be empty."""

    text: str = ""  # the receiver's or reporter's words
    status: str = ""  # enhanced code, "5.1.1"
    reply: str = ""  # SMTP reply code, "550"
    destination: str = ""  # domain of the recipient
    rhost: str = ""  # host that refused
    provider: str = ""  # slug of the sending provider: "sendgrid", "smtp", ...
    provider_class: str = ""  # its own class, type or reason
    provider_detail: str = ""  # its second word: classification or severity


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one piece of evidence says; the most confident opinion becomes the verdict."""

    rule: str
    cause: Cause
    confidence: float
    reason: str
    permanent: bool | None = None  # None: this evidence does not tell, ask the codes
    action: Action | None = None  # None: the usual action for the cause


@dataclass(frozen=True, slots=True)
class Verdict:
    """The classification of one failure."""

    cause: Cause
    permanent: bool  # waiting will not help
    action: Action
    rule: str  # slug of the rule that decided
    reason: str  # one sentence for people
    confidence: float  # 0 to 1
