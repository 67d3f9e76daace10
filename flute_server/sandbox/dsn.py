"""Mails about mails: delivery status notifications (RFC 3464) and complaints (ARF, RFC 5965)."""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import formatdate
from typing import NamedTuple

from flute_server.sandbox.events import Event, Happening
from flute_server.sandbox.wordings import SENDING_IP, receiving_host

REPORTER = "relay.sandbox.flute.invalid"
RETRY_FOR_S = 5 * 86400


class Report(NamedTuple):
    """How a failure is reported."""

    action: str
    status: str  # where the receiver gave no enhanced code
    subject: str
    intro: str


REPORTS: Mapping[Happening, Report] = {
    Happening.BOUNCED: Report(
        "failed", "5.0.0", "Undelivered Mail Returned to Sender", "could not be delivered"
    ),
    Happening.BLOCKED: Report(
        "failed", "5.0.0", "Undelivered Mail Returned to Sender", "could not be delivered"
    ),
    Happening.DEFERRED: Report(
        "delayed", "4.0.0", "Delayed Mail (still being retried)", "could not be delivered yet"
    ),
}
# What a plain relay reports by mail, and to whom: the envelope sender.
REPORTED = frozenset({*REPORTS, Happening.COMPLAINED})


class Notice(NamedTuple):
    """A mail with its envelope; the sender of a DSN is empty (RFC 3464 section 2)."""

    sender: str
    recipient: str
    content: bytes


def notice(event: Event) -> Notice:
    """The mail that tells of this event."""
    if event.kind is Happening.COMPLAINED:
        return Notice(f"feedback@{event.letter.domain}", event.letter.return_path, _complaint(event))
    return Notice("", event.letter.return_path, _bounce(event, REPORTS[event.kind]))


def _bounce(event: Event, report: Report) -> bytes:
    letter = event.letter
    status = [
        f"Reporting-MTA: dns; {REPORTER}",
        f"X-Sandbox-Queue-ID: {letter.message_id}",
        f"Arrival-Date: {formatdate(event.at)}",
        "",
        f"Final-Recipient: rfc822; {letter.recipient}",
        f"Original-Recipient: rfc822;{letter.recipient}",
        f"Action: {report.action}",
        f"Status: {event.klass or event.enhanced_code or report.status}",
        f"Remote-MTA: dns; {receiving_host(letter)}",
        f"Diagnostic-Code: smtp; {event.text}",
    ]
    if report.action == "delayed":
        status.append(f"Will-Retry-Until: {formatdate(event.at + RETRY_FOR_S)}")
    text = (
        f"This is the mail system at host {REPORTER}.\n\nYour message {report.intro}.\n\n"
        f"<{letter.recipient}>: host {receiving_host(letter)} said: {event.text}\n"
    )
    head = {
        "From": f"Mail Delivery System <mailer-daemon@{REPORTER}>",
        "To": letter.return_path,
        "Subject": report.subject,
        "Auto-Submitted": "auto-replied",
    }
    return _report(event, head, "delivery-status", text, status)


def _complaint(event: Event) -> bytes:
    letter = event.letter
    feedback = [
        "Feedback-Type: abuse",
        "User-Agent: FluteSandbox/1",
        "Version: 1",
        f"Original-Mail-From: <{letter.return_path}>",
        f"Original-Rcpt-To: <{letter.recipient}>",
        f"Arrival-Date: {formatdate(event.at)}",
        f"Source-IP: {SENDING_IP}",
        f"Reported-Domain: {letter.sender.email.rpartition('@')[2]}",
    ]
    head = {
        "From": f"Complaints <feedback@{letter.domain}>",
        "To": letter.return_path,
        "Subject": "FW: complaint about a message",
    }
    text = f"This is an abuse report for a message received by {letter.domain}.\n"
    return _report(event, head, "feedback-report", text, feedback)


def _report(event: Event, head: Mapping[str, str], kind: str, text: str, machine: list[str]) -> bytes:
    """multipart/report: for people, for machines, and the original's header (RFC 6522)."""
    boundary = f"report-{event.id}"
    fields = {
        **head,
        "Date": formatdate(event.at),
        "Message-ID": f"<{event.id}@{REPORTER}>",
        "MIME-Version": "1.0",
        "Content-Type": f'multipart/report; report-type={kind}; boundary="{boundary}"',
    }
    returned = event.letter.head.decode("utf-8", "surrogateescape").replace("\r\n", "\n") + "\n"
    parts = [
        _part("text/plain; charset=utf-8", text),
        _part(f"message/{kind}", "\n".join(machine) + "\n"),
        _part("text/rfc822-headers", returned),
    ]
    lines = "".join(f"{name}: {value}\n" for name, value in fields.items())
    body = "".join(f"--{boundary}\n{part}\n" for part in parts)
    whole = f"{lines}\n{body}--{boundary}--\n"
    return whole.replace("\n", "\r\n").encode("utf-8", "surrogateescape")


def _part(kind: str, content: str) -> str:
    transfer = "" if content.isascii() else "Content-Transfer-Encoding: 8bit\n"
    return f"Content-Type: {kind}\n{transfer}\n{content}"
