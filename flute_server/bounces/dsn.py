"""Delivery status notifications (RFC 3464; RFC 6533 for non-ASCII addresses)."""

from __future__ import annotations

import re
from email.message import Message

from flute_server.bounces.finding import Finding, diagnostic
from flute_server.bounces.mail import content_type, field, human_text, parts, reported_fields
from flute_server.bounces.wording import passage
from flute_server.domain.event import ProviderEventKind

MAX_RECIPIENTS = 200
_TYPES = frozenset({"message/delivery-status", "message/global-delivery-status"})
# Section 2.3.3; by their beginnings, since "failure" and "failed (quota)" are seen too. error: OpenSMTPD.
_ACTIONS = {
    "fail": ProviderEventKind.BOUNCED,
    "error": ProviderEventKind.BOUNCED,
    "delay": ProviderEventKind.DEFERRED,
    "deliver": ProviderEventKind.DELIVERED,
    "relay": ProviderEventKind.OTHER,
    "expand": ProviderEventKind.OTHER,
}
_BY_DIGIT = {"5": ProviderEventKind.BOUNCED, "4": ProviderEventKind.DEFERRED}
_FACTS = ("action", "final-recipient", "original-recipient", "last-attempt-date", "will-retry-until")
_MIN_WORDS = re.compile(r"[^\W\d_]{3}")


def read(message: Message) -> list[Finding]:
    """One finding for every recipient that the report names; none when the mail is no such report."""
    report = next((part for part in parts(message) if content_type(part) in _TYPES), None)
    if report is None:
        return []
    groups = reported_fields(report)
    whole = {
        "source": "dsn",
        "reporting_mta": _untyped(_any(groups, "reporting-mta")),
        "envelope_id": _any(groups, "original-envelope-id"),
    }
    told = human_text(message)
    return [_finding(group, whole, told) for group in groups if _is_recipient(group)][:MAX_RECIPIENTS]


def _any(groups: list[Message], name: str) -> str:
    return next((value for group in groups if (value := field(group, name))), "")


def _is_recipient(group: Message) -> bool:
    return any(field(group, name) for name in ("final-recipient", "original-recipient", "action", "status"))


def _finding(group: Message, whole: dict[str, str], told: str) -> Finding:
    original = address(field(group, "original-recipient"))
    final = address(field(group, "final-recipient"))
    recipient = original or final
    text = _untyped(field(group, "diagnostic-code"))
    if not _MIN_WORDS.search(text):  # it is optional, and at times a bare number
        text = f"{text} {passage(told, [final, original], [])}".strip()
    rhost = _untyped(field(group, "remote-mta")).partition(" ")[0].rstrip(".")
    facts = {name.replace("-", "_"): field(group, name) for name in _FACTS}
    return Finding(
        kind=_kind(facts["action"].lower(), field(group, "status")),
        recipient=recipient,
        diagnostic=diagnostic(text, recipient, field(group, "status"), rhost),
        time=facts["last_attempt_date"],
        details={**whole, **facts},
    )


def _kind(action: str, status: str) -> ProviderEventKind:
    for beginning, kind in _ACTIONS.items():
        if action.startswith(beginning):
            return kind
    return _BY_DIGIT.get(status[:1], ProviderEventKind.OTHER)


def address(typed: str) -> str:
    """`rfc822; <ada@example.com>` -> ada@example.com; empty when it is no address (X.400, local users)."""
    text = _untyped(typed).strip("<> ")
    return text if "@" in text and " " not in text else ""


def _untyped(value: str) -> str:
    """What follows the type: `dns; mx.example.com`, `smtp; 550 no`; the type may be missing."""
    kind, mark, rest = value.partition(";")
    return rest.strip() if mark and re.fullmatch(r"[\w.-]+", kind.strip()) else value
