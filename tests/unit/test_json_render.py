"""flute_json.render: messages of the server as public JSON."""

from __future__ import annotations

import json

from flute.v1 import email_pb2
from flute.v1.email_pb2 import Email, EmailContent

from flute_json import render


def full_email() -> Email:
    email = Email(id="e1", environment_id="env", state=email_pb2.DELIVERY_STATE_SENT)
    email.create_time.FromJsonString("2026-11-22T10:00:00.25Z")
    email.recipients.add(
        email="ada@example.com",
        name="Ada",
        kind=email_pb2.RECIPIENT_KIND_TO,
        state=email_pb2.DELIVERY_STATE_SENT,
    ).update_time.FromJsonString("2026-11-22T10:00:01Z")
    attempt = email.attempts.add(id="a1", provider="postmark", provider_account="Postmark")
    attempt.duration.FromMilliseconds(42)
    attempt.results.add(email="ada@example.com", outcome=email_pb2.OUTCOME_NOT_SENT, error="unreachable")
    attempt.results.add(email="bob@example.com")
    attempt.candidates.add(provider_account="SendGrid", chosen=False, reason="open")
    email.events.add(type="sent", text="Postmark took it", provider_account="Postmark")
    email.content.CopyFrom(EmailContent(subject="Hi", headers={"X-A": "1"}, tags=["t"]))
    email.attachments.add(filename="a.txt", size=6, content_type="text/plain")
    return email


def test_an_accepted_mail_is_told_in_few_words() -> None:
    assert render.accepted(full_email()) == {
        "id": "e1",
        "status": "sent",
        "create_time": "2026-11-22T10:00:00.250Z",
        "recipients": [{"email": "ada@example.com", "status": "sent"}],
    }


def test_the_full_view_has_everything_but_the_bytes_of_attachments() -> None:
    view = render.email(full_email())
    assert view["attachments"] == [
        {"filename": "a.txt", "content_type": "text/plain", "content_id": "", "size": 6}
    ]
    assert view["environment_id"] == "env"
    assert view["headers"] == {"X-A": "1"}
    assert view["recipients"][0] == {
        "email": "ada@example.com",
        "name": "Ada",
        "kind": "to",
        "status": "sent",
        "update_time": "2026-11-22T10:00:01Z",
    }
    attempt = view["attempts"][0]
    assert attempt["duration_ms"] == 42
    assert attempt["start_time"] is None
    assert [result["outcome"] for result in attempt["results"]] == ["not_sent", None]
    assert attempt["candidates"] == [{"provider_account": "SendGrid", "chosen": False, "reason": "open"}]
    assert view["timeline"][0]["type"] == "sent"
    json.dumps(view)


def test_the_masked_view_has_neither_content_nor_names() -> None:
    email = full_email()
    email.ClearField("content")
    view = render.email(email)
    assert set(view) == {"id", "status", "create_time", "test", "recipients", "timeline", "attempts"}
    assert "name" not in view["recipients"][0]


def test_the_next_attempt_is_shown_while_there_is_one() -> None:
    email = full_email()
    email.next_attempt_time.FromJsonString("2026-11-22T10:05:00Z")
    assert render.email(email)["next_attempt_time"] == "2026-11-22T10:05:00Z"


def test_a_state_of_a_newer_server_does_not_break_the_view() -> None:
    email = full_email()
    email.state = 99  # type: ignore[assignment]  # what the wire may carry
    assert render.email(email)["status"] is None


def test_every_state_has_a_public_word() -> None:
    words = {
        render.accepted(Email(state=value))["status"] for value in email_pb2.DeliveryState.values() if value
    }
    assert words == {
        "queued", "sending", "sent", "deferred", "delivered", "bounced", "failed", "suppressed",
        "canceled", "scheduled",
    }  # fmt: skip
