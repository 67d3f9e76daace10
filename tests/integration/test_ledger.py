"""The single-delivery ledger in the corners that crashes, late answers and late words lead to.

Each test is the shortest way into one corner that the state machine (test_state_machine.py) walks through.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from flute_server.domain.outcome import ErrorKind
from flute_server.domain.state import State
from flute_server.local.embedded import Services
from flute_server.models import AmbiguityPolicy, SuppressionReason, db
from flute_server.sending import health, suppress
from flute_server.sending.outcomes import Call
from flute_server.sending.story import tell
from tests.integration.books import refused, taken, unclear
from tests.integration.places import fresh_app
from tests.integration.scripted import World

WAIT = AmbiguityPolicy.WAIT
ADA, BOB = "ada@example.com", "bob@example.org"
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def app(services: Services) -> Iterator[Flask]:
    # A Redis of its own: no worker listens to these wake-ups.
    own = Services(services.database_url, services.redis_url.replace("db=0", "db=3"))
    with fresh_app(own, "ledger_test") as app:
        yield app


@pytest.fixture
def world(app: Flask) -> World:
    return World(app, all_tell_ids=True)


@pytest.fixture
def waiting(app: Flask) -> World:
    return World(app, WAIT, all_tell_ids=True)


def begin(world: World, number: int = 0) -> Call:
    """A turn that begins one call."""
    [call] = world.turn(world.workers[number])
    assert isinstance(call, Call)
    return call


def finish(world: World, call: Call, number: int = 0) -> list[Any]:
    """The answer comes and is written down; the calls that follow."""
    world.workers[number].end(call)
    return world.turn(world.workers[number])


def say(world: World, call: Call, *numbers: int) -> None:
    """The provider tells so many of its events about this call, counted from 0, in this order."""
    untold = [event for id_, event in world.untold() if event["attempt_id"] == str(call.attempt_id)]
    for number in numbers:
        world.tell(call.route.account_id, [untold[number]])
        world.read()


def states(world: World, id_: uuid.UUID) -> dict[str, str]:
    return dict(world.rows("SELECT address, state FROM recipient WHERE email_id = :id", id=id_))


def is_due(world: World, id_: uuid.UUID) -> bool:
    return bool(world.rows("SELECT FROM email WHERE id = :id AND due_time IS NOT NULL", id=id_))


def attempts(world: World, id_: uuid.UUID) -> int:
    return len(world.rows("SELECT FROM attempt WHERE email_id = :id", id=id_))


def ledger(world: World, call: Call) -> list[tuple[str, str]]:
    query = "SELECT outcome, error FROM ledger WHERE attempt_id = :id"
    return [tuple(row) for row in world.rows(query, id=call.attempt_id)]


# ----- leases


def test_an_answer_that_outlasts_the_lease_is_written_down_before_mail_is_claimed(world: World):
    """As after an outage of the database: the answers wait with the worker while the leases run out."""
    id_ = world.accept(ADA)
    call = begin(world)
    world.act(call)
    world.lapse()
    assert finish(world, call) == []
    assert states(world, id_) == {ADA: State.SENT}
    assert attempts(world, id_) == 1


def test_an_answer_that_outlasts_the_lease_leaves_no_mail_on_hold(waiting: World):
    id_ = waiting.accept(ADA)
    call = begin(waiting)
    waiting.act(call)
    waiting.lapse()
    assert finish(waiting, call) == []
    assert states(waiting, id_) == {ADA: State.SENT}


def test_a_late_answer_of_a_worker_that_lost_its_lease_is_evidence_for_a_held_mail(waiting: World):
    id_ = waiting.accept(ADA)
    call = begin(waiting, 0)
    waiting.act(call)
    waiting.lapse()
    waiting.turn(waiting.workers[1])
    assert states(waiting, id_) == {ADA: State.SENDING}
    assert finish(waiting, call, 0) == []
    waiting.pass_time(2 * HOUR)
    assert waiting.turn(waiting.workers[1]) == []
    assert attempts(waiting, id_) == 1
    assert states(waiting, id_) == {ADA: State.SENT}


def test_a_worker_that_was_stopped_for_longer_than_its_lease_calls_nobody(world: World):
    """Stopped between the turn that wrote the attempt down and the call; the other worker went on."""
    id_ = world.accept(ADA)
    call = begin(world, 0)
    world.workers[0].stand_still()
    world.lapse()
    second = begin(world, 1)
    world.act(second)
    finish(world, second, 1)
    assert finish(world, call, 0) == []
    assert not world.acted(call)
    assert states(world, id_) == {ADA: State.SENT}
    [(outcome, error)] = ledger(world, call)
    assert (outcome, error) == ("not_sent", "uncalled")


def test_a_machine_that_slept_sends_later_and_blames_no_provider(world: World):
    id_ = world.accept(ADA)
    call = begin(world)
    world.workers[0].stand_still()
    world.lapse()
    assert finish(world, call) == []
    assert states(world, id_) == {ADA: State.QUEUED}
    account = call.route.account_id
    assert world.rows("SELECT FROM breaker WHERE provider_account_id = :id", id=account) == []
    world.lapse()
    again = begin(world)
    assert again.route.account_id == account
    world.act(again)
    finish(world, again)
    assert states(world, id_) == {ADA: State.SENT}


def test_a_late_answer_is_written_down_before_its_mail_is_claimed(world: World):
    """The other worker, which went on without it, has died: the same turn takes the mail back."""
    id_ = world.accept(ADA)
    call = begin(world, 0)
    world.act(call)
    world.lapse()
    begin(world, 1)
    world.crash(1)
    world.lapse()
    assert finish(world, call, 0) == []
    assert states(world, id_) == {ADA: State.SENT}


def test_a_held_mail_stays_due_when_the_worker_does_not_learn_of_its_commit(waiting: World):
    id_ = waiting.accept(ADA)
    call = begin(waiting)
    waiting.act(call, unclear("silent"))
    waiting.workers[0].end(call)
    waiting.turn(fails="after")
    waiting.turn()
    assert states(waiting, id_) == {ADA: State.SENDING}
    assert is_due(waiting, id_)


# ----- crashes in mid-call


def lost_while_delivered_otherwise(world: World) -> tuple[uuid.UUID, Call]:
    """Nobody knows of the first call for Ada, and the worker dies in the second."""
    id_ = world.accept(ADA, BOB)
    first = begin(world)
    world.act(first, unclear("delivered"), {BOB: taken("blocked")})
    [_second] = finish(world, first)
    world.crash()
    return id_, first


def test_a_lost_call_is_closed_although_its_recipient_has_the_mail(world: World):
    id_, first = lost_while_delivered_otherwise(world)
    say(world, first, 0, 1)
    world.lapse()
    world.turn(world.workers[1])
    with world.app.app_context():
        assert tell(str(id_), None, full=False).states != {}
        assert State.SENDING not in tell(str(id_), None, full=False).states.values()


def test_a_bounce_is_resent_although_a_lost_call_of_the_mail_was_never_closed(world: World):
    id_, first = lost_while_delivered_otherwise(world)
    say(world, first, 0, 1)
    world.lapse()
    world.turn(world.workers[1])
    say(world, first, 0, 1)
    assert states(world, id_) == {ADA: State.DELIVERED, BOB: State.QUEUED}
    assert is_due(world, id_)


def test_a_lost_call_is_closed_although_its_recipient_was_suppressed_meanwhile(world: World):
    id_ = world.accept(ADA)
    begin(world)
    world.crash()
    with world.app.app_context():
        suppress.add(world.place.tenant_id, ADA, SuppressionReason.MANUAL, "")
        db.session.commit()
    world.lapse()
    world.turn()
    assert states(world, id_) == {ADA: State.SUPPRESSED}
    with world.app.app_context():
        assert list(tell(str(id_), None, full=False).states.values()) == [State.SUPPRESSED]


def test_overdue_mail_is_resent_although_its_worker_died(world: World):
    """It died after the provider's first word had come, and before its answer was written down."""
    world.settings(on_delay="resend")
    ids = [world.accept(f"{n}@slow.example") for n in range(4)]
    for call in world.turn():
        assert isinstance(call, Call)
        world.act(call)
        say(world, call, 0)
    world.crash()
    world.lapse()
    world.turn()
    with world.app.app_context():
        now = db.session.scalar(text("SELECT now()"))
        health.delivered_many([(world.place.accounts[0], "slow.example", 2.0)] * 5, now)
        db.session.commit()
    world.pass_time(timedelta(minutes=20))
    with world.app.app_context():
        health.watch(db.session.scalar(text("SELECT now()")))
        db.session.commit()
    assert [states(world, id_)[f"{n}@slow.example"] for n, id_ in enumerate(ids)] == [State.QUEUED] * 4
    assert all(is_due(world, id_) for id_ in ids)


# ----- the last word on an attempt that others followed


def refused_after_unclear(world: World, fortune: str) -> tuple[uuid.UUID, Call]:
    """Nobody knows of the first call; the others were refused for now, so the mail waits."""
    id_ = world.accept(ADA)
    first = begin(world)
    world.act(first, unclear(fortune))
    [second] = finish(world, first)
    world.act(second, refused(ErrorKind.TEMPORARY))
    assert finish(world, second) == []
    return id_, first


def test_a_proof_of_acceptance_ends_a_pending_resend(world: World):
    """As the proof of delivery does: what a provider certainly has is not sent again."""
    id_, first = refused_after_unclear(world, "delivered")
    say(world, first, 0)
    world.lapse()
    assert world.turn() == []
    assert attempts(world, id_) == 2
    assert states(world, id_) == {ADA: State.SENT}


def test_a_deferral_ends_a_pending_resend(world: World):
    id_, first = refused_after_unclear(world, "busy")
    say(world, first, 0)
    world.lapse()
    assert world.turn() == []
    assert states(world, id_) == {ADA: State.DEFERRED}


def test_a_late_block_of_the_only_copy_is_resent_although_another_was_refused(world: World):
    id_, first = refused_after_unclear(world, "blocked late")
    say(world, first, 1)
    assert states(world, id_) == {ADA: State.DELIVERED}
    say(world, first, 1)
    assert states(world, id_) == {ADA: State.QUEUED}
    assert is_due(world, id_)


def two_copies(world: World, first: str, second: str) -> tuple[uuid.UUID, Call, Call]:
    """Both providers have it: the first did not say so."""
    id_ = world.accept(ADA)
    one = begin(world)
    world.act(one, unclear(first))
    [other] = finish(world, one)
    world.act(other, taken(second))
    finish(world, other)
    return id_, one, other


def test_of_two_copies_that_arrived_one_may_bounce(world: World):
    id_, first, second = two_copies(world, "delivered", "blocked late")
    say(world, first, 1)
    say(world, second, 1)
    say(world, second, 1)
    assert states(world, id_) == {ADA: State.DELIVERED}
    assert world.turn() == []


def test_of_two_copies_that_were_taken_both_may_bounce(world: World):
    id_, first, second = two_copies(world, "blocked late", "blocked")
    say(world, first, 1, 2)
    assert states(world, id_) != {ADA: State.DELIVERED}
    say(world, second, 1)
    assert states(world, id_) == {ADA: State.QUEUED}


def test_a_recipients_fault_ends_the_resend_that_is_under_way(world: World):
    """Also where the other call is refused for a cause of its own."""
    id_ = world.accept(ADA)
    one = begin(world)
    world.act(one, unclear("no user"))
    [other] = finish(world, one)
    say(world, one, 0)
    world.act(other, refused(ErrorKind.SERVER))
    assert finish(world, other) == []
    assert states(world, id_) == {ADA: State.BOUNCED}


# ----- waiting


def test_a_mail_is_given_up_although_its_provider_goes_on_asking_for_later(world: World):
    id_ = world.accept(ADA)
    for _ in range(3):
        world.heal()
        world.lapse()
        for call in world.turn():
            assert isinstance(call, Call)
            world.act(call, refused(ErrorKind.TEMPORARY))
            finish(world, call)
        world.pass_time(25 * HOUR)
    assert states(world, id_) == {ADA: State.FAILED}


def test_a_back_off_is_not_cut_short_by_the_words_about_others(world: World):
    id_ = world.accept(ADA, BOB)
    call = begin(world)
    world.act(call, taken("delivered"), {BOB: refused(ErrorKind.TEMPORARY)})
    finish(world, call)
    say(world, call, 0)
    assert world.rows("SELECT FROM email WHERE id = :id AND due_time > now()", id=id_)


def test_a_held_mail_is_not_sent_to_who_was_suppressed_meanwhile(waiting: World):
    id_ = waiting.accept(ADA)
    call = begin(waiting)
    waiting.act(call, unclear("silent"))
    finish(waiting, call)
    with waiting.app.app_context():
        suppress.add(waiting.place.tenant_id, ADA, SuppressionReason.COMPLAINT, "")
        db.session.commit()
    waiting.pass_time(2 * HOUR)
    assert waiting.turn() == []
    assert states(waiting, id_) == {ADA: State.SUPPRESSED}


# ----- events that came too early


def test_an_early_event_and_a_new_one_are_read_together(app: Flask):
    """The mail of the first became known only now, and the second is about the same copy."""
    world = World(app)
    id_ = world.accept(ADA)
    first = begin(world)
    world.act(first, refused(ErrorKind.UNREACHABLE))
    [second] = finish(world, first)  # to the provider that does not tell our ids
    assert isinstance(second, Call)
    world.act(second, taken("blocked late"))
    account, (_, delivered, bounced) = second.route.account_id, [event for _, event in world.untold()]
    world.tell(account, [delivered])
    world.read()
    finish(world, second)
    world.lapse()
    world.tell(account, [bounced])
    world.read()
    [(fate,)] = world.rows("SELECT fate FROM ledger WHERE attempt_id = :id", id=second.attempt_id)
    assert fate == "bounced"
    assert states(world, id_) == {ADA: State.QUEUED}
