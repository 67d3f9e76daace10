"""An account at a glance: its figures, and what needs attention, over a real PostgreSQL and over gRPC."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from flask import Flask
from flute.v1 import statistics_service_pb2 as pb
from sqlalchemy import text

from flute_server.domain.breaker import BreakerState
from flute_server.domain.state import State
from flute_server.local.client import RpcFailed
from flute_server.local.embedded import Services
from flute_server.models import (
    Alert,
    AlertKind,
    ApiKey,
    Breaker,
    Dimension,
    Environment,
    Grain,
    ProviderAccount,
    Tally,
    WebhookEndpoint,
    db,
)
from flute_server.sending import attention, overview, progress
from flute_server.sending.attention import Attention, Kind
from flute_server.sending.overview import Period
from flute_server.sending.progress import Progress
from tests.integration.places import Place, fresh_app
from tests.stack import Stack, Tenant, until

NOW = datetime(2026, 11, 30, 15, 20, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture(scope="module")
def module_app(services: Services) -> Iterator[Flask]:
    with fresh_app(services, "overview_test") as app:
        yield app


@pytest.fixture
def place(module_app: Flask) -> Iterator[Place]:
    with module_app.app_context():
        yield Place.create()


def count(place: Place, ago: timedelta, type_: str, number: int, account: int | None = None) -> None:
    """As sending/tally.py would have counted it."""
    dimension = Dimension.ALL if account is None else Dimension.PROVIDER_ACCOUNT
    time = (NOW - ago).replace(minute=0)
    for grain, start in ((Grain.HOUR, time), (Grain.DAY, time.replace(hour=0))):
        row = {
            "environment_id": place.environment_id,
            "dimension": dimension,
            "grain": grain,
            "start": start,
            "key": "" if account is None else str(place.accounts[account]),
            "type": type_,
        }
        known = db.session.get(Tally, row)
        if known:
            known.count += number
        else:
            db.session.add(Tally(**row, count=number))
        db.session.commit()


def found(place: Place, kind: Kind) -> list[Attention]:
    return [item for item in attention.read(place.tenant_id, datetime.now(UTC)) if item.kind is kind]


def account(place: Place, number: int = 0) -> ProviderAccount:
    return db.session.get_one(ProviderAccount, place.accounts[number])


def test_figures_of_a_day_by_the_hour(place: Place):
    count(place, timedelta(), "sent", 3)
    count(place, 23 * HOUR, "sent", 4)
    count(place, 24 * HOUR, "sent", 100)  # in the hour before the first
    count(place, HOUR, "rescued", 2)
    seen = overview.read(place.tenant_id, Period.DAY, NOW)
    assert seen.total == {"sent": 7, "rescued": 2}
    assert [time for time, _ in seen.series] == [seen.span.start + n * HOUR for n in range(24)]
    assert (seen.series[0][1]["sent"], seen.series[-1][1]["sent"]) == (4, 3)
    assert seen.series[-1][0] == NOW.replace(minute=0)


@pytest.mark.parametrize(("period", "days"), [(Period.WEEK, 7), (Period.MONTH, 30)])
def test_figures_of_days(place: Place, period: Period, days: int):
    count(place, timedelta(), "delivered", 1)
    count(place, (days - 1) * DAY, "delivered", 2)
    count(place, days * DAY, "delivered", 100)
    seen = overview.read(place.tenant_id, period, NOW)
    assert seen.total == {"delivered": 3}
    assert [time.day for time, _ in seen.series][-2:] == [29, 30]
    assert len(seen.series) == days
    assert [counts["delivered"] for _, counts in seen.series] == [2, *[0] * (days - 2), 1]


def test_figures_by_environment_and_account_and_nobody_elses(place: Place):
    other = Place.create()
    for where in (place, other):
        count(where, HOUR, "accepted", 5)
        count(where, HOUR, "sent", 5, account=1)
    second = Environment(account_id=place.tenant_id, name="Second", domain="second.example")
    db.session.add(second)
    db.session.commit()
    seen = overview.read(place.tenant_id, Period.DAY, NOW)
    assert [(part.name, dict(part.counts)) for part in seen.environments] == [
        ("Test", {"accepted": 5}),
        ("Second", {}),
    ]
    assert sorted((part.name, dict(part.counts)) for part in seen.provider_accounts) == [
        ("p0", {}),
        ("p1", {"sent": 5}),
    ]


def test_a_well_account_needs_no_attention(place: Place):
    assert attention.read(place.tenant_id, datetime.now(UTC)) == []


def test_an_open_alert_is_told(place: Place):
    for resolved in (None, datetime.now(UTC)):
        alert = Alert(account_id=place.tenant_id, kind=AlertKind.REVIEW, subject="x", text="look at this")
        alert.resolve_time = resolved
        db.session.add(alert)
        db.session.commit()
    [item] = found(place, Kind.ALERT)
    assert item.text == "look at this"


def test_an_alert_about_a_sender_domain_names_its_environment(place: Place):
    environment = db.session.get_one(Environment, place.environment_id)
    for domain in (environment.domain, f"news.{environment.domain}", "elsewhere.example"):
        alert = Alert(account_id=place.tenant_id, kind=AlertKind.SENDER_DOMAIN, subject=domain, text=domain)
        db.session.add(alert)
    db.session.commit()
    named = {item.text: item.environment_id for item in found(place, Kind.ALERT)}
    assert named == {
        environment.domain: environment.id,
        f"news.{environment.domain}": environment.id,
        "elsewhere.example": None,
    }


def break_(place: Place, domain: str, retry_at: datetime | None, number: int = 0) -> None:
    values = {"state": BreakerState.OPEN, "failures": 3, "opened": 1, "retry_at": retry_at, "reason": "550"}
    db.session.add(Breaker(provider_account_id=place.accounts[number], domain=domain, **values))
    db.session.commit()


def test_a_failing_account_is_told_once(place: Place):
    soon = datetime.now(UTC) + HOUR
    for domain in ("a.example", "b.example", "c.example", "d.example"):
        break_(place, domain, soon)
    [item] = found(place, Kind.FAILING_PROVIDER_ACCOUNT)
    assert (item.subject, item.urgent) == ("p0", False)
    assert "at a.example, b.example, c.example and 1 more" in item.text
    break_(place, "", None)
    [item] = found(place, Kind.FAILING_PROVIDER_ACCOUNT)
    assert "until you act" in item.text
    assert item.urgent


def test_an_account_that_failed_its_check_until_mail_decides(place: Place):
    row = account(place)
    row.check_time, row.check_text, row.check_advice = datetime.now(UTC) - HOUR, "no answer.", "Look again."
    db.session.commit()
    [item] = found(place, Kind.FAILED_CHECK)
    assert (item.subject, item.time, item.urgent) == ("p0", row.check_time, False)
    assert item.text == "the last check of its credentials failed: no answer. Look again."
    row.check_refused = True
    db.session.commit()
    [item] = found(place, Kind.FAILED_CHECK)
    assert item.text.startswith("its credentials were refused when they were last checked: no answer.")
    place.mail("a@example.com", datetime.now(UTC), age=timedelta(minutes=1))
    assert found(place, Kind.FAILED_CHECK) == []


def test_what_is_passed_over_or_paused_is_not_told_twice(place: Place):
    for row in (account(place, 0), account(place, 1)):
        row.check_time, row.check_refused = datetime.now(UTC), True
    account(place, 1).pause_time = datetime.now(UTC)
    db.session.commit()
    break_(place, "", None)
    assert found(place, Kind.FAILED_CHECK) == []


def test_too_few_routes(place: Place):
    break_(place, "", datetime.now(UTC) + HOUR)
    [item] = found(place, Kind.FEW_ROUTES)
    assert "one route left" in item.text
    account(place, 1).pause_time = datetime.now(UTC)
    db.session.commit()
    [item] = found(place, Kind.FEW_ROUTES)
    assert "no route that can be used now" in item.text
    assert item.urgent
    [paused] = found(place, Kind.PAUSED_PROVIDER_ACCOUNT)
    assert paused.subject == "p1"


@pytest.mark.parametrize(("routes", "words"), [(0, "has no route:"), (1, "a single route")])
def test_few_routes_from_the_beginning(place: Place, routes: int, words: str):
    [item] = found(Place.create(routes), Kind.FEW_ROUTES)
    assert words in item.text


def test_an_endpoint_that_fails_or_is_paused(place: Place):
    rows: list[dict[str, Any]] = [
        {"url": "https://a.example", "failing_since": datetime.now(UTC), "failures": 4},
        {"url": "https://b.example", "paused": True, "pause_reason": "410 gone"},
        {"url": "https://c.example", "paused": True},
        {"url": "https://d.example"},
    ]
    for row in rows:
        db.session.add(WebhookEndpoint(environment_id=place.environment_id, secret=b"", **row))
    db.session.commit()
    items = found(place, Kind.WEBHOOK_ENDPOINT)
    assert [item.text for item in items] == [
        "takes no calls: 4 failed in a row; events wait",
        "paused: 410 gone; events wait",
        "paused by a person; events wait",
    ]


def test_a_key_that_expires_soon(place: Place):
    now = datetime.now(UTC)
    for name, expires, revoked in (
        ("soon", now + 6 * DAY, None),
        ("later", now + 8 * DAY, None),
        ("over", now - DAY, None),
        ("revoked", now + DAY, now),
        ("never", None, None),
    ):
        db.session.add(
            ApiKey(
                environment_id=place.environment_id,
                name=name,
                hint="x",
                hash=uuid.uuid4().bytes,
                expire_time=expires,
                revoke_time=revoked,
            )
        )
    db.session.commit()
    assert [item.subject for item in found(place, Kind.EXPIRING_KEY)] == ["soon"]


def silent(place: Place) -> list[str]:
    items = attention.read(place.tenant_id, NOW)
    return [item.subject for item in items if item.kind is Kind.SILENT_PROVIDER_ACCOUNT]


def test_an_account_whose_events_do_not_arrive(place: Place):
    count(place, timedelta(minutes=30), "sent", 5, account=0)
    assert silent(place) == []  # they may come yet
    count(place, 5 * HOUR, "sent", 5, account=0)
    assert silent(place) == ["p0"]
    account(place).last_event_time = NOW - 5 * HOUR
    db.session.commit()
    assert silent(place) == []
    account(place).last_event_time = NOW - 8 * HOUR
    db.session.commit()
    assert silent(place) == ["p0"]
    account(place).provider = "smtp"  # tells of nothing anyway
    db.session.commit()
    assert silent(place) == []


def test_mail_that_waits_for_long(place: Place):
    now = datetime.now(UTC)
    queued: dict[str, Any] = {"state": State.QUEUED}
    place.mail("a@example.com", now, **queued)
    scheduled = place.mail("b@example.com", now, **queued)
    values = {"id": scheduled, "created": now - 9 * DAY}
    db.session.execute(
        text("UPDATE email SET create_time = :created, send_time = now() WHERE id = :id"), values
    )
    db.session.execute(text("UPDATE recipient SET email_time = :created WHERE email_id = :id"), values)
    db.session.commit()
    assert found(place, Kind.WAITING_MAIL) == []
    old = place.mail("c@example.com", now - HOUR, **queued)
    [item] = found(place, Kind.WAITING_MAIL)
    assert item.subject_id == str(old)
    assert item.urgent


def test_progress_is_that_of_all_environments_at_any_time(place: Place):
    other = Place.create()
    for state in (State.DELIVERED, State.SENT):
        other.mail("a@example.com", NOW, age=HOUR, state=state)
    assert progress.read(place.tenant_id) == Progress()
    long_ago = place.mail("a@example.com", NOW, age=300 * DAY)
    assert progress.read(place.tenant_id) == Progress(long_ago)
    second = Environment(account_id=place.tenant_id, name="Second", domain="second.example")
    db.session.add(second)
    db.session.commit()
    elsewhere = Place(place.tenant_id, second.id, place.accounts)
    elsewhere.mail("a@example.com", NOW, age=400 * DAY, state=State.DELIVERED)
    assert progress.read(place.tenant_id) == Progress(long_ago, delivered=True)


def test_mail_is_handed_over_for_good_where_nothing_tells_of_its_arrival(place: Place):
    account(place).provider = "smtp"
    db.session.commit()
    mail = place.mail("a@example.com", NOW, age=HOUR)
    assert progress.read(place.tenant_id) == Progress(mail, handed_over=True)
    query = "UPDATE ledger SET outcome = :outcome FROM attempt WHERE attempt_id = id AND email_id = :mail"
    for outcome in ("not_sent", "refused", "ambiguous"):
        db.session.execute(text(query), {"outcome": outcome, "mail": mail})
        db.session.commit()
        assert progress.read(place.tenant_id) == Progress(mail)


def ask(tenant: Tenant, **fields: Any) -> pb.AccountOverview:
    client = tenant.stack.client
    request = pb.GetAccountOverviewRequest(account_id=tenant.account_id, **fields)
    return client.call(client.statistics.GetAccountOverview, request)


def test_what_was_saved_by_failover_is_seen_over_grpc(stack: Stack):
    stack.sandbox.set_mode("sendgrid", "down")
    tenant = stack.tenant("sendgrid", "postmark")
    mail = tenant.send()
    tenant.wait(mail, "sent")
    until(lambda: ask(tenant).total.rescued == 1, "the figures follow")
    for period in (pb.OVERVIEW_PERIOD_DAY, pb.OVERVIEW_PERIOD_WEEK, pb.OVERVIEW_PERIOD_MONTH):
        seen = ask(tenant, period=period)
        assert (seen.total.emails, seen.total.accepted, seen.total.sent) == (1, 1, 1)
        assert seen.environments[0].id == tenant.environment_id
        assert {part.name: part.figures.rescued for part in seen.provider_accounts} == {
            "sendgrid": 0,
            "postmark": 1,
        }
        assert sum(point.figures.sent for point in seen.series) == 1
    request = pb.GetAccountProgressRequest(account_id=tenant.account_id)
    come = stack.client.call(stack.client.statistics.GetAccountProgress, request)
    assert (come.last_email.id, come.delivered, come.handed_over) == (mail, False, False)
    assert ask(stack.tenant("postmark")).total.accepted == 0


def test_what_was_taken_back_is_counted(stack: Stack):
    tenant = stack.tenant("postmark")
    mail = tenant.send(send_at=(datetime.now(UTC) + DAY).isoformat())
    url, headers = (
        f"{stack.web_address}/v1/email/{mail}/cancel",
        {"Authorization": f"Bearer {tenant.access_token}"},
    )
    assert requests.post(url, headers=headers, timeout=60).status_code == 200
    until(lambda: ask(tenant).total.canceled == 1, "the figures follow")


def test_what_cannot_be_told_over_grpc(stack: Stack):
    tenant = stack.tenant("postmark")
    [few] = ask(tenant).attention
    assert few.kind == pb.ATTENTION_KIND_FEW_ROUTES
    with pytest.raises(RpcFailed, match="period: "):
        ask(tenant, period=99)
    client = stack.client
    with pytest.raises(RpcFailed, match="no account"):
        client.call(client.statistics.GetAccountOverview, pb.GetAccountOverviewRequest(account_id="none"))
