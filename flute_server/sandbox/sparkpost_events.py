"""SparkPost's webhook events as the fact sheet (3.5, 3.6) tells them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flute_server.sandbox.events import Event, Happening
from flute_server.sandbox.http import as_json
from flute_server.sandbox.poster import Batch
from flute_server.sandbox.webhook import Target, Voice
from flute_server.sandbox.wordings import RECEIVING_IP, SENDING_IP

# 3.5: all bounce classes there are.
CLASSES = frozenset(
    {"1", "10", "15", "20", "21", "22", "23", "24", "25", "30", "40", "50", "51", "52", "53", "54"}
    | {"60", "70", "80", "90", "100"}
)
USER_AGENT = "Mozilla/5.0 (sandbox)"
_IP = re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b")
_ADDRESS = re.compile(r"[^\s<>@]+@[^\s<>@]+")
Fields = dict[str, Any]


def _failure(event: Event, kind: str, usual_class: str) -> Fields:
    """3.5: raw_reason as the receiver said it, reason without addresses."""
    code = {"error_code": str(event.reply_code)} if event.reply_code else {}
    return {
        "type": kind,
        "bounce_class": event.klass or usual_class,
        **code,
        "raw_reason": event.text,
        "reason": _ADDRESS.sub("...", _IP.sub("a.b.c.d", event.text)),
    }


def _seen(kind: str) -> Fields:
    return {"type": kind, "user_agent": USER_AGENT, "ip_address": RECEIVING_IP}


# The class of the envelope, and what is in it.
WORDS: Mapping[Happening, tuple[str, Callable[[Event], Fields]]] = {
    Happening.ACCEPTED: ("message_event", lambda _: {"type": "injection"}),
    Happening.DELIVERED: (
        "message_event",
        lambda _: {"type": "delivery", "ip_address": RECEIVING_IP, "outbound_tls": "1"},
    ),
    Happening.DEFERRED: ("message_event", lambda event: _failure(event, "delay", "20")),
    Happening.BOUNCED: ("message_event", lambda event: _failure(event, "bounce", "10")),
    Happening.BLOCKED: ("message_event", lambda event: _failure(event, "bounce", "51")),
    Happening.SUPPRESSED: ("gen_event", lambda event: _failure(event, "generation_rejection", "25")),
    Happening.COMPLAINED: (
        "message_event",
        lambda event: {
            "type": "spam_complaint",
            "fbtype": "abuse",
            "report_by": event.letter.domain,
            "report_to": "abuse@sandbox.flute.invalid",
        },
    ),
    Happening.OPENED: ("track_event", lambda _: _seen("open")),
    Happening.CLICKED: (
        "track_event",
        lambda event: {**_seen("click"), "target_link_url": event.text or "https://example.com/"},
    ),
    Happening.UNSUBSCRIBED: ("unsubscribe_event", lambda _: _seen("link_unsubscribe")),
}


class SparkPostVoice(Voice):
    """Arrays of `msys` envelopes, with basic authentication or headers of one's own."""

    batch_size = 100
    settings = frozenset({"username", "password", "headers"})

    def tell(self, event: Event) -> Fields:
        """One event without its envelope; the Events API shows it likewise."""
        letter = event.letter
        fields: Fields = {
            "event_id": str(event.number_id),
            "timestamp": str(int(event.at)),
            "transmission_id": letter.message_id,
            "message_id": letter.id[:20],
            "rcpt_to": letter.recipient.lower(),
            "raw_rcpt_to": letter.recipient,
            "rcpt_meta": dict(letter.metadata),
            "rcpt_tags": [],
            "subject": letter.subject,
            "friendly_from": letter.sender.email,
            "msg_from": letter.return_path,
            "msg_size": str(letter.size),
            "num_retries": "0",
            "queue_time": "12",
            "recv_method": "rest",
            "routing_domain": letter.domain,
            "sending_ip": SENDING_IP,
            "ip_pool": "shared",
        }
        if letter.line != "to":
            fields["rcpt_type"] = letter.line
        if letter.tags:
            fields["campaign_id"] = letter.tags[0]
        return fields | WORDS[event.kind][1](event)

    def body(self, events: Sequence[Event], batch: Batch) -> bytes:
        return as_json([{"msys": {WORDS[event.kind][0]: self.tell(event)}} for event in events])

    def headers(self, target: Target, body: bytes, batch: Batch) -> dict[str, str]:
        """3.5: the same on a retry of the batch."""
        return {"X-MessageSystems-Batch-ID": batch.id}

    def ping(self) -> bytes:
        """3.5: at creation a test POST must be answered with 200."""
        return b'[{"msys":{}}]'

    def objection(self, klass: str) -> str:
        known = ", ".join(sorted(CLASSES, key=int))
        return "" if klass in CLASSES else f"SparkPost's bounce classes are {known}"
