"""The control port's part for events: webhooks, the list of events, events made by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from flute_server.sandbox import Sandbox, SandboxError
from flute_server.sandbox.examples import body, send
from flute_server.sandbox.receiver import Receiver

HTTP = ("sendgrid", "postmark", "sparkpost", "mailgun")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as started:
        yield started


def deliver(sandbox: Sandbox, provider: str, *to: str, email: str = "e-1") -> str:
    """A mail with our id in it; the provider's id for it."""
    call = body(provider, to or ("ada@example.com",))
    if provider == "sendgrid":
        call["personalizations"][0]["custom_args"] = {"flute_email": email}
    elif provider == "mailgun":
        call["v:flute_email"] = email
    else:
        call["Metadata" if provider == "postmark" else "metadata"] = {"flute_email": email}
    assert send(provider, sandbox.address(provider), call).status in {200, 202}
    return str(sandbox.inbox(provider=provider)[-1]["message_id"])


def test_shows_and_forgets_a_webhook(sandbox: Sandbox, receiver: Receiver) -> None:
    assert sandbox.webhook("postmark") == {"url": None}
    wanted: dict[str, Any] = {"url": receiver.url, "username": "u", "password": "p", "headers": {"X-A": "b"}}
    assert sandbox.set_webhook("postmark", **wanted) == wanted
    overview = requests.get(f"{sandbox.control}/", timeout=30).json()
    assert overview["providers"]["postmark"]["webhook"] == wanted
    sandbox.clear_webhook("postmark")
    deliver(sandbox, "postmark")
    assert (sandbox.webhook("postmark"), sandbox.events()) == ({"url": None}, [])


@pytest.mark.parametrize(
    ("provider", "wanted", "told"),
    [
        ("sendgrid", {"url": "nowhere"}, "http or https"),
        ("sendgrid", {}, "http or https"),
        ("sendgrid", {"url": "http://x", "signing": "yes"}, "true or false"),
        ("mailgun", {"url": "http://x", "username": "u"}, "unknown setting 'username'"),
        ("postmark", {"url": "http://x", "headers": {"A": 1}}, "object of strings"),
        ("postmark", {"url": "http://x", "password": 1}, "printable string"),
        ("postmark", [], "an object"),
        ("smtp", {"url": "http://x"}, "see /bounces"),
        ("yahoo", {"url": "http://x"}, "choose one of"),
    ],
)
def test_refuses_a_webhook_that_the_console_would_refuse(
    sandbox: Sandbox, provider: str, wanted: object, told: str
) -> None:
    answer = requests.put(f"{sandbox.control}/providers/{provider}/webhook", json=wanted, timeout=30)
    assert answer.status_code in {404, 422}
    assert told in answer.json()["error"]


def test_lists_filters_and_counts_events(sandbox: Sandbox, receiver: Receiver) -> None:
    for provider in ("sendgrid", "postmark"):
        sandbox.set_webhook(provider, receiver.url)
    message_id = deliver(sandbox, "sendgrid", "Ada@example.com", "bob@example.com", email="e-2")
    deliver(sandbox, "postmark")
    sandbox.wait_for_events(5)
    (event,) = sandbox.events(provider="sendgrid", to="ada@EXAMPLE.com", kind="delivered")
    assert event["ids"] == {"flute_email": "e-2"}
    wanted = {"message_id": message_id, "recipient": "Ada@example.com", "state": "taken", "tries": 1}
    assert wanted.items() <= event.items()
    assert (event["url"], event["status"], event["duplicate"]) == (receiver.url, "200", False)
    assert len(sandbox.events(limit=2, offset=1)) == 2
    assert sandbox.event_count(flute_email="e-2") == {
        "count": 4,
        "kinds": {"accepted": 2, "delivered": 2},
        "states": {"taken": 4},
    }
    assert sandbox.event_count(message_id=message_id, state="pending")["count"] == 0
    with pytest.raises(SandboxError, match="unknown filter"):
        sandbox.events(colour="red")


def test_calls_back_what_is_on_its_way(sandbox: Sandbox, receiver: Receiver) -> None:
    sandbox.set_webhook("postmark", receiver.url)
    sandbox.set_mode("postmark", "late", seconds=2)
    deliver(sandbox, "postmark", email="e-1")
    sandbox.clear_events()
    sandbox.set_mode("postmark", "late", seconds=2.1)
    deliver(sandbox, "postmark", email="e-2")
    (event,) = sandbox.wait_for_events(1)
    assert event["ids"] == {"flute_email": "e-2"}
    assert len(receiver.posts) == 1


def test_a_reset_makes_it_like_new(sandbox: Sandbox, receiver: Receiver) -> None:
    sandbox.set_webhook("mailgun", receiver.url)
    sandbox.set_bounces("127.0.0.1", receiver.port)
    deliver(sandbox, "mailgun")
    sandbox.reset()
    assert (sandbox.events(), sandbox.webhook("mailgun")["url"]) == ([], None)
    assert requests.get(f"{sandbox.control}/providers/smtp/bounces", timeout=30).json()["host"] is None


BY_HAND: dict[str, dict[str, Any]] = {
    "sendgrid": {
        "bounced": "bounce",
        "blocked": "bounce",
        "delivered": "delivered",
        "deferred": "deferred",
        "complained": "spamreport",
        "opened": "open",
        "clicked": "click",
        "unsubscribed": "unsubscribe",
    },
    "postmark": {
        "bounced": "Bounce",
        "blocked": "Bounce",
        "delivered": "Delivery",
        "deferred": "Bounce",
        "complained": "SpamComplaint",
        "opened": "Open",
        "clicked": "Click",
        "unsubscribed": "SubscriptionChange",
    },
    "sparkpost": {
        "bounced": "bounce",
        "blocked": "bounce",
        "delivered": "delivery",
        "deferred": "delay",
        "complained": "spam_complaint",
        "opened": "open",
        "clicked": "click",
        "unsubscribed": "link_unsubscribe",
    },
    "mailgun": {
        "bounced": "failed",
        "blocked": "failed",
        "delivered": "delivered",
        "deferred": "failed",
        "complained": "complained",
        "opened": "opened",
        "clicked": "clicked",
        "unsubscribed": "unsubscribed",
    },
}
PLACES = {"sendgrid": '"event":', "postmark": '"RecordType":', "sparkpost": '"type":', "mailgun": '"event":'}


@pytest.mark.parametrize(
    ("provider", "kind", "told"),
    [(provider, kind, word) for provider, words in BY_HAND.items() for kind, word in words.items()],
)
def test_lets_things_happen_by_hand(
    sandbox: Sandbox, receiver: Receiver, provider: str, kind: str, told: str
) -> None:
    sandbox.set_mode(provider, "silent")
    sandbox.set_webhook(provider, receiver.url)
    deliver(sandbox, provider)
    made = sandbox.send_event(provider, kind, flute_email="e-1")
    assert (made["kind"], made["recipient"]) == (kind, "ada@example.com")
    sandbox.wait_for_events(1)
    assert f'{PLACES[provider]}"{told}"' in receiver.posts[-1].body.decode()
    assert "e-1" in receiver.posts[-1].body.decode()


def test_words_class_and_time_can_be_chosen_by_hand(sandbox: Sandbox, receiver: Receiver) -> None:
    sandbox.set_mode("sendgrid", "silent")
    sandbox.set_webhook("sendgrid", receiver.url)
    message_id = deliver(sandbox, "sendgrid", "ada@example.com", "bob@example.com")
    chosen = {"text": "550 5.7.26 DMARC", "class": "Technical", "at": 1_700_000_000}
    sandbox.send_event("sendgrid", "blocked", message_id=message_id, recipient="BOB@example.com", **chosen)
    sandbox.wait_for_events(1)
    (event,) = json.loads(receiver.posts[0].body)
    wanted = {"reason": chosen["text"], "status": "5.7.26", "bounce_classification": "Technical"}
    assert {**wanted, "timestamp": 1_700_000_000, "email": "bob@example.com"}.items() <= event.items()


def test_an_event_by_hand_is_of_the_newest_mail_with_the_id(sandbox: Sandbox, receiver: Receiver) -> None:
    sandbox.set_webhook("postmark", receiver.url)
    deliver(sandbox, "postmark")
    newest = deliver(sandbox, "postmark")
    assert sandbox.send_event("postmark", "opened", flute_email="e-1")["message_id"] == newest


@pytest.mark.parametrize(
    ("which", "told"),
    [
        ({"kind": "exploded", "flute_email": "e-1"}, "choose one of"),
        ({"kind": "bounced"}, "say which mail"),
        ({"kind": "bounced", "flute_email": "e-9"}, "accepted no such mail"),
        ({"kind": "bounced", "flute_email": "e-1"}, "say which recipient: ada@example.com, bob@example.com"),
        ({"kind": "bounced", "flute_email": "e-1", "recipient": "eve@example.com"}, "say which recipient"),
        ({"kind": "bounced", "flute_email": "e-1", "class": "Gremlins"}, "classes are"),
        (
            {"kind": "bounced", "flute_email": "e-1", "recipient": "bob@example.com", "at": "now"},
            "unix seconds",
        ),
        ({"kind": "bounced", "flute_email": 1}, "printable string"),
        ({"colour": "red"}, "members out of"),
    ],
)
def test_says_why_nothing_can_happen_by_hand(
    sandbox: Sandbox, receiver: Receiver, which: dict[str, Any], told: str
) -> None:
    sandbox.set_webhook("sendgrid", receiver.url)
    deliver(sandbox, "sendgrid", "ada@example.com", "bob@example.com")
    answer = requests.post(f"{sandbox.control}/providers/sendgrid/events", json=which, timeout=30)
    assert answer.status_code in {404, 422}
    assert told in answer.json()["error"]


def test_nothing_happens_by_hand_when_nobody_listens(sandbox: Sandbox) -> None:
    deliver(sandbox, "sendgrid")
    with pytest.raises(SandboxError, match=r"409.*set up a webhook"):
        sandbox.send_event("sendgrid", "bounced", flute_email="e-1")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"text": "two\nlines"}, "one printable line"),
        ({"text": 1.5}, "one printable line"),
        ({"duplicate_events": "yes"}, "true or false"),
        ({"seconds": -1}, "seconds must be a number"),
    ],
)
def test_refuses_odd_settings_of_the_modes(sandbox: Sandbox, settings: dict[str, Any], told: str) -> None:
    with pytest.raises(SandboxError, match=told):
        sandbox.set_mode("sendgrid", "block", **settings)
