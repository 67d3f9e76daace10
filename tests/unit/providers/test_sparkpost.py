"""SparkPost: requests as its reference wants them, every row of its failure table (providers.md 3.3)."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from flute_server.domain.message import Address, Attachment
from flute_server.domain.outcome import ErrorKind
from flute_server.providers.base import Network
from flute_server.providers.sparkpost import SparkPost
from tests.unit.providers.calls import SIMPLE, answer, handoff

SPARKPOST = SparkPost({"api_key": "key"}, Network())
TWO = replace(SIMPLE, to=(Address("ada@example.com", "Ada"), Address("Bob@example.com")))


def body(message: Any = SIMPLE) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(SPARKPOST.build(handoff(message)).body)
    return data


@pytest.mark.parametrize(
    ("status", "code", "text", "kind"),
    [
        (403, "1100", "permission denied", ErrorKind.AUTH),
        (403, "1100", "account suspended", ErrorKind.SUSPENDED),
        (422, "1300", "invalid type", ErrorKind.MESSAGE),
        (422, "1301", "invalid format", ErrorKind.MESSAGE),
        (422, "1400", "content.subject is missing", ErrorKind.MESSAGE),
        (422, "1603", "ada@example.com is not valid", ErrorKind.RECIPIENT),
        (401, "1303", "unauthorised", ErrorKind.AUTH),
        (401, "1304", "unauthorised", ErrorKind.AUTH),
        (400, "1305", "not UTF-8", ErrorKind.MESSAGE),
        (500, "1500", "internal", ErrorKind.SERVER),
        (500, "1501", "internal", ErrorKind.SERVER),
        (400, "1502", "temporarily unavailable", ErrorKind.SERVER),
        (415, "1700", "content type", ErrorKind.REQUEST),
        (406, "1800", "accept", ErrorKind.REQUEST),
        (503, "1900", "unavailable", ErrorKind.SERVER),
        (400, "1901", "generation failed", ErrorKind.MESSAGE),
        (400, "1902", "generation rejected", ErrorKind.MESSAGE),
        (400, "1902", "recipient address suppressed", ErrorKind.SUPPRESSED),
        (400, "2000", "refused", ErrorKind.RECIPIENT),
        (422, "2002", "metadata too large", ErrorKind.REQUEST),
        (422, "2007", "metadata", ErrorKind.REQUEST),
        (422, "2008", "metadata", ErrorKind.REQUEST),
        (420, "2101", "hourly limit", ErrorKind.QUOTA),
        (420, "2102", "daily limit", ErrorKind.QUOTA),
        (420, "2103", "sandbox limit", ErrorKind.QUOTA),
        (420, "2105", "monthly limit", ErrorKind.QUOTA),
        (420, "", "limit", ErrorKind.QUOTA),
        (422, "3000", "content", ErrorKind.MESSAGE),
        (422, "3002", "header", ErrorKind.MESSAGE),
        (422, "3050", "content", ErrorKind.MESSAGE),
        (400, "5002", "no valid recipients", ErrorKind.RECIPIENT),
        (400, "7000", "domain blocked", ErrorKind.SENDER),
        (400, "7001", "domain not verified", ErrorKind.SENDER),
        (401, "", "unauthorised", ErrorKind.AUTH),
        (403, "", "forbidden", ErrorKind.AUTH),
        (413, "", "too large", ErrorKind.TOO_LARGE),
        (429, "", "too many", ErrorKind.RATE),
        (502, "", "bad gateway", ErrorKind.SERVER),
    ],
)
def test_errors(status: int, code: str, text: str, kind: ErrorKind) -> None:
    said = {"message": text, **({"code": code} if code else {})}

    reply = SPARKPOST.read(answer(status, {"errors": [said]}), handoff()).reply

    assert (reply.kind, reply.status, reply.code, reply.text) == (kind, str(status), code, text)


@pytest.mark.parametrize(
    ("status", "kind"), [(420, ErrorKind.QUOTA), (500, ErrorKind.SERVER), (200, ErrorKind.AMBIGUOUS)]
)
def test_answers_in_another_form(status: int, kind: ErrorKind) -> None:
    assert SPARKPOST.read(answer(status, "<html>"), handoff()).reply.kind is kind


def taken(accepted: int, rejected: int, *texts: str) -> dict[str, Any]:
    results = {"id": "1166", "total_accepted_recipients": accepted, "total_rejected_recipients": rejected}
    return {"results": results | {"rcpt_to_errors": [{"message": t, "code": "2000"} for t in texts]}}


def test_an_acceptance_carries_the_transmission_id() -> None:
    reply = SPARKPOST.read(answer(200, taken(1, 0)), handoff()).reply

    assert (reply.accepted, reply.provider_message_id) == (True, "1166")


def test_partial_acceptance_by_the_address_in_the_text() -> None:
    result = SPARKPOST.read(answer(200, taken(1, 1, "refused: bob@example.com.")), handoff(TWO))

    assert result.of("r1").accepted
    assert result.of("r2").kind is ErrorKind.RECIPIENT


def test_partial_acceptance_of_nobody_knows_whom_is_ambiguous() -> None:
    result = SPARKPOST.read(answer(200, taken(1, 1, "refused")), handoff(TWO))

    assert {result.of("r1").kind, result.of("r2").kind} == {ErrorKind.AMBIGUOUS}


def test_a_single_recipient_gets_its_name() -> None:
    data = body()

    assert data["recipients"][0]["address"] == {"email": "ada@example.com", "name": "Ada"}
    assert data["metadata"] == data["recipients"][0]["metadata"]
    assert data["metadata"]["flute_recipient"] == "r1"


def test_several_recipients_see_the_whole_list() -> None:
    mail = replace(TWO, cc=(Address("cyd@example.com", "Cyd, C"),), bcc=(Address("dan@example.com"),))

    data = body(mail)

    shown = "Ada <ada@example.com>, Bob@example.com"
    assert [r["address"]["header_to"] for r in data["recipients"]] == [shown] * 4
    assert data["content"]["headers"] == {"Cc": '"Cyd, C" <cyd@example.com>'}
    assert [r["metadata"]["flute_recipient"] for r in data["recipients"]] == ["r1", "r2", "r3", "r4"]
    assert "dan" not in json.dumps(data["content"]) + shown
    assert all("name" not in r["address"] for r in data["recipients"])


def test_options() -> None:
    assert body()["options"] == {
        "transactional": True,
        "open_tracking": False,
        "click_tracking": False,
        "perform_substitutions": False,
    }


def test_files_and_the_first_tag() -> None:
    files = (Attachment("a.pdf", b"x", "application/pdf"), Attachment("l.png", b"y", "image/png", "logo"))

    data = body(replace(SIMPLE, attachments=files, tags=("one", "two")))

    assert [a["name"] for a in data["content"]["attachments"]] == ["a.pdf"]
    assert [a["name"] for a in data["content"]["inline_images"]] == ["logo"]
    assert data["campaign_id"] == "one"
    assert "campaign_id" not in body(replace(SIMPLE, tags=("ü" * 33,)))


@pytest.mark.parametrize(
    "changed",
    [
        {"subject": "Hello {{name}}"},
        {"headers": (("X-A", "{{a}}"),)},
        {"sender": Address("news@flutemail.io", "{{a}}")},
        {"reply_to": (Address("news@flutemail.io", "{{a}}"),)},
        {"reply_to": (Address("jürgen@flutemail.io"),)},
        {"headers": (("List-Unsubscribe", "<https://flutemail.io/u>"),)},
        {"attachments": (Attachment("ü" * 128, b"", "text/plain"),)},
    ],
)
def test_what_it_cannot_carry(changed: dict[str, Any]) -> None:
    assert len(SPARKPOST.objections(handoff(replace(SIMPLE, **changed)))) == 1


def test_templates_in_the_body_are_text() -> None:
    assert SPARKPOST.objections(handoff(replace(SIMPLE, text="{{a}}", html="{{b}}"))) == ()
