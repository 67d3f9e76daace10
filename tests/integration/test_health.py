"""What answers and events do to the health of an account, over a real PostgreSQL."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event, select

from flute_server.domain.breaker import ACCOUNT, DOMAIN, Breaker, BreakerState
from flute_server.domain.delay import LEARN_ALL
from flute_server.domain.outcome import ErrorKind, Reply
from flute_server.domain.state import State
from flute_server.local.embedded import Services
from flute_server.models import Alert, Attempt, Delay, Email, ProviderAccount, Route, db
from flute_server.models import Breaker as Row
from flute_server.sending import health
from flute_server.sending.routing import give_back_probe, load, win_probe
from tests.integration.places import Place, fresh_app, random_domain

DOWN = Reply(ErrorKind.UNREACHABLE, text="refused")
GOOD = Reply(None)
AUTH = Reply(ErrorKind.AUTH, "401", text="bad key")
TO = "example.com"
MINUTE = timedelta(minutes=1)


@pytest.fixture(scope="module")
def module_app(services: Services) -> Iterator[Flask]:
    with fresh_app(services, "health_test") as app:
        yield app


@pytest.fixture
def app(module_app: Flask) -> Iterator[Flask]:
    with module_app.app_context():
        yield module_app


@pytest.fixture
def place(app: Flask) -> Place:
    return Place.create()


@pytest.fixture
def queries(app: Flask) -> Iterator[list[str]]:
    """The statements that are sent to the database from now on."""
    said: list[str] = []

    def hear(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        said.append(statement)

    event.listen(db.engine, "before_cursor_execute", hear)
    yield said
    event.remove(db.engine, "before_cursor_execute", hear)


def now() -> datetime:
    return datetime.now(UTC)


def report(place: Place, *replies: Reply, took_s: float = 0.1, to: str = TO) -> None:
    """One call after the other, each over the route as it is then."""
    for reply in replies:
        health.report(place.route(to=f"ada@{to}"), [(to, reply)], took_s, now())
        db.session.commit()


def breaker(place: Place, domain: str = "") -> Row | None:
    db.session.expire_all()
    return db.session.get(Row, (place.accounts[0], domain))


def state(place: Place, domain: str = "") -> BreakerState:
    row = breaker(place, domain)
    return BreakerState(row.state) if row else BreakerState.CLOSED


def bounce(place: Place, domain: str, times: int = DOMAIN.failures_to_open) -> None:
    for _ in range(times):
        health.bounced(place.accounts[0], domain, "550 5.7.1 blocked", now())
    db.session.commit()


def alerts(place: Place) -> list[Alert]:
    query = select(Alert).where(Alert.account_id == place.tenant_id, Alert.resolve_time.is_(None))
    return list(db.session.scalars(query))


def test_a_healthy_call_costs_no_query(place: Place, queries: list[str]):
    route = place.route()
    queries.clear()
    health.report(route, [(TO, GOOD), (TO, Reply(ErrorKind.RECIPIENT))], 0.2, now())
    assert queries == []


def test_failures_in_a_row_open_the_account_and_a_success_closes_it(place: Place):
    report(place, DOWN, DOWN)
    assert place.route().health.failures == 2
    report(place, DOWN)
    assert state(place) is BreakerState.OPEN
    report(place, GOOD)
    assert breaker(place) is None


def test_slow_calls_open_the_account(place: Place):
    report(place, GOOD, GOOD, GOOD, took_s=12)
    assert state(place) is BreakerState.OPEN


def test_a_rate_limit_passes_the_account_over_for_a_while(place: Place):
    report(place, Reply(ErrorKind.RATE, "429", retry_after=7))
    seen = place.route().health
    assert seen.closed
    assert not seen.lets_through(now())
    assert seen.lets_through(now() + timedelta(seconds=7))


def test_failures_that_are_reported_at_the_same_time_are_all_counted(place: Place, app: Flask):
    route = place.route()
    together = threading.Barrier(4)

    def fail() -> None:
        with app.app_context():
            together.wait()
            health.report(route, [(TO, Reply(ErrorKind.SERVER, "500"))], 0.1, now())
            db.session.commit()

    with ThreadPoolExecutor(4) as pool:
        for job in [pool.submit(fail) for _ in range(4)]:
            job.result()
    row = breaker(place)
    assert row
    assert (row.state, row.failures, row.opened) == (BreakerState.OPEN, ACCOUNT.failures_to_open, 1)


def test_only_one_worker_wins_a_probe(place: Place, app: Flask):
    report(place, DOWN, DOWN, DOWN)
    bounce(place, TO)
    later = now() + DOMAIN.first_pause
    together = threading.Barrier(6)

    def try_it() -> bool:
        with app.app_context():
            together.wait()
            won = win_probe(place.accounts[0], ["", TO], later)
            db.session.commit()
            return won

    with ThreadPoolExecutor(6) as pool:
        won = [job.result() for job in [pool.submit(try_it) for _ in range(6)]]
    assert sum(won) == 1
    whole, domain = breaker(place), breaker(place, TO)
    assert whole
    assert domain
    assert whole.retry_at == later + ACCOUNT.probe_lease
    assert domain.retry_at == later + DOMAIN.probe_lease
    give_back_probe(place.accounts[0], ["", TO], later)
    assert win_probe(place.accounts[0], ["", TO], later)


def test_a_probe_is_all_or_nothing(place: Place):
    report(place, DOWN, DOWN, DOWN)
    bounce(place, TO)
    soon = now() + ACCOUNT.first_pause  # the domain's pause is longer
    assert not win_probe(place.accounts[0], ["", TO], soon)
    assert win_probe(place.accounts[0], [""], soon)


def test_refused_credentials_wait_for_a_person_and_tell_the_owner(place: Place):
    report(place, AUTH)
    assert place.route().health.needs_person
    [alert] = alerts(place)
    assert alert.subject == str(place.accounts[0])
    assert "401 bad key" in alert.text
    report(place, AUTH, GOOD)
    assert place.route().health.needs_person
    assert len(alerts(place)) == 1
    health.reset(place.accounts[0])
    db.session.commit()
    assert place.route().health == Breaker()
    assert alerts(place) == []


def test_a_refusal_of_credentials_that_were_replaced_meanwhile_says_nothing(place: Place):
    route = place.route()
    account = db.session.get_one(ProviderAccount, place.accounts[0])
    account.revision += 1
    db.session.commit()
    health.report(route, [(TO, AUTH)], 0.1, now())
    assert breaker(place) is None
    assert alerts(place) == []


def test_bounces_concern_one_domain_alone(place: Place):
    bounce(place, "outlook.com")
    assert state(place, "outlook.com") is BreakerState.OPEN
    assert breaker(place) is None
    assert place.route(to="ada@gmail.com").domain_health == {}
    assert list(place.route(to="ada@OUTLOOK.com").domain_health) == ["outlook.com"]
    assert place.route(1, to="ada@outlook.com").domain_health == {}


def test_bounces_at_three_domains_concern_the_account(place: Place):
    for domain in ("a.example", "b.example"):
        bounce(place, domain)
    assert breaker(place) is None
    bounce(place, "c.example")
    row = breaker(place)
    assert row
    assert row.state == BreakerState.OPEN
    assert "blocked at 3 receiving domains (a.example, b.example, c.example)" in row.reason


def test_a_domains_probe_is_decided_by_its_delivery(place: Place):
    bounce(place, TO)
    assert win_probe(place.accounts[0], [TO], now() + DOMAIN.first_pause)
    report(place, GOOD)
    assert state(place, TO) is BreakerState.HALF_OPEN
    health.delivered(place.accounts[0], TO, 1.0, now())
    assert place.route(to=f"ada@{TO}").domain_health == {}


def test_a_domains_probe_that_the_provider_did_not_take_decides_nothing(place: Place):
    bounce(place, TO)
    win_probe(place.accounts[0], [TO], now() + DOMAIN.first_pause)
    report(place, DOWN)
    assert state(place, TO) is BreakerState.OPEN


def test_only_a_domain_with_troubles_gets_a_call_of_its_own(place: Place):
    bounce(place, "outlook.com")
    task = place.task("a@gmail.com", "b@outlook.com", "c@yahoo.com", "d@outlook.com")
    troubled = load([task])[place.environment_id].troubled
    groups = [[pending.row_id for pending in group] for group in task.groups(troubled)]
    assert sorted(groups) == [[1, 3], [2, 4]]
    assert len(task.groups()) == 1


def test_deliveries_teach_how_long_it_takes(place: Place, queries: list[str]):
    account, domain = place.accounts[0], random_domain()
    health.delivered_many([(account, domain, 30.0)] * 10 + [(account, "other.example", None)], now())
    health.delivered_many([(account, domain, 30.0)] * LEARN_ALL, now())
    row = db.session.get_one(Delay, (account, domain))
    assert row.deliveries >= LEARN_ALL
    assert row.mean_s == pytest.approx(30)
    assert db.session.get(Delay, (account, "other.example")) is None
    queries.clear()
    health.delivered_many([(account, domain, 30.0)] * 500, now())
    assert len(queries) <= 3


def due(email_id: uuid.UUID) -> datetime | None:
    db.session.expire_all()
    return db.session.get_one(Email, email_id).due_time


def test_waiting_mail_is_brought_forward_when_the_account_works_again(place: Place):
    time = now()
    waits = time + 4 * MINUTE
    queued: dict[str, Any] = {"state": State.QUEUED, "due_time": waits}
    waiting = place.mail("a@example.com", time, round=3, **queued)
    scheduled = place.mail("b@example.com", time, round=0, **queued)
    under_way = place.mail("c@example.com", time, age=MINUTE, round=1, **queued)
    for attempt in db.session.scalars(select(Attempt).where(Attempt.email_id == under_way)):
        attempt.end_time = None
    elsewhere = Place.create().mail("d@example.com", time, round=3, **queued)
    report(place, DOWN, DOWN, DOWN, GOOD)
    found = due(waiting)
    assert found
    assert found <= now() + timedelta(seconds=health.HURRY_SPREAD_S)
    assert [due(other) for other in (scheduled, under_way, elsewhere)] == [waits] * 3


def test_a_domain_that_works_again_brings_forward_its_own_mail(place: Place):
    time = now()
    waits = time + 4 * MINUTE
    mails = {
        domain: place.mail(f"a@{domain}", time, state=State.QUEUED, due_time=waits, round=2)
        for domain in ("Outlook.com", "notoutlook.com")
    }
    bounce(place, "outlook.com")
    win_probe(place.accounts[0], ["outlook.com"], now() + DOMAIN.first_pause)
    health.delivered(place.accounts[0], "outlook.com", 1.0, now())
    db.session.commit()
    found = due(mails["Outlook.com"])
    assert found
    assert found < waits
    assert due(mails["notoutlook.com"]) == waits


def watch(at: datetime | None = None) -> None:
    health.watch(at or now())
    db.session.commit()


def test_a_probe_of_which_nothing_is_ever_told_was_good(place: Place):
    bounce(place, TO)
    time = now() + DOMAIN.first_pause
    win_probe(place.accounts[0], [TO], time)
    watch(time)
    assert state(place, TO) is BreakerState.HALF_OPEN
    watch(time + DOMAIN.probe_lease)
    assert state(place, TO) is BreakerState.CLOSED
    bounce(place, TO, 1)
    assert state(place, TO) is BreakerState.OPEN


def test_a_route_tells_its_caps(app: Flask):
    place = Place.create(caps={"max_per_second": 3, "max_per_day": 4})
    row = db.session.scalars(select(Route).where(Route.environment_id == place.environment_id)).first()
    assert row
    route = place.route()
    assert (route.id, route.max_per_second, route.max_per_day, route.authenticated) == (row.id, 3, 4, False)
