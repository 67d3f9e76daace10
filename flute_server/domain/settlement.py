"""What an answer means for the recipient it is about: the ledger's word, the new state and the next step."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from flute_server.domain.outcome import ErrorKind, Outcome, Reply
from flute_server.domain.state import EventType, State

FIRST_BACKOFF = timedelta(seconds=5)
LONGEST_BACKOFF = timedelta(minutes=5)


class Step(StrEnum):
    """What happens to the recipient now."""

    END = "end"
    NEXT_ROUTE = "next_route"  # at once, through a provider that was not tried this round
    NEXT_ROUND = "next_round"  # after the back-off, from the first route on
    HOLD = "hold"  # until evidence comes or the wait is over


@dataclass(frozen=True, slots=True)
class Settlement:
    outcome: Outcome
    state: State
    event: EventType
    step: Step


_NEXT_ROUTE = Settlement(Outcome.REFUSED, State.QUEUED, EventType.FAILOVER, Step.NEXT_ROUTE)
_ACCEPTED = Settlement(Outcome.ACCEPTED, State.SENT, EventType.SENT, Step.END)
_HELD = Settlement(Outcome.AMBIGUOUS, State.SENDING, EventType.DEFERRED, Step.HOLD)

# The provider's fault moves on; the recipient's or the message's fault bothers no other provider.
_BY_KIND: dict[ErrorKind, Settlement] = {
    ErrorKind.UNREACHABLE: Settlement(Outcome.NOT_SENT, State.QUEUED, EventType.FAILOVER, Step.NEXT_ROUTE),
    ErrorKind.AUTH: _NEXT_ROUTE,
    ErrorKind.QUOTA: _NEXT_ROUTE,
    ErrorKind.SUSPENDED: _NEXT_ROUTE,
    ErrorKind.SENDER: _NEXT_ROUTE,
    ErrorKind.RATE: _NEXT_ROUTE,
    ErrorKind.SERVER: _NEXT_ROUTE,
    ErrorKind.REQUEST: _NEXT_ROUTE,
    ErrorKind.TOO_LARGE: _NEXT_ROUTE,
    ErrorKind.RECIPIENT: Settlement(Outcome.REFUSED, State.BOUNCED, EventType.BOUNCED, Step.END),
    ErrorKind.SUPPRESSED: Settlement(Outcome.REFUSED, State.SUPPRESSED, EventType.SUPPRESSED, Step.END),
    ErrorKind.MESSAGE: Settlement(Outcome.REFUSED, State.FAILED, EventType.FAILED, Step.END),
    # The receiver wants to see the same client again (greylisting): same order, later.
    ErrorKind.TEMPORARY: Settlement(Outcome.REFUSED, State.QUEUED, EventType.DEFERRED, Step.NEXT_ROUND),
    # Not the provider's fault: same order, later.
    ErrorKind.UNCALLED: Settlement(Outcome.NOT_SENT, State.QUEUED, EventType.DEFERRED, Step.NEXT_ROUND),
    ErrorKind.AMBIGUOUS: Settlement(Outcome.AMBIGUOUS, State.QUEUED, EventType.FAILOVER, Step.NEXT_ROUTE),
}

# Another round cannot change these answers: they are about this mail on this provider.
FOR_GOOD = frozenset({ErrorKind.REQUEST, ErrorKind.TOO_LARGE})


def settle(reply: Reply, *, hold_ambiguous: bool) -> Settlement:
    """What follows from a provider's answer about one recipient."""
    if reply.kind is None:
        return _ACCEPTED
    if reply.kind is ErrorKind.AMBIGUOUS and hold_ambiguous:
        return _HELD
    return _BY_KIND[reply.kind]


def backoff(round_: int, draw: float) -> timedelta:
    """How long to wait after the given round (0 is the first); doubles, with a jitter of a quarter."""
    pause: timedelta = min(FIRST_BACKOFF * 2 ** min(round_, 16), LONGEST_BACKOFF)
    return pause * (0.75 + draw / 2)
