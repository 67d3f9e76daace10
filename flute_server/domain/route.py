"""Which provider account gets a mail next, and why not the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from itertools import groupby
from uuid import UUID

from flute_server.domain.breaker import Breaker


@dataclass(frozen=True, slots=True)
class Candidate:
    """A route as the planner sees it. tried: this round already; objections: what it cannot carry."""

    account: UUID
    name: str
    position: int
    weight: int = 1
    disabled: bool = False
    tried: bool = False
    breaker: Breaker = field(default_factory=Breaker)
    objections: tuple[str, ...] = ()


class Use(StrEnum):
    """How a route may be used now."""

    YES = "yes"
    PROBE = "probe"  # its pause is over: one mail may find out whether it works again
    LATER = "later"  # not now, perhaps at the next round
    NEVER = "never"  # not for this mail


@dataclass(frozen=True, slots=True)
class Judged:
    """A candidate with the verdict on it."""

    candidate: Candidate
    use: Use
    reason: str


def judge(candidate: Candidate, now: datetime) -> Judged:
    """Whether this route can take the mail now, and the reason in words."""
    if candidate.disabled:
        return Judged(candidate, Use.LATER, "switched off in this environment")
    if candidate.objections:
        return Judged(candidate, Use.NEVER, "cannot carry this mail: " + "; ".join(candidate.objections))
    if candidate.tried:
        return Judged(candidate, Use.LATER, "already tried")
    breaker = candidate.breaker
    if breaker.lets_through(now):
        return Judged(candidate, Use.YES, "healthy")
    if breaker.may_probe(now):
        return Judged(candidate, Use.PROBE, f"failing ({breaker.reason}); this mail probes it")
    return Judged(candidate, Use.LATER, f"failing ({breaker.reason})")


def plan(candidates: Sequence[Candidate], now: datetime, draw: float) -> tuple[Judged, ...]:
    """Every route in the order of preference: by position, and by weighted lot among equals.

    The caller takes the first with Use.YES, or with Use.PROBE if it wins the probe. draw: 0 <= draw < 1.
    """
    ordered = sorted(candidates, key=lambda candidate: candidate.position)
    groups = (list(group) for _, group in groupby(ordered, key=lambda candidate: candidate.position))
    return tuple(judge(candidate, now) for group in groups for candidate in _by_lot(group, draw))


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
