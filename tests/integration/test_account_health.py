"""How a provider account fared: from mail on the running system, and from what is counted."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from flute.v1 import provider_account_service_pb2 as pb
from flute.v1 import statistics_service_pb2
from sqlalchemy import select

from flute_server.domain.outcome import ErrorKind, Reply
from flute_server.local.client import RpcFailed
from flute_server.local.embedded import Services
from flute_server.models import BreakerChange, DomainTally, ProviderAccount, db
from flute_server.sending import account_health, health
from flute_server.sending.overview import Period
from tests.integration.places import Place, fresh_app
from tests.stack import Stack, Tenant, until

DOWN = Reply(ErrorKind.UNREACHABLE, text="refused")
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def module_app(services: Services) -> Iterator[Flask]:
    with fresh_app(services, "account_health_test") as app:
        yield app


@pytest.fixture
def place(module_app: Flask) -> Iterator[Place]:
    with module_app.app_context():
        yield Place.create()


def ask(tenant: Tenant, slug: str, **fields: Any) -> pb.ProviderAccountHealth:
    client = tenant.stack.client
    request = pb.GetProviderAccountHealthRequest(id=tenant.provider_accounts[slug], **fields)
    return client.call(client.provider_accounts.GetProviderAccountHealth, request)


def test_calls_that_fail_and_calls_that_go_well(stack: Stack):
    stack.sandbox.set_mode("sendgrid", "down")
    tenant = stack.tenant("sendgrid", "postmark")
    tenant.wait(tenant.send(to=[{"email": "ada@example.com"}, {"email": "bob@example.org"}]), "sent")
    until(lambda: ask(tenant, "postmark").total.figures.accepted == 2, "the figures follow")
    for period in (
        0,
        statistics_service_pb2.OVERVIEW_PERIOD_WEEK,
        statistics_service_pb2.OVERVIEW_PERIOD_MONTH,
    ):
        failed, good = (ask(tenant, slug, period=period).total for slug in ("sendgrid", "postmark"))
        assert (failed.figures.attempts, failed.figures.not_sent, failed.figures.accepted) == (1, 2, 0)
        assert (good.figures.attempts, good.figures.not_sent, good.figures.accepted) == (1, 0, 2)
        assert good.figures.rescued == 2
        assert good.call_time.count == 1
        assert timedelta(0) < good.call_time.p50.ToTimedelta() < timedelta(seconds=20)
    seen = ask(tenant, "postmark")
    assert len(seen.series) == 24
    assert sum(point.figures.accepted for point in seen.series) == 2
    assert {row.domain: row.sent for row in seen.domains} == {"example.com": 1, "example.org": 1}


def test_bounces_by_cause_and_domain(stack: Stack):
    stack.sandbox.set_mode("sendgrid", "block", domains=["outlook.com"])
    tenant = stack.tenant("sendgrid", "postmark")
    stack.listen(tenant, "sendgrid", "postmark")
    to = [{"email": "ada@gmail.com"}, {"email": "ada@outlook.com"}]
    tenant.wait(tenant.send(to=to), "delivered")
    for slug in ("sendgrid", "postmark"):
        until(lambda slug=slug: ask(tenant, slug).total.figures.delivered == 1, "the figures follow")  # type: ignore[misc]
    seen = ask(tenant, "sendgrid")
    assert [(row.cause, row.count) for row in seen.causes] == [("provider", 1)]
    assert (seen.total.figures.accepted, seen.total.figures.bounced, seen.total.figures.delivered) == (
        2,
        1,
        1,
    )
    assert seen.total.time_to_deliver.count == 1
    told = {row.domain: (row.sent, row.delivered, row.bounced) for row in seen.domains}
    assert told == {"gmail.com": (1, 1, 0), "outlook.com": (1, 0, 1)}


def test_an_ambiguous_call_is_told(stack: Stack):
    stack.sandbox.set_mode("sendgrid", "drop_answer")
    tenant = stack.tenant("sendgrid", "postmark")
    tenant.wait(tenant.send(), "sent")
    until(lambda: ask(tenant, "sendgrid").total.figures.ambiguous == 1, "the figures follow")


def test_what_is_not_there_is_told(stack: Stack):
    tenant = stack.tenant("postmark")
    empty = ask(tenant, "postmark")
    assert not empty.total.HasField("call_time")
    assert not empty.causes
    with pytest.raises(RpcFailed, match="period: "):
        ask(tenant, "postmark", period=99)
    client = stack.client
    with pytest.raises(RpcFailed, match="no provider account"):
        client.call(
            client.provider_accounts.GetProviderAccountHealth, pb.GetProviderAccountHealthRequest(id="none")
        )


def changes(place: Place) -> list[tuple[bool, str, str]]:
    account = db.session.get_one(ProviderAccount, place.accounts[0])
    found = account_health.read(account, Period.DAY, datetime.now(UTC)).changes
    return [(row.opened, row.domain, row.reason) for row in found]


def report(place: Place, *replies: Reply) -> None:
    for reply in replies:
        health.report(place.route(), [("example.com", reply)], 0.1, datetime.now(UTC))
        db.session.commit()


def test_a_breaker_that_opens_and_closes_leaves_a_trace(place: Place):
    report(place, DOWN, DOWN)
    assert changes(place) == []
    report(place, DOWN, DOWN)
    assert changes(place) == [(True, "", "unreachable: refused")]
    report(place, Reply(None))
    assert changes(place)[0] == (False, "", "works again")


def test_a_person_who_closes_breakers_leaves_a_trace(place: Place):
    for _ in range(3):
        health.bounced(place.accounts[0], "outlook.com", "550 blocked", datetime.now(UTC))
    db.session.commit()
    assert changes(place) == [(True, "outlook.com", "550 blocked")]
    health.reset(place.accounts[0])
    db.session.commit()
    assert changes(place)[0] == (False, "outlook.com", "reset by a person")
    health.reset(place.accounts[0])
    assert len(changes(place)) == 2


def test_old_traces_are_forgotten(place: Place):
    report(place, DOWN, DOWN, DOWN)
    [row] = db.session.scalars(
        select(BreakerChange).where(BreakerChange.provider_account_id == place.accounts[0])
    )
    row.time = datetime.now(UTC) - 91 * DAY
    db.session.commit()
    health.watch(datetime.now(UTC))
    db.session.commit()
    left = select(BreakerChange).where(BreakerChange.provider_account_id == place.accounts[0])
    assert db.session.scalars(left).all() == []


def test_the_domains_that_got_the_most_are_told(place: Place):
    now = datetime.now(UTC)
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    for number in range(60):
        for day in (today, today - 40 * DAY):
            db.session.add(
                DomainTally(
                    provider_account_id=place.accounts[0],
                    day=day,
                    domain=f"d{number}.example",
                    sent=number,
                    delivered=0,
                    bounced=1,
                    deferred=0,
                )
            )
    db.session.commit()
    account = db.session.get_one(ProviderAccount, place.accounts[0])
    domains = account_health.read(account, Period.MONTH, now).domains
    assert len(domains) == account_health.MOST_DOMAINS
    assert domains[0] == ("d59.example", 59, 0, 1, 0)
