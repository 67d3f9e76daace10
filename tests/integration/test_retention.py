"""The content of finished mail is removed when its time is over, and everything else stays."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flute.v1 import environment_service_pb2 as pb
from google.protobuf.field_mask_pb2 import FieldMask

from flute_server.domain.message import Address, Attachment, Message
from flute_server.domain.verp import ALL, return_path, secret_of
from flute_server.errors import FailedPrecondition
from flute_server.local.client import RpcFailed
from flute_server.local.embedded import Services
from flute_server.models import db
from flute_server.sending import files, resend, retention, story
from flute_server.sending.accept import accept
from flute_server.sending.answer import Accepted, Answer
from flute_server.sending.idempotency import once
from flute_server.sending.outcomes import Call
from flute_server.sending.senders import by_environment
from flute_server.sending.store import Draft, Origin
from tests.integration.places import fresh_app
from tests.integration.scripted import World
from tests.returned_mail import returned_mail
from tests.stack import Stack, Tenant

DAY = timedelta(days=1)
FULL = Message(
    Address("hello@flutemail.io"),
    (Address("ada@example.com"),),
    subject="Hello",
    text="secret text",
    html="<p>secret html</p>",
    headers=(("X-Secret", "secret header"),),
    attachments=(Attachment("secret.txt", b"secret file", "text/plain"),),
    tags=("welcome",),
)


@pytest.fixture(scope="module")
def app(services: Services) -> Iterator[Flask]:
    # A Redis of its own: no worker listens to these wake-ups.
    own = Services(services.database_url, services.redis_url.replace("db=0", "db=7"))
    with fresh_app(own, "retention_test") as app:
        yield app


@pytest.fixture
def world(app: Flask) -> World:
    world = World(app)
    world._do("UPDATE environment SET retention_days = 0")
    world.settings(retention_days=30)
    return world


def send(world: World, message: Message = FULL) -> uuid.UUID:
    with world.app.app_context():
        [accepted] = accept(by_environment(str(world.place.environment_id)), Draft(message)).results
        assert isinstance(accepted, Accepted)
    return accepted.id


def again(world: World, id_: uuid.UUID, key: str = "") -> Answer:
    with world.app.app_context():
        found = resend.original(str(id_), None, to_all=True)
        return resend.resend(found, Origin(once=once(key, str(id_).encode(), test=False)))


def finish(world: World, id_: uuid.UUID, *, age: timedelta, state: str = "delivered") -> None:
    """As if it had been finished so long ago."""
    world._do("UPDATE email SET due_time = NULL, create_time = now() - :age WHERE id = :id", id=id_, age=age)
    world._do(
        "UPDATE recipient SET state = :state, update_time = now() - :age WHERE email_id = :id",
        id=id_,
        age=age,
        state=state,
    )


def everything(world: World, id_: uuid.UUID) -> str:
    """All that the database still holds of the content."""
    rows = world.rows("SELECT content::text FROM email WHERE id = :id", id=id_)
    rows += world.rows(
        "SELECT encode(content, 'escape') || filename FROM attachment WHERE email_id = :id", id=id_
    )
    return str(rows)


def test_content_goes_when_its_time_is_over_and_the_story_stays(world: World):
    old, young = send(world), send(world)
    finish(world, old, age=31 * DAY)
    finish(world, young, age=29 * DAY)
    assert "secret file" in everything(world, old)
    retention.sweep(world.app)
    assert "secret" not in everything(world, old)
    assert "secret file" in everything(world, young)
    with world.app.app_context():
        told = story.tell(str(old), None, full=True)
        assert told.message
        assert (told.message.subject, told.message.tags) == ("Hello", ("welcome",))
        assert (told.message.text, told.message.html, told.message.headers) == ("", "", ())
        assert [row.address for row in told.recipients] == ["ada@example.com"]
        assert told.files == []
        with pytest.raises(FailedPrecondition, match="files cannot be read any more: text, HTML"):
            files.read(str(old), None, 0)
        assert files.read(str(young), None, 0).content == b"secret file"
        assert [moment.type for moment in told.timeline] == ["accepted"]
        assert "30 days after" in retention.removed(told.email.content)
        assert retention.removed(story.tell(str(young), None, full=True).email.content) == ""


def test_what_is_kept_for_ever_is_kept(world: World):
    world.settings(retention_days=0)
    id_ = send(world)
    finish(world, id_, age=4000 * DAY)
    retention.sweep(world.app)
    assert "secret file" in everything(world, id_)


def test_what_was_removed_is_not_sent_again(world: World):
    id_ = send(world)
    finish(world, id_, age=31 * DAY)
    retention.sweep(world.app)
    with pytest.raises(FailedPrecondition, match="cannot be sent again") as refused:
        again(world, id_)
    assert refused.value.reason == "CONTENT_REMOVED"


def test_a_repeated_resend_gives_its_first_answer_although_the_content_was_removed_meanwhile(world: World):
    id_ = send(world)
    finish(world, id_, age=31 * DAY)
    first = again(world, id_, key="k")
    retention.sweep(world.app)
    repeated = again(world, id_, key="k")
    assert (repeated.replayed, repeated.results) == (True, first.results)
    with pytest.raises(FailedPrecondition, match="cannot be sent again"):
        again(world, id_, key="another")


@pytest.mark.parametrize("state", ["queued", "scheduled", "sending"])
def test_what_is_not_finished_is_looked_at_again(world: World, state: str):
    id_ = send(world)
    finish(world, id_, age=31 * DAY, state=state)
    retention.sweep(world.app)
    assert "secret file" in everything(world, id_)
    world._do("UPDATE recipient SET state = 'delivered' WHERE email_id = :id", id=id_)
    retention.sweep(world.app)
    assert "secret file" in everything(world, id_)  # not before the next look
    world._do("UPDATE content_kept SET look_time = now()")
    retention.sweep(world.app)
    assert "secret" not in everything(world, id_)
    assert world.rows("SELECT 1 FROM content_kept WHERE email_id = :id", id=id_) == []


def test_what_may_come_back_is_kept_for_two_days(world: World):
    world.settings(retention_days=1)
    id_ = send(world)
    finish(world, id_, age=36 * timedelta(hours=1), state="sent")
    retention.sweep(world.app)
    assert "secret file" in everything(world, id_)


def test_a_late_bounce_leads_to_no_empty_mail(world: World):
    id_ = send(world)
    finish(world, id_, age=31 * DAY)
    retention.sweep(world.app)
    world._do("UPDATE recipient SET state = 'queued' WHERE email_id = :id", id=id_)
    world._do("UPDATE email SET due_time = now() WHERE id = :id", id=id_)
    assert world.turn() == []
    with world.app.app_context():
        told = story.tell(str(id_), None, full=True)
        assert told.state == "failed"
        assert "cannot be sent again: its text" in told.timeline[-1].text
        assert told.email.due_time is None


def hand_over(world: World) -> None:
    """A provider takes the mail that waits."""
    [call] = world.turn()
    assert isinstance(call, Call)
    world.act(call)
    world.turn()


ORIGINAL = "From: hello@flutemail.io\nSubject: {marker}\n\n{marker}"


def bounce(world: World, attempt: uuid.UUID, marker: str, to: str = "ada@example.com") -> None:
    """A bounce mail comes and is read; the mail that it is about is in it."""
    secret = secret_of(world.app.config["FLUTE"].secret_keys[0])
    path = return_path(secret, str(attempt), ALL, "bounces.flutemail.io")
    with world.app.app_context():
        world._receiver.bounce(path, returned_mail(to, original=ORIGINAL.format(marker=marker)))
    assert world.read()


def came_back(world: World, id_: uuid.UUID) -> str:
    """All that is still there of what came back of a mail."""
    rows = world.rows("SELECT encode(body, 'escape') FROM inbound WHERE email_id = :id", id=id_)
    rows += world.rows("SELECT event->>'raw' FROM provider_event WHERE email_id = :id", id=id_)
    return str(rows)


def test_what_came_back_goes_with_the_content_and_its_evidence_stays(world: World):
    id_ = world.accept("ada@example.com")
    hand_over(world)
    [(attempt,)] = world.rows("SELECT id FROM attempt WHERE email_id = :id", id=id_)
    bounce(world, attempt, "a secret that came back")
    finish(world, id_, age=29 * DAY, state="bounced")
    retention.sweep(world.app)
    assert "a secret that came back" in came_back(world, id_)
    finish(world, id_, age=31 * DAY, state="bounced")
    retention.sweep(world.app)
    assert "a secret" not in came_back(world, id_)
    assert world.rows("SELECT 1 FROM inbound WHERE email_id = :id", id=id_) == []
    [(detail,)] = world.rows("SELECT detail FROM event WHERE email_id = :id AND type = 'bounced'", id=id_)
    assert detail["diagnostic"]["text"] == "550 5.1.1 no such user here"
    assert detail["verdict"]["cause"] == "recipient"

    # What comes later goes too, with the next look.
    bounce(world, attempt, "a late secret", to="an-alias@example.com")
    assert "a late secret" in came_back(world, id_)
    finish(world, id_, age=31 * DAY, state="bounced")
    world._do("UPDATE content_kept SET look_time = now() WHERE email_id = :id", id=id_)
    retention.sweep(world.app)
    assert "a late secret" not in came_back(world, id_)


def test_of_a_webhook_its_events_alone_are_kept(world: World):
    world.accept("ada@example.com")
    hand_over(world)
    world.tell_all()
    assert world.read()
    query = "SELECT body FROM inbound WHERE provider_account_id = ANY(:ids)"
    bodies = world.rows(query, ids=list(world.providers))
    assert bodies
    assert {bytes(body) for (body,) in bodies} == {b""}


def test_a_bounce_of_a_mail_that_is_gone_is_emptied(world: World):
    bounce(world, uuid.uuid4(), "of nobody's mail")
    assert world.rows("SELECT 1 FROM inbound WHERE encode(body, 'escape') LIKE '%of nobody%'") == []


def test_many_are_dealt_with_in_portions(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(retention, "PORTION", 2)
    ids = [send(world) for _ in range(5)]
    for number, id_ in enumerate(ids):
        finish(world, id_, age=(40 - number % 2) * DAY)  # some accepted in the same moment
    environment = world.place.environment_id
    with world.app.app_context():
        assert [retention.step(environment, 30) for _ in range(4)] == [2, 2, 1, 0]
        db.session.rollback()
    assert all("secret" not in everything(world, id_) for id_ in ids)


def change(tenant: Tenant, **fields: Any) -> pb.Environment:
    client = tenant.stack.client
    request = pb.UpdateEnvironmentRequest(
        environment=pb.Environment(id=tenant.environment_id, **fields),
        update_mask=FieldMask(paths=list(fields)),
    )
    return client.call(client.environments.UpdateEnvironment, request)


def test_an_app_is_told_that_content_was_removed(stack: Stack):
    tenant = stack.tenant("postmark")
    assert change(tenant, retention_days=7).retention_days == 7
    id_ = tenant.send(text="secret text")
    tenant.wait(id_, "sent")
    assert "content_removed" not in tenant.get(id_)
    with pytest.raises(RpcFailed, match="retention_days"):
        change(tenant, retention_days=4000)
    with pytest.raises(RpcFailed, match="retention_days"):
        change(tenant, retention_days=-1)


@pytest.mark.parametrize(
    ("default", "asked", "tracked"),
    [(True, {}, True), (True, {"track_opens": False}, False), (False, {}, False)],
)
def test_what_a_request_does_not_say_the_environment_does(
    stack: Stack, default: bool, asked: dict[str, bool], tracked: bool
):
    tenant = stack.tenant("postmark")
    seen = change(tenant, track_opens=default, track_clicks=default)
    assert (seen.track_opens, seen.track_clicks) == (default, default)
    id_ = tenant.send(**asked)
    content = tenant.wait(id_, "sent")
    assert content.get("track_opens", False) is tracked
    assert content.get("track_clicks", False) is default


def test_a_new_environment_keeps_what_it_is_given(stack: Stack):
    tenant = stack.tenant("postmark", retention_days=30, track_clicks=True)
    client = stack.client
    request = pb.GetEnvironmentRequest(id=tenant.environment_id)
    row = client.call(client.environments.GetEnvironment, request)
    assert (row.retention_days, row.track_opens, row.track_clicks) == (30, False, True)
