"""What mails that come back tell: kinds, recipients, diagnostics, ids and their proof."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest

from flute_server.bounces import read
from flute_server.domain.event import ProviderEvent, ProviderEventKind
from flute_server.domain.verdict import Cause, classify
from flute_server.domain.verp import return_path
from tests.unit.bounces import samples
from tests.unit.bounces.samples import ALL, ATTEMPT, EMAIL, ONE, ORIGINAL, read_address, report

K = ProviderEventKind
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def events(raw: bytes, recipient: str = ONE) -> list[ProviderEvent]:
    return read(raw, read_address, recipient, NOW)


def event(raw: bytes, recipient: str = ONE) -> ProviderEvent:
    (only,) = events(raw, recipient)
    return only


PLAIN = "ada@example.com"


@pytest.mark.parametrize(
    ("raw", "recipient", "codes", "words", "cause"),
    [
        (samples.POSTFIX, PLAIN, ("5.1.1", "550", "mx.example.com"), "User unknown in virtual", "recipient"),
        (samples.EXIM, PLAIN, ("5.7.1", "550", ""), "see our block list", "provider"),
        (samples.MICROSOFT_365, PLAIN, ("5.1.10", "550", ""), "RecipientNotFound", "recipient"),
        (
            samples.GMAIL,
            "ada@gmail.com",
            ("5.7.26", "550", "gmail-smtp-in.l.google.com"),
            "either SPF or DKIM",
            "sender_domain",
        ),
        (samples.DOMINO, PLAIN, ("5.1.1", "", ""), "not listed in Domino Directory", "recipient"),
    ],
    ids=["postfix", "exim", "microsoft-365", "gmail", "domino"],
)
def test_reads_the_bounce_of(raw: bytes, recipient: str, codes: tuple[str, ...], words: str, cause: str):
    bounce = event(raw)
    said = bounce.diagnostic
    assert (bounce.kind, bounce.recipient) == (K.BOUNCED, recipient)
    assert (said.status, said.reply, said.rhost) == codes
    assert (said.destination, said.provider) == (recipient.partition("@")[2], "smtp")
    assert words in said.text
    assert "Hello" not in said.text
    assert classify(said).cause is Cause(cause)
    assert (bounce.attempt_id, bounce.recipient_id, bounce.raw["verified"]) == (ATTEMPT, "41", True)


def test_reads_qmail_with_each_address_and_its_own_reason():
    ada, bob = events(samples.QMAIL, ALL)
    assert (ada.recipient, ada.diagnostic.status, ada.recipient_id) == ("ada@example.com", "5.1.1", "")
    assert ada.diagnostic.text.endswith("Giving up on 192.0.2.7.")
    assert (bob.recipient, bob.diagnostic.status) == ("bob@example.net", "5.1.2")
    assert bob.diagnostic.text == (
        "<bob@example.net>: Sorry, I couldn't find any host named example.net. (#5.1.2)"
    )
    assert {ada.attempt_id, bob.attempt_id} == {ATTEMPT}


def test_a_report_on_several_tells_who_is_meant():
    told = {e.recipient: e for e in events(samples.SEVERAL, ALL)}
    assert {address: e.kind for address, e in told.items()} == {
        "ada@example.com": K.BOUNCED,
        "bob@example.net": K.DEFERRED,
        "cy@example.com": K.DELIVERED,
        "list@example.com": K.OTHER,
    }
    assert {e.recipient_id for e in told.values()} == {""}
    assert told["cy@example.com"].raw["final_recipient"] == "rfc822; cy@inside.example.com"
    assert len({e.key for e in told.values()}) == 4


def test_reads_a_bounce_whose_sender_is_not_ascii():
    raw = samples.EXIM.replace(b"Mail Delivery System", "Système".encode())
    assert event(raw).recipient == "ada@example.com"


def test_a_delay_is_no_bounce():
    late = event(samples.EXIM_DELAY)
    assert (late.kind, late.recipient, late.diagnostic.status) == (K.DEFERRED, "ada@example.com", "4.7.1")


@pytest.mark.parametrize(
    ("action", "status", "kind"),
    [
        ("failed (quota)", "5.2.2", K.BOUNCED),
        ("error", "5.0.0", K.BOUNCED),
        ("Delayed", "4.4.7", K.DEFERRED),
        ("relayed", "2.0.0", K.OTHER),
        ("", "5.1.1", K.BOUNCED),
        ("", "4.2.2", K.DEFERRED),
        ("unheard-of", "2.0.0", K.OTHER),
    ],
)
def test_reads_the_action(action: str, status: str, kind: ProviderEventKind):
    raw = report(
        f"Reporting-MTA: dns; a\n\nFinal-Recipient: rfc822; a@b.example\nAction: {action}\nStatus: {status}"
    )
    assert event(raw).kind is kind


def test_without_a_diagnostic_the_text_has_to_tell():
    raw = report(
        "Reporting-MTA: dns; a\n\nFinal-Recipient: rfc822; ada@example.com\nAction: failed\nStatus: 5.0.0",
        "Sorry.\n\nada@example.com\n552 5.2.2 The mailbox is full",
    )
    assert event(raw).diagnostic.text == "ada@example.com 552 5.2.2 The mailbox is full"
    assert (event(raw).diagnostic.status, event(raw).diagnostic.reply) == ("5.0.0", "552")


def test_the_reason_may_stand_before_the_address():
    raw = samples.EXIM.partition(b"\n\n")[0] + b"\n\nThe mailbox is full:\n\n  ada@example.com\n"
    assert event(raw).diagnostic.text == "The mailbox is full: ada@example.com"


def test_a_quoted_session_counts_by_its_refusal():
    raw = (
        samples.EXIM.partition(b"\n\n")[0] + b"\n\nada@example.com\n220 hello\n250 2.1.0 ok\n552 5.2.2 full\n"
    )
    assert (event(raw).diagnostic.reply, event(raw).diagnostic.status) == ("552", "5.2.2")


def test_reads_a_report_without_a_sender_whose_status_says_nothing():
    raw = report(
        "Reporting-MTA: dns; a", "A message could not be delivered to:\nada@example.com\nSubject: x", ""
    )
    assert (event(raw).kind, event(raw).recipient) == (K.BOUNCED, "ada@example.com")


@pytest.mark.parametrize("encoding", ["base64", "quoted-printable"])
def test_reads_a_status_part_that_must_not_be_encoded_and_is(encoding: str):
    status = (
        "Reporting-MTA: dns; a\n\nFinal-Recipient: rfc822; ada@example.com\nAction: failed\nStatus: 5.1.1\n"
    )
    body = (
        base64.encodebytes(status.encode()).decode() if encoding == "base64" else status.replace("@", "=40")
    )
    kind = f"message/delivery-status\nContent-Transfer-Encoding: {encoding}"
    bounce = event(report(body, kind=kind))
    assert (bounce.kind, bounce.recipient, bounce.diagnostic.status) == (
        K.BOUNCED,
        "ada@example.com",
        "5.1.1",
    )


def test_reads_reports_on_addresses_that_are_not_ascii():
    status = (
        "Reporting-MTA: dns; a\n\nFinal-Recipient: utf-8; адам@example.com\nAction: failed\nStatus: 5.1.1\n"
    )
    bounce = event(report(status, kind="message/global-delivery-status"))
    assert (bounce.kind, bounce.recipient) == (K.BOUNCED, "адам@example.com")


def test_a_bounce_that_was_returned_is_not_taken_for_a_bounce_of_ours():
    inner = samples.POSTFIX.decode().replace('boundary="B"', 'boundary="C"').replace("--B", "--C")
    raw = f"From: ada@example.com\nSubject: look\nContent-Type: message/rfc822\n\n{inner}"
    assert event(raw.encode()).kind is K.OTHER


def test_reads_a_report_whose_original_is_an_attachment_alone():
    raw = f"""\
From: Mail Delivery System <MAILER-DAEMON@relay.example.net>
Subject: Undeliverable: Hello
Content-Type: multipart/mixed; boundary=X

--X
Content-Type: message/rfc822

{ORIGINAL}
550 5.1.1 in the original tells nothing
--X--
"""
    bounce = event(raw.encode())
    assert (bounce.kind, bounce.recipient, bounce.recipient_id) == (K.BOUNCED, "", "41")
    assert bounce.diagnostic.text == ""


def test_reads_html_alone():
    raw = (
        "From: postmaster@example.com\nSubject: Undeliverable: Hello\nContent-Type: text/html\n\n"
        "<html><head><style>p {color: red}</style></head><body><p>Your message to <b>ada@example.com</b> was "
        "rejected:</p><p>550 5.7.1 Spam &amp; such</p></body></html>"
    )
    assert event(raw.encode()).diagnostic.text.endswith("550 5.7.1 Spam & such")
    assert event(raw.encode()).diagnostic.status == "5.7.1"


# Complaints.


def test_reads_a_complaint():
    complaint = event(samples.COMPLAINT)
    assert (complaint.kind, complaint.recipient, complaint.recipient_id) == (
        K.COMPLAINED,
        "ada@example.com",
        "41",
    )
    assert complaint.time == datetime(2026, 11, 22, 10, 1, tzinfo=UTC)


def test_a_complaint_to_another_address_is_proven_by_the_return_path_in_it():
    complaint = event(samples.COMPLAINT, "fbl@example.org")
    assert (complaint.attempt_id, complaint.raw["verified"]) == (ATTEMPT, True)


@pytest.mark.parametrize(
    ("kind", "meaning"),
    [("not-spam", K.OTHER), ("opt-out", K.UNSUBSCRIBED), ("virus", K.OTHER), ("auth-failure", K.OTHER)],
)
def test_reads_the_type_of_feedback(kind: str, meaning: ProviderEventKind):
    assert event(samples.COMPLAINT.replace(b"abuse\r\n", kind.encode() + b"\r\n")).kind is meaning


def test_reads_a_complaint_that_hides_the_recipient():
    hidden = samples.COMPLAINT.replace(b"Original-Rcpt-To: <ada@example.com>", b"X-Nothing: x")
    assert (event(hidden).kind, event(hidden).recipient) == (K.COMPLAINED, "")


# Replies.


@pytest.mark.parametrize(
    "head",
    [
        "Auto-Submitted: auto-replied",
        "Precedence: auto_reply",
        "Precedence: bulk",
        "X-Autoreply: yes",
        "X-Auto-Response-Suppress: All",
        "Subject: Automatic reply: Undeliverable feelings",
        "Subject: Abwesenheitsnotiz",
        "Subject: =?utf-8?q?R=C3=A9ponse_automatique?=",
    ],
)
def test_an_automatic_reply_is_never_a_bounce(head: str):
    text = "Delivery to the following recipient failed:\n\n  ada@example.com\n\n550 5.1.1 no such user"
    raw = f"From: Ada <ada@example.com>\n{head}\nMessage-ID: <1@x>\n\n{text}\n".encode()
    assert event(raw).kind is K.OTHER


def test_a_vacation_reply_is_no_bounce():
    reply = event(samples.VACATION)
    assert (reply.kind, reply.raw["source"], reply.attempt_id) == (K.OTHER, "auto-reply", ATTEMPT)


def test_a_person_who_answers_the_return_path_is_no_bounce():
    raw = (
        b"From: Ada <ada@example.com>\nSubject: Re: Hello\n\nMy mail to Bob, bob@example.net, bounced: 550\n"
    )
    assert event(raw).kind is K.OTHER


def test_a_read_receipt_is_no_bounce():
    raw = report(
        "Reporting-UA: x\nFinal-Recipient: rfc822;ada@example.com\nDisposition: manual-action; displayed",
        "Your message\n\nTo: ada@example.com\n\nwas read.",
        "Ada <ada@example.com>",
        kind="message/disposition-notification",
        report_type="disposition-notification",
    ).replace(b"Undelivered Mail Returned to Sender", b"Read: Hello")
    assert event(raw).kind is K.OTHER


# Whom it is about, and the proof.


def test_the_envelope_is_believed_before_anything_in_the_mail():
    other = return_path(samples.SECRET, "11111111-2222-4333-8444-555555555555", "9", "b.example.org")
    assert event(samples.POSTFIX, other).attempt_id == "11111111-2222-4333-8444-555555555555"


def test_without_an_envelope_the_signed_address_in_the_header_is_the_proof():
    assert (event(samples.POSTFIX, "").recipient_id, event(samples.POSTFIX, "").raw["verified"]) == (
        "41",
        True,
    )


@pytest.mark.parametrize("place", ["a", "q"])
def test_a_forged_return_path_proves_nothing(place: str):
    local, _, domain = ONE.partition("@")
    forged = f"{local[:-1]}{place if local[-1] != place else 'b'}@{domain}"
    bounce = event(samples.POSTFIX.replace(ONE.encode(), forged.encode()), forged)
    assert (bounce.raw["verified"], bounce.recipient_id) == (False, "")
    assert (bounce.attempt_id, bounce.email_id) == (ATTEMPT, EMAIL)  # claimed by the returned header


def test_the_reporters_own_message_id_is_not_taken_for_ours():
    raw = samples.POSTFIX.replace(ONE.encode(), b"news@example.org").replace(
        ORIGINAL.replace("\n", "\r\n").encode(), b""
    )
    raw = raw.replace(b"<20261122100500.ABC@", b"<99999999-2222-4333-8444-555555555555@")
    assert event(raw, "").attempt_id == ""


def test_a_mail_delivered_again_has_the_same_keys_and_another_mail_has_others():
    again = b"Received: from x by y; Sun, 22 Nov 2026 11:00:00 +0000\r\n" + samples.POSTFIX
    assert event(again).key == event(samples.POSTFIX).key
    other = samples.POSTFIX.replace(b"20261122100500", b"20261122100501")
    assert event(other).key != event(samples.POSTFIX).key


@pytest.mark.parametrize(
    ("date", "time"),
    [
        ("Sun, 22 Nov 2026 10:05:00 +0000", datetime(2026, 11, 22, 10, 5, tzinfo=UTC)),
        ("Sun, 22 Nov 2026 10:05:00 -0000", datetime(2026, 11, 22, 10, 5, tzinfo=UTC)),
        ("Sun, 22 Nov 2099 10:05:00 +0000", NOW),
        ("Thu, 01 Jan 1970 00:00:00 +0000", NOW),
        ("yesterday", NOW),
        ("Sun, 22 Nov 99999 10:05:00 +9999", NOW),
    ],
)
def test_a_date_counts_when_it_can_be_true(date: str, time: datetime):
    raw = samples.POSTFIX.replace(b"Sun, 22 Nov 2026 10:05:00 +0000", date.encode())
    assert event(raw).time == time
