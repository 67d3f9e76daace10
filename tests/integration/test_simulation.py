"""Test mail takes the way of live mail, calls nobody, and teaches and uses up nothing."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis
from sqlalchemy import text

from flute_server.domain.simulation import DOMAIN, NAMES
from flute_server.domain.state import State
from flute_server.local.embedded import Services
from flute_server.models import AmbiguityPolicy, SuppressionReason, db
from flute_server.sending import health, suppress
from flute_server.sending.outcomes import Call
from flute_server.sending.simulate import Simulator
from tests.integration.places import Place, fresh_app
from tests.integration.scripted import World

TURNS = 40
ENDS = {
    "delivered": State.DELIVERED,
    "bounced": State.BOUNCED,
    "blocked": State.DELIVERED,
    "deferred": State.DELIVERED,
    "complained": State.DELIVERED,
    "refused": State.BOUNCED,
    "unavailable": State.DELIVERED,
    "suppressed": State.SUPPRESSED,
}
LIVE_TABLES = ("breaker", "delay", "suppression", "alert")


@pytest.fixture(scope="module")
def redis(services: Services) -> Redis:
    return Redis.from_url(services.redis_url.replace("db=0", "db=4"))


@pytest.fixture(scope="module")
def app(services: Services) -> Iterator[Flask]:
    # A Redis of its own: no worker listens to these wake-ups.
    own = Services(services.database_url, services.redis_url.replace("db=0", "db=4"))
    with fresh_app(own, "simulation_test") as app:
        yield app


@pytest.fixture
def world(app: Flask) -> World:
    return World(app)


def accept(world: World, *to: str) -> uuid.UUID:
    """A mail as with a test key."""
    return world.accept(*to, test=True)


def address(name: str) -> str:
    """Of a part that is played; of somebody else for a name that is none."""
    part = name.partition("+")[0]
    return f"{name}@{DOMAIN if part in NAMES else 'example.com'}"


def rest(world: World) -> None:
    """Turns until nothing is left to do, and whatever is awaited comes at once."""
    waiting = "SELECT FROM email WHERE due_time IS NOT NULL UNION ALL SELECT FROM provider_event"
    waiting += " WHERE match_time IS NOT NULL"
    for _ in range(TURNS):
        for call in world.turn():
            world.workers[0].end(call)
        world._do("UPDATE email SET due_time = now() WHERE due_time > now()")
        world._do("UPDATE provider_event SET match_time = now() WHERE match_time > now()")
        world.read()
        if not world.workers[0].under_way and not world.rows(waiting):
            return
    raise AssertionError(world.rows("SELECT * FROM email WHERE due_time IS NOT NULL"))


def states(world: World, id_: uuid.UUID) -> dict[str, str]:
    return dict(world.rows("SELECT address, state FROM recipient WHERE email_id = :id", id=id_))


def words(world: World, id_: uuid.UUID) -> list[tuple[str, str]]:
    return [
        tuple(row)
        for row in world.rows("SELECT type, text FROM event WHERE email_id = :id ORDER BY id", id=id_)
    ]


def types(world: World, id_: uuid.UUID) -> list[str]:
    return [type_ for type_, _ in words(world, id_)]


def live(world: World, redis: Redis) -> list[Any]:
    """All that live mail teaches and uses up."""
    tables = [world.rows(f"SELECT * FROM {name} ORDER BY 1, 2") for name in LIVE_TABLES]
    keys = sorted(redis.keys("flute:cap:*"))
    return [tables, keys]


def nobody_was_called(world: World) -> bool:
    attempts = world.rows("SELECT simulated FROM attempt a WHERE environment_id = :environment")
    return all(simulated for [simulated] in attempts) and not any(p.copies for p in world.providers.values())


@pytest.mark.parametrize("name", sorted(ENDS))
def test_each_part_ends_as_it_says(world: World, name: str):
    id_ = accept(world, address(name))
    rest(world)
    assert states(world, id_) == {address(name): ENDS[name]}
    assert nobody_was_called(world)


def test_all_parts_in_one_mail(world: World):
    addresses = {f"{name}+order{n}@{DOMAIN}": end for n, (name, end) in enumerate(ENDS.items())}
    id_ = accept(world, *addresses)
    rest(world)
    assert states(world, id_) == addresses
    assert nobody_was_called(world)


def test_whoever_else_is_delivered_to(world: World):
    id_ = accept(world, "bounced@example.com")
    rest(world)
    assert types(world, id_) == ["accepted", "sent", "delivered"]


def test_a_bounce_tells_what_a_live_one_would_do(world: World):
    id_ = accept(world, address("bounced"))
    rest(world)
    type_, told = words(world, id_)[-1]
    assert type_ == "bounced"
    assert "cause: recipient" in told
    assert told.endswith("; no provider would help; with a live mail, the address would be suppressed")


def test_a_complaint_comes_after_the_delivery(world: World):
    id_ = accept(world, address("complained"))
    rest(world)
    assert types(world, id_) == ["accepted", "sent", "delivered", "complained"]
    assert words(world, id_)[-1][1].endswith("; with a live mail, the address would be suppressed")


def test_a_deferral_comes_before_the_delivery(world: World):
    id_ = accept(world, address("deferred"))
    rest(world)
    assert types(world, id_) == ["accepted", "sent", "deferred", "delivered"]


@pytest.mark.parametrize("name", ["blocked", "unavailable"])
def test_the_next_route_takes_over(world: World, name: str):
    id_ = accept(world, address(name))
    rest(world)
    query = "SELECT p.name FROM attempt a JOIN provider_account p ON p.id = provider_account_id"
    names = world.rows(f"{query} WHERE email_id = :id ORDER BY start_time", id=id_)
    assert [row.name for row in names] == ["p0", "p1"]
    assert types(world, id_)[-1] == "delivered"


def test_with_one_route_a_block_ends_as_it_would_live(app: Flask):
    world = World(app, accounts=1)
    id_ = accept(world, address("blocked"))
    rest(world)
    assert states(world, id_) == {address("blocked"): State.FAILED}
    assert "no provider of this environment can ever carry this mail" in words(world, id_)[-1][1]


def test_the_suppression_list_holds_for_test_mail_too(world: World):
    with world.app.app_context():
        suppress.add(world.place.tenant_id, "ada@example.com", SuppressionReason.MANUAL, "asked to")
        db.session.commit()
    id_ = accept(world, "ada@example.com")
    rest(world)
    assert states(world, id_) == {"ada@example.com": State.SUPPRESSED}
    assert not world.rows("SELECT FROM attempt WHERE email_id = :id", id=id_)


@pytest.mark.parametrize("policy", AmbiguityPolicy)
def test_a_worker_that_dies_in_the_simulation_is_made_up_for(app: Flask, policy: AmbiguityPolicy):
    """And no provider is asked about it, whatever the environment says."""
    world = World(app, policy, can_be_asked=True)
    id_ = accept(world, address("delivered"))
    [call] = world.turn()
    assert isinstance(call, Call)
    assert isinstance(call.provider, Simulator)
    world.crash()
    world._do("UPDATE email SET due_time = now() WHERE due_time > now()")
    rest(world)
    assert states(world, id_) == {address("delivered"): State.DELIVERED}
    assert nobody_was_called(world)
    assert not any(provider.answers for provider in world.providers.values())


def test_a_cap_is_not_used_up(world: World):
    world._do("UPDATE route SET max_per_day = 1 WHERE environment_id = :id", id=world.place.environment_id)
    ids = [accept(world, address("delivered")) for _ in range(3)]
    rest(world)
    assert all(states(world, id_) == {address("delivered"): State.DELIVERED} for id_ in ids)
    world.accept("ada@example.com")
    [call] = world.turn()
    assert isinstance(call, Call)
    assert call.route.name == "p0"
    world.crash()


def test_calls_that_are_simulated_keep_no_live_mail_waiting(world: World):
    accept(world, address("delivered"))
    [call] = world.turn()
    assert isinstance(call, Call)
    worker = world.workers[0]
    assert not +worker._dispatcher.under_way
    worker.end(call)
    worker.turn()
    assert not worker._dispatcher.under_way[call.route.account_id]
    rest(world)


def test_waiting_test_mail_is_not_brought_forward_in_the_place_of_live_mail(app: Flask):
    with app.app_context():
        place = Place.create()
        now = db.session.scalars(text("SELECT now()")).one()
        waits = {"state": State.QUEUED, "round": 3, "due_time": now + timedelta(minutes=4)}
        live = place.mail("ada@example.com", now, **waits)
        place.mail("ada@example.com", now, test=True, **waits)
        health.hurry(place.accounts[0], now)
        query = "SELECT id FROM email WHERE environment_id = :id AND due_time < now() + interval '1 minute'"
        assert db.session.scalars(text(query), {"id": place.environment_id}).all() == [live]
        db.session.rollback()
        db.session.execute(text("UPDATE email SET due_time = NULL"))
        db.session.commit()


def test_test_mail_is_never_called_silent(app: Flask):
    with app.app_context():
        place = Place.create()
        now = db.session.scalars(text("SELECT now()")).one()
        health.delivered_many([(place.accounts[0], "outlook.com", 2.0)] * 5, now)
        for n in range(6):
            place.mail(f"a{n}@outlook.com", now, age=timedelta(minutes=10), test=True)
        db.session.execute(text("UPDATE attempt SET simulated = true"))
        health.watch(now)
        assert not db.session.scalars(text("SELECT 1 FROM breaker")).all()
        db.session.rollback()


HEALTHS = {
    "well": None,
    "out": ("", "open", 3, None),
    "pausing": ("", "open", 3, timedelta(hours=1)),
    "to be probed": ("", "open", 3, -timedelta(seconds=1)),
    "probed": ("", "half_open", 3, timedelta(minutes=1)),
    "blocked there": (DOMAIN, "open", 3, timedelta(hours=1)),
    "to be probed there": (DOMAIN, "open", 3, -timedelta(seconds=1)),
    "late there": (DOMAIN, "open", 0, timedelta(hours=1)),
    "slowed down": ("", "closed", 0, timedelta(minutes=1)),
}
_BREAK = """
INSERT INTO breaker (provider_account_id, domain, state, failures, opened, retry_at, reason)
VALUES (:account, :domain, :state, :failures, 1, now() + :pause, 'as told')
"""
mixes = st.lists(
    st.lists(st.sampled_from([*NAMES, "whoever"]), min_size=1, max_size=4, unique=True),
    min_size=1,
    max_size=4,
)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(mix=mixes, healths=st.tuples(*[st.sampled_from(sorted(HEALTHS))] * 2))
def test_no_mix_of_test_mail_changes_anything_for_live_mail(
    app: Flask, redis: Redis, mix: Sequence[Sequence[str]], healths: tuple[str, str]
):
    world = World(app, accounts=4)  # two of them well, so that each mail can end
    world._do("DELETE FROM breaker")
    world._do("UPDATE route SET max_per_second = 1, max_per_day = 1")
    for account, name in zip(world.place.accounts, healths, strict=False):
        if found := HEALTHS[name]:
            domain, state, failures, pause = found
            world._do(_BREAK, account=account, domain=domain, state=state, failures=failures, pause=pause)
    before = live(world, redis)
    mails = [accept(world, *map(address, names)) for names in mix]
    rest(world)
    assert live(world, redis) == before
    assert nobody_was_called(world)
    for id_, names in zip(mails, mix, strict=True):
        assert states(world, id_) == {address(name): ENDS.get(name, State.DELIVERED) for name in names}
