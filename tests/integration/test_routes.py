"""Putting routes in order, and what lists tell of environments."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import select

from flute_server.admin import api_keys, routes, summaries
from flute_server.admin.audit import Author
from flute_server.errors import FailedPrecondition, NotFound
from flute_server.local.embedded import Services
from flute_server.models import ApiKey, AuditEntry, Breaker, Environment, ProviderAccount, Route, db
from flute_server.sending import account_states
from tests.integration.places import Place, fresh_app

OPERATOR = Author("service")


@pytest.fixture(scope="module")
def app(services: Services) -> Iterator[Flask]:
    with fresh_app(services, "routes") as app, app.app_context():
        yield app


@pytest.fixture
def place(app: Flask) -> Place:
    return Place.create(routes=3)


def ids(place: Place) -> list[str]:
    return [str(route.id) for route in routes.list_all(str(place.environment_id))]


def positions(place: Place) -> list[tuple[str, int]]:
    return [(str(route.id), route.position) for route in routes.list_all(str(place.environment_id))]


def test_all_routes_change_their_places_at_once(place: Place):
    first, second, third = ids(place)
    found = routes.reorder(str(place.environment_id), [[third], [first, second]], OPERATOR)
    assert str(found[0].id) == third
    assert dict(positions(place)) == {third: 1, first: 2, second: 2}
    entry = db.session.scalars(select(AuditEntry).where(AuditEntry.account_id == place.tenant_id)).one()
    assert (entry.action, entry.subject, entry.text) == ("route.reorder", "Test", "p2, then p0 and p1")


def test_an_order_of_other_routes_than_there_are_is_refused_and_changes_nothing(place: Place):
    first, second, third = ids(place)
    before = positions(place)
    stranger = ids(Place.create(routes=1))[0]
    for ranks in (
        [[first], [second]],
        [[third], [second], [first], [first]],
        [[third], [second], [stranger]],
        [],
    ):
        with pytest.raises(FailedPrecondition) as refusal:
            routes.reorder(str(place.environment_id), ranks, OPERATOR)
        assert refusal.value.reason == "ROUTES_CHANGED"
        db.session.rollback()
    assert positions(place) == before
    with pytest.raises(NotFound):
        routes.reorder(str(uuid.uuid4()), [], OPERATOR)


def test_a_route_that_is_being_removed_meanwhile_is_noticed(app: Flask, place: Place):
    """Somebody removes a route and has not committed yet: the new order waits for that, then is refused."""
    first, second, third = ids(place)
    refusals: list[str] = []

    def reorder() -> None:
        with app.app_context():
            try:
                routes.reorder(str(place.environment_id), [[third], [second], [first]], OPERATOR)
            except FailedPrecondition as refusal:
                refusals.append(refusal.reason)

    db.session.execute(db.delete(Route).where(Route.id == uuid.UUID(second)))
    other = threading.Thread(target=reorder)
    other.start()
    _until_it_waits()
    db.session.commit()
    other.join(60)
    assert refusals == ["ROUTES_CHANGED"]
    assert [id_ for id_, _ in positions(place)] == [first, third]


def _until_it_waits() -> None:
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    deadline = time.monotonic() + 60
    with db.engine.connect() as connection:
        while not connection.execute(db.text(waiting)).scalar():
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_a_list_tells_routes_in_order_with_their_health_and_counts_keys_that_work(place: Place):
    first, second, third = ids(place)
    routes.reorder(str(place.environment_id), [[third], [first], [second]], OPERATOR)
    routes.update(first, {"disabled": 1}, OPERATOR)
    for domain, state in (("", "open"), ("example.com", "half_open")):
        account = place.accounts[2]
        db.session.add(
            Breaker(provider_account_id=account, domain=domain, state=state, failures=1, opened=1, reason="x")
        )
    db.session.get_one(ProviderAccount, place.accounts[1]).pause_time = datetime.now(UTC)
    environment = str(place.environment_id)
    rights = api_keys.Rights()
    made = [api_keys.create(environment, name, rights, OPERATOR)[0] for name in ("a", "b", "c")]
    api_keys.revoke(str(made[0].id), OPERATOR)
    db.session.get_one(ApiKey, made[1].id).expire_time = datetime.now(UTC) - timedelta(seconds=1)
    empty = Environment(id=uuid.uuid4(), account_id=place.tenant_id, name="Empty", domain="example.com")
    db.session.add(empty)
    db.session.commit()
    found = summaries.of([place.environment_id, empty.id])
    told = found[place.environment_id].routes
    standings = account_states.read([route.account for route in told])
    states = [(route.account.name, route.disabled, standings[route.account.id].state) for route in told]
    assert states == [("p2", False, "failing"), ("p0", True, "not_tried"), ("p1", False, "paused")]
    assert found[place.environment_id].keys == 1
    assert found[empty.id] == summaries.Summary()
