"""What a provider's later word about an accepted mail changes: one pure function over what is on record.

The order in which events come does not matter: a fate only ever rises (see Fate), and what is decided once
for an attempt is not decided again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from enum import IntEnum, StrEnum

from flute_server.domain.event import ProviderEventKind
from flute_server.domain.outcome import Fate, Outcome
from flute_server.domain.state import EventType, State
from flute_server.domain.verdict import Action, Cause, Verdict

# A bounce that comes later than this resends nothing: the mail has lost its meaning.
RESEND_WITHIN = timedelta(hours=48)
# However many routes there are, nobody gets a mail tried more often than this.
MOST_ATTEMPTS = 8

_WAITING = frozenset({State.QUEUED, State.SENDING})
_RANK = {None: 0, Fate.DEFERRED: 1, Fate.DELIVERED: 2, Fate.BOUNCED: 3}


class Notice(StrEnum):
    """Whom a bounce is told, besides the timeline."""

    SUPPRESS_BOUNCE = "suppress_bounce"
    SUPPRESS_COMPLAINT = "suppress_complaint"
    SUPPRESS_UNSUBSCRIBE = "suppress_unsubscribe"
    ALERT_SENDER_DOMAIN = "alert_sender_domain"
    ALERT_REVIEW = "alert_review"


class Elsewhere(IntEnum):
    """The best that is known of the recipient's other attempts."""

    NOWHERE = 0  # none of them can have the mail, as far as anybody knows
    OPEN = 1  # a call is under way
    TAKEN = 2  # a provider has it, and has reported no failure
    ARRIVED = 3


@dataclass(frozen=True, slots=True)
class Seen:
    """What is on record of the attempt that an event is about, for its recipient.

    attempts: how many were made for this recipient; age: since this one began; canceled: the caller took the
    mail back since.
    """

    state: State
    outcome: Outcome | None
    fate: Fate | None
    elsewhere: Elsewhere
    attempts: int
    age: timedelta
    canceled: bool = False


def standing(outcome: Outcome | None, fate: Fate | None) -> Elsewhere:
    """What one attempt means for the others."""
    if fate is Fate.BOUNCED or outcome not in {None, Outcome.ACCEPTED}:
        return Elsewhere.NOWHERE
    if fate is Fate.DELIVERED:
        return Elsewhere.ARRIVED
    return Elsewhere.OPEN if outcome is None else Elsewhere.TAKEN


@dataclass(frozen=True, slots=True)
class Effect:
    """What changes; None leaves a thing as it is. consequence: what Flute does, in words."""

    event: EventType | None = None
    outcome: Outcome | None = None
    fate: Fate | None = None
    state: State | None = None
    action: Action | None = None
    notice: Notice | None = None
    consequence: str = ""


def effect(kind: ProviderEventKind, seen: Seen, verdict: Verdict | None = None) -> Effect:
    """The effect of one event. verdict: needed for bounces and drops."""
    if kind in {ProviderEventKind.BOUNCED, ProviderEventKind.DROPPED} and verdict:
        return _refused(seen, verdict)
    if kind is ProviderEventKind.ACCEPTED:
        return _accepted(seen)
    if kind is ProviderEventKind.DEFERRED:
        waits = seen.state in _WAITING | {State.SENT} and seen.elsewhere < Elsewhere.TAKEN
        state = State.DEFERRED if waits else None
        return _risen(seen, Fate.DEFERRED, EventType.DEFERRED, state)
    if kind in _ARRIVALS:
        event, notice = _ARRIVALS[kind]
        return _arrived(seen, event, notice)
    if kind is ProviderEventKind.UNSUBSCRIBED:
        return Effect(event=EventType.UNSUBSCRIBED, notice=Notice.SUPPRESS_UNSUBSCRIBE)
    return Effect()


# What nobody can do who has not got the mail.
_ARRIVALS = {
    ProviderEventKind.DELIVERED: (EventType.DELIVERED, None),
    ProviderEventKind.OPENED: (EventType.OPENED, None),
    ProviderEventKind.CLICKED: (EventType.CLICKED, None),
    ProviderEventKind.COMPLAINED: (EventType.COMPLAINED, Notice.SUPPRESS_COMPLAINT),
}


def _accepted(seen: Seen) -> Effect:
    if seen.outcome is Outcome.ACCEPTED:
        return Effect()
    # What a provider certainly has is not sent again, also if a later attempt was refused or is under way.
    state = State.SENT if seen.state in _WAITING else None
    return Effect(event=EventType.SENT, outcome=Outcome.ACCEPTED, state=state)


def _risen(seen: Seen, fate: Fate, event: EventType, state: State | None) -> Effect:
    if _RANK[fate] <= _RANK[seen.fate]:
        return Effect(event=event)
    return Effect(event=event, outcome=Outcome.ACCEPTED, fate=fate, state=state)


def _arrived(seen: Seen, event: EventType, notice: Notice | None) -> Effect:
    if _RANK[seen.fate] >= _RANK[Fate.DELIVERED]:
        return Effect(event=event, notice=notice)
    # Whatever was thought of the recipient before, or is under way by another attempt: it has arrived.
    return Effect(
        event=event,
        outcome=Outcome.ACCEPTED,
        fate=Fate.DELIVERED,
        state=State.DELIVERED,
        notice=notice,
    )


def _refused(seen: Seen, verdict: Verdict) -> Effect:
    if verdict.action is Action.NONE:
        return Effect()
    if seen.fate is Fate.BOUNCED:
        return Effect(event=EventType.BOUNCED)
    told = Effect(
        event=EventType.BOUNCED,
        outcome=Outcome.ACCEPTED,
        fate=Fate.BOUNCED,
        action=verdict.action,
    )
    # A recipient's or the message's own fault is true for a call that is under way, too.
    own_fault = seen.elsewhere is Elsewhere.OPEN and verdict.action not in _RESENDING
    if seen.elsewhere is not Elsewhere.NOWHERE and not own_fault:
        return _with(told, _left_to(seen), None, "; another attempt is in charge of this recipient")
    return _decided(told, seen, verdict)


def _left_to(seen: Seen) -> State | None:
    """The state when this attempt has failed and another decides: what this one claimed is taken back."""
    if seen.fate is not Fate.DELIVERED and seen.state is not State.DEFERRED:
        return None
    by_other = {Elsewhere.OPEN: State.QUEUED, Elsewhere.TAKEN: State.SENT, Elsewhere.ARRIVED: State.DELIVERED}
    return by_other[seen.elsewhere]


_RESENDING = frozenset({Action.FAILOVER, Action.RETRY, Action.FAILOVER_IF_AUTHENTICATED})


def _decided(told: Effect, seen: Seen, verdict: Verdict) -> Effect:
    """The one decision about this recipient that this bounce asks for."""
    by_domain = verdict.cause is Cause.SENDER_DOMAIN
    notice = Notice.ALERT_SENDER_DOMAIN if by_domain else None
    if verdict.action in _RESENDING:
        if seen.canceled:
            state = State.CANCELED if seen.state is State.CANCELED else State.FAILED
            return _with(told, state, notice, "; not resent, for the mail was canceled")
        if why := _too_late(seen):
            return _with(told, State.FAILED, notice, why)
        where = "a provider that signs for the domain" if by_domain else "the next provider"
        return _with(told, State.QUEUED, notice, f"; resending to this recipient through {where}")
    if verdict.action is Action.SUPPRESS:
        return _with(told, State.BOUNCED, Notice.SUPPRESS_BOUNCE, "; no provider would help")
    if verdict.action is Action.REVIEW:
        text = "; not resent, since the cause is not clear: a person should look"
        return _with(told, State.BOUNCED, Notice.ALERT_REVIEW, text)
    state = State.BOUNCED if verdict.cause is Cause.RECIPIENT else State.FAILED
    return _with(told, state, notice, "; another provider would not help")


def _with(told: Effect, state: State | None, notice: Notice | None, consequence: str) -> Effect:
    return replace(told, state=state, notice=notice, consequence=consequence)


def _too_late(seen: Seen) -> str:
    if seen.age > RESEND_WITHIN:
        return f"; not resent, for the attempt began more than {RESEND_WITHIN.days * 24} hours ago"
    if seen.attempts >= MOST_ATTEMPTS:
        return f"; not resent, for {seen.attempts} attempts were made"
    return ""
