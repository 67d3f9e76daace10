"""Figures of an environment over time, read from what is counted by the hour and by the day."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import select

from flute_server.admin.find import as_uuid
from flute_server.domain.histogram import percentiles
from flute_server.domain.state import EventType
from flute_server.errors import Violation, invalid
from flute_server.models import Dimension, Grain, Measure, ProviderAccount, autocommit, db

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
DEFAULT_SPAN = timedelta(days=7)
MAX_GROUPS = 100


class Interval(StrEnum):
    """How long each row covers."""

    HOUR = "hour"
    DAY = "day"
    TOTAL = "total"


LONGEST = {Interval.HOUR: timedelta(days=14), Interval.DAY: timedelta(days=400)}


@dataclass(frozen=True, slots=True)
class Span:
    """Whole hours; the end is exclusive."""

    start: datetime
    end: datetime

    @classmethod
    def around(cls, start: datetime | None, end: datetime | None, interval: Interval, now: datetime) -> Span:
        """The hours that hold these times, or the last days where none is given. Raises InvalidArgument."""
        try:
            last = _hour(end or now, up=True)
            span = cls(_hour(start) if start else last - DEFAULT_SPAN, last)
        except OverflowError as error:
            raise invalid([Violation("end_time", "too far away from now")]) from error
        if span.start >= span.end:
            raise invalid(
                [Violation("start_time", "must be before end_time, which is now if it is not given")]
            )
        longest = LONGEST.get(interval)
        if longest and span.end - span.start > longest:
            text = (
                f"a time of more than {longest.days} days cannot be told by the {interval}; choose a longer "
                "interval, or a shorter time"
            )
            raise invalid([Violation("interval", text)])
        return span

    def bounds(self, interval: Interval) -> dict[str, object]:
        """What WITHIN asks for."""
        first_day, last_day = self._whole_days() if interval is not Interval.HOUR else (self.end, self.end)
        return {"start": self.start, "first_day": first_day, "last_day": last_day, "end": self.end}

    def _whole_days(self) -> tuple[datetime, datetime]:
        """The whole days in it, from the first to before the last; two times its end if there are none."""
        first, last = self.start.replace(hour=0), self.end.replace(hour=0)
        if first >= last:
            return self.end, self.end
        return first if first == self.start else first + DAY, last


def _hour(time: datetime, *, up: bool = False) -> datetime:
    hour = time.replace(minute=0, second=0, microsecond=0)
    return hour + HOUR if up and hour < time else hour


@dataclass(frozen=True, slots=True)
class Percentiles:
    """How long it took `count` times."""

    count: int
    p50: timedelta
    p90: timedelta
    p99: timedelta


@dataclass(frozen=True, slots=True)
class Row:
    """One interval and group. counts: by type of event, and `emails` and `rescued`."""

    start: datetime
    group: str
    counts: dict[str, int] = field(default_factory=dict)
    times: dict[Measure, Percentiles] = field(default_factory=dict)


def read(environment_id: uuid.UUID, span: Span, interval: Interval, dimension: Dimension) -> list[Row]:
    """By time, then by group; without the times and groups that have no events.

    At most MAX_GROUPS groups, those with the most mail. They are the names of provider accounts, tags or
    domains; empty for ALL.
    """
    values = span.bounds(interval) | {
        "environment": environment_id,
        "dimension": dimension,
        "most": MAX_GROUPS,
        # Accepting knows no provider account yet.
        "mail": EventType.SENT if dimension is Dimension.PROVIDER_ACCOUNT else EventType.ACCEPTED,
    }
    rows: dict[tuple[datetime, str], Row] = {}
    with autocommit() as connection:
        counts = connection.exec_driver_sql(_COUNTS[interval], values).all()
        keys = sorted({key for _, key, _, _ in counts})
        times = connection.exec_driver_sql(_TIMES[interval], values | {"keys": keys}).all()
    names = _names(keys, dimension)

    def row(begin: datetime | None, key: str) -> Row:
        begin = begin or span.start
        found = rows.get((begin, key))
        if found is None:
            found = rows[begin, key] = Row(begin, names.get(key, key))
        return found

    for begin, key, type_, number in counts:
        row(begin, key).counts[type_] = number
    for begin, key, measure, buckets, numbers in times:
        by_bucket = dict(zip(buckets, numbers, strict=True))
        row(begin, key).times[Measure(measure)] = Percentiles(
            sum(numbers), *percentiles(by_bucket, (0.5, 0.9, 0.99))
        )
    return sorted(rows.values(), key=lambda row: (row.start, row.group))


def _names(keys: list[str], dimension: Dimension) -> dict[str, str]:
    """What people call the groups, where that is not what they are counted by."""
    if dimension is not Dimension.PROVIDER_ACCOUNT:
        return {}
    query = select(ProviderAccount.id, ProviderAccount.name)
    ids = [id_ for key in keys if (id_ := as_uuid(key))]
    return {str(id_): name for id_, name in db.session.execute(query.where(ProviderAccount.id.in_(ids)))}


# When the interval of a row begins; null where that is the begin of the span.
STARTS = {
    Interval.HOUR: "start",
    Interval.DAY: "date_trunc('day', start, 'UTC')",
    Interval.TOTAL: "NULL::timestamptz",
}
# Which rows of a table tell of the span: those of whole days, and of the hours before and after them. Who
# asks for hours is told by hours alone. All are ranges of the primary key.
WITHIN = f"""
(
    grain = '{Grain.HOUR}' AND start >= %(start)s AND start < %(first_day)s
    OR grain = '{Grain.DAY}' AND start >= %(first_day)s AND start < %(last_day)s
    OR grain = '{Grain.HOUR}' AND start >= %(last_day)s AND start < %(end)s)
"""
_MINE = f"environment_id = %(environment)s AND dimension = %(dimension)s AND {WITHIN}"


def _counts(begin: str) -> str:
    return f"""
    WITH counted AS MATERIALIZED (
        SELECT {begin} AS begin, key, type, sum(count)::bigint AS number
        FROM tally WHERE {_MINE} GROUP BY 1, 2, 3
    ), largest AS (
        SELECT key FROM counted GROUP BY key
        ORDER BY sum(number) FILTER (WHERE type = %(mail)s) DESC NULLS LAST, key LIMIT %(most)s
    )
    SELECT begin, key, type, number FROM counted WHERE key IN (SELECT key FROM largest)
    """  # noqa: S608  constants only


def _times(begin: str) -> str:
    return f"""
    WITH counted AS (
        SELECT {begin} AS begin, key COLLATE "C" AS key, measure, bucket, sum(count)::bigint AS number
        FROM timing WHERE {_MINE} AND key = ANY(%(keys)s::text[]) GROUP BY 1, 2, 3, 4
    )
    SELECT begin, key, measure, array_agg(bucket) AS buckets, array_agg(number) AS numbers
    FROM counted GROUP BY 1, 2, 3
    """  # noqa: S608  constants only


_COUNTS = {interval: _counts(begin) for interval, begin in STARTS.items()}
_TIMES = {interval: _times(begin) for interval, begin in STARTS.items()}
