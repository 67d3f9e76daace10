"""Mailgun: forms as its reference wants them, every row of its failure table (providers.md 4.3)."""

from __future__ import annotations

from dataclasses import replace
from email import message_from_bytes
from email.message import Message as Part
from typing import Any

import pytest

from flute_server.domain.message import Address, Attachment
from flute_server.domain.outcome import ErrorKind
from flute_server.providers.base import CredentialError, Network
from flute_server.providers.mailgun import Mailgun
from tests.unit.providers.calls import SIMPLE, answer, handoff

MAILGUN = Mailgun({"api_key": "key", "domain": "mg.example.org"}, Network())
TWO = replace(SIMPLE, to=(Address("ada@example.com"), Address("Bob@example.com")))


def parts(message: Any = SIMPLE) -> list[tuple[str, str]]:
    """The form's fields in order; for files their filename."""
    request = MAILGUN.build(handoff(message))
    head = f"Content-Type: {request.content_type}\r\n\r\n".encode()
    payload = message_from_bytes(head + request.body).get_payload()
    assert isinstance(payload, list)
    return [_field(part) for part in payload if isinstance(part, Part)]


def _field(part: Part) -> tuple[str, str]:
    name = part.get_param("name", header="content-disposition")
    content = part.get_payload(decode=True)
    assert isinstance(content, bytes)
    return str(name), part.get_filename() or content.decode()


def values(name: str, message: Any = SIMPLE) -> list[str]:
    return [value for key, value in parts(message) if key == name]


@pytest.mark.parametrize(
    ("status", "said", "kind"),
    [
        (200, "Mailgun Magnificent API", ErrorKind.REQUEST),
        (200, "<html>", ErrorKind.AMBIGUOUS),
        (400, {"message": "'from' parameter is missing"}, ErrorKind.SENDER),
        (400, {"message": "from parameter is missing"}, ErrorKind.SENDER),
        (400, {"message": "'to' parameter is not a valid address. please check"}, ErrorKind.RECIPIENT),
        (400, {"message": "'cc' parameter is not a valid address."}, ErrorKind.RECIPIENT),
        (400, {"message": "too many recipients, the maximum is 1000"}, ErrorKind.TOO_LARGE),
        (400, {"message": "add the address to your authorized recipients"}, ErrorKind.QUOTA),
        (400, {"message": "a message may have up to 3 tags"}, ErrorKind.REQUEST),
        (400, {"message": "Need at least one of 'text' or 'html'"}, ErrorKind.MESSAGE),
        (401, "Forbidden", ErrorKind.AUTH),
        (402, {"message": "payment"}, ErrorKind.QUOTA),
        (403, {"message": "account disabled"}, ErrorKind.SUSPENDED),
        (403, {"message": "Domain x is not allowed to send"}, ErrorKind.SUSPENDED),
        (403, {"message": "Domain x is not allowed to send: unverified"}, ErrorKind.SENDER),
        (403, "Forbidden", ErrorKind.AUTH),
        (404, {"message": "Domain not found: x"}, ErrorKind.SENDER),
        (413, "", ErrorKind.TOO_LARGE),
        (429, {"message": "too many"}, ErrorKind.RATE),
        (500, {"message": "internal"}, ErrorKind.AMBIGUOUS),
        (502, "<html>", ErrorKind.AMBIGUOUS),
        (503, "<html>", ErrorKind.AMBIGUOUS),
        (503, {"message": "maintenance"}, ErrorKind.SERVER),
        (504, "", ErrorKind.AMBIGUOUS),
    ],
)
def test_answers(status: int, said: object, kind: ErrorKind) -> None:
    reply = MAILGUN.read(answer(status, said), handoff()).reply

    assert (reply.kind, reply.status) == (kind, str(status))


def test_an_acceptance_carries_the_id_as_events_do() -> None:
    reply = MAILGUN.read(answer(200, {"id": "<1.2@mg.example.org>", "message": "Queued."}), handoff()).reply

    assert (reply.accepted, reply.provider_message_id) == (True, "1.2@mg.example.org")


def test_one_bad_address_fails_all_but_blames_one() -> None:
    said = {"message": "'to' parameter is not a valid address: bob@example.com"}

    result = MAILGUN.read(answer(400, said), handoff(TWO))

    assert result.of("r1").kind is ErrorKind.REQUEST
    assert result.of("r2").kind is ErrorKind.RECIPIENT


def test_all_fields() -> None:
    mail = replace(
        TWO,
        sender=Address("news@flutemail.io", "Weiß, Jürgen"),
        reply_to=(Address("a@example.org"), Address("b@example.org")),
        headers=(("X-Note", "naïve"),),
        tags=("one", "ü", "two", "x" * 129, "three", "four"),
        track_opens=True,
    )

    found = dict(parts(mail))

    assert found["from"] == '"Weiß, Jürgen" <news@flutemail.io>'
    assert values("to", mail) == ["ada@example.com", "Bob@example.com"]
    assert found["h:Reply-To"] == "a@example.org, b@example.org"
    assert found["h:X-Note"] == "naïve"
    assert values("o:tag", mail) == ["one", "two", "three"]
    assert (found["o:tracking-opens"], found["o:tracking-clicks"]) == ("yes", "no")
    assert (found["v:flute_email"], found["v:flute_attempt"]) == ("email-1", "attempt-1")
    assert "v:flute_recipient" not in found
    assert values("v:flute_recipient") == ["r1"]


def test_files_always_have_a_name_and_inline_ones_their_content_id() -> None:
    files = (
        Attachment("Größe.pdf", b"x", "application/pdf"),
        Attachment("", b"y", "application/pdf"),
        Attachment("l.png", b"z", "image/png", "logo"),
    )
    mail = replace(SIMPLE, attachments=files)

    raw = MAILGUN.build(handoff(mail)).body

    assert 'name="attachment"; filename="Größe.pdf"'.encode() in raw
    assert b'name="attachment"; filename="attachment"' in raw
    assert b'name="inline"; filename="logo"' in raw


def test_a_name_cannot_break_out_of_the_form() -> None:
    mail = replace(SIMPLE, attachments=(Attachment('a"\r\nX: y', b"x", "text/plain"),))

    assert b"\r\nX: y" not in MAILGUN.build(handoff(mail)).body


def test_blind_copies_alone_become_a_batch() -> None:
    mail = replace(SIMPLE, to=(), bcc=(Address("ada@example.com"), Address("bob@example.com")))

    assert values("to", mail) == ["ada@example.com", "bob@example.com"]
    assert values("bcc", mail) == []
    assert values("recipient-variables", mail) == ['{"ada@example.com": {}, "bob@example.com": {}}']


def test_what_it_cannot_carry() -> None:
    assert "16,384" in MAILGUN.objections(handoff(replace(SIMPLE, headers=(("X-A", "x" * 17_000),))))[0]
    assert "ASCII" in MAILGUN.objections(handoff(replace(SIMPLE, headers=(("X-Ä", "x"),))))[0]
    assert MAILGUN.objections(handoff(replace(SIMPLE, sender=Address("jürgen@example.com"))))


@pytest.mark.parametrize("domain", ["mg.example.org/../x", "a b", "-x", "x@y"])
def test_a_domain_is_a_domain(domain: str) -> None:
    with pytest.raises(CredentialError):
        Mailgun.validate({"api_key": "key", "domain": domain})
