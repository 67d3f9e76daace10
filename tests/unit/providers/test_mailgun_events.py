"""Mailgun's webhooks: every row of providers.md 4.5, and its signature (4.6)."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flute_server.domain.event import ProviderEvent
from flute_server.domain.event import ProviderEventKind as Kind
from flute_server.domain.verdict import Action, Diagnostic, classify
from flute_server.providers.base import Network, WebhookMalformed, WebhookRefused, WebhookRequest
from flute_server.providers.mailgun import Mailgun
from flute_server.providers.mailgun_events import read

NOW = datetime(2026, 2, 25, 7, tzinfo=UTC)
KEY = "signing-key"
MAILGUN = Mailgun({"api_key": "k", "domain": "mg.example.org", "webhook_signing_key": KEY}, Network())
ITEM = {
    "id": "Zk3x",
    "timestamp": 1772000000.123,
    "log-level": "info",
    "recipient": "ada@example.com",
    "recipient-domain": "example.com",
    "tags": ["welcome"],
    "user-variables": {"flute_email": "email-1", "flute_attempt": "attempt-1", "flute_recipient": "r1"},
    "message": {"headers": {"message-id": "20260225.1.AB@mg.example.org", "subject": "Hello"}, "size": 812},
}
STATUS = {
    "code": 550,
    "enhanced-code": "5.1.1",
    "message": "5.1.1 user unknown",
    "description": "",
    "attempt-no": 1,
    "bounce-code": "5.1.1",
    "mx-host": "mx.example.com",
}


def one(name: str, **fields: Any) -> ProviderEvent:
    item = ITEM | {"event": name} | {key.replace("_", "-"): value for key, value in fields.items()}
    return read(json.dumps({"signature": {}, "event-data": item}).encode())[0]


def failed(severity: str = "permanent", reason: str = "bounce", **status: Any) -> ProviderEvent:
    return one("failed", severity=severity, reason=reason, delivery_status=STATUS | status)


def signature(at: datetime = NOW, key: str = KEY, token: str = "t" * 50) -> dict[str, str]:
    timestamp = str(int(at.timestamp()))
    code = hmac.new(key.encode(), (timestamp + token).encode(), hashlib.sha256).hexdigest()
    return {"timestamp": timestamp, "token": token, "signature": code}


def request(**members: Any) -> WebhookRequest:
    return WebhookRequest({}, json.dumps({"event-data": ITEM | {"event": "opened"}, **members}).encode())


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("accepted", Kind.ACCEPTED),
        ("rejected", Kind.DROPPED),
        ("delivered", Kind.DELIVERED),
        ("opened", Kind.OPENED),
        ("clicked", Kind.CLICKED),
        ("unsubscribed", Kind.UNSUBSCRIBED),
        ("complained", Kind.COMPLAINED),
        ("stored", Kind.OTHER),
        ("teleported", Kind.OTHER),
    ],
)
def test_each_event_has_its_kind_and_our_ids(name: str, kind: Kind) -> None:
    event = one(name)

    assert event.kind is kind
    assert (event.email_id, event.attempt_id, event.recipient_id) == ("email-1", "attempt-1", "r1")
    assert (event.recipient, event.provider_message_id) == ("ada@example.com", "20260225.1.AB@mg.example.org")
    assert event.time == datetime(2026, 2, 25, 6, 13, 20, 123_000, tzinfo=UTC)
    assert event.key == "2026-02-25/Zk3x"
    assert event.raw == ITEM | {"event": name}


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (failed("temporary", "generic", code=451), Kind.DEFERRED),
        (failed("temporary", "greylisted", code=451), Kind.DEFERRED),
        (failed("temporary", "old", code=451), Kind.BOUNCED),
        (failed("permanent", "old", code=451), Kind.BOUNCED),
        (failed("permanent", "bounce"), Kind.BOUNCED),
        (failed("permanent", "generic"), Kind.BOUNCED),
        (failed("permanent", "hardfail"), Kind.BOUNCED),
        (failed("permanent", "espblock"), Kind.BOUNCED),
        (failed("permanent", "blacklisted"), Kind.BOUNCED),
        (failed("permanent", "suppress-bounce", code=605), Kind.DROPPED),
        (failed("permanent", "suppress-complaint", code=607), Kind.DROPPED),
        (failed("permanent", "suppress-unsubscribe", code=606), Kind.DROPPED),
        (failed("permanent", "generic", code=605), Kind.DROPPED),
        (one("failed", severity=None, delivery_status=None, user_variables=None), Kind.BOUNCED),
    ],
)
def test_failures_go_by_severity_and_reason(event: ProviderEvent, kind: Kind) -> None:
    assert event.kind is kind


def test_a_failure_tells_reason_severity_codes_and_host() -> None:
    assert failed("permanent", "espblock").diagnostic == Diagnostic(
        text="5.1.1 user unknown",
        status="5.1.1",
        reply="550",
        destination="example.com",
        rhost="mx.example.com",
        provider="mailgun",
        provider_class="espblock",
        provider_detail="permanent",
    )
    assert failed(message="", description="No MX for example.com", code=498).diagnostic.text == (
        "No MX for example.com"
    )
    assert failed(**{"enhanced-code": "", "bounce-code": "5.2.2"}).diagnostic.status == "5.2.2"
    assert (
        one("rejected", reject={"reason": "x", "description": "Spam content"}).diagnostic.text
        == "Spam content"
    )


def test_what_was_given_up_is_final_however_mailgun_calls_it() -> None:
    assert failed("temporary", "old").diagnostic.provider_detail == "permanent"


def test_a_suppressed_recipient_is_not_resent() -> None:
    dropped = failed(
        "permanent", "suppress-bounce", code=605, message="Not delivering to previously bounced address"
    )

    assert classify(dropped.diagnostic).action in {Action.STOP, Action.SUPPRESS}


def test_event_ids_are_unique_within_a_day() -> None:
    day_later = one("opened", timestamp=ITEM["timestamp"] + 86_400)  # type: ignore[operator]

    assert one("opened").key != day_later.key
    assert one("opened", timestamp=None).key == "Zk3x"
    assert one("opened", id="").key == one("opened", id=None).key != one("clicked", id="").key


def test_a_call_without_event_data_is_malformed() -> None:
    for body in (b"{}", b"[]", b'{"event-data": []}', b'{"event-da'):
        with pytest.raises(WebhookMalformed):
            read(body)


def test_a_signed_call_is_the_providers() -> None:
    for age in (timedelta(0), timedelta(hours=23, minutes=59), timedelta(minutes=-4)):
        MAILGUN.authenticate(request(signature=signature(NOW - age)), NOW)
    sub = {"signature": signature(key="of the subaccount"), "parent-signature": signature()}
    MAILGUN.authenticate(request(**sub), NOW)


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (request(signature=signature(NOW - timedelta(hours=24, seconds=1))), "hours old"),
        (request(signature=signature(NOW + timedelta(minutes=6))), "in the future"),
        (request(signature=signature(key="api-key")), "not the API key"),
        (request(signature=signature() | {"token": "u" * 50}), "does not match"),
        (request(signature=signature() | {"signature": None}), "does not match"),
        (request(signature=signature() | {"signature": "ÿ"}), "does not match"),
        (request(signature="x"), "no signature"),
        (request(), "no signature"),
        (WebhookRequest({}, request(signature=signature()).body[:-9]), "no signature to check"),
        (WebhookRequest({}, b" " * 10_000_000), "no signature to check"),
        (WebhookRequest({}, b"timestamp=1&token=2"), "no signature to check"),
    ],
)
def test_what_is_not_is_refused(request_: WebhookRequest, says: str) -> None:
    with pytest.raises(WebhookRefused, match=says):
        MAILGUN.authenticate(request_, NOW)


def test_the_token_tells_a_replay_with_another_event() -> None:
    assert MAILGUN.webhook_token(request(signature=signature()).body) == "t" * 50
    assert MAILGUN.webhook_token(b"{}") == MAILGUN.webhook_token(b"[") == ""
