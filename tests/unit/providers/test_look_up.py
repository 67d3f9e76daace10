"""Look-ups: what is asked, and what answers prove that the sandbox does not give."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flute_server.domain.outcome import ErrorKind, Reply
from flute_server.providers.base import Network, Trace
from flute_server.providers.http import HttpAnswer, HttpProvider
from flute_server.providers.mailgun import MAX_FOUND as MAILGUN_PAGE
from flute_server.providers.mailgun import Mailgun
from flute_server.providers.postmark import Postmark
from flute_server.providers.sparkpost import MAX_FOUND as SPARKPOST_PAGE
from flute_server.providers.sparkpost import SparkPost
from tests.unit.providers.calls import answer

START = datetime.now(UTC) - timedelta(minutes=40)
TRACE = Trace("attempt-1", "email-1", ("Ada@example.com", "bob@example.com"), "Hello", START)


class Canned(HttpProvider):
    """Gives prepared answers to look-ups and keeps what was asked."""

    asked: list[tuple[str, Mapping[str, str]]]
    answers: list[HttpAnswer | Reply]

    def ask(self, path: str, query: Mapping[str, str]) -> HttpAnswer | Reply:
        self.asked.append((path, query))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class CannedPostmark(Canned, Postmark): ...


class CannedSparkPost(Canned, SparkPost): ...


class CannedMailgun(Canned, Mailgun): ...


KINDS: dict[str, tuple[type[Canned], dict[str, str], str]] = {
    "postmark": (CannedPostmark, {"server_token": "k", "message_stream": "bulk"}, "Messages"),
    "sparkpost": (CannedSparkPost, {"api_key": "k"}, "results"),
    "mailgun": (CannedMailgun, {"api_key": "k", "domain": "mg.example.org"}, "items"),
}


def canned(slug: str, *answers: HttpAnswer | Reply) -> Canned:
    """The last answer is given again."""
    kind, credentials, _ = KINDS[slug]
    provider = kind(credentials, Network())
    provider.asked, provider.answers = [], list(answers)
    return provider


def of(slug: str, attempt: str, number: int = 0) -> dict[str, Any]:
    """One finding of this attempt in the provider's words."""
    ids = {"flute_email": "email-1", "flute_attempt": attempt}
    return {
        "postmark": {"MessageID": f"mid-{number}", "Metadata": ids},
        "sparkpost": {
            "type": "injection",
            "event_id": str(number),
            "transmission_id": "mid-0",
            "rcpt_meta": ids,
        },
        "mailgun": {
            "event": "accepted",
            "id": str(number),
            "user-variables": ids,
            "message": {"headers": {"message-id": "mid-0"}},
        },
    }[slug]


def found(slug: str, *items: Any) -> HttpAnswer:
    return answer(200, {KINDS[slug][2]: list(items)})


def test_postmark_is_asked_for_the_attempt_in_its_stream() -> None:
    provider = canned("postmark", found("postmark", of("postmark", "attempt-1")))

    told = provider.look_up(TRACE)

    assert (told.found, told.provider_message_id) == (True, "mid-0")
    assert provider.asked == [
        (
            "/messages/outbound",
            {
                "count": "10",
                "offset": "0",
                "metadata_flute_attempt": "attempt-1",
                "messagestream": "bulk",
            },
        )
    ]


def test_postmark_having_the_mail_for_others_proves_nothing() -> None:
    for listed, proves in ((["BOB@example.com"], True), (["eve@example.com"], None), ([], True), ("x", True)):
        message = of("postmark", "attempt-1") | {"Recipients": listed}
        assert canned("postmark", found("postmark", message)).look_up(TRACE).found is proves


def test_sparkpost_is_asked_for_events_of_the_recipients_about_that_time() -> None:
    provider = canned("sparkpost", found("sparkpost"), found("sparkpost"))

    assert provider.look_up(TRACE).found is False
    recent = Trace("a", "e", ("x@example.com",), "", datetime.now(UTC), "mid-7")
    provider.look_up(recent)

    path, query = provider.asked[0]
    assert path == "/events/message"
    assert query["from"] == f"{START - timedelta(minutes=5):%Y-%m-%dT%H:%M:%SZ}"
    assert query["recipients"] == "ada@example.com,bob@example.com"
    assert {"injection", "bounce", "generation_rejection"} <= set(query["events"].split(","))
    query = provider.asked[1][1]
    assert query["transmissions"] == "mid-7"
    assert datetime.fromisoformat(query["to"]) <= datetime.now(UTC) + timedelta(seconds=1)


def test_mailgun_is_asked_by_recipient_and_then_by_id_for_the_others() -> None:
    first, second = of("mailgun", "attempt-1", 1), of("mailgun", "attempt-1", 2)
    provider = canned("mailgun", found("mailgun", first), found("mailgun", first, second))

    told = provider.look_up(TRACE)

    assert told.found is True
    assert len(told.events) == 2
    assert [path for path, _ in provider.asked] == ["/mg.example.org/events"] * 2
    assert provider.asked[0][1]["recipient"] == "Ada@example.com"
    assert int(provider.asked[0][1]["begin"]) == int((START - timedelta(minutes=5)).timestamp())
    assert provider.asked[1][1]["message-id"] == "mid-0"


def test_mailgun_is_asked_in_both_cases_before_absence_is_believed() -> None:
    provider = canned("mailgun", found("mailgun"), found("mailgun"))

    assert provider.look_up(TRACE).found is False
    assert [query["recipient"] for _, query in provider.asked] == ["Ada@example.com", "ada@example.com"]


def test_mailgun_is_not_asked_for_what_could_be_an_expression() -> None:
    provider = canned("mailgun")
    odd = Trace("attempt-1", "email-1", ('"a OR b"@example.com', "<@x.example"), "", START)

    assert provider.look_up(odd).found is None
    assert provider.asked == []


def test_mailgun_keeps_what_it_found_when_the_second_question_fails() -> None:
    provider = canned("mailgun", found("mailgun", of("mailgun", "attempt-1")), answer(500, "oops"))

    assert provider.look_up(TRACE).found is True


@pytest.mark.parametrize("slug", KINDS)
def test_other_mails_are_not_taken_for_ours(slug: str) -> None:
    told = canned(slug, found(slug, of(slug, "attempt-2"))).look_up(TRACE)

    # Postmark was asked for one attempt only: it does not know the filter, so that its answer proves nothing.
    assert told.found is (None if slug == "postmark" else False)


@pytest.mark.parametrize(("slug", "page"), [("sparkpost", SPARKPOST_PAGE), ("mailgun", MAILGUN_PAGE)])
def test_a_full_page_without_ours_proves_nothing(slug: str, page: int) -> None:
    others = [of(slug, "attempt-2", number) for number in range(page)]

    assert canned(slug, found(slug, *others)).look_up(TRACE).found is None
    assert canned(slug, found(slug, *others[1:])).look_up(TRACE).found is False


@pytest.mark.parametrize("slug", KINDS)
@pytest.mark.parametrize(
    "said",
    [
        answer(200, ""),
        answer(200, "<html>"),
        answer(200, "[]"),
        answer(200, {"Messages": None, "results": {}, "items": "x"}),
        answer(200, '{"items": [], "results": [], "Messages": [' + "x" * 900),
        answer(302, ""),
        answer(401, "Forbidden"),
        answer(403, {"errors": [{"message": "no"}]}),
        answer(422, {"ErrorCode": 700, "Message": "no"}),
        answer(429, {"message": "slow down"}),
        answer(500, "oops"),
        Reply(ErrorKind.UNREACHABLE, text="refused"),
        Reply(ErrorKind.AMBIGUOUS, text="timed out"),
    ],
)
def test_what_is_not_an_answer_proves_nothing(slug: str, said: HttpAnswer | Reply) -> None:
    told = canned(slug, said).look_up(TRACE)

    assert told.found is None
    assert told.text


@pytest.mark.parametrize("slug", KINDS)
def test_absence_of_an_old_mail_proves_nothing(slug: str) -> None:
    for age, proves in ((timedelta(hours=22), False), (timedelta(days=60), None)):
        trace = Trace("attempt-1", "email-1", ("a@b.example",), "", datetime.now(UTC) - age)
        assert canned(slug, found(slug)).look_up(trace).found is proves


@pytest.mark.parametrize("slug", ["sparkpost", "mailgun"])
def test_strange_findings_read_to_what_can_be_stored(slug: str) -> None:
    strange = of(slug, "attempt-1") | {"recipient": "\x00", "rcpt_to": "\ud800", "reason": ["x"] * 3}

    told = canned(slug, found(slug, strange), found(slug)).look_up(TRACE)

    assert told.found is True
    json.dumps(dict(told.events[0].raw), ensure_ascii=False).encode()
