"""How a provider account fared over time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flask import request, url_for
from flask.typing import ResponseReturnValue
from flute.v1.provider_account_service_pb2 import (
    GetProviderAccountHealthRequest,
    ProviderAccountHealth,
    ProviderAccountPoint,
)
from flute.v1.statistics_service_pb2 import (
    OVERVIEW_PERIOD_DAY,
    OVERVIEW_PERIOD_MONTH,
    OVERVIEW_PERIOD_WEEK,
    OverviewPeriod,
    Percentiles,
)

from web.dashboard import dashboard
from web.dashboard.ask import ask
from web.dashboard.pages.provider_account import account_of, account_page

_PERIODS: dict[str, tuple[str, OverviewPeriod.ValueType]] = {
    "day": ("24 hours", OVERVIEW_PERIOD_DAY),
    "week": ("7 days", OVERVIEW_PERIOD_WEEK),
    "month": ("30 days", OVERVIEW_PERIOD_MONTH),
}
# Whose fault a bounce was: what people call it, and its tone.
CAUSES = {
    "recipient": ("The recipient: no such address, mailbox full", "tone-1"),
    "provider": ("The provider: a blocked or ill-reputed sender", "bad"),
    "message": ("The message: refused for what is in it", "warn"),
    "sender_domain": ("Your domain: SPF, DKIM or DMARC", "special"),
    "transient": ("Passing trouble that did not pass in time", "tone-2"),
    "unknown": ("Not clear", "neutral"),
}
Line = dict[str, object]


@dashboard.get("/providers/<id_>/history")
def provider_account_history(id_: str) -> ResponseReturnValue:
    """Calls, times, bounces and breakers."""
    chosen = request.args.get("period", "day")
    chosen = chosen if chosen in _PERIODS else "day"
    told = ask(GetProviderAccountHealthRequest(id=id_, period=_PERIODS[chosen][1]), ProviderAccountHealth)
    causes = [(*CAUSES.get(one.cause, (one.cause, "neutral")), one.count) for one in told.causes]
    here = "dashboard.provider_account_history"
    return account_page(
        "history.html",
        account_of(id_),
        "history",
        told=told,
        periods=[
            (label, url_for(here, id_=id_, period=key), key == chosen) for key, (label, _) in _PERIODS.items()
        ],
        each="hour" if chosen == "day" else "day",
        times=[point.start_time.ToSeconds() for point in told.series],
        outcomes=_outcomes(told.series),
        call_times=_times(told.series, lambda point: point.call_time),
        delivery_times=_times(told.series, lambda point: point.time_to_deliver),
        causes=causes,
        causes_bar=[(name, count, tone) for name, tone, count in causes],
    )


def _outcomes(series: Sequence[ProviderAccountPoint]) -> list[Line]:
    """What it answered."""
    return [
        {"name": "Accepted", "tone": "good", "values": [point.figures.accepted for point in series]},
        {"name": "Refused", "tone": "bad", "values": [point.figures.refused for point in series]},
        {"name": "Not sent", "tone": "warn", "values": [point.figures.not_sent for point in series]},
        {"name": "Ambiguous", "tone": "special", "values": [point.figures.ambiguous for point in series]},
    ]


def _times(
    series: Sequence[ProviderAccountPoint], of: Callable[[ProviderAccountPoint], Percentiles]
) -> list[Line]:
    """Percentiles in seconds; nothing where nothing was measured."""
    found = [of(point) for point in series]
    if not any(one.count for one in found):
        return []
    return [
        {"name": name, "values": [_seconds(one, key) if one.count else None for one in found]}
        for name, key in (("Half within", "p50"), ("90 % within", "p90"), ("99 % within", "p99"))
    ]


def _seconds(percentiles: Percentiles, key: str) -> float:
    seconds: float = getattr(percentiles, key).ToTimedelta().total_seconds()
    return round(seconds, 3)
