"""Accepted mail of which nothing more is heard, over a real PostgreSQL."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import select

from flute_server.domain.breaker import DOMAIN, BreakerState
from flute_server.domain.event import ProviderEvent, ProviderEventKind
from flute_server.domain.outcome import Fate
from flute_server.domain.state import State
from flute_server.domain.verdict import Diagnostic
from flute_server.local.embedded import Services
from flute_server.models import Attempt, Breaker, Email, Event, Inbound, Recipient, db
from flute_server.sending import feedback, health, record
from flute_server.sending import silence as silences
from flute_server.sending.record import Writes
from flute_server.sending.reschedule import cancel
from flute_server.sending.routing import win_probe
from tests.integration.places import Place, fresh_app

MINUTE = timedelta(minutes=1)


@pytest.fixture(scope="module")
def module_app(services: Services) -> Iterator[Flask]:
    with fresh_app(services, "silence_test") as app:
        yield app


@pytest.fixture
def app(module_app: Flask) -> Iterator[Flask]:
    with module_app.app_context():
        yield module_app


@pytest.fixture
def place(app: Flask) -> Place:
    return Place.create()


def now() -> datetime:
    return datetime.now(UTC)


def breaker(place: Place, domain: str) -> Breaker | None:
    db.session.expire_all()
    return db.session.get(Breaker, (place.accounts[0], domain))


def state(place: Place, domain: str) -> BreakerState:
    row = breaker(place, domain)
    return BreakerState(row.state) if row else BreakerState.CLOSED


def due(email_id: uuid.UUID) -> datetime | None:
    db.session.expire_all()
    return db.session.get_one(Email, email_id).due_time


def watch(at: datetime | None = None) -> None:
    health.watch(at or now())
    db.session.commit()


def silence(place: Place, domain: str, mails: int = 4, known: bool = True) -> list[uuid.UUID]:
    """Mails that the first account took ten minutes ago and that nobody has heard of since."""
    if known:
        health.delivered_many([(place.accounts[0], domain, 2.0)] * 5, now())
    time = now()
    return [place.mail(f"a{n}@{domain}", time, age=10 * MINUTE) for n in range(mails)]


def test_silence_opens_the_domain_and_the_account_serves_in_an_emergency(place: Place):
    silence(place, "outlook.com", 3)
    for n in range(2):
        place.mail(f"b{n}@outlook.com", now(), age=20 * MINUTE, fate=Fate.DELIVERED, state=State.DELIVERED)
    watch()
    row = breaker(place, "outlook.com")
    assert row
    assert row.reason == "accepted but silent: 3 of 5 mails to outlook.com for more than 0:05:00"
    assert place.route(to="a@outlook.com").domain_health["outlook.com"].only_late
    assert place.route(to="a@gmail.com").domain_health == {}


def test_a_domain_without_a_band_of_its_own_is_judged_by_the_accounts(place: Place):
    health.delivered_many([(place.accounts[0], "gmail.com", 2.0)], now())
    silence(place, "outlook.com", 3, known=False)
    watch()
    assert state(place, "outlook.com") is BreakerState.OPEN


@pytest.mark.parametrize(
    ("usual_s", "heard", "silent", "age"),
    [
        (None, 0, 5, 10),  # an account that never tells of deliveries
        (2.0, 0, 2, 10),  # too few
        (2.0, 5, 4, 10),  # the minority
        (2.0, 0, 5, 4),  # too young
        (1200.0, 0, 5, 10),  # as slow as ever
    ],
)
def test_silence_that_proves_nothing_opens_nothing(
    place: Place, usual_s: float | None, heard: int, silent: int, age: int
):
    time, old = now(), age * MINUTE
    if usual_s is not None:
        health.delivered_many([(place.accounts[0], "outlook.com", usual_s)] * 5, time)
    for n in range(heard):
        place.mail(f"heard{n}@outlook.com", time, age=old, fate=Fate.DEFERRED)
    for n in range(silent):
        place.mail(f"silent{n}@outlook.com", time, age=old)
    watch()
    assert state(place, "outlook.com") is BreakerState.CLOSED


def test_nobody_is_called_silent_while_events_wait_to_be_read(place: Place):
    silence(place, "outlook.com")
    waiting = Inbound(body=b"", due_time=now() - 2 * MINUTE)
    db.session.add(waiting)
    watch()
    assert state(place, "outlook.com") is BreakerState.CLOSED
    db.session.delete(waiting)
    watch()
    assert state(place, "outlook.com") is BreakerState.OPEN


def test_what_was_silent_before_is_not_held_against_a_domain_that_works_again(place: Place):
    silence(place, "outlook.com")
    watch()
    win_probe(place.accounts[0], ["outlook.com"], now() + DOMAIN.first_pause)
    health.delivered(place.accounts[0], "outlook.com", 1.0, now())
    db.session.commit()
    watch()
    assert state(place, "outlook.com") is BreakerState.CLOSED
    silence(place, "live.com")
    watch()
    assert state(place, "live.com") is BreakerState.OPEN
    health.reset(place.accounts[0])
    watch()
    assert state(place, "live.com") is BreakerState.CLOSED
    watch(now() + timedelta(hours=2))
    assert breaker(place, "outlook.com") is None


def recipients(email_ids: list[uuid.UUID]) -> list[str]:
    return list(db.session.scalars(select(Recipient.state).where(Recipient.email_id.in_(email_ids))))


def test_overdue_mail_stays_where_it_is_unless_the_policy_says_so(place: Place):
    mails = silence(place, "outlook.com")
    watch()
    watch()
    assert set(recipients(mails)) == {State.SENT}


def test_overdue_mail_is_resent_once_with_its_proof(app: Flask):
    place = Place.create(on_delay="resend")
    mails = silence(place, "outlook.com")
    watch()
    assert set(recipients(mails)) == {State.QUEUED}
    [moment] = db.session.scalars(select(Event).where(Event.email_id == mails[0]))
    assert moment.type == "failover"
    assert "p0 took it 0:10:0" in moment.text
    assert "accepted but silent: 4 of 4 mails to outlook.com" in moment.text
    found = due(mails[0])
    assert found
    assert found <= now()
    for row in db.session.scalars(select(Recipient).where(Recipient.email_id.in_(mails))):
        row.state = State.SENT
    watch()
    assert set(recipients(mails)) == {State.SENT}


def test_what_was_queued_for_silence_and_then_taken_back_is_not_resent_for_a_late_bounce(app: Flask):
    place = Place.create(on_delay="resend")
    mails = silence(place, "outlook.com")
    watch()
    assert set(recipients(mails)) == {State.QUEUED}
    _cancel(place, mails)
    for id_ in mails:
        _bounce(place, id_, "550 5.7.1 blocked using zen.spamhaus.org")
    assert set(recipients(mails)) == {State.CANCELED}
    assert [due(id_) for id_ in mails] == [None] * len(mails)


def _also_to_bob(place: Place, email_ids: list[uuid.UUID]) -> None:
    """Each mail has a second recipient, who waits still."""
    for id_ in email_ids:
        email = db.session.get_one(Email, id_)
        bob = Recipient(kind="cc", address="bob@example.com", name="", state=State.QUEUED)
        bob.email_id, bob.environment_id, bob.email_time = id_, place.environment_id, email.create_time
        db.session.add(bob)
    db.session.commit()


def _cancel(place: Place, email_ids: list[uuid.UUID]) -> None:
    for id_ in email_ids:
        cancel(str(id_), place.environment_id)


def test_what_was_taken_back_for_another_recipient_is_not_resent_for_silence(app: Flask):
    place = Place.create(on_delay="resend")
    mails = silence(place, "outlook.com")
    _also_to_bob(place, mails)
    _cancel(place, mails)
    watch()
    assert state(place, "outlook.com") is BreakerState.OPEN
    assert sorted(recipients(mails)) == sorted([State.SENT, State.CANCELED] * len(mails))


def test_what_is_taken_back_while_silence_looks_for_the_overdue_is_not_resent(
    app: Flask, monkeypatch: pytest.MonkeyPatch
):
    """After they were found, and before they are locked."""
    place = Place.create(on_delay="resend")
    mails = silence(place, "outlook.com")
    _also_to_bob(place, mails)
    lock = record.lock

    def take_back() -> None:
        with app.app_context():
            _cancel(place, mails)

    def lock_too_late(ids: Iterable[uuid.UUID]) -> None:
        other = threading.Thread(target=take_back)
        other.start()
        other.join()
        lock(ids)

    monkeypatch.setattr(silences, "lock", lock_too_late)
    watch()
    assert sorted(recipients(mails)) == sorted([State.SENT, State.CANCELED] * len(mails))


def _bounce(place: Place, email_id: uuid.UUID, text: str) -> None:
    """The first account says so of the mail that it took."""
    attempt_id = db.session.scalars(select(Attempt.id).where(Attempt.email_id == email_id)).one()
    event = ProviderEvent(
        ProviderEventKind.BOUNCED,
        key=str(email_id),
        time=now(),
        attempt_id=str(attempt_id),
        diagnostic=Diagnostic(text=text),
    )
    [found] = feedback.match([event], place.accounts[0])
    assert found
    writes = Writes(now())
    feedback.apply([found], writes)
    writes.flush()
    db.session.commit()


def test_overdue_mail_is_not_resent_when_nobody_else_could_take_it(app: Flask):
    place = Place.create(routes=1, on_delay="resend")
    mails = silence(place, "outlook.com")
    watch()
    assert state(place, "outlook.com") is BreakerState.OPEN
    assert set(recipients(mails)) == {State.SENT}
