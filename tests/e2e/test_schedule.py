"""Mail that waits for its time: it leaves then, not before, and not at all once it was taken back."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import grpc
import psycopg
import pytest
from flute.v1 import email_pb2 as pb
from flute.v1.api_key_service_pb2 import API_KEY_SCOPE_SEND
from flute.v1.email_service_pb2 import CancelEmailRequest, RescheduleEmailRequest
from redis import Redis

from tests.rpc import TOMORROW, Caller, content, details, new_key, refused
from tests.stack import Stack, Tenant, until

MAILS = 120


@pytest.fixture
def tenant(stack: Stack) -> Tenant:
    return stack.tenant("postmark")


@pytest.fixture
def caller(tenant: Tenant) -> Iterator[Caller]:
    caller = Caller(tenant)
    with caller.channel:
        yield caller


def cancel(caller: Caller, id_: str) -> pb.Email:
    email: pb.Email = caller.call("CancelEmail", CancelEmailRequest(id=id_))
    return email


def reschedule(caller: Caller, id_: str, send_at: datetime | None) -> pb.Email:
    """Give it another time; None for at once."""
    request = RescheduleEmailRequest(id=id_)
    request.send_at.FromDatetime(send_at or datetime.now(UTC))
    email: pb.Email = caller.call("RescheduleEmail", request)
    return email


def types(email: pb.Email) -> list[str]:
    return [event.type for event in email.events]


def test_leaves_at_its_time_although_redis_forgot_everything(
    stack: Stack, tenant: Tenant, caller: Caller
) -> None:
    send_at = datetime.now(UTC) + timedelta(seconds=3)
    sent = caller.send(content("ada@later.example", send_at=send_at))
    assert sent.state == pb.DELIVERY_STATE_SCHEDULED
    assert sent.recipients[0].state == pb.DELIVERY_STATE_SCHEDULED
    with Redis.from_url(stack.services.redis_url) as redis:
        redis.flushdb()
    email = caller.get(sent.id)
    assert email.state == pb.DELIVERY_STATE_SCHEDULED
    assert email.content.send_at.ToDatetime(UTC) == send_at
    assert email.next_attempt_time.ToDatetime(UTC) == send_at
    assert types(email) == ["accepted", "scheduled"]
    assert f"{send_at:%d %b %Y at %H:%M:%S} UTC" in email.events[1].text
    tenant.wait(sent.id, "sent")
    [mail] = stack.sandbox.inbox(to="ada@later.example")
    late = datetime.fromisoformat(mail["received_at"]) - send_at
    assert timedelta() < late < timedelta(seconds=20)


def test_a_past_time_is_now_and_a_far_one_is_refused(tenant: Tenant, caller: Caller) -> None:
    sent = caller.send(content(send_at=datetime.now(UTC) - timedelta(days=400)))
    assert sent.state == pb.DELIVERY_STATE_QUEUED
    tenant.wait(sent.id, "sent")
    assert types(caller.get(sent.id)) == ["accepted", "attempt", "sent"]
    with refused("INVALID_FIELDS", "content.send_at"):
        caller.send(content(send_at=datetime.now(UTC) + timedelta(days=30, minutes=1)))
    beyond_all = content()
    beyond_all.send_at.seconds = 2**62
    with refused("INVALID_FIELDS", "content.send_at"):
        caller.send(beyond_all)
    assert caller.send(content(send_at=datetime.now(UTC) + timedelta(days=29, hours=23))).id


def test_takes_another_time(tenant: Tenant, caller: Caller) -> None:
    id_ = caller.send(content(send_at=TOMORROW)).id
    later = TOMORROW + timedelta(days=2)
    email = reschedule(caller, id_, later)
    assert email.state == pb.DELIVERY_STATE_SCHEDULED
    assert email.content.send_at.ToDatetime(UTC) == later
    assert types(email) == ["accepted", "scheduled", "scheduled"]
    with refused("INVALID_FIELDS", "send_at"):
        reschedule(caller, id_, datetime.now(UTC) + timedelta(days=31))
    assert reschedule(caller, id_, None).state == pb.DELIVERY_STATE_QUEUED
    tenant.wait(id_, "sent")
    with refused("NOT_SCHEDULED"):
        reschedule(caller, id_, later)


def test_the_time_to_give_up_counts_from_the_scheduled_time(stack: Stack) -> None:
    tenant = stack.tenant("postmark", give_up_after={"seconds": 3600})
    stack.sandbox.set_mode("postmark", "down")
    caller = Caller(tenant)
    with caller.channel:
        id_ = caller.send(content(send_at=TOMORROW)).id
        with psycopg.connect(stack.services.database_url, autocommit=True) as database:
            # A day later.
            database.execute(
                "UPDATE email SET create_time = create_time - interval '1 day', send_time = now(), "
                "due_time = now() WHERE id = %s",
                [id_],
            )
        until(lambda: "deferred" in types(caller.get(id_)), "the first try")
        assert caller.get(id_).state == pb.DELIVERY_STATE_QUEUED
        cancel(caller, id_)


def test_what_was_canceled_is_never_sent(stack: Stack, tenant: Tenant, caller: Caller) -> None:
    send_at = datetime.now(UTC) + timedelta(seconds=3)
    id_ = caller.send(content("ada@never.example", send_at=send_at)).id
    email = cancel(caller, id_)
    assert email.state == pb.DELIVERY_STATE_CANCELED
    assert not email.HasField("next_attempt_time")
    assert types(email) == ["accepted", "scheduled", "canceled"]
    assert cancel(caller, id_) == email
    with refused("NOT_SCHEDULED"):
        reschedule(caller, id_, None)
    later = caller.send(content("ada@later.example", send_at=send_at + timedelta(milliseconds=100)))
    tenant.wait(later.id, "sent")
    assert caller.get(id_) == email
    assert stack.sandbox.inbox(to="ada@never.example") == []


def test_canceling_against_running_workers(stack: Stack, tenant: Tenant, caller: Caller) -> None:
    """Whatever is answered holds: taken back is never sent, and what is not taken back is sent once."""
    stack.sandbox.set_mode("postmark", "slow", seconds=0.05)

    def send_and_cancel(number: int) -> tuple[str, str]:
        id_ = caller.send(content(f"{number}@race.example")).id
        time.sleep(random.uniform(0, 0.04))
        try:
            cancel(caller, id_)
        except grpc.RpcError as error:
            return id_, details(error)[0]
        return id_, "OK"

    with ThreadPoolExecutor(8) as pool:
        told = dict(pool.map(send_and_cancel, range(MAILS)))
    left = [id_ for id_, answer in told.items() if answer != "OK"]
    assert 0 < len(left) < MAILS, "not much of a race"
    assert {told[id_] for id_ in left} <= {"BEING_SENT", "NOT_CANCELABLE"}
    for id_ in left:
        tenant.wait(id_, "sent")
    got = sorted(mail["metadata"]["flute_email"] for mail in stack.sandbox.inbox())
    assert [id_ for id_ in got if id_ in told] == sorted(left)
    for id_, answer in told.items():
        expected = pb.DELIVERY_STATE_CANCELED if answer == "OK" else pb.DELIVERY_STATE_SENT
        assert caller.get(id_).state == expected


def test_a_key_that_may_not_read_is_told_no_more_than_a_stranger(tenant: Tenant) -> None:
    sender = Caller(tenant, new_key(tenant, scopes=[API_KEY_SCOPE_SEND]))
    with sender.channel:
        id_ = sender.send(content(send_at=TOMORROW)).id
        for email in (reschedule(sender, id_, TOMORROW + timedelta(hours=1)), cancel(sender, id_)):
            assert email.recipients[0].email == "a***@example.com"
            assert not email.HasField("content")


def test_events_name_their_mail_the_call_and_themselves(tenant: Tenant, caller: Caller) -> None:
    caller.metadata += (("x-request-id", "order-77"),)
    id_ = caller.send(content("ada@example.com", "bob@example.com", send_at=TOMORROW)).id
    email = cancel(caller, id_)
    assert {event.email_id for event in email.events} == {id_}
    assert [event.text for event in email.events if "(request order-77)" not in event.text] == [
        email.events[1].text
    ]
    ids = [event.id for event in email.events]
    assert len(set(ids)) == 4
    assert all(event_id.startswith("evt_") for event_id in ids)
    assert [event.recipient for event in email.events[2:]] == ["ada@example.com", "bob@example.com"]


def test_only_the_owner_may_take_back(stack: Stack, caller: Caller) -> None:
    id_ = caller.send(content(send_at=TOMORROW)).id
    other = Caller(stack.tenant("postmark"))
    with other.channel:
        for unknown in (id_, "00000000-0000-4000-8000-000000000000", "x"):
            with refused("EMAIL_NOT_FOUND"):
                cancel(other, unknown)
            with refused("EMAIL_NOT_FOUND"):
                reschedule(other, unknown, None)
    assert caller.get(id_).state == pb.DELIVERY_STATE_SCHEDULED
