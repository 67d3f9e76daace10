"""Statistics of an environment: outcomes and times over time, told apart by what one likes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask import request, url_for
from flask.typing import ResponseReturnValue
from flute.v1 import statistics_service_pb2 as pb

from web.dashboard import dashboard
from web.dashboard.pages import statistics_graphs as graphs
from web.dashboard.pages.statistics_query import GROUPS, INTERVALS, MOST_HOURS, RANGES, Wanted
from web.dashboard.places import address_of
from web.dashboard.render import page
from web.dashboard.switch import switch

_RATES = {"delivered": "sent", "bounced": "sent", "complained": "delivered", "opened": "delivered"}


@dashboard.get("/statistics")
def statistics() -> ResponseReturnValue:
    """Graphs, and a table of the groups or of the times."""
    at = switch()
    if at.chosen is None:
        return page("statistics/none.html", nav="statistics", page_url=address_of)
    wanted = Wanted.of(request.args, at.chosen.id, datetime.now(UTC))
    total = wanted.rows("total", "")
    return page(
        "statistics/page.html",
        nav="statistics",
        environments=at.all,
        wanted=wanted,
        ranges=[(slug, label) for slug, (label, _) in RANGES.items()],
        intervals=[
            (slug, label)
            for slug, (label, _) in INTERVALS.items()
            if slug != "hour" or RANGES[wanted.range][1] <= MOST_HOURS
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


def _shown(wanted: Wanted) -> dict[str, Any]:
    """Graphs by time, and the rows of the table."""
    unit, at = "hour" if wanted.by_hour else "day", graphs.times(wanted)
    series = wanted.rows(unit, wanted.group)
    if wanted.group:
        table = sorted(wanted.rows("total", wanted.group), key=lambda row: -_size(row))
        drawn = graphs.by_group(series, [row.group for row in table], at, wanted, _unit(wanted))
    else:
        table = list(wanted.rows("total", "") if wanted.interval == "total" else reversed(series))
        drawn = graphs.of_all(series, at, _unit(wanted))
    return {"times": at, "graphs": drawn, "rows": table, "unit": unit}


def _unit(wanted: Wanted) -> str:
    return "hour" if wanted.by_hour else "day, in UTC"


def _size(row: pb.StatisticsRow) -> int:
    return max(row.counts.get("accepted", 0), row.counts.get("sent", 0))


def rate(row: pb.StatisticsRow, type_: str) -> float | None:
    """The share of what it is measured by: bounced of sent, opened of delivered."""
    whole = row.counts.get(_RATES[type_], 0)
    return min(1.0, row.counts.get(type_, 0) / whole) if whole else None
