"""What a plain relay tells after it accepted a mail: by mail, to the envelope sender."""

from __future__ import annotations

import smtplib
import socket
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage, Message
from typing import cast

import pytest
import requests

from flute_server.sandbox import Sandbox, SandboxError
from flute_server.sandbox.examples import login, message
from flute_server.sandbox.receiver import Arrived, Postbox

RETURN_PATH = "bounce+e-1=token@bounces.example.org"


@pytest.fixture
def postbox(sandbox: Sandbox) -> Iterator[Postbox]:
    with Postbox() as started:
        sandbox.set_bounces("127.0.0.1", started.port)
        yield started
        sandbox.clear_bounces()


def deliver(sandbox: Sandbox, *to: str, return_path: str = RETURN_PATH) -> None:
    mail = message(X_Flute_Id="e-1", Message_ID="<m-1@example.org>")
    with login(sandbox.address("smtp")) as client:
        recipients = list(to or ("ada@example.com",))
        assert client.send_message(mail, return_path, recipients, mail_options=["BODY=8BITMIME"]) == {}


def parse(notice: Arrived) -> EmailMessage:
    parsed = message_from_bytes(notice.content, policy=policy.SMTP)
    assert isinstance(parsed, EmailMessage)
    assert not parsed.defects
    return parsed


def status(mail: EmailMessage) -> dict[str, str]:
    """The fields of message/delivery-status for the one recipient."""
    _, machine, _ = mail.iter_parts()
    _, recipient = cast("list[Message]", machine.get_payload())
    return {str(name): str(value) for name, value in recipient.items()}


@pytest.mark.parametrize(
    ("mode", "settings", "wanted"),
    [
        ("bounce", {}, ("failed", "5.1.1", "smtp; 550 5.1.1")),
        ("block", {}, ("failed", "5.7.1", "client host [192.0.2.25] blocked")),
        ("defer", {}, ("delayed", "4.7.1", "smtp; 451 4.7.1")),
        ("bounce", {"text": "552 5.2.2 over quota"}, ("failed", "5.2.2", "smtp; 552 5.2.2 over quota")),
        ("bounce", {"text": "550 no", "class": "5.7.26"}, ("failed", "5.7.26", "smtp; 550 no")),
        ("bounce", {"text": "no"}, ("failed", "5.0.0", "smtp; no")),
    ],
)
def test_returns_a_notification_to_the_envelope_sender(
    sandbox: Sandbox, postbox: Postbox, mode: str, settings: dict[str, str], wanted: tuple[str, str, str]
) -> None:
    sandbox.set_mode("smtp", mode, **settings)
    deliver(sandbox)
    (notice,) = postbox.wait(1)
    assert (notice.sender, notice.recipients) == ("", [RETURN_PATH])
    mail = parse(notice)
    assert mail.get_content_type() == "multipart/report"
    assert mail.get_param("report-type") == "delivery-status"
    fields = status(mail)
    assert (fields["Action"], fields["Status"]) == wanted[:2]
    assert wanted[2] in fields["Diagnostic-Code"]
    assert fields["Final-Recipient"] == "rfc822; ada@example.com"


def test_a_notification_carries_the_original_header(sandbox: Sandbox, postbox: Postbox) -> None:
    sandbox.set_mode("smtp", "bounce")
    deliver(sandbox)
    *_, returned = parse(postbox.wait(1)[0]).iter_parts()
    original = message_from_bytes(cast(bytes, returned.get_payload(decode=True)), policy=policy.SMTP)
    assert returned.get_content_type() == "text/rfc822-headers"
    assert (original["X-Flute-Id"], original["Message-ID"]) == ("e-1", "<m-1@example.org>")


def test_writes_once_for_each_recipient_that_is_concerned(sandbox: Sandbox, postbox: Postbox) -> None:
    sandbox.set_mode("smtp", "block", domains=["outlook.com", "yahoo.com"])
    deliver(sandbox, "ada@gmail.com", "bob@outlook.com", "eve@yahoo.com")
    about = {status(parse(notice))["Final-Recipient"] for notice in postbox.wait(2)}
    assert about == {"rfc822; bob@outlook.com", "rfc822; eve@yahoo.com"}
    assert sandbox.event_count(flute_email="e-1", kind="blocked")["count"] == 2


def test_passes_complaints_on(sandbox: Sandbox, postbox: Postbox) -> None:
    sandbox.set_mode("smtp", "complain")
    deliver(sandbox)
    (notice,) = postbox.wait(1)
    mail = parse(notice)
    assert mail.get_param("report-type") == "feedback-report"
    _, machine, returned = mail.iter_parts()
    assert machine.get_content_type() == "message/feedback-report"
    assert "Feedback-Type: abuse" in notice.content.decode()
    assert "Original-Rcpt-To: <ada@example.com>" in notice.content.decode()
    assert b"X-Flute-Id: e-1" in cast(bytes, returned.get_payload(decode=True))


def test_tells_nothing_of_good_mail_or_to_the_null_sender(sandbox: Sandbox, postbox: Postbox) -> None:
    deliver(sandbox)
    sandbox.set_mode("smtp", "bounce")
    deliver(sandbox, return_path="")
    assert sandbox.inbox()[1]["envelope"]["from"] == ""
    assert (sandbox.events(), postbox.mails) == ([], [])


def test_refuses_a_suppressed_recipient_at_once(sandbox: Sandbox) -> None:
    sandbox.set_mode("smtp", "suppress", domains=["bad.example"])
    with login(sandbox.address("smtp")) as client:
        refused = client.send_message(message(), to_addrs=["ada@example.com", "bob@bad.example"])
    assert refused["bob@bad.example"][0] == 550
    assert sandbox.inbox()[0]["envelope"]["recipients"] == ["ada@example.com"]


def test_bounces_made_by_hand(sandbox: Sandbox, postbox: Postbox) -> None:
    deliver(sandbox)
    sandbox.send_event("smtp", "bounced", flute_email="e-1", text="550 5.2.1 closed")
    assert status(parse(postbox.wait(1)[0]))["Status"] == "5.2.1"
    with pytest.raises(SandboxError, match="smtp does not tell of mails that are opened"):
        sandbox.send_event("smtp", "opened", flute_email="e-1")
    with pytest.raises(SandboxError, match="enhanced status code"):
        sandbox.set_mode("smtp", "bounce", **{"class": "Blocked"})


def test_a_bounce_can_overtake_the_answer_and_come_twice(sandbox: Sandbox, postbox: Postbox) -> None:
    sandbox.set_mode("smtp", "bounce", duplicate_events=True, shuffle_events=True)
    deliver(sandbox)
    assert sandbox.event_count(state="taken")["count"] >= 1
    first, second = postbox.wait(2)
    assert parse(first)["Message-ID"] == parse(second)["Message-ID"]


def test_waits_for_a_mail_server_that_is_away(sandbox: Sandbox) -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    sandbox.set_bounces("127.0.0.1", port)
    sandbox.set_mode("smtp", "bounce")
    deliver(sandbox)
    (event,) = _until_tried(sandbox)
    assert (event["status"], event["url"]) == ("ConnectionRefusedError", f"smtp://127.0.0.1:{port}")
    with Postbox() as postbox:
        # The same events, to where the server is now.
        sandbox.set_bounces("127.0.0.1", postbox.port)
        postbox.wait(1)
        sandbox.clear_bounces()


def _until_tried(sandbox: Sandbox) -> list[dict[str, object]]:
    for _ in range(1000):
        found = sandbox.events()
        if found and found[0]["tries"]:
            return found
    raise AssertionError("it was never tried")


def test_gives_up_when_the_bounce_is_refused(sandbox: Sandbox) -> None:
    # The sandbox's own relay wants a login: a 530 to MAIL.
    sandbox.set_bounces(*sandbox.address("smtp"))
    sandbox.set_mode("smtp", "bounce")
    deliver(sandbox)
    (event,) = sandbox.wait_for_events(1, state="given up")
    assert str(event["status"]).startswith("530 ")


def test_refuses_an_address_that_is_none(sandbox: Sandbox) -> None:
    for wanted in ({}, {"host": "", "port": 25}, {"host": "x", "port": "25"}, {"host": "x", "port": 0}):
        answer = requests.put(f"{sandbox.control}/providers/smtp/bounces", json=wanted, timeout=30)
        assert answer.status_code == 422
    with pytest.raises(smtplib.SMTPSenderRefused), login(sandbox.address("smtp")) as client:
        client.send_message(message(), from_addr="nobody@")
