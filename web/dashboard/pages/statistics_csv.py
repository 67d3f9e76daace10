"""The table of statistics as a file."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from datetime import UTC, datetime

from flask import Response, abort, request
from flask.typing import ResponseReturnValue

from web.dashboard import dashboard
from web.dashboard.pages.statistics_graphs import seconds
from web.dashboard.pages.statistics_query import GROUPS, Wanted
from web.dashboard.switch import switch

# Type of event, label.
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
_FORMULA = re.compile(r"^[=+\-@\t\r]")


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


def _csv_rows(wanted: Wanted) -> Iterator[list[object]]:
    measures = ("time_to_send", "time_to_deliver")
    group = [GROUPS[wanted.group][0]] if wanted.group else []
    times = [f"{name} {key} (s)" for name in measures for key in ("p50", "p90", "p99")]
    yield ["Begin (UTC)", *group, *(label for _, label in _COUNTS), *times]
    for row in wanted.rows(wanted.interval, wanted.group):
        begin = f"{row.start_time.ToDatetime():%Y-%m-%d %H:%M}"
        counts = [row.counts.get(type_, 0) for type_, _ in _COUNTS]
        told = [
            seconds(getattr(getattr(row, name), key)) if getattr(row, name).count else ""
            for name in measures
            for key in ("p50", "p90", "p99")
        ]
        yield [begin, *([_harmless(row.group)] if wanted.group else []), *counts, *told]


def _harmless(text: str) -> str:
    """A spreadsheet would take what begins so for a formula."""
    return f"'{text}" if _FORMULA.match(text) else text
