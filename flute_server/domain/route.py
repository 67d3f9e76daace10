"""Which provider account gets a mail next, and why not the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from itertools import groupby
from uuid import UUID

from flute_server.domain.breaker import Breaker, BreakerState
from flute_server.domain.drill import Drill
from flute_server.domain.spans import in_words


@dataclass(frozen=True, slots=True)
class Candidate:
    """A route as the planner sees it, for some recipients of a mail.

    paused: by a person, in every environment; tried: this round already; objections: what it cannot carry;
    authenticated: signs for the FROM domain, if this mail needs that; breaker: the account's; troubles: its
    breakers at those of the recipients' domains where it is not well; drill: one that concerns this mail.
    """

    account: UUID
    name: str
    position: int
    weight: int = 1
    disabled: bool = False
    paused: bool = False
    tried: bool = False
    authenticated: bool = True
    breaker: Breaker = field(default_factory=Breaker)
    troubles: Mapping[str, Breaker] = field(default_factory=dict)
    objections: tuple[str, ...] = ()
    drill: Drill | None = None

    @property
    def off(self) -> bool:
        """True while people do not want it to be used, however well it is."""
        return self.disabled or self.paused


class Use(StrEnum):
    """How a route may be used now."""

    YES = "yes"
    PROBE = "probe"  # its pause is over: one mail may find out whether it works again
    LAST_RESORT = "last_resort"  # mail is late there, but nothing was refused: better than none
    FULL = "full"  # at its cap
    LATER = "later"  # not now, perhaps at the next round
    NEVER = "never"  # not for this mail


@dataclass(frozen=True, slots=True)
class Judged:
    """A candidate with the verdict on it.

    probes: the breakers whose probe must be won first, by domain, empty for the account's own; reopens: when
    it may serve again, if that is known; but_for_drill: how it could be used if no drill forbade it.
    """

    candidate: Candidate
    use: Use
    reason: str
    probes: tuple[str, ...] = ()
    reopens: datetime | None = None
    but_for_drill: Use | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """Until when recipients wait, and whether a new round begins then, in which all routes may be tried."""

    until: datetime
    new_round: bool = True


def judge(candidate: Candidate, now: datetime) -> Judged:
    """Whether this route can take the mail now, and the reason in words."""
    judged = _judge(candidate, now)
    drill = candidate.drill
    if drill is None or drill.until <= now or judged.use not in _USABLE:
        return judged
    return Judged(candidate, Use.LATER, drill.words(now), reopens=drill.until, but_for_drill=judged.use)


def _judge(candidate: Candidate, now: datetime) -> Judged:
    if unfit := _unfit(candidate):
        return unfit
    findings = [_at_account(candidate, now)]
    findings += [_at_domain(candidate, domain, health, now) for domain, health in candidate.troubles.items()]
    reopens = max((item.reopens for item in findings if item.reopens), default=None)
    if candidate.tried:
        return Judged(candidate, Use.LATER, "already tried", reopens=reopens)
    gravest = max(findings, key=lambda item: _GRAVITY[item.use])
    probes = tuple(probe for item in findings for probe in item.probes)
    return replace(gravest, probes=probes, reopens=reopens)


_USABLE = frozenset({Use.YES, Use.PROBE, Use.LAST_RESORT})
_GRAVITY = {use: rank for rank, use in enumerate((Use.YES, Use.PROBE, Use.LAST_RESORT, Use.LATER))}


_OURS = "; a single mail probes it now"
_THEIRS = "; another mail is probing it"


def _unfit(candidate: Candidate) -> Judged | None:
    if candidate.disabled:
        return Judged(candidate, Use.LATER, "switched off in this environment")
    if candidate.paused:
        return Judged(candidate, Use.LATER, "paused by a person")
    if candidate.objections:
        return Judged(candidate, Use.NEVER, "cannot carry this mail: " + "; ".join(candidate.objections))
    if not candidate.authenticated:
        reason = "does not sign for the domain as far as known, which a receiver asks of this mail"
        return Judged(candidate, Use.NEVER, reason)
    return None


def _at_account(candidate: Candidate, now: datetime) -> Judged:
    health = candidate.breaker
    if health.lets_through(now):
        return Judged(candidate, Use.YES, "healthy")
    if health.closed:
        reason = f"asks to slow down ({health.reason}){_when('used again', health, now)}"
        return Judged(candidate, Use.LATER, reason, reopens=health.retry_at)
    if health.needs_person:
        return Judged(candidate, Use.LATER, f"failing until somebody acts ({health.reason})")
    return _open(candidate, "", f"failing ({health.reason})", health, now)


def _at_domain(candidate: Candidate, domain: str, health: Breaker, now: datetime) -> Judged:
    if health.lets_through(now):
        return Judged(candidate, Use.YES, "healthy")
    word = "late" if health.only_late else "blocked"
    found = _open(candidate, domain, f"{word} at {domain}: {health.reason}", health, now)
    if health.only_late and found.use is Use.LATER:
        return replace(found, use=Use.LAST_RESORT, reopens=None)
    return found


def _open(candidate: Candidate, domain: str, trouble: str, health: Breaker, now: datetime) -> Judged:
    if health.may_probe(now):
        return Judged(candidate, Use.PROBE, trouble + _OURS, (domain,))
    if health.state is BreakerState.HALF_OPEN:
        reason = trouble + _THEIRS
    else:
        reason = trouble + _when("tried again", health, now)
    return Judged(candidate, Use.LATER, reason, reopens=health.retry_at)


def _when(what: str, health: Breaker, now: datetime) -> str:
    seconds = (health.retry_at - now).total_seconds() if health.retry_at else 0
    return f", {what} in {in_words(seconds)}"


def full(judged: Judged, reason: str, until: datetime) -> Judged:
    """The verdict on a route that turned out to be at its cap."""
    return replace(judged, use=Use.FULL, reason=reason, probes=(), reopens=until)


def outrun(judged: Judged) -> Judged:
    """The verdict on a route whose probe another mail was quicker to take."""
    return replace(judged, use=Use.LATER, reason=judged.reason.removesuffix(_OURS) + _THEIRS, probes=())


def plan(candidates: Sequence[Candidate], now: datetime, draw: float) -> tuple[Judged, ...]:
    """Every route in the order of preference: by position, and by weighted lot among equals.

    draw: 0 <= draw < 1.
    """
    ordered = sorted(candidates, key=lambda candidate: candidate.position)
    groups = (list(group) for _, group in groupby(ordered, key=lambda candidate: candidate.position))
    return tuple(judge(candidate, now) for group in groups for candidate in _by_lot(group, draw))


def usable(judged: Sequence[Judged]) -> list[Judged]:
    """Those to take the first of that can be had: a probe must be won, and a cap must have room."""
    good = [item for item in judged if item.use in {Use.YES, Use.PROBE}]
    return good + [item for item in judged if item.use is Use.LAST_RESORT]


def diverted(judged: Sequence[Judged], chosen: UUID | None) -> UUID | None:
    """The drill but for which the mail would have gone through another account than the chosen one.

    chosen: None while none can take it.
    """
    for item in usable([replace(item, use=item.but_for_drill or item.use) for item in judged]):
        if item.candidate.account == chosen:
            return None
        if item.but_for_drill and item.candidate.drill:
            return item.candidate.drill.id
    return None


def _by_lot(group: list[Candidate], draw: float) -> Iterator[Candidate]:
    """The group in an order in which each stands first as often as its weight says."""
    rest = list(group)
    while rest:
        point = draw * sum(candidate.weight for candidate in rest)
        for index, candidate in enumerate(rest):
            point -= candidate.weight
            if point < 0 or index == len(rest) - 1:
                yield rest.pop(index)
                break


def hopeless(judged: Sequence[Judged]) -> bool:
    """True when no route can ever carry this mail, so that waiting is no use."""
    return bool(judged) and all(item.use is Use.NEVER for item in judged)


def wait(judged: Sequence[Judged], rest: datetime) -> Wait:
    """How long recipients wait that no route can take now. rest: the end of the back-off.

    It is cut short when a route is known to open sooner. Room under a cap comes by itself: waiting for that
    is no reason to try the others again, unless one of them may serve sooner.
    """
    waits = [Wait(item.reopens, new_round=False) for item in judged if item.use is Use.FULL and item.reopens]
    waits += [
        Wait(min(item.reopens or rest, rest))
        for item in judged
        if item.use not in {Use.FULL, Use.NEVER} and not item.candidate.off
    ]
    return min(waits, key=lambda item: item.until, default=Wait(rest))
