"""A plan is the truth: what is sent right after it takes the way that it told."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from redis import Redis

from flute_server.domain.capability import Capabilities
from flute_server.domain.message import Address, Message
from flute_server.errors import FailedPrecondition, InvalidArgument, PermissionDenied
from flute_server.local.embedded import Services
from flute_server.models import SuppressionReason, db
from flute_server.sending import caps, suppress
from flute_server.sending.accept import accept
from flute_server.sending.answer import Accepted
from flute_server.sending.outcomes import Call
from flute_server.sending.plan import Plan, PlannedGroup, plan
from flute_server.sending.senders import by_environment
from flute_server.sending.store import Draft
from flute_server.sending.unsubscribe import Links
from tests.integration.places import fresh_app
from tests.integration.scripted import World

ADA, BOB = "ada@example.com", "bob@example.org"
HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)
LINKS = Links("https://mail.example", b"x" * 32)
_TABLES = ("email", "recipient", "attempt", "ledger", "event", "breaker", "delay", "suppression", "alert")
_BREAK = """
INSERT INTO breaker (provider_account_id, domain, state, failures, opened, retry_at, reason)
VALUES (:account, :domain, :state, :failures, 1, now() + :pause, 'as told')
"""


@pytest.fixture(scope="module")
def redis(services: Services) -> Redis:
    return Redis.from_url(services.redis_url.replace("db=0", "db=5"))


@pytest.fixture(scope="module")
def app(services: Services) -> Iterator[Flask]:
    # A Redis of its own: no worker listens to these wake-ups.
    own = Services(services.database_url, services.redis_url.replace("db=0", "db=5"))
    with fresh_app(own, "plan_test") as app:
        yield app


@pytest.fixture
def world(app: Flask) -> World:
    return World(app)


def message(*to: str, **fields: Any) -> Message:
    given = {"sender": Address("hello@flutemail.io"), "subject": "Hello", "text": "Hi", **fields}
    return Message(to=tuple(map(Address, to)), **given)


def planned(world: World, mail: Message, **of_key: Any) -> Plan:
    with world.app.app_context():
        sender = replace(by_environment(str(world.place.environment_id)), **of_key)
        return plan(sender, Draft(mail), world.workers[0]._connections, LINKS)


def sent(world: World, mail: Message) -> tuple[uuid.UUID, list[Call]]:
    """The calls of the first turn after the mail was accepted."""
    with world.app.app_context():
        answer = accept(by_environment(str(world.place.environment_id)), Draft(mail))
    [accepted] = answer.results
    assert isinstance(accepted, Accepted)
    calls = [call for call in world.turn() if isinstance(call, Call)]
    return accepted.id, calls


def on_record(world: World, redis: Redis) -> list[Any]:
    rows = [world.rows(f"SELECT * FROM {name} ORDER BY 1, 2") for name in _TABLES]
    counted = [redis.dump(key) for key in sorted(redis.keys("flute:*"))]
    return [*rows, counted]


def ill(world: World, state: str, pause: timedelta | None, domain: str = "", failures: int = 3) -> None:
    """Of the first account."""
    values = {"account": world.place.accounts[0], "domain": domain, "state": state, "failures": failures}
    world._do(_BREAK, pause=pause, **values)


def disable(world: World) -> None:
    world._do("UPDATE route SET disabled = true WHERE provider_account_id = :id", id=world.place.accounts[0])


def cap(world: World, column: str) -> None:
    """Full, by a mail that went through the first account."""
    where = "WHERE provider_account_id = :id"
    world._do(f"UPDATE route SET {column} = 1 {where}", id=world.place.accounts[0])
    with world.app.app_context():
        assert caps.take(world.place.route(), 1) is None


def can(world: World, **given: Any) -> None:
    provider = world.providers[world.place.accounts[0]]
    capabilities = replace(Capabilities(10**7, 100), **given)
    provider.capabilities = capabilities  # type: ignore[misc]  # one class plays several providers


def drill(world: World) -> None:
    world._do(
        "INSERT INTO drill (id, account_id, provider_account_id, share, duration_s, end_time)"
        " VALUES (gen_random_uuid(), :tenant, :id, 100, 3600, now() + interval '1 hour')",
        tenant=world.place.tenant_id,
        id=world.place.accounts[0],
    )


def all_out(world: World) -> None:
    for account in world.place.accounts:
        values = {"account": account, "domain": "", "state": "open", "failures": 3, "pause": None}
        world._do(_BREAK, **values)


STATES: dict[str, tuple[Callable[[World], None], str | None]] = {
    "all well": (lambda _: None, "p0"),
    "out until somebody acts": (lambda world: ill(world, "open", None), "p1"),
    "pausing": (lambda world: ill(world, "open", HOUR), "p1"),
    "to be probed": (lambda world: ill(world, "open", -SECOND), "p0"),
    "probed by another": (lambda world: ill(world, "half_open", HOUR), "p1"),
    "slowed down": (lambda world: ill(world, "closed", HOUR, failures=0), "p1"),
    "blocked at the domain": (lambda world: ill(world, "open", HOUR, "example.com"), "p1"),
    "blocked at another domain": (lambda world: ill(world, "open", HOUR, "gmail.com"), "p0"),
    "late at the domain": (lambda world: ill(world, "open", HOUR, "example.com", failures=0), "p1"),
    "switched off": (disable, "p1"),
    "too large": (lambda world: can(world, max_bytes=1000), "p1"),
    "a header not carried": (lambda world: can(world, forbidden_headers=frozenset({"x-note"})), "p1"),
    "at its cap a day": (lambda world: cap(world, "max_per_day"), "p1"),
    "at its cap a second": (lambda world: cap(world, "max_per_second"), "p1"),
    "in a drill": (drill, "p1"),
    "nobody": (all_out, None),
}


@pytest.mark.parametrize("state", STATES)
def test_what_is_sent_next_goes_the_way_that_was_planned(world: World, redis: Redis, state: str):
    make, expected = STATES[state]
    make(world)
    mail = message(ADA, headers=(("X-Note", "1"),))
    before = on_record(world, redis)
    found = planned(world, mail)
    assert planned(world, mail).sendable == found.sendable
    assert on_record(world, redis) == before
    [group] = found.groups
    assert (group.chosen.account if group.chosen else None) == expected
    assert found.sendable == (expected is not None)

    id_, calls = sent(world, mail)
    assert [call.route.name for call in calls] == ([expected] if expected else [])
    [candidates] = world.rows("SELECT candidates FROM attempt WHERE email_id = :id", id=id_) or [[None]]
    if calls:
        assert sorted(_told(candidates.candidates)) == sorted(_of(group))
    world.crash()


def _told(candidates: list[dict[str, Any]]) -> list[tuple[str, bool, str]]:
    return [(c["provider_account"], c["chosen"], _timeless(c["reason"])) for c in candidates]


def _of(group: PlannedGroup) -> list[tuple[str, bool, str]]:
    return [(item.account, item.chosen, _timeless(item.reason)) for item in group.routes]


def _timeless(reason: str) -> str:
    return re.sub(r"in \d+ s", "in a while", reason)


def test_who_is_better_off_elsewhere_travels_apart(world: World):
    ill(world, "open", HOUR, "example.com")
    mail = message(ADA, BOB)
    found = planned(world, mail)
    ways = {group.recipients: group.chosen.account for group in found.groups if group.chosen}
    assert ways == {(ADA,): "p1", (BOB,): "p0"}
    [bob] = [group for group in found.groups if group.recipients == (BOB,)]
    assert bob.routes[0].losses == (f'To and Cc do not name "{ADA}", whom this call does not carry',)
    _, calls = sent(world, mail)
    taken = {tuple(p.recipient.address.email for p in call.group): call.route.name for call in calls}
    assert taken == ways
    world.crash()


def test_late_is_better_than_never_and_tried_last(app: Flask):
    world = World(app, accounts=2)
    ill(world, "open", HOUR, "example.com", failures=0)
    world._do("UPDATE route SET disabled = true WHERE provider_account_id = :id", id=world.place.accounts[1])
    [group] = planned(world, message(ADA)).groups
    assert [(item.account, item.chosen, item.usable) for item in group.routes] == [
        ("p1", False, False),
        ("p0", True, True),
    ]


def test_equals_share_by_lot(app: Flask):
    world = World(app, accounts=2)
    world._do(
        "UPDATE route SET position = 1, weight = 3 WHERE environment_id = :id", id=world.place.environment_id
    )
    [group] = planned(world, message(ADA)).groups
    assert {item.reason.partition("; ")[2] for item in group.routes} == {
        "among equals it comes first for 3 of 6 mails, by lot"
    }


def test_the_suppressed_are_left_out(world: World):
    with world.app.app_context():
        suppress.add(world.place.tenant_id, ADA, SuppressionReason.MANUAL, "asked to")
        db.session.commit()
    found = planned(world, message(ADA.upper(), BOB))
    assert [group.recipients for group in found.groups] == [(BOB,)]
    assert found.suppressed == ((ADA.upper(), "the address is suppressed (manual: asked to)"),)
    assert found.sendable
    only = planned(world, message(ADA))
    assert (only.sendable, only.groups) == (False, ())
    assert only.summary == f"Nothing would be sent to {ADA}, on the suppression list."


def test_a_plan_is_refused_like_the_mail(world: World):
    with pytest.raises(InvalidArgument) as wrong:
        planned(world, message("nobody"))
    assert wrong.value.violations[0].field == "content.to[0].email"
    with pytest.raises(PermissionDenied, match="sends from"):
        planned(world, message(ADA, sender=Address("a@elsewhere.example")))
    with pytest.raises(FailedPrecondition) as nowhere:
        planned(world, message(ADA), has_routes=False)
    assert nowhere.value.reason == "NO_ROUTES"


def test_warnings_and_summary_in_words(app: Flask):
    world = World(app, accounts=2)
    ill(world, "open", HOUR)
    found = planned(world, message(ADA), test=True)
    assert found.summary == f"The mail to {ADA} would go through p1, passing over p0."
    key, no_other, trouble = found.warnings
    assert "test" in key
    assert no_other == f"no other provider could take over the mail to {ADA} if p1 fails"
    assert trouble == "p0: failing (as told), tried again in 60 minutes"
    all_well = planned(World(app, accounts=2), message(ADA))
    assert all_well.warnings == ()


def test_nothing_can_take_it(app: Flask):
    world = World(app, accounts=1)
    can(world, max_bytes=1000)
    found = planned(world, message(ADA))
    assert not found.sendable
    assert "would fail" in found.summary
    assert any("over the provider's 1,000" in warning for warning in found.warnings)


def test_the_unsubscribe_link_is_not_carried_by_all(app: Flask):
    world = World(app, accounts=2)
    world.settings(one_click_unsubscribe=True)
    can(world, forbidden_headers=frozenset({"list-unsubscribe"}))
    [group] = planned(world, message(ADA)).groups
    assert [len(item.losses) for item in group.routes] == [1, 0]
    assert "link to unsubscribe" in group.routes[0].losses[0]
