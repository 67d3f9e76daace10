"""The overview: what became of the account's mail, what failover saved, and what needs attention now."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from flask import redirect, request, url_for
from flask.typing import ResponseReturnValue
from flute.v1.alert_service_pb2 import Alert, ListAlertsRequest, ListAlertsResponse
from flute.v1.statistics_service_pb2 import (
    ATTENTION_KIND_ALERT,
    OVERVIEW_PERIOD_DAY,
    OVERVIEW_PERIOD_MONTH,
    OVERVIEW_PERIOD_WEEK,
    AccountOverview,
    Attention,
    AttentionKind,
    GetAccountOverviewRequest,
    OverviewFigures,
    OverviewPeriod,
)

from web.dashboard import dashboard, first_run
from web.dashboard.ask import ask
from web.dashboard.places import address_of
from web.dashboard.render import page, part, say
from web.dashboard.words import sentence

LIVE_S = 15


class _Period(NamedTuple):
    value: OverviewPeriod.ValueType
    label: str
    words: str
    unit: str


_PERIODS: Mapping[str, _Period] = {
    "24h": _Period(OVERVIEW_PERIOD_DAY, "24 hours", "in the last 24 hours", "hour"),
    "7d": _Period(OVERVIEW_PERIOD_WEEK, "7 days", "in the last 7 days", "day"),
    "30d": _Period(OVERVIEW_PERIOD_MONTH, "30 days", "in the last 30 days", "day"),
}
# What became of mail for good, as the graph piles it up.
_OUTCOMES = (
    ("delivered", "Delivered", "good"),
    ("bounced", "Bounced", "bad"),
    ("failed", "Failed", "warn"),
    ("suppressed", "Suppressed", "special"),
    ("canceled", "Canceled", "neutral"),
)


class Item(NamedTuple):
    """One thing that needs attention, and where it is mended; url may be empty."""

    subject: str
    text: str
    urgent: bool
    found: Attention
    url: str
    action: str


@dashboard.get("/overview")
def overview() -> ResponseReturnValue:
    """The figures, and the guide above or instead of them while the account is new."""
    period, told = _told()
    guide = None if told.total.delivered or first_run.dismissed() else first_run.progress()
    if guide and "delivered" in guide.done:
        guide = None
    return page(
        "overview/page.html",
        nav="overview",
        guide=guide,
        steps=first_run.STEPS,
        periods=[
            (one.label, url_for("dashboard.overview", period=slug), slug == period)
            for slug, one in _PERIODS.items()
        ],
        **_shown(period, told),
    )


@dashboard.get("/overview/live")
def overview_live() -> ResponseReturnValue:
    """The figures as they are now; nothing while they are as they were."""
    period, told = _told()
    if _seen(told) == request.args.get("seen"):
        return "", 204
    return part("overview/_body.html", **_shown(period, told))


@dashboard.post("/start/dismiss")
def dismiss_guide() -> ResponseReturnValue:
    """Show the overview alone from now on."""
    say("The guide is put away. This page keeps a link to it.", "info")
    response = redirect(url_for("dashboard.overview"), 303)
    first_run.dismiss(response)
    return response


def _told() -> tuple[str, AccountOverview]:
    wanted = request.args.get("period", "")
    period = wanted if wanted in _PERIODS else "24h"
    return period, ask(GetAccountOverviewRequest(period=_PERIODS[period].value), AccountOverview)


def _seen(told: AccountOverview) -> str:
    """The same as long as nothing changes."""
    return hashlib.sha256(told.SerializeToString(deterministic=True)).hexdigest()[:16]


def _shown(period: str, told: AccountOverview) -> dict[str, Any]:
    """What the figures are made of."""
    series = [point.figures for point in told.series]
    return {
        "told": told,
        "total": told.total,
        "period": _PERIODS[period],
        "live_url": url_for("dashboard.overview_live", period=period, seen=_seen(told)),
        "live_s": LIVE_S,
        "items": list(_items(told.attention)),
        "times": [point.start_time.seconds for point in told.series],
        "outcomes": _outcomes(series),
        "values": {
            name: [getattr(figures, name) for figures in series]
            for name in ("sent", "delivered", "bounced", "failed", "complained", "rescued")
        },
        "ended": _ended(told.total),
        "share": _share,
        "page_url": address_of,
    }


def _outcomes(series: list[OverviewFigures]) -> list[dict[str, Any]]:
    """For the graph, without what never happened; at least the delivered."""
    lines: list[dict[str, Any]] = [
        {"name": label, "tone": tone, "values": [getattr(figures, name) for figures in series]}
        for name, label, tone in _OUTCOMES
    ]
    return [line for at, line in enumerate(lines) if at == 0 or any(line["values"])]


def _ended(figures: OverviewFigures) -> list[tuple[str, float, str]]:
    """How the whole is divided, for the bar."""
    parts = [(label, getattr(figures, name), tone) for name, label, tone in _OUTCOMES]
    under_way = figures.accepted - sum(value for _, value, _ in parts)
    return [one for one in [*parts, ("Under way", max(0, under_way), "info")] if one[1]]


def _share(part_: float, whole: float) -> float | None:
    """Of what is counted by when it happened: mail of before may make the part larger than the whole."""
    return min(1.0, part_ / whole) if whole else None


# ----- what needs attention

_KIND = {value: name.removeprefix("ATTENTION_KIND_").lower() for name, value in AttentionKind.items()}


def _items(found: Any) -> Iterator[Item]:  # noqa: ANN401 (protobuf's own list)
    alerts = _alerts() if any(one.kind == ATTENTION_KIND_ALERT for one in found) else {}
    for one in found:
        subject, (url, action) = one.subject, _mended(one)
        if alert := alerts.get(one.subject_id):
            subject, url, action = _of_alert(alert, one.environment_id)
        yield Item(subject, sentence(one.text[:1].upper() + one.text[1:]), one.urgent, one, url, action)


def _alerts() -> dict[str, Alert]:
    told = ask(ListAlertsRequest(page_size=100), ListAlertsResponse)
    return {alert.id: alert for alert in told.alerts}


def _of_alert(alert: Alert, environment_id: str) -> tuple[str, str, str]:
    if alert.kind == "provider_account":
        url = address_of("provider_account", id_=alert.subject)
        return "Credentials or account", url, "See the provider"
    if alert.kind == "sender_domain":
        url = address_of("environment_domain", id_=environment_id) if environment_id else ""
        return alert.subject, url or address_of("environments"), "Check the domain"
    return "A bounce that no rule understands", address_of("email", id_=alert.subject), "Read the mail"


# Kind -> the page, whose id it takes, and what the link is called.
_PLACES: Mapping[str, tuple[str, str, str]] = {
    "failing_provider_account": ("provider_account", "subject_id", "See the provider"),
    "failed_check": ("provider_account_settings", "subject_id", "Change its settings"),
    "paused_provider_account": ("provider_account", "subject_id", "See the provider"),
    "silent_provider_account": ("provider_account_events", "subject_id", "Check its events"),
    "few_routes": ("environment", "environment_id", "Add a route"),
    "webhook_endpoint": ("webhooks", "", "See the webhook"),
    "expiring_key": ("environment_keys", "environment_id", "Rotate it"),
    "waiting_mail": ("email", "subject_id", "See why"),
}


def _mended(one: Attention) -> tuple[str, str]:
    """Where, and what the link is called; empty for what this dashboard has no page for."""
    page_name, field, action = _PLACES.get(_KIND.get(one.kind, ""), ("", "", ""))
    values = {"id_": getattr(one, field)} if field else {}
    return address_of(page_name, **values), action
