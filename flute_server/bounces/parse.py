"""One mail in, the events that it tells of out."""

from __future__ import annotations

import hashlib
import logging
from datetime import UTC, datetime, timedelta
from email.message import Message
from email.utils import parsedate_to_datetime
from typing import Any

from flute_server.bounces import automatic, dsn, feedback, nonstandard
from flute_server.bounces.finding import PROVIDER, Finding
from flute_server.bounces.mail import bounded, field, open_mail, subject
from flute_server.bounces.origin import Origin, ReadAddress, trace
from flute_server.domain.event import ProviderEvent, ProviderEventKind
from flute_server.domain.verdict import Diagnostic

MAX_AGE = timedelta(days=14)  # queues give up after 5 days; an older date is a wrong clock

log = logging.getLogger(__name__)


def read(
    raw: bytes, read_address: ReadAddress, recipient: str = "", received: datetime | None = None
) -> list[ProviderEvent]:
    """The events of one mail, one for each recipient that it names. Takes any octets and never raises.

    recipient: the envelope's, where it is known. Without `raw["verified"]` an event is a stranger's claim.
    Its recipient_id is empty when the mail went to several in one transaction: then `recipient` tells, or
    `raw["final_recipient"]` where an alias was resolved on the way.
    """
    if not raw.strip():
        return []
    text = bounded(raw)
    origin = trace(text, recipient, read_address)
    message = Message()
    try:
        message = open_mail(text)
        findings = _findings(message)
    except Exception:
        # The standard parser raises on some malformed mail, and a mail is never to be read twice in vain.
        log.warning("a mail for attempt %s could not be read", origin.attempt_id, exc_info=True)
        findings = [_other("unreadable")]
    now = received or datetime.now(UTC)
    events = [_event(finding, message, origin, now) for finding in findings]
    return list({event.key: event for event in events}.values())


def _findings(message: Message) -> list[Finding]:
    """What kind of mail is it? The standards first: they alone are unambiguous."""
    found = feedback.read(message) or dsn.read(message)
    if found:
        return found
    system = automatic.from_mail_system(message) and not automatic.away(message)
    if not system and automatic.automatic(message):
        return [_other("auto-reply")]
    if system or automatic.says_failed(message):
        return nonstandard.read(message) or [_other("unclear")]
    return [_other("reply")]


def _other(source: str) -> Finding:
    diagnostic = Diagnostic(provider=PROVIDER)
    return Finding(ProviderEventKind.OTHER, diagnostic=diagnostic, details={"source": source})


def _event(finding: Finding, message: Message, origin: Origin, now: datetime) -> ProviderEvent:
    raw: dict[str, Any] = {name: value for name, value in finding.details.items() if value}
    raw |= {"verified": origin.verified, "subject": subject(message), "from": field(message, "from")}
    return ProviderEvent(
        kind=finding.kind,
        key=_key(finding, message, origin),
        time=_time(finding.time, field(message, "date"), now=now),
        recipient=finding.recipient,
        email_id=origin.email_id,
        attempt_id=origin.attempt_id,
        recipient_id=origin.recipient_id,
        diagnostic=finding.diagnostic,
        raw=raw,
    )


def _key(finding: Finding, message: Message, origin: Origin) -> str:
    """The same when the mail is delivered again; without a Message-ID its date and subject stand for it."""
    identity = field(message, "message-id") or f"{field(message, 'date')} {subject(message)}"
    facts = (
        identity,
        finding.details.get("reporting_mta", "") or field(message, "from"),
        finding.recipient,
        finding.diagnostic.status,
        finding.details.get("action", ""),
        finding.kind.value,
        origin.attempt_id,
        origin.recipient_id,
    )
    return hashlib.sha256("\0".join(facts).encode("utf-8", "replace")).hexdigest()


def _time(*texts: str, now: datetime) -> datetime:
    """The first date that is one and that can be true, else now."""
    for text in texts:
        try:
            time = parsedate_to_datetime(text)
            time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
        if now - MAX_AGE <= time <= now:
            return time
    return now
