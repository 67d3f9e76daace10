"""What the played providers tell of a mail after they accepted it, over real sockets."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from flute_server.sandbox import Sandbox, SandboxError
from flute_server.sandbox.examples import HEADERS, body, send
from flute_server.sandbox.receiver import Post, Receiver

HTTP = ("sendgrid", "postmark", "sparkpost", "mailgun")
Told = list[tuple[str, dict[str, Any]]]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as started:
        yield started


def deliver(sandbox: Sandbox, provider: str, *to: str) -> str:
    """Send to these addresses; the provider's id for the mail."""
    answer = send(provider, sandbox.address(provider), body(provider, to or ("ada@example.com",)))
    assert answer.status in {200, 202}
    return str(sandbox.inbox(provider=provider)[-1]["message_id"])


def told(provider: str, posts: list[Post]) -> Told:
    """(what, event) of everything that was posted."""
    found: Told = []
    for data in (json.loads(post.body) for post in posts):
        if provider == "sendgrid":
            found += [(event["event"], event) for event in data]
        elif provider == "postmark":
            found.append((data["RecordType"], data))
        elif provider == "sparkpost":
            inner = [event for item in data for event in item["msys"].values()]
            found += [(event["type"], event) for event in inner]
        else:
            found.append((data["event-data"]["event"], data["event-data"]))
    return found


def wait(receiver: Receiver, provider: str, count: int) -> Told:
    posts = receiver.wait(lambda posts: len(told(provider, posts)) >= count)
    return told(provider, posts)


NORMAL = {
    "sendgrid": ["processed", "delivered"],
    "postmark": ["Delivery"],
    "sparkpost": ["injection", "delivery"],
    "mailgun": ["accepted", "delivered"],
}
CASES: dict[str, dict[str, list[str]]] = {
    "block": {
        "sendgrid": ["processed", "bounce"],
        "postmark": ["Bounce"],
        "sparkpost": ["injection", "bounce"],
        "mailgun": ["accepted", "failed"],
    },
    "complain": {
        "sendgrid": ["processed", "delivered", "spamreport"],
        "postmark": ["Delivery", "SpamComplaint"],
        "sparkpost": ["injection", "delivery", "spam_complaint"],
        "mailgun": ["accepted", "delivered", "complained"],
    },
    "defer": {
        "sendgrid": ["processed", "deferred", "delivered"],
        "postmark": ["Bounce", "Delivery"],
        "sparkpost": ["injection", "delay", "delivery"],
        "mailgun": ["accepted", "failed", "delivered"],
    },
}


@pytest.mark.parametrize("provider", HTTP)
def test_tells_of_a_delivered_mail(sandbox: Sandbox, receiver: Receiver, provider: str) -> None:
    sandbox.set_webhook(provider, receiver.url)
    deliver(sandbox, provider)
    found = wait(receiver, provider, len(NORMAL[provider]))
    assert sorted(kind for kind, _ in found) == sorted(NORMAL[provider])
    assert sandbox.inbox()[0]["outcomes"] == {"ada@example.com": "delivered"}


@pytest.mark.parametrize("mode", CASES)
@pytest.mark.parametrize("provider", HTTP)
def test_tells_what_the_mode_says(sandbox: Sandbox, receiver: Receiver, provider: str, mode: str) -> None:
    sandbox.set_webhook(provider, receiver.url)
    sandbox.set_mode(provider, mode, seconds=0.1)
    deliver(sandbox, provider)
    wanted = CASES[mode][provider]
    assert sorted(kind for kind, _ in wait(receiver, provider, len(wanted))) == sorted(wanted)


def test_sendgrid_says_whose_mail_it_was(sandbox: Sandbox, receiver: Receiver) -> None:
    sandbox.set_webhook("sendgrid", receiver.url)
    message_id = deliver(sandbox, "sendgrid", "ada@example.com", "bob@example.com")
    events = [event for _, event in wait(receiver, "sendgrid", 4)]
    assert {event["email"] for event in events} == {"ada@example.com", "bob@example.com"}
    assert {event["flute_id"] for event in events} == {"em_1"}
    assert {event["sg_message_id"].partition(".")[0] for event in events} == {message_id}
    assert len({event["sg_event_id"] for event in events}) == 4
    assert events[0]["category"] == ["welcome"]
    assert isinstance(events[0]["timestamp"], int)


def test_postmark_says_whose_mail_it_was(sandbox: Sandbox, receiver: Receiver) -> None:
    sandbox.set_webhook("postmark", receiver.url, username="flute", password="secret")
    message_id = deliver(sandbox, "postmark")
    ((_, event),) = wait(receiver, "postmark", 1)
    assert (event["MessageID"], event["Recipient"], event["Tag"]) == (
        message_id,
        "ada@example.com",
        "welcome",
    )
    assert event["Metadata"] == {"flute_id": "em_1"}
    assert receiver.posts[0].headers["Authorization"] == "Basic " + base64.b64encode(b"flute:secret").decode()


def test_sparkpost_says_whose_mail_it_was(sandbox: Sandbox, receiver: Receiver) -> None:
    sandbox.set_webhook("sparkpost", receiver.url, headers={"X-Secret": "s"})
    assert [post.body for post in receiver.posts] == [b'[{"msys":{}}]']
    call = body("sparkpost")
    call["recipients"][0]["address"]["email"] = "Ada@example.com"
    call["recipients"][0]["metadata"] = {"flute_recipient": "r1", "flute_id": "em_2"}
    send("sparkpost", sandbox.address("sparkpost"), call)
    event = wait(receiver, "sparkpost", 2)[0][1]
    assert event["transmission_id"] == sandbox.inbox()[0]["message_id"]
    assert (event["rcpt_to"], event["raw_rcpt_to"]) == ("ada@example.com", "Ada@example.com")
    assert event["rcpt_meta"] == {"flute_id": "em_2", "flute_recipient": "r1"}
    assert receiver.posts[-1].headers["X-Secret"] == "s"
    assert receiver.posts[-1].headers["X-MessageSystems-Batch-ID"]


def test_mailgun_says_whose_mail_it_was(sandbox: Sandbox, receiver: Receiver) -> None:
    sandbox.set_webhook("mailgun", receiver.url)
    message_id = deliver(sandbox, "mailgun")
    event = wait(receiver, "mailgun", 2)[0][1]
    assert f"<{event['message']['headers']['message-id']}>" == message_id
    assert (event["recipient"], event["user-variables"]) == ("ada@example.com", {"flute_id": "em_1"})


def test_sendgrid_signs_with_the_key_that_its_console_shows(sandbox: Sandbox, receiver: Receiver) -> None:
    shown = sandbox.set_webhook("sendgrid", receiver.url)["public_key"]
    assert sandbox.providers["sendgrid"]["webhook"]["public_key"] == shown
    deliver(sandbox, "sendgrid")
    wait(receiver, "sendgrid", 2)
    key = load_der_public_key(base64.b64decode(shown, validate=True))
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"
    post = receiver.posts[0]
    signature = base64.b64decode(post.headers["X-Twilio-Email-Event-Webhook-Signature"])
    timestamp = post.headers["X-Twilio-Email-Event-Webhook-Timestamp"].encode()
    key.verify(signature, timestamp + post.body, ec.ECDSA(hashes.SHA256()))
    with pytest.raises(InvalidSignature):
        key.verify(signature, timestamp + post.body + b" ", ec.ECDSA(hashes.SHA256()))


def test_sendgrid_signs_nothing_when_that_is_switched_off(sandbox: Sandbox, receiver: Receiver) -> None:
    sandbox.set_webhook("sendgrid", receiver.url, signing=False)
    deliver(sandbox, "sendgrid")
    wait(receiver, "sendgrid", 2)
    assert not any("Signature" in name for name in receiver.posts[0].headers)


def test_mailgun_signs_timestamp_and_token(sandbox: Sandbox, receiver: Receiver) -> None:
    key = sandbox.set_webhook("mailgun", receiver.url)["signing_key"]
    deliver(sandbox, "mailgun")
    wait(receiver, "mailgun", 2)
    signed = [json.loads(post.body)["signature"] for post in receiver.posts]
    for part in signed:
        text = (part["timestamp"] + part["token"]).encode()
        assert part["signature"] == hmac.new(key.encode(), text, hashlib.sha256).hexdigest()
        assert len(part["token"]) == 50
    assert signed[0]["token"] != signed[1]["token"]


FAILURES: dict[tuple[str, str], dict[str, Any]] = {
    ("sendgrid", "block"): {"type": "blocked", "bounce_classification": "Reputation", "status": "5.7.1"},
    ("sendgrid", "bounce"): {"type": "bounce", "bounce_classification": "Invalid Address", "status": "5.1.1"},
    ("sendgrid", "suppress"): {"event": "dropped", "reason": "Bounced Address"},
    ("postmark", "block"): {"Type": "Blocked", "TypeCode": 100006, "Inactive": False},
    ("postmark", "bounce"): {"Type": "HardBounce", "TypeCode": 1, "Inactive": True},
    ("sparkpost", "block"): {"bounce_class": "51", "error_code": "550"},
    ("sparkpost", "bounce"): {"bounce_class": "10", "error_code": "550"},
    ("sparkpost", "suppress"): {"type": "generation_rejection", "bounce_class": "25", "error_code": "554"},
    ("mailgun", "block"): {"severity": "permanent", "reason": "espblock"},
    ("mailgun", "bounce"): {"severity": "permanent", "reason": "bounce"},
    ("mailgun", "suppress"): {"severity": "permanent", "reason": "suppress-bounce"},
}


@pytest.mark.parametrize(("provider", "mode"), FAILURES)
def test_tells_of_failures_in_the_providers_words(
    sandbox: Sandbox, receiver: Receiver, provider: str, mode: str
) -> None:
    sandbox.set_webhook(provider, receiver.url)
    sandbox.set_mode(provider, mode)
    deliver(sandbox, provider)
    wanted = FAILURES[provider, mode]
    count = 1 if provider == "postmark" or mode == "suppress" else 2
    assert any(wanted.items() <= event.items() for _, event in wait(receiver, provider, count))


OWN_WORDS = {
    "sendgrid": ("Content", "bounce_classification", "reason"),
    "postmark": ("SpamNotification", "Type", "Details"),
    "sparkpost": ("52", "bounce_class", "raw_reason"),
    "mailgun": ("generic", "reason", "delivery-status"),
}


@pytest.mark.parametrize("provider", OWN_WORDS)
def test_a_mode_can_be_given_words_of_its_own(sandbox: Sandbox, receiver: Receiver, provider: str) -> None:
    klass, where, text = OWN_WORDS[provider]
    words = "552 5.2.2 the mailbox of ada is full"
    sandbox.set_webhook(provider, receiver.url)
    sandbox.set_mode(provider, "bounce", text=words, **{"class": klass})
    deliver(sandbox, provider)
    count = 1 if provider == "postmark" else 2
    (event,) = [event for _, event in wait(receiver, provider, count) if event.get(where) == klass]
    assert words in json.dumps(event[text])


@pytest.mark.parametrize("provider", OWN_WORDS)
def test_refuses_a_class_that_the_provider_does_not_have(sandbox: Sandbox, provider: str) -> None:
    with pytest.raises(SandboxError, match="are "):
        sandbox.set_mode(provider, "bounce", **{"class": "Gremlins"})


def test_a_mode_can_strike_some_receiving_domains_only(sandbox: Sandbox, receiver: Receiver) -> None:
    sandbox.set_webhook("sendgrid", receiver.url)
    sandbox.set_mode("sendgrid", "block", domains=["outlook.com"])
    deliver(sandbox, "sendgrid", "ada@gmail.com", "bob@outlook.com")
    last = {event["email"]: kind for kind, event in wait(receiver, "sendgrid", 4) if kind != "processed"}
    assert last == {"ada@gmail.com": "delivered", "bob@outlook.com": "bounce"}
    assert sandbox.inbox()[0]["outcomes"] == {"ada@gmail.com": "delivered", "bob@outlook.com": "blocked"}


def test_postmark_refuses_what_is_on_its_suppression_list(sandbox: Sandbox, receiver: Receiver) -> None:
    sandbox.set_webhook("postmark", receiver.url)
    sandbox.set_mode("postmark", "suppress", domains=["bad.example"])
    answer = send("postmark", sandbox.address("postmark"), body("postmark", ["bob@bad.example"]))
    assert (answer.status, answer.json()["ErrorCode"]) == (422, 406)
    both = body("postmark", ["ada@example.com", "Bob@bad.example"])
    partly = send("postmark", sandbox.address("postmark"), both).json()
    assert partly["ErrorCode"] == 0
    assert partly["Message"].endswith("inactive addresses: bob@bad.example.")
    assert sandbox.inbox()[0]["envelope"]["recipients"] == ["ada@example.com"]
    assert [event["Recipient"] for _, event in wait(receiver, "postmark", 1)] == ["ada@example.com"]


def test_postmark_names_suppressed_recipients_in_a_batch(sandbox: Sandbox) -> None:
    sandbox.set_mode("postmark", "suppress", domains=["bad.example"])
    batch = [body("postmark", [to]) for to in ("bob@bad.example", "nobody", "ada@example.com")]
    url = sandbox.base_url("postmark") + "/email/batch"
    answer = requests.post(url, json=batch, headers=dict(HEADERS["postmark"]), timeout=30)
    assert [item["ErrorCode"] for item in answer.json()] == [406, 300, 0]
    assert sandbox.count() == 1
