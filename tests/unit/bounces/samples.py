"""Bounces in the wordings of real mail systems, composed for these tests."""

from __future__ import annotations

import uuid

from flute_server.domain.verp import read_return_path, return_path

SECRET = b"a secret of these tests"
ATTEMPT = str(uuid.UUID("0f1e2d3c-4b5a-4978-8695-a4b3c2d1e0f0"))
EMAIL = str(uuid.UUID("aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"))
ONE = return_path(SECRET, ATTEMPT, "41", "bounces.example.org")
ALL = return_path(SECRET, ATTEMPT, "0", "bounces.example.org")

ORIGINAL = f"""\
From: News <news@example.org>
To: ada@example.com
Subject: Hello
Date: Sun, 22 Nov 2026 10:00:00 +0000
Message-ID: <{ATTEMPT}@example.org>
X-Flute-Id: {EMAIL}
MIME-Version: 1.0
"""


def read_address(address: str) -> tuple[str, str] | None:
    return read_return_path(SECRET, address)


def report(
    status: str,
    told: str = "I could not deliver your mail.",
    sender: str = "MAILER-DAEMON@mx.example.net (Mail Delivery System)",
    *,
    returned: str = ORIGINAL,
    head: str = "",
    kind: str = "message/delivery-status",
    report_type: str = "delivery-status",
) -> bytes:
    """A multipart/report with a text, a status part and the header of the original."""
    return f"""\
From: {sender}
To: {ONE}
Subject: Undelivered Mail Returned to Sender
Date: Sun, 22 Nov 2026 10:05:00 +0000
Message-ID: <20261122100500.ABC@mx.example.net>
Auto-Submitted: auto-replied
{head}MIME-Version: 1.0
Content-Type: multipart/report; report-type={report_type}; boundary="B"

--B
Content-Type: text/plain; charset=us-ascii

{told}

--B
Content-Type: {kind}

{status}
--B
Content-Type: text/rfc822-headers

{returned}
--B--
""".replace("\n", "\r\n").encode()


POSTFIX = report(
    """\
Reporting-MTA: dns; mail.example.net
X-Postfix-Queue-ID: 4F1B2C3D
Arrival-Date: Sun, 22 Nov 2026 10:00:01 +0000 (UTC)

Final-Recipient: rfc822; ada@example.com
Original-Recipient: rfc822;ada@example.com
Action: failed
Status: 5.1.1
Remote-MTA: dns; mx.example.com
Diagnostic-Code: smtp; 550 5.1.1 <ada@example.com>: Recipient address rejected:
    User unknown in virtual mailbox table
""",
    "This is the mail system at host mail.example.net.\n\n<ada@example.com>: host mx.example.com said: 550",
)

EXIM = f"""\
Return-path: <>
From: Mail Delivery System <Mailer-Daemon@relay.example.net>
To: {ONE}
X-Failed-Recipients: ada@example.com
Auto-Submitted: auto-replied
Subject: Mail delivery failed: returning message to sender
Message-Id: <E1abc-0001-Xy@relay.example.net>
Date: Sun, 22 Nov 2026 10:05:00 +0000

This message was created automatically by mail delivery software.

A message that you sent could not be delivered to one or more of its
recipients. This is a permanent error. The following address(es) failed:

  ada@example.com
    host mx.example.com [192.0.2.7]
    SMTP error from remote mail server after RCPT TO:<ada@example.com>:
    550 5.7.1 Mail from 198.51.100.9 refused, see our block list

------ This is a copy of the message, including all the headers. ------

Return-path: <{ONE}>
{ORIGINAL}
Hello 550 5.1.1 Ada
""".encode()

EXIM_DELAY = f"""\
From: Mail Delivery System <Mailer-Daemon@relay.example.net>
To: {ONE}
Auto-Submitted: auto-replied
Subject: Warning: message 1abc-0001-Xy delayed 24 hours
Date: Sun, 22 Nov 2026 10:05:00 +0000

This message was created automatically by mail delivery software.
A message that you sent has not yet been delivered to one or more of its
recipients after more than 24 hours on the queue on relay.example.net.

The address to which the message has not yet been delivered is:

  ada@example.com
    Delay reason: host mx.example.com [192.0.2.7]: 451 4.7.1 Greylisted

No action is required on your part. Delivery attempts will continue for
some time, and this warning may be repeated at intervals.
""".encode()

QMAIL = f"""\
From: MAILER-DAEMON@relay.example.net
To: {ALL}
Subject: failure notice
Date: 22 Nov 2026 10:05:00 -0000

Hi. This is the qmail-send program at relay.example.net.
I'm afraid I wasn't able to deliver your message to the following addresses.
This is a permanent error; I've given up. Sorry it didn't work out.

<ada@example.com>:
192.0.2.7 does not like recipient.
Remote host said: 550 5.1.1 No such user
Giving up on 192.0.2.7.

<bob@example.net>:
Sorry, I couldn't find any host named example.net. (#5.1.2)

--- Below this line is a copy of the message.

Return-Path: <{ALL}>
{ORIGINAL}
Hello
""".encode()

MICROSOFT_365 = report(
    """\
Reporting-MTA: dns;AM0PR01MB1234.eurprd01.prod.exchangelabs.com
Received-From-MTA: dns;mail.example.org
Arrival-Date: Sun, 22 Nov 2026 10:00:02 +0000

Final-Recipient: rfc822;ada@example.com
Action: failed
Status: 5.1.10
Diagnostic-Code: smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient
 ada@example.com not found by SMTP address lookup
""",
    "Your message to ada@example.com couldn't be delivered.",
    "Microsoft Outlook <MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@example.com>",
    head="X-Auto-Response-Suppress: DR, RN, NRN, OOF, AutoReply\nX-MS-Exchange-Message-Is-Ndr:\n",
)

GMAIL = report(
    """\
Reporting-MTA: dns; googlemail.com
Arrival-Date: Sun, 22 Nov 2026 02:00:00 -0800 (PST)
X-Original-Message-ID: <x@example.org>

Final-Recipient: rfc822; ada@gmail.com
Action: failed
Status: 5.7.26
Remote-MTA: dns; gmail-smtp-in.l.google.com. (2a00:1450:400c:c0c::1a, the server for the domain gmail.com.)
Diagnostic-Code: smtp; 550-5.7.26 Your email has been blocked because the sender is unauthenticated.
 550-5.7.26 Gmail requires all senders to authenticate with either SPF or DKIM.
 550 5.7.26 x-20020a05 - gsmtp
Last-Attempt-Date: Sun, 22 Nov 2026 02:00:02 -0800 (PST)
""",
    "** Message blocked **\n\nYour message to ada@gmail.com has been blocked.",
    "Mail Delivery Subsystem <mailer-daemon@googlemail.com>",
)

DOMINO = report(
    """\
Reporting-MTA: dns;domino.example.com

Final-Recipient: rfc822;ada@example.com
Action: failed
Status: 5.1.1
Diagnostic-Code: X-Notes; User ada (ada@example.com) not listed in
 Domino Directory
""",
    "Your message\n\n  Subject: Hello\n\nwas not delivered to:\n\n  ada@example.com\n\nbecause:",
    "Postmaster@example.com",
)

SEVERAL = report(
    """\
Reporting-MTA: dns; mail.example.net

Final-Recipient: rfc822; ada@example.com
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 no such user

Final-Recipient: rfc822; bob@example.net
Action: delayed
Status: 4.4.1
Will-Retry-Until: Fri, 27 Nov 2026 10:00:00 +0000

Original-Recipient: rfc822; cy@example.com
Final-Recipient: rfc822; cy@inside.example.com
Action: delivered
Status: 2.1.5

Final-Recipient: rfc822; list@example.com
Action: expanded
Status: 2.0.0
"""
).replace(ONE.encode(), ALL.encode())

COMPLAINT = report(
    f"""\
Feedback-Type: abuse
User-Agent: SomeGenerator/1.0
Version: 1
Original-Mail-From: <{ONE}>
Original-Rcpt-To: <ada@example.com>
Arrival-Date: Sun, 22 Nov 2026 10:01:00 +0000
Source-IP: 192.0.2.1
""",
    "This is an email abuse report for an email message received from IP 192.0.2.1.",
    "<abusedesk@example.com>",
    kind="message/feedback-report",
    report_type="feedback-report",
)

VACATION = f"""\
From: Ada <ada@example.com>
To: {ONE}
Subject: Out of office: Hello
Auto-Submitted: auto-replied (vacation)
Message-ID: <v1@example.com>
In-Reply-To: <{ATTEMPT}@example.org>

I am away. Delivery to the following recipient failed, was the last mail that I read: 550 5.1.1
bob@example.net
""".encode()
