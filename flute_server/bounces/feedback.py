"""Complaints in the abuse reporting format (ARF, RFC 5965; opt-out: RFC 6430 and the draft before it)."""

from __future__ import annotations

from email.message import Message

from flute_server.bounces.dsn import address
from flute_server.bounces.finding import Finding, diagnostic
from flute_server.bounces.mail import content_type, field, field_values, human_text, parts, reported_fields
from flute_server.bounces.wording import before_returned
from flute_server.domain.event import ProviderEventKind

MAX_RECIPIENTS = 20
# Any other type (not-spam, virus, auth-failure of RFC 6591, ...) is no word of the recipient's against us.
_TYPES = {
    "abuse": ProviderEventKind.COMPLAINED,
    "fraud": ProviderEventKind.COMPLAINED,
    "opt-out": ProviderEventKind.UNSUBSCRIBED,
    "opt-out-list": ProviderEventKind.UNSUBSCRIBED,
}
_FACTS = ("feedback-type", "user-agent", "source-ip", "reported-domain", "reporting-mta")


def read(message: Message) -> list[Finding]:
    """One finding for every recipient named, one without an address where they are hidden."""
    report = next((p for p in parts(message) if content_type(p) == "message/feedback-report"), None)
    groups = reported_fields(report) if report else []
    if not groups:
        return []
    fields = groups[0]
    kind = _TYPES.get(field(fields, "feedback-type").lower(), ProviderEventKind.OTHER)
    named = [
        address(value)
        for name in ("original-rcpt-to", "removal-recipient")
        for value in field_values(fields, name)
    ]
    recipients = list(dict.fromkeys(filter(None, named)))[:MAX_RECIPIENTS] or [""]
    text = " ".join(before_returned(human_text(message)).split())[:500]
    facts = {name.replace("-", "_"): field(fields, name) for name in _FACTS}
    time = field(fields, "arrival-date") or field(fields, "received-date")
    return [
        Finding(kind, recipient, diagnostic(text, recipient), time, {"source": "arf", **facts})
        for recipient in recipients
    ]
