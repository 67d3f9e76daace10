"""SendGrid's Event Webhook as the fact sheet (1.5, 1.6) tells it."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from flute_server.sandbox.events import Event, Happening
from flute_server.sandbox.http import as_json
from flute_server.sandbox.poster import Batch
from flute_server.sandbox.webhook import Target, Voice
from flute_server.sandbox.wordings import RECEIVING_IP

CLASSES = (
    "Invalid Address",
    "Mailbox Unavailable",
    "Technical",
    "Technical Failure",
    "Content",
    "Reputation",
    "Frequency or Volume Too High",
    "Unclassified",
)
DROP_REASONS = (
    "Invalid",
    "Bounced Address",
    "Unsubscribed Address",
    "Spam Reporting Address",
    "Invalid SMTPAPI header",
    "Spam Content",
    "Recipient List over Package Quota",
)
USER_AGENT = "Mozilla/5.0 (sandbox)"
Fields = dict[str, Any]


def _bounce(event: Event, kind: str, usual_class: str) -> Fields:
    """1.5: `status` is the enhanced code and missing where the receiver gave none."""
    fields = {
        "event": "bounce",
        "type": kind,
        "reason": event.text,
        "bounce_classification": event.klass or usual_class,
    }
    return fields | ({"status": event.enhanced_code} if event.enhanced_code else {})


WORDS: Mapping[Happening, Callable[[Event], Fields]] = {
    Happening.ACCEPTED: lambda _: {"event": "processed"},
    Happening.DELIVERED: lambda event: {
        "event": "delivered",
        "response": event.text,
        "ip": RECEIVING_IP,
        "tls": 1,
    },
    Happening.DEFERRED: lambda event: {"event": "deferred", "response": event.text, "attempt": "1"},
    Happening.BOUNCED: lambda event: _bounce(event, "bounce", "Invalid Address"),
    Happening.BLOCKED: lambda event: _bounce(event, "blocked", "Reputation"),
    Happening.SUPPRESSED: lambda event: {
        "event": "dropped",
        "reason": event.klass or "Bounced Address",
        "status": "5.0.0",
    },
    Happening.COMPLAINED: lambda _: {"event": "spamreport"},
    Happening.OPENED: lambda _: {"event": "open", "useragent": USER_AGENT, "ip": RECEIVING_IP},
    Happening.CLICKED: lambda event: {
        "event": "click",
        "url": event.text or "https://example.com/",
        "url_offset": {"index": 0, "type": "html"},
        "useragent": USER_AGENT,
        "ip": RECEIVING_IP,
    },
    Happening.UNSUBSCRIBED: lambda _: {"event": "unsubscribe"},
}


class SendGridVoice(Voice):
    """Batches of mixed events in one array, signed with ECDSA over timestamp and body."""

    batch_size = 100
    settings = frozenset({"signing"})

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())

    def tell(self, event: Event) -> Fields:
        letter = event.letter
        common: Fields = {
            # custom_args come first: a name of SendGrid's own wins.
            **letter.metadata,
            "email": letter.recipient,
            "timestamp": int(event.at),
            "smtp-id": f"<{letter.id[:20]}@sandbox.flute.invalid>",
            "sg_event_id": event.id,
            "sg_message_id": f"{letter.message_id}.recvd-{letter.id[:8]}-1",
        }
        if letter.tags:
            common["category"] = list(letter.tags)
        return common | WORDS[event.kind](event)

    def body(self, events: Sequence[Event], batch: Batch) -> bytes:
        return as_json([self.tell(event) for event in events])

    def headers(self, target: Target, body: bytes, batch: Batch) -> dict[str, str]:
        """1.6: a new signature for each try (the vendor does not say)."""
        if not target.signing:
            return {}
        timestamp = str(int(time.time()))
        signature = self._key.sign(timestamp.encode() + body, ec.ECDSA(hashes.SHA256()))
        return {
            "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
            "X-Twilio-Email-Event-Webhook-Timestamp": timestamp,
        }

    def keys(self) -> dict[str, str]:
        der = self._key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return {"public_key": base64.b64encode(der).decode()}

    def taken(self, status: int) -> bool:
        """1.5: any 2xx."""
        return 200 <= status <= 299

    def objection(self, klass: str) -> str:
        known = (*CLASSES, *DROP_REASONS)
        return "" if klass in known else f"SendGrid's classes are {', '.join(known)}"
