"""SendGrid's Event Webhook: every row of providers.md 1.5, and its signature (1.6)."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from flute_server.domain.event import ProviderEventKind as Kind
from flute_server.domain.verdict import Cause, Diagnostic, classify
from flute_server.providers.base import CredentialError, Network, WebhookRefused, WebhookRequest
from flute_server.providers.sendgrid import SendGrid
from flute_server.providers.sendgrid_events import SIGNATURE, TIMESTAMP, read

NOW = datetime(2026, 2, 25, 7, tzinfo=UTC)
KEY = ec.generate_private_key(ec.SECP256R1())
COMMON = {
    "email": "Ada@example.com",
    "timestamp": 1772000000,
    "sg_event_id": "evt-1",
    "sg_message_id": "abc123.rcvd-77-1",
    "smtp-id": "<x@example.net>",
    "category": ["welcome"],
    "flute_email": "email-1",
    "flute_attempt": "attempt-1",
    "flute_recipient": "r1",
}


def shown(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> str:
    der = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return base64.b64encode(der).decode()


SENDGRID = SendGrid({"api_key": "SG.x", "webhook_public_key": shown(KEY)}, Network())


def signed(body: bytes, at: datetime = NOW, key: ec.EllipticCurvePrivateKey = KEY) -> WebhookRequest:
    timestamp = str(int(at.timestamp()))
    signature = key.sign(timestamp.encode() + body, ec.ECDSA(hashes.SHA256()))
    return WebhookRequest({SIGNATURE: base64.b64encode(signature).decode(), TIMESTAMP: timestamp}, body)


def one(**fields: Any) -> Any:
    return read(json.dumps([COMMON | fields]).encode())[0]


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"event": "processed", "pool": {"name": "a"}}, Kind.ACCEPTED),
        ({"event": "deferred", "response": "451 4.7.1 later", "attempt": "3"}, Kind.DEFERRED),
        ({"event": "delivered", "response": "250 OK", "tls": 1}, Kind.DELIVERED),
        ({"event": "bounce", "type": "bounce", "reason": "550 5.1.1 no", "status": "5.1.1"}, Kind.BOUNCED),
        ({"event": "bounce", "type": "blocked", "reason": "554 no"}, Kind.BOUNCED),
        ({"event": "bounce", "type": "expired", "reason": "451 4.4.1 later"}, Kind.BOUNCED),
        ({"event": "blocked", "reason": "554 no"}, Kind.BOUNCED),
        ({"event": "dropped", "reason": "Bounced Address", "status": "5.0.0"}, Kind.DROPPED),
        ({"event": "spamreport"}, Kind.COMPLAINED),
        ({"event": "unsubscribe"}, Kind.UNSUBSCRIBED),
        ({"event": "group_unsubscribe", "asm_group_id": 7}, Kind.UNSUBSCRIBED),
        ({"event": "group_resubscribe", "asm_group_id": 7}, Kind.OTHER),
        ({"event": "open", "useragent": "x", "sg_machine_open": True}, Kind.OPENED),
        ({"event": "click", "url": "https://example.org/"}, Kind.CLICKED),
        ({"event": "teleported"}, Kind.OTHER),
        ({"event": None}, Kind.OTHER),
    ],
)
def test_each_event_has_its_kind_and_our_ids(fields: dict[str, Any], kind: Kind) -> None:
    event = one(**fields)

    assert event.kind is kind
    assert (event.email_id, event.attempt_id, event.recipient_id) == ("email-1", "attempt-1", "r1")
    assert event.recipient == "Ada@example.com"
    assert event.time == datetime(2026, 2, 25, 6, 13, 20, tzinfo=UTC)
    assert event.provider_message_id == "abc123"
    assert event.key == "evt-1"
    assert event.raw == COMMON | fields


def test_a_bounce_tells_type_classification_and_codes() -> None:
    event = one(
        event="bounce",
        type="blocked",
        reason="550 5.7.1 [192.0.2.7] refused by policy",
        status="5.7.1",
        bounce_classification="Reputation",
    )

    assert event.diagnostic == Diagnostic(
        text="550 5.7.1 [192.0.2.7] refused by policy",
        status="5.7.1",
        reply="550",
        destination="example.com",
        provider="sendgrid",
        provider_class="blocked",
        provider_detail="Reputation",
    )


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        ("Invalid", Cause.RECIPIENT),
        ("Bounced Address", Cause.RECIPIENT),
        ("Unsubscribed Address", Cause.RECIPIENT),
        ("Spam Reporting Address", Cause.RECIPIENT),
        ("Invalid SMTPAPI header", Cause.MESSAGE),
        ("Spam Content", Cause.MESSAGE),
        ("Recipient List over Package Quota", Cause.PROVIDER),
    ],
)
def test_the_reason_of_a_drop_decides_whose_fault_it_is(reason: str, cause: Cause) -> None:
    diagnostic = one(event="dropped", reason=reason).diagnostic

    assert diagnostic.provider_class == reason
    assert classify(diagnostic).cause is cause


def test_codes_come_from_the_text_where_there_is_no_status() -> None:
    blocked = one(
        event="bounce", type="blocked", reason="host 192.0.2.1 said: 421 4.7.0 try later"
    ).diagnostic
    nothing = one(event="bounce", type="blocked", reason="unable to get mx info").diagnostic

    assert (blocked.status, blocked.reply) == ("4.7.0", "421")
    assert (nothing.status, nothing.reply) == ("", "")


def test_an_event_without_an_id_is_told_by_what_it_says() -> None:
    first, again = one(event="open", sg_event_id=None), one(event="open", sg_event_id=None)
    other = one(event="open", sg_event_id=None, timestamp=1772000001)

    assert first.key == again.key != other.key


def test_an_asynchronous_bounce_may_lack_all_ids() -> None:
    event = read(b'[{"event": "bounce", "type": "bounce", "email": "a@b.example", "reason": "550 no"}]')[0]

    assert (event.kind, event.recipient) == (Kind.BOUNCED, "a@b.example")
    assert (event.provider_message_id, event.email_id) == ("", "")


def test_one_bad_item_loses_no_other_and_a_ping_is_none() -> None:
    assert [e.kind for e in read(json.dumps([7, None, {"event": "open"}, [], {}]).encode())] == [Kind.OPENED]
    assert read(b"[]") == []


def test_a_signed_call_is_the_providers() -> None:
    body = json.dumps([COMMON]).encode()

    for age in (timedelta(0), timedelta(days=6, hours=23), timedelta(minutes=-4)):
        SENDGRID.authenticate(signed(body, NOW - age), NOW)


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (signed(b"[]", NOW - timedelta(days=7, seconds=1)), "hours old"),
        (signed(b"[]", NOW + timedelta(minutes=6)), "in the future"),
        (signed(b"[]", key=ec.generate_private_key(ec.SECP256R1())), "Verification Key of this very"),
        (WebhookRequest(signed(b"[1]").headers, b"[2]"), "does not match"),
        (WebhookRequest(signed(b'[{"event": "open"}]').headers, b'[{"event": "op'), "does not match"),
        (WebhookRequest(signed(b"[]").headers, b"x" * 10_000_000), "does not match"),
        (WebhookRequest({}, b"[]"), "switch on Signature Verification"),
        (WebhookRequest({**signed(b"[]").headers, SIGNATURE: "%%%"}, b"[]"), "does not match"),
        (WebhookRequest({**signed(b"[]").headers, SIGNATURE: "MEUC"}, b"[]"), "does not match"),
        (WebhookRequest({**signed(b"[]").headers, TIMESTAMP: "yesterday"}, b"[]"), "unix seconds"),
        (WebhookRequest({**signed(b"[]").headers, TIMESTAMP: "٣٣"}, b"[]"), "unix seconds"),
    ],
)
def test_what_is_not_is_refused(request_: WebhookRequest, says: str) -> None:
    with pytest.raises(WebhookRefused, match=says):
        SENDGRID.authenticate(request_, NOW)


@pytest.mark.parametrize(
    "key",
    [
        "SG.api-key",
        "AAAA",
        shown(ed25519.Ed25519PrivateKey.generate()),
        shown(ec.generate_private_key(ec.SECP384R1())),
    ],
    ids=["an API key", "nothing", "of another kind", "on another curve"],
)
def test_a_key_that_cannot_be_the_verification_key_is_refused_when_it_is_set(key: str) -> None:
    with pytest.raises(CredentialError) as refusal:
        SendGrid({"api_key": "SG.x", "webhook_public_key": key}, Network())
    assert refusal.value.field == "webhook_public_key"
