"""Postmark's webhooks: every row of providers.md 2.5."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from flute_server.domain.event import ProviderEvent
from flute_server.domain.event import ProviderEventKind as Kind
from flute_server.domain.verdict import Cause, Diagnostic, classify
from flute_server.providers.base import WebhookMalformed
from flute_server.providers.postmark_events import TYPES, read

IDS = {"flute_email": "email-1", "flute_attempt": "attempt-1", "flute_recipient": "r1"}
AT = "2026-02-25T06:13:20.1234567Z"
COMMON = {"MessageID": "mid-1", "MessageStream": "outbound", "ServerID": 1, "Tag": "welcome", "Metadata": IDS}
BOUNCE = COMMON | {
    "RecordType": "Bounce",
    "ID": 42,
    "Type": "HardBounce",
    "TypeCode": 1,
    "Name": "Hard bounce",
    "Description": "The server was unable to deliver your message",
    "Details": "smtp;550 5.1.1 no such user",
    "Email": "ada@example.com",
    "From": "news@example.org",
    "BouncedAt": AT,
    "Inactive": True,
    "CanActivate": True,
}


def one(data: dict[str, Any]) -> ProviderEvent:
    return read(json.dumps(data).encode())[0]


def record(name: str, time: str, **fields: Any) -> dict[str, Any]:
    return COMMON | {"RecordType": name, "Recipient": "ada@example.com", time: AT} | fields


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (record("Delivery", "DeliveredAt", Details="smtp;250 OK"), Kind.DELIVERED),
        (record("Open", "ReceivedAt", FirstOpen=True), Kind.OPENED),
        (record("Click", "ReceivedAt", OriginalLink="https://example.org/"), Kind.CLICKED),
        (BOUNCE, Kind.BOUNCED),
        (BOUNCE | {"RecordType": "SpamComplaint", "Type": "SpamComplaint", "TypeCode": 512}, Kind.COMPLAINED),
        (
            record(
                "SubscriptionChange", "ChangedAt", SuppressSending=True, SuppressionReason="ManualSuppression"
            ),
            Kind.UNSUBSCRIBED,
        ),
        (
            record("SubscriptionChange", "ChangedAt", SuppressSending=True, SuppressionReason="HardBounce"),
            Kind.OTHER,
        ),
        (
            record(
                "SubscriptionChange", "ChangedAt", SuppressSending=True, SuppressionReason="SpamComplaint"
            ),
            Kind.OTHER,
        ),
        (
            record("SubscriptionChange", "ChangedAt", SuppressSending=False, SuppressionReason=None),
            Kind.OTHER,
        ),
        (record("Inbound", "Date"), Kind.OTHER),
    ],
)
def test_each_record_has_its_kind_and_our_ids(data: dict[str, Any], kind: Kind) -> None:
    event = one(data)

    assert event.kind is kind
    assert (event.email_id, event.attempt_id, event.recipient_id) == ("email-1", "attempt-1", "r1")
    assert (event.recipient, event.provider_message_id) == ("ada@example.com", "mid-1")
    assert event.raw == data
    if "Date" not in data:
        assert event.time == datetime(2026, 2, 25, 6, 13, 20, 123_456, tzinfo=UTC)


@pytest.mark.parametrize(
    ("types", "kind"),
    [
        ("HardBounce DnsError SpamNotification Unknown SoftBounce VirusNotification", Kind.BOUNCED),
        ("BadEmailAddress Blocked DMARCPolicy", Kind.BOUNCED),
        ("Transient", Kind.DEFERRED),
        ("Unsubscribe", Kind.UNSUBSCRIBED),
        ("SpamComplaint", Kind.COMPLAINED),
        ("ManuallyDeactivated Unconfirmed SMTPApiError TemplateRenderingFailed", Kind.DROPPED),
        (
            "Subscribe AutoResponder AddressChange OpenRelayTest ChallengeVerification InboundError",
            Kind.OTHER,
        ),
    ],
)
def test_bounces_go_by_their_type(types: str, kind: Kind) -> None:
    for name in types.split():
        assert one(BOUNCE | {"Type": name, "TypeCode": 16}).kind is kind, name
        assert name.lower() in TYPES


def test_a_bounce_of_an_unknown_type_is_left_to_a_person() -> None:
    event = one(BOUNCE | {"Type": "Quarantined", "Details": "", "Description": "It is somewhere."})

    assert event.kind is Kind.BOUNCED
    assert classify(event.diagnostic).cause is Cause.UNKNOWN


def test_a_bounce_tells_type_and_codes() -> None:
    assert one(BOUNCE | {"Type": "Blocked"}).diagnostic == Diagnostic(
        text="550 5.1.1 no such user",
        status="5.1.1",
        reply="550",
        destination="example.com",
        provider="postmark",
        provider_class="Blocked",
    )
    assert one(BOUNCE | {"Details": ""}).diagnostic.text == BOUNCE["Description"]


def test_very_old_set_ups_have_no_record_type() -> None:
    bare = {name: value for name, value in BOUNCE.items() if name != "RecordType"}
    unsubscribed = {"Type": "Unsubscribe", "TypeCode": 16, "MessageID": "mid-1"}

    assert one(bare).kind is Kind.BOUNCED
    assert one(unsubscribed).kind is Kind.UNSUBSCRIBED
    assert one({"DeliveredAt": AT, "Recipient": "a@b.example"}).kind is Kind.DELIVERED
    assert one({"ReceivedAt": AT, "FirstOpen": False}).kind is Kind.OPENED
    assert one({"ReceivedAt": AT, "OriginalLink": "x"}).kind is Kind.CLICKED
    assert one({"something": "else"}).kind is Kind.OTHER


def test_keys_are_ids_or_what_does_not_change() -> None:
    delivery = record("Delivery", "DeliveredAt")
    click = record("Click", "ReceivedAt", OriginalLink="https://example.org/1")
    events = [
        BOUNCE,
        BOUNCE | {"ID": 43},
        BOUNCE | {"RecordType": "SpamComplaint"},
        delivery,
        delivery | {"Recipient": "bob@example.com"},
        delivery | {"DeliveredAt": "2026-02-25T06:13:21Z"},
        click,
        click | {"OriginalLink": "https://example.org/2"},
    ]
    keys = [one(data).key for data in events]

    assert len(set(keys)) == len(keys)
    assert [one(data | {"ServerID": 2}).key for data in events] == keys


def test_an_array_is_not_its_form_and_an_empty_object_is_a_ping() -> None:
    assert read(b"{}") == []
    with pytest.raises(WebhookMalformed, match="one object"):
        read(b"[]")
