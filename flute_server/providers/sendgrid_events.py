"""SendGrid's Event Webhook: docs.sendgrid.com, "Event Webhook Reference" and "Event Webhook Security
Features"; providers.md 1.5 and 1.6."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from flute_server.domain.event import ProviderEvent, ProviderEventKind
from flute_server.domain.verdict import Diagnostic
from flute_server.providers.base import (
    CredentialError,
    Field,
    WebhookMalformed,
    WebhookRefused,
    WebhookRequest,
)
from flute_server.providers.webhooks import (
    address,
    check_age,
    diagnosis,
    digest,
    moment,
    now,
    objects,
    our_ids,
    parse,
    word,
)

SIGNATURE = "x-twilio-email-event-webhook-signature"
TIMESTAMP = "x-twilio-email-event-webhook-timestamp"
# Retries go on for 24 h, and whether they are signed anew is not documented; sg_event_id tells duplicates.
OLDEST = timedelta(days=7)

KEY_FIELD = Field(
    "webhook_public_key",
    "Webhook verification key",
    required=False,
    help="From Settings > Mail Settings > Event Webhooks; without it no events are taken in.",
)
HELP = (
    "In SendGrid, open Settings > Mail Settings > Event Webhooks and create a webhook.",
    "As Post URL give this account's webhook address; select all events.",
    "Under Security features switch on Signature Verification, and save.",
    "Copy the Verification Key that it shows into webhook_public_key of this account.",
)

KINDS: Mapping[str, ProviderEventKind] = {
    "processed": ProviderEventKind.ACCEPTED,
    "deferred": ProviderEventKind.DEFERRED,
    "delivered": ProviderEventKind.DELIVERED,
    "bounce": ProviderEventKind.BOUNCED,  # type: bounce, blocked, or expired after 72 h of deferrals
    "blocked": ProviderEventKind.BOUNCED,
    "expired": ProviderEventKind.BOUNCED,
    "dropped": ProviderEventKind.DROPPED,
    "spamreport": ProviderEventKind.COMPLAINED,
    "unsubscribe": ProviderEventKind.UNSUBSCRIBED,
    "group_unsubscribe": ProviderEventKind.UNSUBSCRIBED,
    "group_resubscribe": ProviderEventKind.OTHER,
    "open": ProviderEventKind.OPENED,
    "click": ProviderEventKind.CLICKED,
}


def authenticate(key: str, request: WebhookRequest, now: datetime) -> None:
    """ECDSA over timestamp and raw body, P-256 and SHA-256. Raises WebhookRefused."""
    if not key:
        raise WebhookRefused(
            "webhook_public_key is not set in this SendGrid account: copy the Verification Key from "
            "SendGrid's Event Webhook settings"
        )
    timestamp, signature = request.headers.get(TIMESTAMP, ""), request.headers.get(SIGNATURE, "")
    if not timestamp or not signature:
        raise WebhookRefused(
            "no signature came along: switch on Signature Verification in SendGrid's Event Webhook settings"
        )
    check_age(timestamp, now, OLDEST)
    try:
        signed = base64.b64decode(signature, validate=True)
        public_key(key).verify(signed, timestamp.encode() + request.body, ec.ECDSA(hashes.SHA256()))
    except (binascii.Error, ValueError, InvalidSignature):
        raise WebhookRefused(
            "the signature does not match: webhook_public_key must be the Verification Key of this very "
            "webhook, and the body must arrive unchanged"
        ) from None


@lru_cache(maxsize=1024)
def public_key(key: str) -> ec.EllipticCurvePublicKey:
    """From base64 of a DER SubjectPublicKeyInfo. Raises CredentialError."""
    try:
        loaded = load_der_public_key(base64.b64decode(key, validate=True))
    except (binascii.Error, ValueError, UnsupportedAlgorithm):
        loaded = None
    if not isinstance(loaded, ec.EllipticCurvePublicKey) or not isinstance(loaded.curve, ec.SECP256R1):
        raise CredentialError(
            "webhook_public_key", "webhook_public_key is not a Verification Key of SendGrid's Event Webhook"
        )
    return loaded


def read(body: bytes) -> list[ProviderEvent]:
    """An array of events about any recipients and mails. Raises WebhookMalformed."""
    data = parse(body)
    if not isinstance(data, list):
        raise WebhookMalformed("SendGrid posts an array of events")
    return [_event(item) for item in objects(data) if item]


def _event(item: dict[str, Any]) -> ProviderEvent:
    name = word(item.get("event"))
    recipient = address(item.get("email"))
    return ProviderEvent(
        kind=KINDS.get(name, ProviderEventKind.OTHER),
        key=_key(item),
        time=moment(item.get("timestamp")) or now(),
        recipient=recipient,
        # What follows the first dot differs per recipient; X-Message-Id is what stands before it.
        provider_message_id=word(item.get("sg_message_id")).partition(".")[0],
        diagnostic=_diagnostic(name, item, recipient),
        raw=item,
        **our_ids(item),
    )


def _key(item: dict[str, Any]) -> str:
    names = ("event", "email", "timestamp", "sg_message_id", "smtp-id", "reason", "response", "url")
    return word(item.get("sg_event_id")) or digest(*(item.get(name) for name in names))


def _diagnostic(name: str, item: dict[str, Any], recipient: str) -> Diagnostic:
    """Of a drop, the reason is SendGrid's own class; of a bounce, its type and classification."""
    if KINDS.get(name) is ProviderEventKind.DROPPED:
        klass, detail = word(item.get("reason")), ""
    elif KINDS.get(name) is ProviderEventKind.BOUNCED:
        klass, detail = word(item.get("type")) or name, word(item.get("bounce_classification"))
    else:
        klass = detail = ""
    return diagnosis(
        "sendgrid",
        recipient,
        text=item.get("reason") or item.get("response"),
        status=item.get("status"),
        klass=klass,
        detail=detail,
    )
