"""Postmark: requests as its reference wants them, every row of its failure table (providers.md 2.3)."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from flute_server.domain.message import Address, Attachment
from flute_server.domain.outcome import ErrorKind
from flute_server.providers.base import Network
from flute_server.providers.postmark import Postmark
from tests.unit.providers.calls import SIMPLE, answer, handoff

POSTMARK = Postmark({"server_token": "token"}, Network())
TWO = replace(SIMPLE, to=(Address("ada@example.com"), Address("Bob@example.com")))


def body(message: Any = SIMPLE) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(POSTMARK.build(handoff(message)).body)
    return data


@pytest.mark.parametrize(
    ("status", "code", "text", "kind"),
    [
        (401, 10, "bad token", ErrorKind.AUTH),
        (503, 100, "maintenance", ErrorKind.SERVER),
        (422, 300, "Invalid 'To' address: 'x'.", ErrorKind.RECIPIENT),
        (422, 300, "Error parsing 'Cc': illegal email", ErrorKind.RECIPIENT),
        (422, 300, "Invalid 'From' address: 'x'.", ErrorKind.SENDER),
        (422, 300, "Provide either email TextBody or HtmlBody or both.", ErrorKind.MESSAGE),
        (422, 300, "Invalid metadata content.", ErrorKind.REQUEST),
        (422, 400, "no Sender Signature", ErrorKind.SENDER),
        (422, 401, "not confirmed", ErrorKind.SENDER),
        (422, 402, "invalid JSON", ErrorKind.REQUEST),
        (422, 403, "incompatible JSON", ErrorKind.REQUEST),
        (422, 409, "JSON required", ErrorKind.REQUEST),
        (422, 405, "not allowed to send", ErrorKind.QUOTA),
        (422, 406, "inactive recipient", ErrorKind.SUPPRESSED),
        (422, 410, "too many", ErrorKind.REQUEST),
        (422, 411, "forbidden attachment type", ErrorKind.REQUEST),
        (422, 412, "account is pending", ErrorKind.SUSPENDED),
        (422, 413, "account may not send", ErrorKind.SUSPENDED),
        (422, 1101, "template not found", ErrorKind.MESSAGE),
        (200, 406, "inactive recipient", ErrorKind.SUPPRESSED),
        (422, 9999, "new", ErrorKind.REQUEST),
        (500, 9999, "new", ErrorKind.SERVER),
    ],
)
def test_error_codes(status: int, code: int, text: str, kind: ErrorKind) -> None:
    reply = POSTMARK.read(answer(status, {"ErrorCode": code, "Message": text}), handoff()).reply

    assert (reply.kind, reply.status, reply.code, reply.text) == (kind, str(status), str(code), text)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, ErrorKind.AUTH),
        (404, ErrorKind.REQUEST),
        (413, ErrorKind.TOO_LARGE),
        (415, ErrorKind.REQUEST),
        (429, ErrorKind.RATE),
        (500, ErrorKind.SERVER),
        (503, ErrorKind.SERVER),
        (200, ErrorKind.AMBIGUOUS),
    ],
)
def test_statuses_without_a_code(status: int, kind: ErrorKind) -> None:
    assert POSTMARK.read(answer(status, "<html>"), handoff()).reply.kind is kind


def test_an_acceptance_carries_the_message_id() -> None:
    reply = POSTMARK.read(answer(200, {"ErrorCode": 0, "Message": "OK", "MessageID": "m-1"}), handoff()).reply

    assert (reply.accepted, reply.provider_message_id) == (True, "m-1")


def test_a_delayed_acceptance_has_no_error_code() -> None:
    said = {"Message": "Message accepted, but delivery may be delayed.", "MessageID": "m-1"}

    assert POSTMARK.read(answer(200, said), handoff()).reply.accepted


def test_inactive_addresses_are_left_out_of_an_acceptance() -> None:
    text = "Message OK, but will not deliver to these inactive addresses: bob@example.com, x@example.org."

    result = POSTMARK.read(answer(200, {"ErrorCode": 0, "Message": text, "MessageID": "m"}), handoff(TWO))

    assert result.of("r1").accepted
    assert result.of("r2").kind is ErrorKind.SUPPRESSED


def test_all_inactive_means_all() -> None:
    result = POSTMARK.read(answer(422, {"ErrorCode": 406, "Message": "inactive"}), handoff(TWO))

    assert {result.of("r1").kind, result.of("r2").kind} == {ErrorKind.SUPPRESSED}


def test_all_fields() -> None:
    mail = replace(
        TWO,
        sender=Address("news@bücher.example", "Weiß, Jürgen"),
        cc=(Address("cyd@example.com", "Cyd"),),
        reply_to=(Address("a@example.org"), Address("b@example.org")),
        headers=(("X-A", "1"), ("X-A", "2")),
        attachments=(
            Attachment("a.pdf", b"x", "application/pdf"),
            Attachment("l.png", b"y", "image/png", "logo"),
        ),
        tags=("first", "second"),
        track_clicks=True,
    )

    data = body(mail)

    assert POSTMARK.objections(handoff(mail)) == ()
    assert data["From"] == '"Weiß, Jürgen" <news@xn--bcher-kva.example>'
    assert (data["To"], data["Cc"]) == ("ada@example.com, Bob@example.com", "Cyd <cyd@example.com>")
    assert data["ReplyTo"] == "a@example.org, b@example.org"
    assert data["Headers"] == [{"Name": "X-A", "Value": "1"}, {"Name": "X-A", "Value": "2"}]
    assert [a.get("ContentID") for a in data["Attachments"]] == [None, "cid:logo"]
    assert data["Tag"] == "first"
    assert (data["TrackOpens"], data["TrackLinks"], data["MessageStream"]) == (
        False,
        "HtmlAndText",
        "outbound",
    )
    assert data["Metadata"] == {"flute_email": "email-1", "flute_attempt": "attempt-1"}
    assert all(len(key) <= 20 for key in data["Metadata"])


def test_what_it_cannot_carry() -> None:
    assert "2000" in POSTMARK.objections(handoff(replace(SIMPLE, subject="x" * 2001)))[0]
    assert "5 MB" in POSTMARK.objections(handoff(replace(SIMPLE, html="x" * 5_300_000)))[0]
    assert POSTMARK.objections(handoff(replace(SIMPLE, to=(Address("jürgen@example.com"),))))
