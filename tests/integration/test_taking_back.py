"""Taking mail back in the corners that workers, crashes and late words lead to."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import timedelta

import pytest
from flask import Flask

from flute_server.domain.outcome import ErrorKind
from flute_server.domain.state import State
from flute_server.errors import FailedPrecondition
from flute_server.local.embedded import Services
from flute_server.models import AmbiguityPolicy
from flute_server.sending.outcomes import Call
from flute_server.sending.reschedule import cancel
from tests.integration.books import refused, taken, unclear
from tests.integration.places import fresh_app
from tests.integration.scripted import World

ADA, BOB = "ada@example.com", "bob@example.org"


@pytest.fixture(scope="module")
def app(services: Services) -> Iterator[Flask]:
    # A Redis of its own: no worker listens to these wake-ups.
    own = Services(services.database_url, services.redis_url.replace("db=0", "db=5"))
    with fresh_app(own, "taking_back_test") as app:
        yield app


@pytest.fixture
def world(app: Flask) -> World:
    return World(app, all_tell_ids=True)


def begin(world: World, number: int = 0) -> Call:
    [call] = world.turn(world.workers[number])
    assert isinstance(call, Call)
    return call


def finish(world: World, call: Call, number: int = 0) -> list[object]:
    world.workers[number].end(call)
    return list(world.turn(world.workers[number]))


def states(world: World, id_: uuid.UUID) -> dict[str, str]:
    return dict(world.rows("SELECT address, state FROM recipient WHERE email_id = :id", id=id_))


def why_not(world: World, id_: uuid.UUID) -> str:
    """The reason for which canceling is refused."""
    with world.app.app_context(), pytest.raises(FailedPrecondition) as caught:
        cancel(str(id_), world.place.environment_id)
    return caught.value.reason


def tell_all(world: World) -> None:
    world.tell_all()
    while world.read():
        pass


def test_not_while_a_call_is_under_way(world: World):
    id_ = world.accept(ADA)
    call = begin(world)
    assert why_not(world, id_) == "BEING_SENT"
    world.act(call)
    assert why_not(world, id_) == "BEING_SENT"
    finish(world, call)
    assert why_not(world, id_) == "NOT_CANCELABLE"


def test_not_while_a_lost_call_may_have_sent_it(world: World):
    id_ = world.accept(ADA)
    begin(world)
    world.crash()
    assert why_not(world, id_) == "BEING_SENT"


def test_not_while_it_is_held_for_evidence(app: Flask):
    world = World(app, AmbiguityPolicy.WAIT, all_tell_ids=True)
    id_ = world.accept(ADA)
    call = begin(world)
    world.act(call, unclear("silent"))
    finish(world, call)
    assert states(world, id_) == {ADA: State.SENDING}
    assert why_not(world, id_) == "BEING_SENT"


def test_what_waits_for_another_round_is_taken_back(world: World):
    id_ = world.accept(ADA, BOB)
    call = begin(world)
    world.act(call, taken("delivered"), {BOB: refused(ErrorKind.TEMPORARY)})
    finish(world, call)
    assert world.cancel(id_)
    assert states(world, id_) == {ADA: State.SENT, BOB: State.CANCELED}
    world.lapse()
    assert world.turn() == []
    assert world.cancel(id_), "once more changes nothing"


def test_a_late_bounce_does_not_bring_back_what_was_taken_back(world: World):
    """Nobody knew that the first call had got through; the mail was waiting for the next round."""
    id_ = world.accept(ADA)
    first = begin(world)
    world.act(first, unclear("blocked late"))
    [second] = finish(world, first)
    assert isinstance(second, Call)
    world.act(second, refused(ErrorKind.TEMPORARY))
    finish(world, second)
    assert world.cancel(id_)
    tell_all(world)
    world.lapse()
    assert world.turn() == []
    assert states(world, id_) == {ADA: State.FAILED}, "it was delivered for a while"


def test_nothing_of_it_is_sent_again_to_those_who_had_been_sent_it_before(world: World):
    id_ = world.accept(ADA, BOB)
    call = begin(world)
    world.act(call, taken("blocked"), {BOB: refused(ErrorKind.TEMPORARY)})
    finish(world, call)
    assert world.cancel(id_)
    tell_all(world)
    world.lapse()
    assert world.turn() == []
    assert states(world, id_) == {ADA: State.FAILED, BOB: State.CANCELED}


def test_a_worker_that_holds_the_mail_from_before_may_not_go_on(world: World):
    """A webhook put the recipient back in the queue before the call's own answer came."""
    id_ = world.accept(ADA)
    call = begin(world)
    world.act(call, unclear("blocked"))
    world.lapse()
    [second] = world.turn(world.workers[1])
    assert isinstance(second, Call)
    world.act(second, refused(ErrorKind.TEMPORARY))
    finish(world, second, 1)
    assert world.cancel(id_)
    assert finish(world, call, 0) == []
    tell_all(world)
    world.lapse()
    assert world.turn() == []
    assert states(world, id_) == {ADA: State.CANCELED}


def test_a_scheduled_mail_is_claimed_at_its_time_and_not_before(world: World):
    id_ = world.accept(ADA, send_in=timedelta(hours=1))
    assert world.turn() == []
    world.pass_time(timedelta(hours=1))
    assert world.reschedule(id_, timedelta(hours=1))
    assert world.turn() == []
    world.pass_time(timedelta(hours=1))
    call = begin(world)
    assert states(world, id_) == {ADA: State.QUEUED}
    assert not world.reschedule(id_, timedelta(hours=1))
    world.act(call)
    finish(world, call)
    assert states(world, id_) == {ADA: State.SENT}
