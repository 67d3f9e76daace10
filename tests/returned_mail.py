"""A bounce mail (RFC 3464) as a receiver's mail system writes it."""

from __future__ import annotations

_REPORT = """From: MAILER-DAEMON@mx.example
Subject: Undelivered Mail Returned to Sender
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

It could not be delivered.
--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example

Final-Recipient: rfc822; {to}
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 no such user here
{original}--b--
"""
_ORIGINAL = """
--b
Content-Type: message/rfc822

{original}
"""


def returned_mail(to: str, original: str = "") -> bytes:
    """Nobody has the address. original: the mail that comes back, which not every system sends along."""
    part = _ORIGINAL.format(original=original) if original else ""
    return _REPORT.format(to=to, original=part).replace("\n", "\r\n").encode()
