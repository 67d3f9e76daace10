"""Mailgun's webhooks: documentation.mailgun.com, "Webhooks", "Securing Webhooks" and "Event Structure";
providers.md 4.5 and 4.6."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from flute_server.domain.event import ProviderEvent, ProviderEventKind
from flute_server.domain.verdict import Diagnostic
from flute_server.providers.base import Field, WebhookMalformed, WebhookRefused
from flute_server.providers.webhooks import (
    address,
    check_age,
    cleaned,
    diagnosis,
    digest,
    mapping,
    moment,
    now,
    our_ids,
    parse,
    word,
)

MAX_BODY = 1024 * 1024  # one event; it has to be parsed before its signature can be checked
OLDEST = timedelta(hours=24)  # retries go on for 8 h; whether they are signed anew is not documented

KEY_FIELD = Field(
    "webhook_signing_key",
    "Webhook signing key",
    secret=True,
    required=False,
    help='From Sending > Webhooks, "HTTP webhook signing key"; without it no events are taken in.',
)
HELP = (
    "In Mailgun, open Sending > Webhooks (or API security), and copy the HTTP webhook signing key.",
    "Save it as webhook_signing_key of this account.",
    "Choose the domain, and add a webhook for each event type with this account's webhook address.",
    "Needed are: accepted, delivered, permanent and temporary failure, spam complaints, unsubscribes.",
)

KINDS: Mapping[str, ProviderEventKind] = {
    "accepted": ProviderEventKind.ACCEPTED,
    "rejected": ProviderEventKind.DROPPED,
    "delivered": ProviderEventKind.DELIVERED,
    "failed": ProviderEventKind.BOUNCED,  # see _failed
    "opened": ProviderEventKind.OPENED,
    "clicked": ProviderEventKind.CLICKED,
    "unsubscribed": ProviderEventKind.UNSUBSCRIBED,
    "complained": ProviderEventKind.COMPLAINED,
}
GAVE_UP = "old"  # seen with severity "temporary" too, and final all the same
SUPPRESSED = "suppress-"  # suppress-bounce, suppress-complaint, suppress-unsubscribe
OWN_CODES = range(600, 700)  # Mailgun's own: 605 bounced before, 606 unsubscribed, 607 complained


def authenticate(key: str, body: bytes, now: datetime) -> None:
    """HMAC-SHA256 over timestamp and token. Raises WebhookRefused.

    The signature does not cover the event, hence `token`.
    """
    if not key:
        raise WebhookRefused(
            "webhook_signing_key is not set in this Mailgun account: copy the HTTP webhook signing key from "
            "Mailgun's console"
        )
    data = _object(body)
    # An account gets its subaccounts' events with a second signature, by its own key.
    signatures = [mapping(data.get(name)) for name in ("signature", "parent-signature")]
    for signed in signatures:
        if _matches(key, signed):
            check_age(word(signed.get("timestamp")), now, OLDEST)
            return
    if not any(signatures):
        raise WebhookRefused("no signature came along: this is not a webhook of Mailgun's present kind")
    raise WebhookRefused(
        "the signature does not match: webhook_signing_key must be the HTTP webhook signing key, "
        "which is not the API key"
    )


def _object(body: bytes) -> dict[str, Any]:
    try:
        data = parse(body, MAX_BODY)
    except WebhookMalformed as error:
        raise WebhookRefused(f"there is no signature to check: {error}") from None
    return data if isinstance(data, dict) else {}


def _matches(key: str, signed: Mapping[str, Any]) -> bool:
    text = word(signed.get("timestamp")) + word(signed.get("token"))
    expected = hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), word(signed.get("signature")).encode())


def token(body: bytes) -> str:
    """What may stand in calls about one event only; empty when there is none."""
    try:
        data = parse(body, MAX_BODY)
    except WebhookMalformed:
        return ""
    return word(mapping(mapping(data).get("signature")).get("token"))


def read(body: bytes) -> list[ProviderEvent]:
    """One object per call. Raises WebhookMalformed."""
    data = parse(body, MAX_BODY)
    item = data.get("event-data") if isinstance(data, dict) else None
    if not isinstance(item, dict):
        raise WebhookMalformed('Mailgun posts an object with the members "signature" and "event-data"')
    return [event(item)] if item else []


def event(item: dict[str, Any]) -> ProviderEvent:
    """One event, from a webhook or from the Events API."""
    recipient = address(item.get("recipient"))
    time = moment(item.get("timestamp"))
    kind = _kind(item)
    headers = mapping(mapping(item.get("message")).get("headers"))
    return ProviderEvent(
        kind=kind,
        key=_key(item, time),
        time=time or now(),
        recipient=recipient,
        provider_message_id=word(headers.get("message-id")).strip("<>"),
        diagnostic=_diagnostic(item, recipient, kind),
        raw=item,
        **our_ids(mapping(item.get("user-variables"))),
    )


def searched(items: list[dict[str, Any]]) -> list[ProviderEvent]:
    """The items of GET /{domain}/events."""
    return [event(item) for item in cleaned(items)]


def _kind(item: dict[str, Any]) -> ProviderEventKind:
    kind = KINDS.get(word(item.get("event")), ProviderEventKind.OTHER)
    return _failed(item) if kind is ProviderEventKind.BOUNCED else kind


def _failed(item: dict[str, Any]) -> ProviderEventKind:
    reason = word(item.get("reason")).lower()
    code = mapping(item.get("delivery-status")).get("code")
    if reason.startswith(SUPPRESSED) or (isinstance(code, int) and code in OWN_CODES):
        return ProviderEventKind.DROPPED
    if word(item.get("severity")).lower() == "temporary" and reason != GAVE_UP:
        return ProviderEventKind.DEFERRED
    return ProviderEventKind.BOUNCED


def _key(item: dict[str, Any], time: datetime | None) -> str:
    """Ids are unique within a day. The token is no key: it is not documented to be the same in a retry."""
    own = word(item.get("id"))
    if own:
        return f"{time:%Y-%m-%d}/{own}" if time else own
    names = ("event", "timestamp", "recipient", "message", "url", "ip")
    return digest(*(item.get(name) for name in names))


def _diagnostic(item: dict[str, Any], recipient: str, kind: ProviderEventKind) -> Diagnostic:
    status, reject = mapping(item.get("delivery-status")), mapping(item.get("reject"))
    texts = (
        status.get("message"),
        status.get("description"),
        reject.get("description"),
        reject.get("reason"),
    )
    # `old` comes as temporary, though nothing is tried any more.
    severity = "permanent" if kind is ProviderEventKind.BOUNCED else item.get("severity")
    return diagnosis(
        "mailgun",
        recipient,
        text=next((text for text in texts if word(text)), ""),
        status=word(status.get("enhanced-code")) or status.get("bounce-code"),
        reply=status.get("code"),
        rhost=status.get("mx-host"),
        klass=item.get("reason"),
        detail=severity,
    )
