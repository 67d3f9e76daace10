"""SparkPost's webhooks: developers.sparkpost.com/api/webhooks and /api/events; support.sparkpost.com, "Bounce
Classification Codes"; providers.md 3.5 and 3.6."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from flute_server.domain.event import ProviderEvent, ProviderEventKind
from flute_server.domain.verdict import Diagnostic
from flute_server.providers.base import WebhookMalformed
from flute_server.providers.webhooks import (
    address,
    cleaned,
    diagnosis,
    digest,
    mapping,
    moment,
    now,
    objects,
    our_ids,
    parse,
    word,
)

HELP = (
    "Choose a password, and save it as webhook_password of this account.",
    "In SparkPost, open Configuration > Webhooks, and create a webhook.",
    "As Target URL give this account's webhook address.",
    "As Authentication choose Basic Auth: webhook_username (flute, unless changed) and webhook_password.",
    "Select all Message, Generation and Unsubscribe events and, if wanted, Engagement events.",
)

KINDS: Mapping[str, ProviderEventKind] = {
    # message_event
    "injection": ProviderEventKind.ACCEPTED,
    "delivery": ProviderEventKind.DELIVERED,
    "delay": ProviderEventKind.DEFERRED,
    "bounce": ProviderEventKind.BOUNCED,
    "out_of_band": ProviderEventKind.BOUNCED,
    "policy_rejection": ProviderEventKind.DROPPED,
    "spam_complaint": ProviderEventKind.COMPLAINED,
    # gen_event
    "generation_failure": ProviderEventKind.DROPPED,
    "generation_rejection": ProviderEventKind.DROPPED,
    # track_event
    "open": ProviderEventKind.OPENED,
    "initial_open": ProviderEventKind.OPENED,
    "amp_open": ProviderEventKind.OPENED,
    "amp_initial_open": ProviderEventKind.OPENED,
    "click": ProviderEventKind.CLICKED,
    "amp_click": ProviderEventKind.CLICKED,
    # unsubscribe_event
    "list_unsubscribe": ProviderEventKind.UNSUBSCRIBED,
    "link_unsubscribe": ProviderEventKind.UNSUBSCRIBED,
}
CLASSES = frozenset({"message_event", "track_event", "gen_event", "unsubscribe_event"})
# Bounce classes which say that a `bounce` or `out_of_band` is something else.
NOT_BOUNCED: Mapping[str, ProviderEventKind] = {
    "25": ProviderEventKind.DROPPED,  # SparkPost's own policy or set-up
    "60": ProviderEventKind.OTHER,  # automatic reply
    "80": ProviderEventKind.OTHER,  # subscription request
    "90": ProviderEventKind.UNSUBSCRIBED,
    "100": ProviderEventKind.OTHER,  # challenge
}
# Only where a receiver's mail says so; a `bounce` of this class is one that SparkPost itself gave up.
STILL_TRIED = "70"


def read(body: bytes) -> list[ProviderEvent]:
    """An array of envelopes, each with one event in it; [{"msys": {}}] is a ping. Raises WebhookMalformed."""
    data = parse(body)
    if not isinstance(data, list):
        raise WebhookMalformed("SparkPost posts an array of events")
    return [event(klass, item) for envelope in objects(data) for klass, item in _contents(envelope)]


def _contents(envelope: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for klass, item in mapping(envelope.get("msys")).items():
        if isinstance(item, dict):
            yield klass, item


def event(klass: str, item: dict[str, Any]) -> ProviderEvent:
    """One event, from a webhook or from a search (which has no envelope; any of CLASSES will do)."""
    recipient = address(item.get("raw_rcpt_to")) or address(item.get("rcpt_to"))
    return ProviderEvent(
        kind=_kind(item) if klass in CLASSES else ProviderEventKind.OTHER,
        key=_key(klass, item),
        time=moment(item.get("timestamp")) or now(),
        recipient=recipient,
        provider_message_id=word(item.get("transmission_id")),
        diagnostic=_diagnostic(item, recipient),
        raw=item,
        **our_ids(mapping(item.get("rcpt_meta"))),
    )


def searched(items: list[dict[str, Any]]) -> list[ProviderEvent]:
    """The results of GET /events/message."""
    return [event("message_event", item) for item in cleaned(items)]


def _kind(item: dict[str, Any]) -> ProviderEventKind:
    name = word(item.get("type"))
    kind = KINDS.get(name, ProviderEventKind.OTHER)
    if kind is not ProviderEventKind.BOUNCED:
        return kind
    bounce_class = word(item.get("bounce_class"))
    if name == "out_of_band" and bounce_class == STILL_TRIED:
        return ProviderEventKind.DEFERRED
    return NOT_BOUNCED.get(bounce_class, kind)


def _key(klass: str, item: dict[str, Any]) -> str:
    names = ("type", "timestamp", "transmission_id", "message_id", "rcpt_to", "raw_reason", "target_link_url")
    return word(item.get("event_id")) or digest(klass, *(item.get(name) for name in names))


def _diagnostic(item: dict[str, Any], recipient: str) -> Diagnostic:
    """raw_reason is what the receiver said; `reason` is the same with addresses taken out."""
    return diagnosis(
        "sparkpost",
        recipient,
        text=item.get("raw_reason") or item.get("reason"),
        reply=item.get("error_code"),
        klass=item.get("bounce_class"),
    )
