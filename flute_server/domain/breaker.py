"""The health of a provider account: closed, open or half-open, as a plain value and its transitions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from flute_server.domain.outcome import ErrorKind, Reply

# An unreachable or failing provider is left alone after this many failures in a row.
FAILURES_TO_OPEN = 3
FIRST_PAUSE = timedelta(seconds=5)
LONGEST_PAUSE = timedelta(minutes=5)
# A probe that has not reported by then was lost with its worker.
PROBE_LEASE = timedelta(minutes=2)

# What says that the account or the service is ill; all else is about one mail and never counts.
_ILL = frozenset({ErrorKind.UNREACHABLE, ErrorKind.SERVER, ErrorKind.AMBIGUOUS})
# What one answer proves for every mail to come, until a person or a clock at the provider acts.
_CERTAIN = {
    ErrorKind.AUTH: timedelta(minutes=5),
    ErrorKind.SUSPENDED: timedelta(minutes=5),
    ErrorKind.QUOTA: timedelta(minutes=5),
}
DEFAULT_RATE_PAUSE = timedelta(seconds=1)


class BreakerState(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class Breaker:
    """failures: in a row; opened: times in a row without a success between; retry_at: when a probe may go."""

    state: BreakerState = BreakerState.CLOSED
    failures: int = 0
    opened: int = 0
    retry_at: datetime | None = None
    reason: str = ""

    def lets_through(self, now: datetime) -> bool:
        """True for healthy; an open one whose pause is over must be probed instead (see `probing`)."""
        return self.state is BreakerState.CLOSED

    def may_probe(self, now: datetime) -> bool:
        """True when the pause, or the lease of a lost probe, is over."""
        return self.state is not BreakerState.CLOSED and self.retry_at is not None and now >= self.retry_at


def probing(breaker: Breaker, now: datetime) -> Breaker:
    """One mail goes through to find out; nobody else until it reports or its lease ends."""
    return replace(breaker, state=BreakerState.HALF_OPEN, retry_at=now + PROBE_LEASE)


def after(breaker: Breaker, reply: Reply, now: datetime) -> Breaker:
    """The breaker after one answer. An answer about a mail, even a refusal, proves that the service works."""
    if reply.kind in _CERTAIN:
        return _open(breaker, reply, now, _CERTAIN[reply.kind])
    if reply.kind is ErrorKind.RATE:
        return _open(breaker, reply, now, DEFAULT_RATE_PAUSE)
    if reply.kind not in _ILL:
        return Breaker()
    failures = breaker.failures + 1
    if breaker.state is BreakerState.CLOSED and failures < FAILURES_TO_OPEN:
        return replace(breaker, failures=failures, reason=_why(reply))
    return _open(replace(breaker, failures=failures), reply, now, FIRST_PAUSE)


def _open(breaker: Breaker, reply: Reply, now: datetime, first_pause: timedelta) -> Breaker:
    # Answers to calls that were under way when it opened say nothing new.
    if breaker.state is BreakerState.OPEN and breaker.retry_at and now < breaker.retry_at:
        return breaker
    pause = min(first_pause * 2 ** min(breaker.opened, 10), LONGEST_PAUSE)
    if reply.retry_after is not None:
        pause = max(pause, min(timedelta(seconds=reply.retry_after), LONGEST_PAUSE))
    return Breaker(BreakerState.OPEN, breaker.failures, breaker.opened + 1, now + pause, _why(reply))


def _why(reply: Reply) -> str:
    return f"{reply.kind}: {' '.join(filter(None, (reply.status, reply.text)))}"[:500]
