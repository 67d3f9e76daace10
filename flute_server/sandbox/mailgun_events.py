"""Mailgun's webhooks as the fact sheet (4.5, 4.6) tells them."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flute_server.sandbox.events import Event, Happening
from flute_server.sandbox.http import as_json
from flute_server.sandbox.poster import Batch
from flute_server.sandbox.webhook import Voice
from flute_server.sandbox.wordings import RECEIVING_IP, SENDING_IP, receiving_host

SIGNING_KEY = "sandbox-http-webhook-signing-key"
# 4.5: the vendor's own list.
REASONS = (
    "unknown",
    "generic",
    "bounce",
    "espblock",
    "greylisted",
    "blacklisted",
    "suppress-bounce",
    "suppress-complaint",
    "suppress-unsubscribe",
    "old",
    "hardfail",
)
SEEN = frozenset({Happening.OPENED, Happening.CLICKED})
CLIENT = {
    "client-name": "sandbox",
    "client-os": "unknown",
    "client-type": "browser",
    "device-type": "unknown",
    "user-agent": "Mozilla/5.0 (sandbox)",
    "bot": "",
}
Fields = dict[str, Any]


def _failed(event: Event, severity: str, usual_reason: str) -> Fields:
    return {
        "event": "failed",
        "severity": severity,
        "reason": event.klass or usual_reason,
        "log-level": "error" if severity == "permanent" else "warn",
        "delivery-status": _status(event, event.reply_code),
    }


def _suppressed(event: Event) -> Fields:
    """4.5: Mailgun's own code 605 for an address that bounced before."""
    fields = _failed(event, "permanent", "suppress-bounce")
    own = {"code": 605, "message": "", "description": "Not delivering to previously bounced address"}
    return fields | {"delivery-status": _status(event, 605) | own}


def _status(event: Event, code: int) -> Fields:
    status: Fields = {
        "code": code,
        "message": event.text,
        "description": "",
        "attempt-no": 1,
        "mx-host": receiving_host(event.letter),
        "session-seconds": 0.4,
        "tls": True,
    }
    if event.enhanced_code and code < 600:
        status["enhanced-code"] = event.enhanced_code
    return status


def _looked_at(event: Event, kind: str) -> Fields:
    return {
        "event": kind,
        "log-level": "info",
        "ip": RECEIVING_IP,
        "client-info": CLIENT,
        "geolocation": {"country": "Unknown", "region": "Unknown", "city": "Unknown"},
    }


WORDS: Mapping[Happening, Callable[[Event], Fields]] = {
    Happening.ACCEPTED: lambda _: {"event": "accepted", "log-level": "info", "method": "HTTP"},
    Happening.DELIVERED: lambda event: {
        "event": "delivered",
        "log-level": "info",
        "delivery-status": _status(event, 250),
    },
    Happening.DEFERRED: lambda event: _failed(event, "temporary", "generic"),
    Happening.BOUNCED: lambda event: _failed(event, "permanent", "bounce"),
    Happening.BLOCKED: lambda event: _failed(event, "permanent", "espblock"),
    Happening.SUPPRESSED: _suppressed,
    Happening.COMPLAINED: lambda _: {"event": "complained", "log-level": "warn"},
    Happening.OPENED: lambda event: _looked_at(event, "opened"),
    Happening.CLICKED: lambda event: {
        **_looked_at(event, "clicked"),
        "url": event.text or "https://example.com/",
    },
    Happening.UNSUBSCRIBED: lambda event: _looked_at(event, "unsubscribed"),
}


class MailgunVoice(Voice):
    """One object per POST: the event, and a signature over a timestamp and a token, not over the body."""

    def tell(self, event: Event) -> Fields:
        """The `event-data`; the Events API shows it likewise."""
        letter = event.letter
        return {
            "id": event.id[:22],
            "timestamp": round(event.at, 6),
            "recipient": letter.recipient,
            "recipient-domain": letter.domain,
            "tags": list(letter.tags),
            "user-variables": dict(letter.metadata),
            "message": {"headers": self._headers(event), "size": letter.size, "attachments": []},
            "envelope": {
                "sender": letter.return_path,
                "transport": "smtp",
                "sending-ip": SENDING_IP,
                "targets": letter.recipient,
            },
            "flags": {"is-test-mode": False, "is-delayed-bounce": False, "is-routed": False},
        } | WORDS[event.kind](event)

    def body(self, events: Sequence[Event], batch: Batch) -> bytes:
        """4.6. A retry carries the same token (its batch is the same), a duplicate a new one."""
        timestamp = str(int(time.time()))
        token = hashlib.sha256(batch.id.encode()).hexdigest()[:50]
        signature = hmac.new(SIGNING_KEY.encode(), (timestamp + token).encode(), hashlib.sha256)
        signed = {"timestamp": timestamp, "token": token, "signature": signature.hexdigest()}
        return as_json({"signature": signed, "event-data": self.tell(events[0])})

    def keys(self) -> dict[str, str]:
        return {"signing_key": SIGNING_KEY}

    def final(self, status: int) -> bool:
        """4.5: 406 means refused, no retry."""
        return status == 406

    def objection(self, klass: str) -> str:
        return "" if klass in REASONS else f"Mailgun's reasons are {', '.join(REASONS)}"

    @staticmethod
    def _headers(event: Event) -> Fields:
        """4.5: for opened and clicked there is the message-id alone; never with angle brackets."""
        letter = event.letter
        known: Fields = {"message-id": letter.message_id.strip("<>")}
        if event.kind in SEEN:
            return known
        return known | {
            "from": _mailbox(letter.sender.name, letter.sender.email),
            "to": ", ".join(_mailbox(address.name, address.email) for address in letter.to),
            "subject": letter.subject,
        }


def _mailbox(name: str, email: str) -> str:
    return f"{name} <{email}>" if name else email
