"""Postmark's webhooks as the fact sheet (2.5, 2.6) tells them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from flute_server.sandbox.events import Event, Happening
from flute_server.sandbox.http import as_json
from flute_server.sandbox.poster import Batch
from flute_server.sandbox.webhook import Voice

SERVER_ID = 1
USER_AGENT = "Mozilla/5.0 (sandbox)"
Fields = dict[str, Any]


class BounceType(NamedTuple):
    """One row of 2.5's table."""

    code: int
    name: str
    inactive: bool = False


# The addresses of hard bounces and complaints become inactive.
TYPES: Mapping[str, BounceType] = {
    "HardBounce": BounceType(1, "Hard bounce", True),
    "Transient": BounceType(2, "Message delayed"),
    "Unsubscribe": BounceType(16, "Unsubscribe request"),
    "Subscribe": BounceType(32, "Subscribe request"),
    "AutoResponder": BounceType(64, "Auto responder"),
    "AddressChange": BounceType(128, "Address change"),
    "DnsError": BounceType(256, "DNS error"),
    "SpamNotification": BounceType(512, "Spam notification"),
    "OpenRelayTest": BounceType(1024, "Open relay test"),
    "Unknown": BounceType(2048, "Unknown"),
    "SoftBounce": BounceType(4096, "Soft bounce"),
    "VirusNotification": BounceType(8192, "Virus notification"),
    "ChallengeVerification": BounceType(16384, "Spam challenge verification"),
    "BadEmailAddress": BounceType(100000, "Invalid email address", True),
    "SpamComplaint": BounceType(100001, "Spam complaint", True),
    "ManuallyDeactivated": BounceType(100002, "Manually deactivated", True),
    "Unconfirmed": BounceType(100003, "Registration not confirmed"),
    "Blocked": BounceType(100006, "ISP block"),
    "SMTPApiError": BounceType(100007, "SMTP API error"),
    "InboundError": BounceType(100008, "Processing failed"),
    "DMARCPolicy": BounceType(100009, "DMARC policy"),
    "TemplateRenderingFailed": BounceType(100010, "Template rendering failed"),
}


def moment(at: float) -> str:
    """ISO 8601 with seven digits, as Postmark writes it."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "0Z"


def _bounce(event: Event, usual_type: str, record: str = "Bounce") -> Fields:
    name = event.klass or usual_type
    kind = TYPES[name]
    return {
        "RecordType": record,
        "ID": event.number_id,
        "Type": name,
        # The vendor's samples of complaints have 512 (2.5).
        "TypeCode": 512 if record == "SpamComplaint" else kind.code,
        "Name": kind.name,
        "Description": f"{kind.name}, as the sandbox was told to play it.",
        "Details": f"smtp;{event.text}" if event.reply_code else event.text,
        "Email": event.letter.recipient,
        "From": event.letter.sender.email,
        "BouncedAt": moment(event.at),
        "DumpAvailable": False,
        "Inactive": kind.inactive,
        "CanActivate": name != "SpamComplaint",
        "Subject": event.letter.subject,
        "Content": "",
    }


def _seen(event: Event, record: str) -> Fields:
    return {
        "RecordType": record,
        "Recipient": event.letter.recipient,
        "ReceivedAt": moment(event.at),
        "Platform": "Unknown",
        "UserAgent": USER_AGENT,
        "Client": {"Name": "sandbox", "Company": "", "Family": "sandbox"},
        "OS": {"Name": "sandbox", "Company": "", "Family": "sandbox"},
        "Geo": {},
    }


WORDS: Mapping[Happening, Callable[[Event], Fields]] = {
    Happening.DELIVERED: lambda event: {
        "RecordType": "Delivery",
        "Recipient": event.letter.recipient,
        "DeliveredAt": moment(event.at),
        "Details": event.text,
    },
    Happening.DEFERRED: lambda event: _bounce(event, "Transient"),
    Happening.BOUNCED: lambda event: _bounce(event, "HardBounce"),
    Happening.BLOCKED: lambda event: _bounce(event, "Blocked"),
    Happening.COMPLAINED: lambda event: _bounce(event, "SpamComplaint", "SpamComplaint"),
    Happening.OPENED: lambda event: {**_seen(event, "Open"), "FirstOpen": True, "ReadSeconds": 0},
    Happening.CLICKED: lambda event: {
        **_seen(event, "Click"),
        "ClickLocation": "HTML",
        "OriginalLink": event.text or "https://example.com/",
    },
    Happening.UNSUBSCRIBED: lambda event: {
        "RecordType": "SubscriptionChange",
        "Recipient": event.letter.recipient,
        "ChangedAt": moment(event.at),
        "Origin": "Recipient",
        "SuppressSending": True,
        "SuppressionReason": "ManualSuppression",
    },
}


class PostmarkVoice(Voice):
    """One object per POST, with basic authentication or headers of one's own.

    2.5 has no record for acceptance, and ErrorCode 406 says at once what is suppressed.
    """

    settings = frozenset({"username", "password", "headers"})
    kinds = frozenset(WORDS)

    def tell(self, event: Event) -> Fields:
        letter = event.letter
        return WORDS[event.kind](event) | {
            "MessageID": letter.message_id,
            "MessageStream": "outbound",
            "ServerID": SERVER_ID,
            "Tag": letter.tags[0] if letter.tags else "",
            "Metadata": dict(letter.metadata),
        }

    def body(self, events: Sequence[Event], batch: Batch) -> bytes:
        return as_json(self.tell(events[0]))

    def final(self, status: int) -> bool:
        """2.5: 403 stops the retries for good."""
        return status == 403

    def objection(self, klass: str) -> str:
        return "" if klass in TYPES else f"Postmark's bounce types are {', '.join(TYPES)}"
