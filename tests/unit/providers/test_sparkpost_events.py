"""SparkPost's webhooks: every row of providers.md 3.5."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from flute_server.domain.event import ProviderEvent
from flute_server.domain.event import ProviderEventKind as Kind
from flute_server.domain.verdict import Action, Cause, Diagnostic, classify
from flute_server.providers.base import WebhookMalformed
from flute_server.providers.sparkpost_events import read, searched

ITEM = {
    "event_id": "92356",
    "timestamp": "1772000000",
    "transmission_id": "11668787484950529",
    "message_id": "00a1",
    "rcpt_to": "ada@example.com",
    "raw_rcpt_to": "Ada@example.com",
    "rcpt_meta": {"flute_email": "email-1", "flute_attempt": "attempt-1", "flute_recipient": "r1"},
}


def body(*items: tuple[str, dict[str, Any]]) -> bytes:
    return json.dumps([{"msys": {klass: item}} for klass, item in items]).encode()


def one(name: str, klass: str = "message_event", **fields: Any) -> ProviderEvent:
    return read(body((klass, ITEM | {"type": name} | fields)))[0]


@pytest.mark.parametrize(
    ("klass", "names", "kind"),
    [
        ("message_event", "injection", Kind.ACCEPTED),
        ("message_event", "delivery", Kind.DELIVERED),
        ("message_event", "delay", Kind.DEFERRED),
        ("message_event", "bounce out_of_band", Kind.BOUNCED),
        ("message_event", "policy_rejection", Kind.DROPPED),
        ("message_event", "spam_complaint", Kind.COMPLAINED),
        ("message_event", "sms_status teleport", Kind.OTHER),
        ("gen_event", "generation_failure generation_rejection", Kind.DROPPED),
        ("track_event", "open initial_open amp_open amp_initial_open", Kind.OPENED),
        ("track_event", "click amp_click", Kind.CLICKED),
        ("unsubscribe_event", "list_unsubscribe link_unsubscribe", Kind.UNSUBSCRIBED),
        ("relay_message", "bounce", Kind.OTHER),
        ("relay_event", "relay_delivery", Kind.OTHER),
        ("ab_test_event", "ab_test_completed", Kind.OTHER),
        ("ingest_event", "success", Kind.OTHER),
    ],
)
def test_each_event_has_its_kind_and_our_ids(klass: str, names: str, kind: Kind) -> None:
    for name in names.split():
        event = one(name, klass)

        assert event.kind is kind, name
        assert (event.email_id, event.attempt_id, event.recipient_id) == ("email-1", "attempt-1", "r1")
        assert (event.recipient, event.provider_message_id) == ("Ada@example.com", "11668787484950529")
        assert event.time == datetime(2026, 2, 25, 6, 13, 20, tzinfo=UTC)
        assert event.key == "92356"
        assert event.raw["type"] == name


@pytest.mark.parametrize(
    ("classes", "kind"),
    [
        ("1 10 15 20 21 22 23 24 30 40 50 51 52 53 54", Kind.BOUNCED),
        ("25", Kind.DROPPED),
        ("60 80 100", Kind.OTHER),
        ("90", Kind.UNSUBSCRIBED),
    ],
)
def test_bounces_go_by_their_class(classes: str, kind: Kind) -> None:
    for bounce_class in classes.split():
        assert one("bounce", bounce_class=bounce_class).kind is kind, bounce_class
        assert one("out_of_band", bounce_class=int(bounce_class)).kind is kind, bounce_class
        assert one("delay", bounce_class=bounce_class).kind is Kind.DEFERRED, bounce_class


def test_what_a_receiver_still_tries_is_deferred_and_what_sparkpost_gave_up_is_not() -> None:
    assert one("out_of_band", bounce_class="70").kind is Kind.DEFERRED
    assert one("bounce", bounce_class="70").kind is Kind.BOUNCED


def test_a_bounce_tells_class_and_codes() -> None:
    event = one(
        "bounce", bounce_class="51", error_code="550", raw_reason="550 5.7.1 [192.0.2.9] listed", reason="x"
    )

    assert event.diagnostic == Diagnostic(
        text="550 5.7.1 [192.0.2.9] listed",
        status="5.7.1",
        reply="550",
        destination="example.com",
        provider="sparkpost",
        provider_class="51",
    )
    assert one("bounce", reason="550 5.1.1 gone").diagnostic.text == "550 5.1.1 gone"


@pytest.mark.parametrize("policy", ["customer", "system"])
def test_a_suppressed_recipient_is_not_taken_for_the_providers_fault(policy: str) -> None:
    event = one(
        "generation_rejection",
        "gen_event",
        bounce_class="25",
        error_code="554",
        raw_reason=f"554 5.7.1 recipient address suppressed due to {policy} policy",
    )

    verdict = classify(event.diagnostic)

    assert event.kind is Kind.DROPPED
    assert verdict.cause is Cause.RECIPIENT
    assert verdict.action in {Action.STOP, Action.SUPPRESS}


def test_pings_strange_items_and_missing_parts() -> None:
    assert read(b'[{"msys": {}}]') == []
    assert read(b'[{"msys": null}, 7, {}, {"msys": {"message_event": "x"}}]') == []
    bare = read(b'[{"msys": {"message_event": {"type": "out_of_band"}}}]')[0]
    assert (bare.kind, bare.recipient, bare.email_id) == (Kind.BOUNCED, "", "")
    with pytest.raises(WebhookMalformed, match="array"):
        read(b"{}")


def test_one_bad_item_loses_no_other() -> None:
    good = ("track_event", ITEM | {"type": "click"})

    events = read(body(("message_event", {"type": {"a": 1}, "timestamp": [], "rcpt_meta": "x"}), good))

    assert [event.kind for event in events] == [Kind.OTHER, Kind.CLICKED]


def test_a_search_shows_the_same_events_with_other_times() -> None:
    told = ITEM | {"type": "delivery", "timestamp": "2026-02-25T06:13:20.000Z"}

    event = searched([told])[0]

    assert event == one("delivery", timestamp="2026-02-25T06:13:20.000Z")
    assert event.key == one("delivery").key
    assert event.time == one("delivery").time


def test_an_event_without_an_id_is_told_by_what_it_says() -> None:
    assert one("delay", event_id=None).key == one("delay", event_id=None).key
    assert one("delay", event_id=None).key != one("delay", event_id=None, timestamp="1772000001").key
