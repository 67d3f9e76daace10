"""SendGrid: requests as its reference wants them, every row of its failure table (providers.md 1.3)."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import replace
from typing import Any

import pytest

from flute_server.domain.message import Address, Attachment
from flute_server.domain.outcome import ErrorKind
from flute_server.providers.base import Network
from flute_server.providers.sendgrid import SendGrid
from tests.unit.providers.calls import SIMPLE, answer, handoff

SENDGRID = SendGrid({"api_key": "SG.key"}, Network())
TWO = replace(SIMPLE, to=(Address("ada@example.com"), Address("Bob@example.com")))


def body(message: Any = SIMPLE) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(SENDGRID.build(handoff(message)).body)
    return data


def error(message: str, field: str | None = None) -> dict[str, Any]:
    return {"errors": [{"message": message, "field": field, "help": None}]}


@pytest.mark.parametrize(
    ("status", "said", "kind"),
    [
        (
            400,
            error("Does not contain a valid address.", "personalizations.0.to.0.email"),
            ErrorKind.RECIPIENT,
        ),
        (400, error("invalid", "from.email"), ErrorKind.SENDER),
        (400, error("Bad Request"), ErrorKind.REQUEST),
        (400, error("must be a string", "content.0.value"), ErrorKind.MESSAGE),
        (400, error("too many", "categories"), ErrorKind.REQUEST),
        (401, error("The provided authorization grant is invalid, expired, or revoked"), ErrorKind.AUTH),
        (401, error("Maximum credits exceeded"), ErrorKind.QUOTA),
        (403, error("does not match a verified Sender Identity", "from"), ErrorKind.SENDER),
        (403, error("access forbidden"), ErrorKind.AUTH),
        (403, error("this account is suspended"), ErrorKind.SUSPENDED),
        (404, error("not found"), ErrorKind.REQUEST),
        (405, "", ErrorKind.REQUEST),
        (406, "", ErrorKind.REQUEST),
        (415, "", ErrorKind.REQUEST),
        (413, "", ErrorKind.TOO_LARGE),
        (429, error("too many requests"), ErrorKind.RATE),
        (500, "<html>oops", ErrorKind.SERVER),
        (503, error("try again"), ErrorKind.SERVER),
        (302, "", ErrorKind.REQUEST),
        (200, "<html>a proxy's page", ErrorKind.AMBIGUOUS),
    ],
)
def test_answers(status: int, said: object, kind: ErrorKind) -> None:
    reply = SENDGRID.read(answer(status, said), handoff()).reply

    assert (reply.kind, reply.status) == (kind, str(status))


def test_an_acceptance_carries_the_message_id() -> None:
    reply = SENDGRID.read(answer(202, "", X_Message_Id="abc"), handoff()).reply

    assert reply.accepted
    assert reply.provider_message_id == "abc"


def test_the_field_says_which_recipient_is_to_blame() -> None:
    said = error("Does not contain a valid address.", "personalizations.0.to.1.email")

    result = SENDGRID.read(answer(400, said), handoff(TWO))

    assert result.of("r1").kind is ErrorKind.REQUEST
    assert result.of("r2").kind is ErrorKind.RECIPIENT


@pytest.mark.parametrize("field", ["personalizations.0.to", "personalizations.9.to.9.email"])
def test_nobody_is_blamed_when_it_is_not_said_who_it_was(field: str) -> None:
    result = SENDGRID.read(answer(400, error("invalid", field)), handoff(TWO))

    assert {result.of("r1").kind, result.of("r2").kind} == {ErrorKind.REQUEST}


def test_the_reset_of_the_rate_limit_is_a_wait() -> None:
    reset = str(int(time.time()) + 30)

    reply = SENDGRID.read(answer(429, error("slow"), X_RateLimit_Reset=reset), handoff()).reply

    assert reply.retry_after is not None
    assert 25 < reply.retry_after <= 30


@pytest.mark.parametrize(
    "strange", ["[]", "null", '{"errors": 7}', '{"errors": [7, {"message": {"a": 1}}]}', "\0"]
)
def test_strange_bodies_are_no_exception(strange: str) -> None:
    assert SENDGRID.read(answer(400, strange), handoff()).reply.kind is ErrorKind.REQUEST


def test_content_is_never_empty_and_text_comes_first() -> None:
    assert body()["content"] == [
        {"type": "text/plain", "value": "hi"},
        {"type": "text/html", "value": "<p>hi</p>"},
    ]
    bare = body(replace(SIMPLE, text="", html="", subject=""))
    assert bare["content"] == [{"type": "text/plain", "value": " "}]
    assert bare["subject"] == " "


def test_names_with_separators_are_quoted() -> None:
    mail = body(replace(SIMPLE, to=(Address("ada@example.com", 'Day; "Ada", Dr'),)))

    assert mail["personalizations"][0]["to"] == [{"email": "ada@example.com", "name": '"Day; \\"Ada\\", Dr"'}]


def test_nobody_is_named_twice() -> None:
    mail = replace(SIMPLE, cc=(Address("ADA@example.com"),), bcc=(Address("bob@example.com"),) * 2)

    personalization = body(mail)["personalizations"][0]

    assert "cc" not in personalization
    assert personalization["bcc"] == [{"email": "bob@example.com"}]


def test_blind_copies_alone_get_a_personalization_each() -> None:
    mail = replace(SIMPLE, to=(), bcc=(Address("ada@example.com"), Address("bob@example.com")))

    made = body(mail)["personalizations"]

    assert [p["to"] for p in made] == [[{"email": "ada@example.com"}], [{"email": "bob@example.com"}]]
    assert [p["custom_args"]["flute_recipient"] for p in made] == ["r1", "r2"]


def test_inline_images_and_files() -> None:
    files = (
        Attachment("a.txt", b"abc", "text/plain; charset=utf-8"),
        Attachment("l.png", b"1", "image/png", "logo"),
    )

    made = body(replace(SIMPLE, attachments=files))["attachments"]

    assert made[0] == {
        "content": base64.b64encode(b"abc").decode(),
        "type": "text/plain",
        "filename": "a.txt",
        "disposition": "attachment",
    }
    assert (made[1]["disposition"], made[1]["content_id"]) == ("inline", "logo")


def test_tracking_is_always_said() -> None:
    assert body()["tracking_settings"] == {
        "click_tracking": {"enable": False, "enable_text": False},
        "open_tracking": {"enable": False},
    }


def test_categories_are_as_many_as_it_takes() -> None:
    tags = ("a", "a", "x" * 256, *(f"t{n}" for n in range(20)))

    assert body(replace(SIMPLE, tags=tags))["categories"] == ["a", *(f"t{n}" for n in range(9))]


def test_what_it_cannot_carry() -> None:
    unicode_sender = replace(SIMPLE, sender=Address("jürgen@flutemail.io"))
    twice = replace(SIMPLE, headers=(("X-A", "1"), ("x-a", "2")))

    assert "non-ASCII" in SENDGRID.objections(handoff(unicode_sender))[0]
    assert "only once" in SENDGRID.objections(handoff(twice))[0]
    assert len(SENDGRID.objections(handoff(replace(SIMPLE, headers=(("Received", "x"), ("CC", "x")))))) == 2


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("", "https://api.sendgrid.com/v3"),
        ("https://api.eu.sendgrid.com", "https://api.eu.sendgrid.com/v3"),
        ("https://api.eu.sendgrid.com/v3/", "https://api.eu.sendgrid.com/v3"),
        ("http://10.0.0.7:8080/x", "http://10.0.0.7:8080/x"),
    ],
)
def test_base_url(given: str, address: str) -> None:
    assert SendGrid.validate({"api_key": "k", "base_url": given})["base_url"] == address
