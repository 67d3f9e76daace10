"""Statistics of an environment: outcomes and times over time, told apart by what one likes; and as CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Response, abort, request, url_for
from flask.typing import ResponseReturnValue
from flute.v1 import statistics_service_pb2 as pb
from google.protobuf.duration_pb2 import Duration

from web.dashboard import dashboard
from web.dashboard.ask import ask
from web.dashboard.places import address_of
from web.dashboard.render import page
from web.dashboard.switch import switch

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
RANGES = {
    "24h": ("24 hours", DAY),
    "7d": ("7 days", 7 * DAY),
    "14d": ("14 days", 14 * DAY),
    "30d": ("30 days", 30 * DAY),
    "90d": ("90 days", 90 * DAY),
    "365d": ("A year", 365 * DAY),
}
INTERVALS = {
    "hour": ("Hour", pb.STATISTICS_INTERVAL_HOUR),
    "day": ("Day", pb.STATISTICS_INTERVAL_DAY),
    "total": ("The whole time", pb.STATISTICS_INTERVAL_TOTAL),
}
GROUPS = {
    "": ("Nothing", pb.STATISTICS_GROUP_UNSPECIFIED),
    "provider": ("Provider", pb.STATISTICS_GROUP_PROVIDER_ACCOUNT),
    "tag": ("Tag", pb.STATISTICS_GROUP_TAG),
    "domain": ("Receiving domain", pb.STATISTICS_GROUP_DOMAIN),
}
# With more time than this, hours are too many to see, and the server does not tell them.
_MOST_HOURS = 14 * DAY
_STACKED = (
    ("delivered", "Delivered", "good"),
    ("bounced", "Bounced", "bad"),
    ("failed", "Failed", "warn"),
    ("suppressed", "Suppressed", "neutral"),
)
# The columns of the table and of the CSV: type of event, label.
_COUNTS = (
    ("accepted", "Accepted"),
    ("sent", "Sent"),
    ("delivered", "Delivered"),
    ("bounced", "Bounced"),
    ("failed", "Failed"),
    ("rescued", "Saved by failover"),
    ("deferred", "Deferred"),
    ("suppressed", "Suppressed"),
    ("complained", "Complaints"),
    ("opened", "Opened"),
    ("clicked", "Clicked"),
)
_RATES = {"delivered": "sent", "bounced": "sent", "complained": "delivered", "opened": "delivered"}
_FORMULA = re.compile(r"^[=+\-@\t\r]")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for, with defaults for what was not or makes no sense."""

    environment_id: str
    range: str
    interval: str
    group: str
    start: datetime
    end: datetime

    @classmethod
    def of(cls, args: Mapping[str, str], environment_id: str, now: datetime) -> Wanted:
        """From the query."""
        range_ = args.get("range", "") if args.get("range") in RANGES else "7d"
        span = RANGES[range_][1]
        interval = args.get("interval", "")
        if interval not in INTERVALS or (interval == "hour" and span > _MOST_HOURS):
            interval = "hour" if span <= DAY else "day"
        group = args.get("group", "") if args.get("group") in GROUPS else ""
        end = now.replace(minute=0, second=0, microsecond=0) + HOUR
        start = end - span
        # Whole days, so that the first bar is not a piece of one.
        start = start if interval != "day" else start.replace(hour=0) + (DAY if start.hour else timedelta())
        return cls(environment_id, range_, interval, group, start, end)

    @property
    def query(self) -> dict[str, str]:
        """For a link to the same."""
        named = {"range": self.range, "interval": self.interval, "group": self.group}
        return {"environment": self.environment_id} | {name: value for name, value in named.items() if value}

    def request(self, interval: str, group: str) -> pb.GetStatisticsRequest:
        """What the server is asked."""
        message = pb.GetStatisticsRequest(
            environment_id=self.environment_id, interval=INTERVALS[interval][1], group_by=GROUPS[group][1]
        )
        message.start_time.FromDatetime(self.start)
        message.end_time.FromDatetime(self.end)
        return message


@dashboard.get("/statistics")
def statistics() -> ResponseReturnValue:
    """Graphs of all of the environment's mail, and a table of its groups or of its times."""
    at = switch()
    if at.chosen is None:
        return page("statistics/none.html", nav="statistics", page_url=address_of)
    wanted = Wanted.of(request.args, at.chosen.id, datetime.now(UTC))
    total = _rows(wanted, "total", "")
    return page(
        "statistics/page.html",
        nav="statistics",
        environments=at.all,
        wanted=wanted,
        ranges=[(slug, label) for slug, (label, _) in RANGES.items()],
        intervals=[
            (slug, label)
            for slug, (label, _) in INTERVALS.items()
            if slug != "hour" or RANGES[wanted.range][1] <= _MOST_HOURS
        ],
        groups=[(slug, label) for slug, (label, _) in GROUPS.items()],
        group_label=GROUPS[wanted.group][0],
        total=total[0] if total else None,
        csv_url=url_for("dashboard.statistics_csv", **wanted.query),  # type: ignore[arg-type]
        page_url=address_of,
        rate=rate,
        id_names=lambda found: [(one.id, one.name) for one in found],
        right=lambda labels: [{"label": label, "right": True} for label in labels],
        **_shown(wanted) if total else {},
    )


@dashboard.get("/statistics.csv")
def statistics_csv() -> ResponseReturnValue:
    """The table, each group at each time; all counts, and times in seconds."""
    environment = switch().chosen or abort(404)
    wanted = Wanted.of(request.args, environment.id, datetime.now(UTC))
    text = io.StringIO()
    csv.writer(text).writerows(_csv_rows(wanted))
    name = re.sub(r"[^a-z0-9]+", "-", environment.name.lower()).strip("-") or "environment"
    headers = {"Content-Disposition": f'attachment; filename="statistics-{name}-{wanted.range}.csv"'}
    return Response(text.getvalue(), headers=headers, content_type="text/csv; charset=utf-8")


def _rows(wanted: Wanted, interval: str, group: str) -> Sequence[pb.StatisticsRow]:
    return ask(wanted.request(interval, group), pb.GetStatisticsResponse).rows


def _shown(wanted: Wanted) -> dict[str, Any]:
    """Graphs by time, and the rows of the table."""
    series = _rows(wanted, "hour" if _by_hour(wanted) else "day", "")
    total = wanted.interval == "total"
    table = _rows(wanted, "total", wanted.group) if wanted.group or total else list(reversed(series))
    by_time = {row.start_time.seconds: row for row in series}
    step = HOUR if _by_hour(wanted) else DAY
    times = list(_times(wanted.start, wanted.end, step))
    return {
        "times": times,
        "outcomes": _outcomes(times, by_time),
        "to_deliver": _percentiles(times, by_time, "time_to_deliver"),
        "to_send": _percentiles(times, by_time, "time_to_send"),
        "rows": sorted(table, key=lambda row: -_size(row)) if wanted.group else table,
        "by_hour": _by_hour(wanted),
    }


def _by_hour(wanted: Wanted) -> bool:
    """Graphs of the whole time in one would be a point."""
    return wanted.interval == "hour" or (wanted.interval == "total" and RANGES[wanted.range][1] <= DAY)


def _size(row: pb.StatisticsRow) -> int:
    return max(row.counts.get("accepted", 0), row.counts.get("sent", 0))


def _times(start: datetime, end: datetime, step: timedelta) -> Iterator[int]:
    """Every interval, also those without mail. Days are those of UTC."""
    at = start.replace(hour=0) if step == DAY else start
    while at < end:
        yield int(at.timestamp())
        at += step


def _outcomes(times: Sequence[int], rows: Mapping[int, pb.StatisticsRow]) -> list[dict[str, Any]]:
    """For the graph, without what never happened; at least the delivered."""
    lines = [
        {"name": label, "tone": tone, "values": [_count(rows.get(time), type_) for time in times]}
        for type_, label, tone in _STACKED
    ]
    return [line for at, line in enumerate(lines) if at == 0 or any(line["values"])]


def _count(row: pb.StatisticsRow | None, type_: str) -> int:
    return row.counts.get(type_, 0) if row else 0


def _percentiles(
    times: Sequence[int], rows: Mapping[int, pb.StatisticsRow], name: str
) -> list[dict[str, Any]]:
    """For a graph in seconds, with gaps where nothing was measured; nothing if nothing was at all."""
    found = {time: getattr(row, name) for time, row in rows.items() if getattr(row, name).count}
    if not found:
        return []
    return [
        {
            "name": label,
            "values": [_seconds(getattr(found[time], key)) if time in found else None for time in times],
        }
        for key, label in (("p50", "Half within"), ("p90", "90 % within"), ("p99", "99 % within"))
    ]


def _seconds(value: Duration) -> float:
    return round(value.ToTimedelta().total_seconds(), 3)


def rate(row: pb.StatisticsRow, type_: str) -> float | None:
    """The share of what it is measured by: bounced of sent, opened of delivered."""
    whole = row.counts.get(_RATES[type_], 0)
    return min(1.0, row.counts.get(type_, 0) / whole) if whole else None


def _csv_rows(wanted: Wanted) -> Iterator[list[object]]:
    measures = ("time_to_send", "time_to_deliver")
    group = [GROUPS[wanted.group][0]] if wanted.group else []
    times = [f"{name} {key} (s)" for name in measures for key in ("p50", "p90", "p99")]
    yield ["Begin (UTC)", *group, *(label for _, label in _COUNTS), *times]
    for row in _rows(wanted, wanted.interval, wanted.group):
        begin = f"{row.start_time.ToDatetime():%Y-%m-%d %H:%M}"
        counts = [row.counts.get(type_, 0) for type_, _ in _COUNTS]
        told = [
            _seconds(getattr(getattr(row, name), key)) if getattr(row, name).count else ""
            for name in measures
            for key in ("p50", "p90", "p99")
        ]
        yield [begin, *([_harmless(row.group)] if wanted.group else []), *counts, *told]


def _harmless(text: str) -> str:
    """A spreadsheet would take what begins so for a formula."""
    return f"'{text}" if _FORMULA.match(text) else text
