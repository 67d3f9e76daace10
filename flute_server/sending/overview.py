"""An account at a glance, read from what is counted by the hour and by the day, and from small tables."""

from __future__ import annotations

import uuid
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import select

from flute_server.models import Dimension, Environment, ProviderAccount, autocommit, db
from flute_server.sending.statistics import DAY, HOUR, STARTS, WITHIN, Interval, Span


class Period(StrEnum):
    """How far back to look."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


DAYS = {Period.WEEK: 7, Period.MONTH: 30}

Counts = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Part:
    """The figures of an environment or a provider account, by type of event."""

    id: uuid.UUID
    name: str
    counts: Counts


@dataclass(slots=True)
class Overview:
    """series: each hour or day of the span with its figures."""

    span: Span
    total: Counter[str] = field(default_factory=Counter)
    environments: list[Part] = field(default_factory=list)
    provider_accounts: list[Part] = field(default_factory=list)
    series: list[tuple[datetime, Counts]] = field(default_factory=list)


def span_of(period: Period, now: datetime) -> tuple[Span, Interval]:
    """The last 24 hours or so many days in UTC, the present one included, and by which of both it is told."""
    if period is Period.DAY:
        return Span.around(now - DAY + HOUR, now, Interval.HOUR, now), Interval.HOUR
    first = (now - DAYS[period] * DAY + DAY).replace(hour=0)
    return Span.around(first, now, Interval.DAY, now), Interval.DAY


def read(account_id: uuid.UUID, period: Period, now: datetime) -> Overview:
    """The figures of an account; the same few queries for any amount of mail."""
    span, interval = span_of(period, now)
    found = Overview(span)
    environments = _named(Environment, account_id)
    accounts = _named(ProviderAccount, account_id)
    by_time: dict[datetime, Counter[str]] = defaultdict(Counter)
    by_part: dict[str, Counter[str]] = defaultdict(Counter)
    # Days are counted up to now as well: with the present one to its end, no hours need be added up.
    bounds = span.bounds(interval) if interval is Interval.HOUR else to_midnight(span).bounds(interval)
    values = bounds | {"environments": list(environments), "dimension": Dimension.ALL}
    with autocommit() as connection:
        for environment_id, begin, type_, number in connection.exec_driver_sql(_ALL[interval], values):
            for counter in (found.total, by_time[begin], by_part[str(environment_id)]):
                counter[type_] += number
        values |= {"dimension": Dimension.PROVIDER_ACCOUNT}
        for key, type_, number in connection.exec_driver_sql(_BY_KEY, values):
            by_part[key][type_] += number
    found.environments = [Part(id_, name, by_part[str(id_)]) for id_, name in environments.items()]
    found.provider_accounts = [Part(id_, name, by_part[str(id_)]) for id_, name in accounts.items()]
    found.series = [(begin, by_time[begin]) for begin in begins(span, interval)]
    return found


def to_midnight(span: Span) -> Span:
    """The span with its last day to the end."""
    return Span(span.start, span.end.replace(hour=0) + (DAY if span.end.hour else timedelta()))


def _named(table: Any, account_id: uuid.UUID) -> dict[uuid.UUID, str]:  # noqa: ANN401  either table
    query = select(table.id, table.name).where(table.account_id == account_id)
    return {id_: name for id_, name in db.session.execute(query.order_by(table.create_time, table.id))}


def begins(span: Span, interval: Interval) -> Iterator[datetime]:
    """When each hour or day of the span begins."""
    step: timedelta = HOUR if interval is Interval.HOUR else DAY
    begin = span.start if interval is Interval.HOUR else span.start.replace(hour=0)
    while begin < span.end:
        yield begin
        begin += step


def _all(interval: Interval) -> str:
    return f"""
    SELECT environment_id, {STARTS[interval]} AS begin, type, sum(count)::bigint
    FROM unnest(%(environments)s::uuid[]) AS mine JOIN tally ON environment_id = mine
    WHERE dimension = %(dimension)s AND {WITHIN} GROUP BY 1, 2, 3
    """  # noqa: S608  constants only


_ALL = {interval: _all(interval) for interval in (Interval.HOUR, Interval.DAY)}
_BY_KEY = f"""
SELECT key, type, sum(count)::bigint
FROM unnest(%(environments)s::uuid[]) AS mine JOIN tally ON environment_id = mine
WHERE dimension = %(dimension)s AND {WITHIN} GROUP BY 1, 2
"""  # noqa: S608  constants only
