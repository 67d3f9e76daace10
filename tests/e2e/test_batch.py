"""Many mails in one call."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from flute.v1 import email_pb2 as pb

from tests.rpc import TOMORROW, Caller, content, refused
from tests.stack import Stack, Tenant


@pytest.fixture
def tenant(stack: Stack) -> Tenant:
    return stack.tenant("postmark")


@pytest.fixture
def caller(tenant: Tenant) -> Iterator[Caller]:
    caller = Caller(tenant)
    with caller.channel:
        yield caller


def test_different_mails_arrive_as_they_were_given(tenant: Tenant, caller: Caller) -> None:
    emails = [
        content("ada@example.com", subject='Quotes " and \\ and ☃', tags=['a "tag" {1,2}', "b\\"]),
        content("bob@example.com", "cyd@example.com", html="<p>Hi</p>", metadata={"k": "v", "ü": "'"}),
        content("dan@example.com", attachments=[pb.Attachment(filename="a.txt", content=b"\0one")]),
        content(
            "eve@example.com",
            attachments=[
                pb.Attachment(filename="b.txt", content=b"two"),
                pb.Attachment(filename="c.png", content=b"three", content_id="logo"),
            ],
        ),
    ]
    results = caller.batch(*emails)
    assert {result.state for result in results} == {pb.DELIVERY_STATE_QUEUED}
    for result in results:
        tenant.wait(result.id, "sent")
    for given, result in zip(emails, results, strict=True):
        email = caller.get(result.id)
        email.content.ClearField("attachments")
        expected = pb.EmailContent()
        expected.CopyFrom(given)
        expected.ClearField("attachments")
        assert email.content == expected
        assert [recipient.email for recipient in email.recipients] == [address.email for address in given.to]
        assert [(file.filename, file.content_id, file.size) for file in email.attachments] == [
            (file.filename, file.content_id, len(file.content)) for file in given.attachments
        ]
        assert [event.type for event in email.events][:1] == ["accepted"]


def test_bad_items_do_not_sink_the_good_ones(caller: Caller) -> None:
    foreign = content("ada@example.com")
    getattr(foreign, "from").email = "hello@elsewhere.example"
    late = content("ada@example.com", send_at=datetime.now(UTC) + timedelta(days=31))
    results = caller.batch(
        content(send_at=TOMORROW),
        content("ada@", "bob"),
        foreign,
        late,
        content("bob@example.com", send_at=TOMORROW),
    )
    assert [bool(result.id) for result in results] == [True, False, False, False, True]
    assert [result.problem.code for result in results[1:4]] == [
        "invalid_fields",
        "from_domain_mismatch",
        "invalid_fields",
    ]
    fields = [[wrong.field for wrong in result.problem.errors] for result in results]
    assert fields == [
        [],
        ["content.to[0].email", "content.to[1].email"],
        ["content.from.email"],
        ["content.send_at"],
        [],
    ]
    assert caller.get(results[4].id).recipients[0].email == "bob@example.com"


def test_a_batch_of_bad_items_stores_nothing(caller: Caller) -> None:
    [result] = caller.batch(content(subject=""), key="k")
    assert result.problem.code == "invalid_fields"
    # So that it can be corrected under the same key.
    assert caller.batch(content(send_at=TOMORROW), key="k")[0].id


def test_the_limits_of_a_batch(caller: Caller) -> None:
    with refused("INVALID_FIELDS", "emails"):
        caller.batch()
    with refused("INVALID_FIELDS", "emails"):
        caller.batch(*[content()] * 501)
    megabytes = content(text="x" * 4 * 1024 * 1024)
    with refused("INVALID_FIELDS", "emails"):
        caller.batch(*[megabytes] * 7)
    assert all(result.id for result in caller.batch(*[content(send_at=TOMORROW)] * 500))


def test_without_a_route_the_whole_batch_is_refused(stack: Stack) -> None:
    tenant = Tenant.create(stack, {})
    caller = Caller(tenant)
    with caller.channel, refused("NO_ROUTES"):
        caller.batch(content(), content())
