"""The providers' look-ups: was a mail taken, and what became of it?"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import pytest
import requests

from flute_server.sandbox import Sandbox
from flute_server.sandbox.examples import HEADERS, Reply, body, request, send

HTTP = ("postmark", "sparkpost", "mailgun")
PATHS = {
    "postmark": "/messages/outbound",
    "sparkpost": "/api/v1/events/message",
    "mailgun": "/v3/mg.sandbox.example/events",
}


def ask(sandbox: Sandbox, provider: str, path: str = "", **query: object) -> Reply:
    """A look-up; names of parameters with _ for -, but for Postmark."""
    named = {name if provider == "postmark" else name.replace("_", "-"): str(query[name]) for name in query}
    if provider == "sparkpost":
        named = {name.replace("-", "_"): value for name, value in named.items()}
    where = (path or PATHS[provider]) + (f"?{urlencode(named)}" if named else "")
    return request(sandbox.address(provider), "GET", where, HEADERS[provider])


def deliver(sandbox: Sandbox, provider: str, to: str = "ada@example.com", email: str = "e-1") -> str:
    """Returns the provider's id."""
    call = body(provider, [to])
    if provider == "mailgun":
        call["v:flute_email"] = email
    else:
        call["Metadata" if provider == "postmark" else "metadata"] = {"flute_email": email}
    send(provider, sandbox.address(provider), call)
    return str(sandbox.inbox(provider=provider)[-1]["message_id"])


def future() -> str:
    return (datetime.now(UTC) + timedelta(seconds=5)).strftime("%Y-%m-%dT%H:%M:%SZ")


def found(sandbox: Sandbox, provider: str, **query: object) -> list[dict[str, Any]]:
    needed: dict[str, dict[str, Any]] = {
        "postmark": {"count": 50, "offset": 0},
        "sparkpost": {"to": future()},
        "mailgun": {},
    }
    data = ask(sandbox, provider, **{**needed[provider], **query}).json()
    hits: list[dict[str, Any]] = data[
        {"postmark": "Messages", "sparkpost": "results", "mailgun": "items"}[provider]
    ]
    return hits


def test_postmark_finds_a_mail_by_its_metadata(sandbox: Sandbox) -> None:
    for number in range(3):
        deliver(sandbox, "postmark", f"u{number}@example.com", f"e-{number}")
    (mail,) = found(sandbox, "postmark", metadata_flute_email="e-1")
    assert (mail["Recipients"], mail["Status"]) == (["u1@example.com"], "Sent")
    assert mail["Metadata"] == {"flute_email": "e-1"}
    assert found(sandbox, "postmark", metadata_flute_email="e-") == []
    assert found(sandbox, "postmark", metadata_other="e-1") == []


def test_postmark_pages_newest_first(sandbox: Sandbox) -> None:
    for number in range(3):
        deliver(sandbox, "postmark", f"u{number}@example.com")
    answer = ask(sandbox, "postmark", count=2, offset=1).json()
    assert answer["TotalCount"] == 3
    assert [mail["Recipients"] for mail in answer["Messages"]] == [["u1@example.com"], ["u0@example.com"]]


@pytest.mark.parametrize(
    ("query", "hits"),
    [
        ({"recipient": "ADA@example.com"}, 1),
        ({"recipient": "bob@example.com"}, 0),
        ({"fromemail": "news@example.org"}, 1),
        ({"tag": "welcome"}, 1),
        ({"tag": "wel"}, 0),
        ({"subject": "hell"}, 1),
        ({"status": "sent"}, 1),
        ({"status": "queued"}, 0),
        ({"messagestream": "broadcast"}, 0),
        ({"fromdate": "2024-01-01", "todate": "2099-01-01T12:00:00"}, 1),
        ({"todate": "2024-01-01"}, 0),
    ],
)
def test_postmark_filters(sandbox: Sandbox, query: dict[str, str], hits: int) -> None:
    deliver(sandbox, "postmark")
    assert len(found(sandbox, "postmark", **query)) == hits


def test_postmark_means_eastern_time(sandbox: Sandbox) -> None:
    deliver(sandbox, "postmark")
    clock = datetime.now(ZoneInfo("America/New_York")).replace(tzinfo=None, microsecond=0)
    minute = timedelta(minutes=1)
    around = {"fromdate": (clock - minute).isoformat(), "todate": (clock + minute).isoformat()}
    assert len(found(sandbox, "postmark", **around)) == 1


@pytest.mark.parametrize(
    "query",
    [
        {"count": 50},
        {"offset": 0},
        {"count": 501, "offset": 0},
        {"count": 500, "offset": 9501},
        {"count": "x", "offset": 0},
        {"count": 1, "offset": 0, "metadata_a": "b", "metadata_c": "d"},
        {"count": 1, "offset": 0, "colour": "red"},
        {"count": 1, "offset": 0, "status": "lost"},
        {"count": 1, "offset": 0, "fromdate": "yesterday"},
    ],
)
def test_postmark_refuses_an_odd_search(sandbox: Sandbox, query: dict[str, Any]) -> None:
    answer = ask(sandbox, "postmark", **query)
    assert (answer.status, answer.json()["ErrorCode"]) == (422, 700)


def test_postmark_shows_details(sandbox: Sandbox) -> None:
    sandbox.set_mode("postmark", "block")
    message_id = deliver(sandbox, "postmark", "ada@outlook.com")
    mail = ask(sandbox, "postmark", f"/messages/outbound/{message_id}/details").json()
    assert (mail["TextBody"], mail["HtmlBody"], mail["From"]) == (
        "hi",
        "<p>hi</p>",
        '"News" <news@example.org>',
    )
    (event,) = mail["MessageEvents"]
    assert (event["Type"], event["Recipient"]) == ("Bounced", "ada@outlook.com")
    assert "S3150" in event["Details"]["Summary"]
    unknown = ask(sandbox, "postmark", "/messages/outbound/nothing/details")
    assert (unknown.status, unknown.json()["ErrorCode"]) == (422, 701)


def test_sparkpost_finds_by_recipient_and_shows_our_ids(sandbox: Sandbox) -> None:
    transmission = deliver(sandbox, "sparkpost")
    deliver(sandbox, "sparkpost", "bob@example.com", "e-2")
    events = found(sandbox, "sparkpost", recipients="Ada@example.com")
    assert {event["type"] for event in events} == {"injection", "delivery"}
    assert {event["rcpt_meta"]["flute_email"] for event in events} == {"e-1"}
    assert {event["transmission_id"] for event in events} == {transmission}
    assert datetime.fromisoformat(events[0]["timestamp"]).tzinfo is not None


def test_sparkpost_shows_nothing_of_the_last_minute_unless_asked(sandbox: Sandbox) -> None:
    deliver(sandbox, "sparkpost")
    assert ask(sandbox, "sparkpost").json() == {"results": [], "total_count": 0, "links": {}}
    assert found(sandbox, "sparkpost", **{"from": future()}) == []


@pytest.mark.parametrize(
    ("query", "hits"),
    [
        ({"events": "delivery,bounce"}, 1),
        ({"events": "injection:bounce", "delimiter": ":"}, 1),
        ({"subjects": "Hello"}, 2),
        ({"subjects": "Hel*"}, 2),
        ({"subjects": "Hel"}, 0),
        ({"recipients": "a*@example.com"}, 0),
        ({"recipients": "eve@example.com,ada@example.com"}, 2),
        ({"recipient_domains": "*.com"}, 2),
        ({"campaigns": "welcome"}, 2),
        ({"from_addresses": "news@example.org"}, 2),
        ({"transmissions": "1"}, 0),
    ],
)
def test_sparkpost_filters(sandbox: Sandbox, query: dict[str, str], hits: int) -> None:
    deliver(sandbox, "sparkpost")
    assert len(found(sandbox, "sparkpost", **query)) == hits


def test_sparkpost_pages(sandbox: Sandbox) -> None:
    for number in range(3):
        deliver(sandbox, "sparkpost", f"u{number}@example.com")
    page = ask(sandbox, "sparkpost", per_page=4, to=future()).json()
    rest = ask(sandbox, "sparkpost", page["links"]["next"]).json()
    assert (page["total_count"], len(page["results"]), len(rest["results"])) == (6, 4, 2)
    assert rest["links"] == {}
    ids = {event["event_id"] for event in (*page["results"], *rest["results"])}
    assert len(ids) == 6


@pytest.mark.parametrize(
    "query",
    [
        {"metadata": "e-1"},
        {"per_page": 0},
        {"per_page": 10_001},
        {"from": "yesterday"},
        {"cursor": "???"},
        {"subaccounts": "1"},
        {"delimiter": ""},
        {"recipients": "a" * 4096},
    ],
)
def test_sparkpost_refuses_an_odd_search(sandbox: Sandbox, query: dict[str, Any]) -> None:
    answer = ask(sandbox, "sparkpost", **query)
    assert (answer.status, answer.json()["errors"][0]["message"]) == (400, "invalid params")


def test_mailgun_finds_by_recipient_and_shows_our_ids(sandbox: Sandbox) -> None:
    message_id = deliver(sandbox, "mailgun")
    deliver(sandbox, "mailgun", "bob@example.com", "e-2")
    events = found(sandbox, "mailgun", recipient="ada@example.com")
    assert {event["event"] for event in events} == {"accepted", "delivered"}
    assert {event["user-variables"]["flute_email"] for event in events} == {"e-1"}
    for given in (message_id, message_id.strip("<>")):
        assert len(found(sandbox, "mailgun", message_id=given)) == 2


@pytest.mark.parametrize(
    ("query", "hits"),
    [
        ({"event": "failed"}, 1),
        ({"severity": "permanent"}, 1),
        ({"severity": "temporary"}, 0),
        ({"subject": "hello"}, 2),
        ({"subject": '"hello"'}, 2),
        ({"from": "news@example.org"}, 2),
        ({"to": "ada@example.com"}, 2),
        ({"tags": "welcome"}, 2),
        ({"begin": time.time() - 60, "ascending": "yes"}, 2),
        ({"begin": time.time() - 60, "ascending": "no"}, 0),
        ({"begin": "Fri, 1 Jan 2100 00:00:00 +0000", "end": "0"}, 2),
        ({"end": time.time() - 60}, 0),
    ],
)
def test_mailgun_filters(sandbox: Sandbox, query: dict[str, Any], hits: int) -> None:
    sandbox.set_mode("mailgun", "bounce")
    deliver(sandbox, "mailgun")
    assert len(found(sandbox, "mailgun", **query)) == hits


@pytest.mark.parametrize("ascending", ["yes", "no"])
def test_mailgun_pages_until_one_is_empty(sandbox: Sandbox, ascending: str) -> None:
    for number in range(3):
        deliver(sandbox, "mailgun", f"u{number}@example.com")
    page = ask(sandbox, "mailgun", limit=4, ascending=ascending).json()
    items = list(page["items"])
    while page["items"]:
        page = _follow(page, "next")
        items += page["items"]
    times = [event["timestamp"] for event in items]
    assert len({event["id"] for event in items}) == len(items) == 6
    assert times == sorted(times, reverse=ascending == "no")
    assert len(_follow(page, "first")["items"]) == 4
    assert len(_follow(page, "last")["items"]) == 2
    assert len(_follow(_follow(page, "last"), "previous")["items"]) == 4


def _follow(page: dict[str, Any], rel: str) -> dict[str, Any]:
    """The links are whole addresses."""
    data: dict[str, Any] = requests.get(
        page["paging"][rel], headers=dict(HEADERS["mailgun"]), timeout=5
    ).json()
    return data


@pytest.mark.parametrize(
    "query",
    [
        {"user_variables": "e-1"},
        {"begin": time.time()},
        {"begin": "yesterday"},
        {"ascending": "maybe"},
        {"limit": 301},
        {"recipient": "a@b.example OR c@d.example"},
        {"list": "x"},
    ],
)
def test_mailgun_refuses_an_odd_search(sandbox: Sandbox, query: dict[str, Any]) -> None:
    assert ask(sandbox, "mailgun", **query).status == 400
    assert ask(sandbox, "mailgun", f"{PATHS['mailgun']}/not-a-page").status == 400


@pytest.mark.parametrize("mode", ["drop_answer", "hang", "silent"])
@pytest.mark.parametrize("provider", HTTP)
def test_finds_a_mail_whose_sender_never_heard_that_it_was_taken(
    sandbox: Sandbox, provider: str, mode: str
) -> None:
    sandbox.set_mode(provider, mode)
    try:
        send(provider, sandbox.address(provider), timeout_s=1)
    except (TimeoutError, ConnectionResetError):
        assert mode != "silent"
    recipient = "recipients" if provider == "sparkpost" else "recipient"
    assert len(found(sandbox, provider, **{recipient: "ada@example.com"})) >= 1


@pytest.mark.parametrize("mode", ["down", "error", "reject_message"])
@pytest.mark.parametrize("provider", HTTP)
def test_finds_nothing_of_a_mail_that_was_refused(sandbox: Sandbox, provider: str, mode: str) -> None:
    sandbox.set_mode(provider, mode)
    try:
        assert send(provider, sandbox.address(provider)).status >= 400
    except ConnectionRefusedError:
        assert mode == "down"
    sandbox.set_mode(provider, "ok")
    assert found(sandbox, provider) == []


@pytest.mark.parametrize("provider", ["sparkpost", "mailgun"])
def test_events_are_the_same_in_look_up_and_webhook(sandbox: Sandbox, provider: str) -> None:
    sandbox.set_mode(provider, "defer", seconds=60)
    deliver(sandbox, provider)
    field = "type" if provider == "sparkpost" else "event"
    kinds = {event[field] for event in found(sandbox, provider)}
    assert kinds == {"sparkpost": {"injection", "delay"}, "mailgun": {"accepted", "failed"}}[provider]


@pytest.mark.parametrize("provider", HTTP)
def test_a_look_up_wants_credentials_and_get(sandbox: Sandbox, provider: str) -> None:
    address = sandbox.address(provider)
    assert request(address, "GET", PATHS[provider], {"Accept": "application/json"}).status == 401
    assert request(address, "POST", PATHS[provider], HEADERS[provider], content=b"{}").status == 405
