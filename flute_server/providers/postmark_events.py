"""Postmark's webhooks: postmarkapp.com/developer/webhooks/webhooks-overview and /developer/api/bounce-api
("Bounce types"); providers.md 2.5 and 2.6."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flute_server.domain.event import ProviderEvent, ProviderEventKind
from flute_server.domain.verdict import Diagnostic
from flute_server.providers.base import WebhookMalformed
from flute_server.providers.webhooks import (
    address,
    diagnosis,
    digest,
    mapping,
    moment,
    now,
    our_ids,
    parse,
    word,
)

HELP = (
    "Choose a password, and save it as webhook_password of this account.",
    "In Postmark, open the server > the message stream > Webhooks, and add a webhook.",
    "As URL give this account's webhook address.",
    "Under Basic auth credentials give webhook_username (flute, unless changed) and webhook_password.",
    "Select Delivery, Bounce, Spam complaint, Subscription change and, if wanted, Open and Link click.",
)

RECORDS: Mapping[str, ProviderEventKind] = {
    "Delivery": ProviderEventKind.DELIVERED,
    "SpamComplaint": ProviderEventKind.COMPLAINED,
    "Open": ProviderEventKind.OPENED,
    "Click": ProviderEventKind.CLICKED,
}
# What tells the record of very old set-ups, which send no RecordType (providers.md 2.5). First match counts.
MARKS = (
    ("DeliveredAt", "Delivery"),
    ("SuppressSending", "SubscriptionChange"),
    ("BouncedAt", "Bounce"),
    ("TypeCode", "Bounce"),
    ("OriginalLink", "Click"),
    ("FirstOpen", "Open"),
)
# Bounce records by Type, in lower case. The names decide: the numbers differ between sources. A type that is
# not here is a bounce of unknown cause, which the verdict leaves to a person.
TYPES: Mapping[str, ProviderEventKind] = {
    "hardbounce": ProviderEventKind.BOUNCED,
    "transient": ProviderEventKind.DEFERRED,  # "will be retried"
    "unsubscribe": ProviderEventKind.UNSUBSCRIBED,
    "subscribe": ProviderEventKind.OTHER,
    "autoresponder": ProviderEventKind.OTHER,
    "addresschange": ProviderEventKind.OTHER,
    "dnserror": ProviderEventKind.BOUNCED,
    "spamnotification": ProviderEventKind.BOUNCED,
    "openrelaytest": ProviderEventKind.OTHER,
    "unknown": ProviderEventKind.BOUNCED,
    "softbounce": ProviderEventKind.BOUNCED,  # tried in vain, given up
    "virusnotification": ProviderEventKind.BOUNCED,
    "challengeverification": ProviderEventKind.OTHER,
    "bademailaddress": ProviderEventKind.BOUNCED,
    "spamcomplaint": ProviderEventKind.COMPLAINED,
    "manuallydeactivated": ProviderEventKind.DROPPED,
    "unconfirmed": ProviderEventKind.DROPPED,
    "blocked": ProviderEventKind.BOUNCED,
    "smtpapierror": ProviderEventKind.DROPPED,
    "inbounderror": ProviderEventKind.OTHER,
    "dmarcpolicy": ProviderEventKind.BOUNCED,
    "templaterenderingfailed": ProviderEventKind.DROPPED,
}
TIMES = ("DeliveredAt", "BouncedAt", "ReceivedAt", "ChangedAt")


def read(body: bytes) -> list[ProviderEvent]:
    """One object per call. Raises WebhookMalformed."""
    data = parse(body)
    if not isinstance(data, dict):
        raise WebhookMalformed("Postmark posts one object per event")
    return [_event(data)] if data else []


def _event(item: dict[str, Any]) -> ProviderEvent:
    record = word(item.get("RecordType")) or _record(item)
    recipient = address(item.get("Recipient")) or address(item.get("Email"))
    moments = [found for name in TIMES if (found := moment(item.get(name)))]
    return ProviderEvent(
        kind=_kind(record, item),
        key=_key(record, item),
        time=moments[0] if moments else now(),
        recipient=recipient,
        provider_message_id=word(item.get("MessageID")),
        diagnostic=_diagnostic(item, recipient),
        raw=item,
        **our_ids(mapping(item.get("Metadata"))),
    )


def _record(item: dict[str, Any]) -> str:
    return next((record for mark, record in MARKS if mark in item), "")


def _kind(record: str, item: dict[str, Any]) -> ProviderEventKind:
    if record == "Bounce":
        return TYPES.get(word(item.get("Type")).lower(), ProviderEventKind.BOUNCED)
    if record == "SubscriptionChange":
        return _change(item)
    return RECORDS.get(record, ProviderEventKind.OTHER)


def _change(item: dict[str, Any]) -> ProviderEventKind:
    """A bounce or complaint that suppresses has a record of its own too; false is a resubscription."""
    by_record = word(item.get("SuppressionReason")) in {"HardBounce", "SpamComplaint"}
    if item.get("SuppressSending") is True and not by_record:
        return ProviderEventKind.UNSUBSCRIBED
    return ProviderEventKind.OTHER


def _key(record: str, item: dict[str, Any]) -> str:
    """Bounces and complaints have an ID; others are told by what does not change when they are repeated."""
    own = word(item.get("ID"))
    if own and own != "0":
        return f"{record}:{own}"
    names = ("MessageID", "Recipient", "Email", *TIMES, "OriginalLink", "Type", "SuppressSending")
    return digest(record, *(item.get(name) for name in names))


def _diagnostic(item: dict[str, Any], recipient: str) -> Diagnostic:
    """Details is what the receiver said ("smtp;550 ..."), Description what Postmark makes of it."""
    text = word(item.get("Details"), 10_000).removeprefix("smtp;").strip()
    return diagnosis("postmark", recipient, text=text or item.get("Description"), klass=item.get("Type"))
