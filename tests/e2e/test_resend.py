"""A mail's content again, as a new mail."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from flute.v1 import email_pb2 as pb
from flute.v1.api_key_service_pb2 import API_KEY_KIND_TEST
from flute.v1.email_service_pb2 import (
    RESEND_TO_ALL,
    RESEND_TO_FAILED,
    CancelEmailRequest,
    ListEmailsRequest,
    ResendEmailRequest,
)

from tests.rpc import TOMORROW, Caller, content, new_key, refused
from tests.stack import Stack, Tenant


@pytest.fixture
def tenant(stack: Stack) -> Tenant:
    return stack.tenant("smtp")


@pytest.fixture
def caller(tenant: Tenant) -> Iterator[Caller]:
    caller = Caller(tenant)
    with caller.channel:
        yield caller


def resend(caller: Caller, id_: str, **fields: Any) -> pb.Email:
    email: pb.Email = caller.call("ResendEmail", ResendEmailRequest(id=id_, **fields))
    return email


def test_goes_to_those_whom_the_first_did_not_reach(stack: Stack, tenant: Tenant, caller: Caller) -> None:
    stack.sandbox.set_mode("smtp", "reject_recipient", domains=["full.example"])
    given = content(
        "ada@example.com",
        "bob@full.example",
        headers={"X-Campaign": "42"},
        tags=["welcome"],
        attachments=[pb.Attachment(filename="a.txt", content=b"one", content_type="text/plain")],
    )
    first = caller.send(given)
    tenant.wait(first.id, "bounced")
    stack.sandbox.set_mode("smtp", "ok")
    stack.sandbox.clear_inbox()
    second = resend(caller, first.id)
    assert second.id != first.id
    assert second.resent_from == first.id
    assert [recipient.email for recipient in second.recipients] == ["bob@full.example"]
    tenant.wait(second.id, "sent")
    [mail] = stack.sandbox.inbox(content=1)
    assert mail["envelope"]["recipients"] == ["bob@full.example"]
    assert mail["headers"]["X-Campaign"] == "42"
    assert [file["filename"] for file in mail["attachments"]] == ["a.txt"]
    told = caller.get(second.id)
    assert told.resent_from == first.id
    assert list(told.content.tags) == ["welcome"]
    copies = caller.call("ListEmails", ListEmailsRequest(resent_from=first.id)).emails
    assert [copy.id for copy in copies] == [second.id]
    assert not caller.call("ListEmails", ListEmailsRequest(resent_from=second.id)).emails
    with refused("INVALID_FIELDS", "resent_from"):
        caller.call("ListEmails", ListEmailsRequest(resent_from="first"))
    with refused("NOTHING_TO_RESEND"):
        resend(caller, second.id)


def test_goes_to_everybody_where_that_is_wanted(tenant: Tenant, caller: Caller) -> None:
    first = caller.send(content("ada@example.com", "bob@example.com"))
    tenant.wait(first.id, "sent")
    with refused("NOTHING_TO_RESEND"):
        resend(caller, first.id, recipients=RESEND_TO_FAILED)
    second = resend(caller, first.id, recipients=RESEND_TO_ALL)
    assert len(second.recipients) == 2
    tenant.wait(second.id, "sent")


def test_a_repeated_call_resends_once(stack: Stack, tenant: Tenant, caller: Caller) -> None:
    first = caller.send(content("ada@again.example", send_at=TOMORROW))
    caller.call("CancelEmail", CancelEmailRequest(id=first.id))
    request = ResendEmailRequest(id=first.id, request_id="again")
    second, _ = caller.trailing("ResendEmail", request)
    tenant.wait(second.id, "sent")
    third, trailing = caller.trailing("ResendEmail", request)
    assert trailing["idempotent-replayed"] == "true"
    assert third == second
    assert len(stack.sandbox.inbox(to="ada@again.example")) == 1
    with refused("IDEMPOTENCY_KEY_REUSED"):
        resend(caller, first.id, recipients=RESEND_TO_ALL, request_id="again")


def test_the_key_says_whether_the_new_mail_is_a_test(stack: Stack, tenant: Tenant, caller: Caller) -> None:
    tester = Caller(tenant, new_key(tenant, kind=API_KEY_KIND_TEST))
    with tester.channel:
        live = caller.send(content("ada@kind.example", send_at=TOMORROW))
        test = tester.send(content("ada@kind.example", send_at=TOMORROW))
        assert (live.test, test.test) == (False, True)
        assert tester.get(test.id).test
        assert resend(tester, live.id, recipients=RESEND_TO_ALL).test
        again = resend(caller, test.id, recipients=RESEND_TO_ALL)
        assert not again.test
        # The operator's own programs leave a test a test.
        client = stack.client
        request = ResendEmailRequest(id=test.id, recipients=RESEND_TO_ALL)
        assert client.call(client.emails.ResendEmail, request).test
    tenant.wait(again.id, "sent")
    [mail] = stack.sandbox.inbox(to="ada@kind.example")
    assert again.id in str(mail)


def test_not_what_belongs_to_somebody_else(stack: Stack, caller: Caller) -> None:
    other = Caller(stack.tenant("smtp"))
    with other.channel:
        id_ = other.send(content(send_at=TOMORROW)).id
    for unknown in (id_, "x"):
        with refused("EMAIL_NOT_FOUND"):
            resend(caller, unknown, recipients=RESEND_TO_ALL)
