"""The health of a provider account, as a whole and at one receiving domain: a value and its transitions.

Two things feed it. What an account answers to calls concerns the account; what becomes of the mail that it
took (bounces of its own making, silence) concerns the account at the domain that the mail was for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from flute_server.domain.outcome import ErrorKind, Reply

# A call that takes longer than this counts as a failure, even if the mail was taken in the end.
SLOW_S = 10.0
# A provider that asks to slow down is passed over for this long, twice as long for each time in a row.
FIRST_SLOWDOWN = timedelta(seconds=1)
LONGEST_SLOWDOWN = timedelta(minutes=1)
LONGEST_RETRY_AFTER = timedelta(hours=1)
# An account that is blocked at so many receiving domains is blocked for its own sake, and left for a while.
DOMAINS_TO_OPEN = 3
SPREAD_PAUSE = timedelta(minutes=5)

# What says that the service is ill; all else is about one mail and never counts.
_ILL = frozenset({ErrorKind.UNREACHABLE, ErrorKind.SERVER, ErrorKind.AMBIGUOUS})
# What one answer proves for every mail to come, until a person acts.
_CERTAIN = frozenset({ErrorKind.AUTH, ErrorKind.SUSPENDED, ErrorKind.QUOTA})


class BreakerState(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class Temper:
    """How soon a breaker opens, for how long, and how long a probe may take before it is taken for lost."""

    failures_to_open: int
    first_pause: timedelta
    longest_pause: timedelta
    probe_lease: timedelta


ACCOUNT = Temper(3, timedelta(seconds=5), timedelta(minutes=5), timedelta(minutes=2))
# A probe is decided by what the receiving domain makes of the mail, which is told later.
DOMAIN = Temper(3, timedelta(seconds=15), timedelta(hours=1), timedelta(minutes=10))


@dataclass(frozen=True, slots=True)
class Breaker:
    """failures: in a row; opened: how often it opened or slowed down without enough successes between.

    retry_at: closed: since when, or from when on, it is used; otherwise: when a probe may go, None for not
    before a person has acted.
    """

    state: BreakerState = BreakerState.CLOSED
    failures: int = 0
    opened: int = 0
    retry_at: datetime | None = None
    reason: str = ""

    @property
    def closed(self) -> bool:
        return self.state is BreakerState.CLOSED

    @property
    def needs_person(self) -> bool:
        return not self.closed and self.retry_at is None

    @property
    def only_late(self) -> bool:
        """True for a domain's breaker that silence opened: nothing was refused, so it is better than none."""
        return not self.closed and self.failures == 0

    def lets_through(self, now: datetime) -> bool:
        """True for healthy; an open one whose pause is over must be probed instead (see `probing`)."""
        return self.closed and (self.retry_at is None or now >= self.retry_at)

    def may_probe(self, now: datetime) -> bool:
        """True when the pause, or the lease of a lost probe, is over."""
        return not self.closed and self.retry_at is not None and now >= self.retry_at


def probing(breaker: Breaker, now: datetime, temper: Temper = ACCOUNT) -> Breaker:
    """One mail goes through to find out; nobody else until it is decided or its lease ends."""
    return replace(breaker, state=BreakerState.HALF_OPEN, retry_at=now + temper.probe_lease)


def gravest(replies: Sequence[Reply]) -> Reply:
    """What a call's answers about its recipients (at least one) say of the account: one answer a call."""
    return min(replies, key=_gravity)


def _gravity(reply: Reply) -> int:
    if reply.kind in _CERTAIN:
        return 0
    if reply.kind is ErrorKind.RATE:
        return 1
    # One answer about a mail, even a refusal, proves that the service works.
    return 3 if reply.kind in _ILL else 2


def after(breaker: Breaker, reply: Reply, now: datetime, took_s: float = 0.0) -> Breaker:
    """An account's breaker after one call, which took so long."""
    if breaker.needs_person or reply.kind is ErrorKind.UNCALLED:
        return breaker
    if reply.kind in _CERTAIN:
        return Breaker(BreakerState.OPEN, breaker.failures, breaker.opened + 1, None, _why(reply))
    if reply.kind is ErrorKind.RATE:
        return _slowed(breaker, reply, now)
    if reply.kind in _ILL:
        return _failed(breaker, _why(reply), now, ACCOUNT)
    if took_s > SLOW_S:
        return _failed(breaker, f"slow: a call took {took_s:.0f} s", now, ACCOUNT)
    return _answered(breaker, now)


def _answered(breaker: Breaker, now: datetime) -> Breaker:
    if not breaker.closed:
        return Breaker()
    if not breaker.lets_through(now):
        return replace(breaker, failures=0)  # a call that began before it was slowed down
    # Each success takes back one slowing down, so that a provider's limit is felt for gently.
    return Breaker(opened=breaker.opened - 1, reason=breaker.reason) if breaker.opened > 1 else Breaker()


def _slowed(breaker: Breaker, reply: Reply, now: datetime) -> Breaker:
    if breaker.state is BreakerState.OPEN:
        return breaker
    asked = None
    if reply.retry_after is not None:
        asked = min(timedelta(seconds=max(reply.retry_after, 0)), LONGEST_RETRY_AFTER)
    if breaker.closed and breaker.retry_at and now < breaker.retry_at:
        # An answer to a call that began before: it says nothing new but perhaps for how long.
        return replace(breaker, retry_at=max(breaker.retry_at, now + (asked or timedelta())))
    pause = min(FIRST_SLOWDOWN * 2 ** min(breaker.opened, 10), LONGEST_SLOWDOWN) if asked is None else asked
    return Breaker(opened=breaker.opened + 1, retry_at=now + pause, reason=_why(reply))


def _failed(breaker: Breaker, why: str, now: datetime, temper: Temper) -> Breaker:
    if breaker.state is BreakerState.OPEN:
        # Answers to calls, and bounces of mails, from before it opened say nothing new.
        return breaker
    failures = breaker.failures + 1
    if breaker.closed and failures < temper.failures_to_open:
        return replace(breaker, failures=failures, reason=why)
    return _opened(replace(breaker, failures=failures), why, now, temper)


def _opened(breaker: Breaker, why: str, now: datetime, temper: Temper) -> Breaker:
    pause = min(temper.first_pause * 2 ** min(breaker.opened, 12), temper.longest_pause)
    return Breaker(BreakerState.OPEN, breaker.failures, breaker.opened + 1, now + pause, why)


def bounced(breaker: Breaker, text: str, now: datetime) -> Breaker:
    """A domain's breaker after a bounce that the provider caused there."""
    if breaker.only_late and breaker.state is BreakerState.OPEN:
        return replace(breaker, failures=1, reason=text[:500])
    return _failed(breaker, text[:500], now, DOMAIN)


def silent(breaker: Breaker, text: str, now: datetime) -> Breaker:
    """A domain's breaker once too much mail is overdue there."""
    return _opened(replace(breaker, failures=0), text[:500], now, DOMAIN) if breaker.closed else breaker


def delivered(breaker: Breaker, now: datetime) -> Breaker:
    """A domain's breaker after a proof that mail arrives there."""
    if breaker.closed:
        return Breaker(retry_at=breaker.retry_at)
    if breaker.state is BreakerState.HALF_OPEN:
        return Breaker(retry_at=now)
    # Mail from before it opened: reason enough to find out at once, and for no more.
    return replace(breaker, retry_at=min(breaker.retry_at or now, now))


def undecided(breaker: Breaker, now: datetime) -> Breaker:
    """A domain's breaker whose probe was not taken by the provider: nothing was learned of the domain."""
    if breaker.state is not BreakerState.HALF_OPEN:
        return breaker
    return replace(breaker, state=BreakerState.OPEN, retry_at=now + DOMAIN.first_pause)


def unheard(breaker: Breaker, now: datetime) -> Breaker:
    """A domain's breaker whose probe did not bounce, at an account that never tells of deliveries.

    That is the best news there will be: it is used again, but the next bounce opens it for longer.
    """
    if breaker.state is not BreakerState.HALF_OPEN or not breaker.may_probe(now):
        return breaker
    return Breaker(failures=DOMAIN.failures_to_open - 1, opened=breaker.opened, retry_at=now)


def spread(breaker: Breaker, domains: Sequence[str], now: datetime) -> Breaker:
    """An account's breaker while the account is blocked at these receiving domains."""
    if not breaker.closed or len(domains) < DOMAINS_TO_OPEN:
        return breaker
    named = ", ".join(sorted(domains)[:DOMAINS_TO_OPEN])
    why = f"blocked at {len(domains)} receiving domains ({named}{', ...' * (len(domains) > DOMAINS_TO_OPEN)})"
    return Breaker(BreakerState.OPEN, breaker.failures, breaker.opened + 1, now + SPREAD_PAUSE, why)


def _why(reply: Reply) -> str:
    return f"{reply.kind}: {' '.join(filter(None, (reply.status, reply.text)))}"[:500].rstrip(".")
