"""How a provider account fared over time, read from what is counted by the hour and by the day."""

from __future__ import annotations

import uuid
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import func, select

from flute_server.domain.histogram import percentiles
from flute_server.domain.verdict import Cause
from flute_server.models import (
    BreakerChange,
    Dimension,
    DomainTally,
    Environment,
    Measure,
    ProviderAccount,
    autocommit,
    db,
)
from flute_server.sending.overview import Period, begins, span_of, to_midnight
from flute_server.sending.statistics import STARTS, WITHIN, Interval, Percentiles, Span
from flute_server.sending.tally import BOUNCE

MOST_DOMAINS = 50
MOST_CHANGES = 200
# No failure at all, whatever the report says.
_NO_BOUNCE = Cause.NOT_A_BOUNCE


@dataclass(slots=True)
class Point:
    """An hour, a day or the whole time. counts: by type of event, outcome, or cause of a bounce."""

    counts: Counter[str] = field(default_factory=Counter)
    buckets: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))

    def times(self, measure: Measure) -> Percentiles | None:
        """None where nothing was measured."""
        counted = self.buckets.get(measure)
        if not counted:
            return None
        return Percentiles(counted.total(), *percentiles(counted, (0.5, 0.9, 0.99)))

    @property
    def causes(self) -> Counter[str]:
        """How often mail came back, by whose fault it was."""
        start = len(BOUNCE)
        found = {type_[start:]: n for type_, n in self.counts.items() if type_.startswith(BOUNCE)}
        return Counter({cause: n for cause, n in found.items() if cause != _NO_BOUNCE})


@dataclass(frozen=True, slots=True)
class AccountHealth:
    """series: each hour or day of the span; domains: those that got the most, in that order."""

    span: Span
    total: Point
    series: list[tuple[datetime, Point]]
    domains: list[tuple[str, int, int, int, int]]
    changes: list[BreakerChange]


def read(account: ProviderAccount, period: Period, now: datetime) -> AccountHealth:
    """The same few queries for any amount of mail."""
    span, interval = span_of(period, now)
    points: dict[datetime, Point] = defaultdict(Point)
    total = Point()
    environments = select(Environment.id).where(Environment.account_id == account.account_id)
    bounds = span.bounds(interval) if interval is Interval.HOUR else to_midnight(span).bounds(interval)
    values: Mapping[str, object] = bounds | {
        "environments": list(db.session.scalars(environments)),
        "dimensions": [Dimension.PROVIDER_ACCOUNT, Dimension.CALL],
        "key": str(account.id),
    }
    with autocommit() as connection:
        for begin, type_, number in connection.exec_driver_sql(_COUNTS[interval], values):
            for point in (points[begin], total):
                point.counts[type_] += number
        for begin, measure, bucket, number in connection.exec_driver_sql(_TIMES[interval], values):
            for point in (points[begin], total):
                point.buckets[measure][bucket] += number
    series = [(begin, points[begin]) for begin in begins(span, interval)]
    return AccountHealth(span, total, series, _domains(account.id, span), _changes(account.id, span))


def _domains(account_id: uuid.UUID, span: Span) -> list[tuple[str, int, int, int, int]]:
    table = DomainTally
    sums = [func.sum(column) for column in (table.sent, table.delivered, table.bounced, table.deferred)]
    query = (
        select(table.domain, *sums)
        .where(table.provider_account_id == account_id, table.day >= span.start.replace(hour=0))
        .group_by(table.domain)
        .order_by(sums[0].desc(), table.domain)
        .limit(MOST_DOMAINS)
    )
    return [(domain, *map(int, numbers)) for domain, *numbers in db.session.execute(query)]  # type: ignore[misc]


def _changes(account_id: uuid.UUID, span: Span) -> list[BreakerChange]:
    query = (
        select(BreakerChange)
        .where(BreakerChange.provider_account_id == account_id, BreakerChange.time >= span.start)
        .order_by(BreakerChange.time.desc(), BreakerChange.id.desc())
        .limit(MOST_CHANGES)
    )
    return list(db.session.scalars(query))


_MINE = f"""
FROM unnest(%(environments)s::uuid[]) AS mine
CROSS JOIN unnest(%(dimensions)s::text[]) AS wanted
JOIN {{}} ON environment_id = mine AND dimension = wanted
WHERE {WITHIN} AND key = %(key)s
"""


def _counts(begin: str) -> str:
    return f"SELECT {begin} AS begin, type, sum(count)::bigint {_MINE.format('tally')} GROUP BY 1, 2"


def _times(begin: str) -> str:
    return (
        f"SELECT {begin} AS begin, measure, bucket, sum(count)::bigint "
        f"{_MINE.format('timing')} GROUP BY 1, 2, 3"
    )


_COUNTS = {interval: _counts(STARTS[interval]) for interval in (Interval.HOUR, Interval.DAY)}
_TIMES = {interval: _times(STARTS[interval]) for interval in (Interval.HOUR, Interval.DAY)}
