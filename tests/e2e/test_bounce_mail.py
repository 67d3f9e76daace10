"""Bounce mail of an SMTP relay: received at a signed return path, read, and acted upon."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator

import pytest
import requests

from tests.returned_mail import returned_mail
from tests.stack import Stack, Tenant, free_port, until

DOMAIN = "bounces.flutemail.io"


@pytest.fixture
def bounces(stack: Stack) -> Iterator[tuple[str, int]]:
    """`flute bounces` on a port of its own, where the sandbox delivers its DSNs."""
    port = free_port()
    process = stack.process("bounces", "-m", "flute_server.cli", "bounces", "--port", str(port))
    process.start()

    def greets() -> bool:
        try:
            with smtplib.SMTP("127.0.0.1", port, timeout=2):
                return True
        except OSError:
            return False

    try:
        until(greets, "flute bounces listens")
        stack.sandbox.set_bounces("127.0.0.1", port)
        yield "127.0.0.1", port
    finally:
        process.stop()


def tenant_with_return_path(stack: Stack) -> Tenant:
    tenant = stack.tenant("smtp", "postmark", smtp_credentials={"bounce_domain": DOMAIN})
    stack.listen(tenant, "postmark")
    return tenant


def test_a_blocked_relay_is_left_for_the_next_provider(stack: Stack, bounces: tuple[str, int]) -> None:
    stack.sandbox.set_mode("smtp", "block")
    tenant = tenant_with_return_path(stack)
    story = tenant.wait(tenant.send(), "delivered")
    assert [attempt["provider"] for attempt in story["attempts"]] == ["smtp", "postmark"]
    bounce = next(moment for moment in story["timeline"] if moment["type"] == "bounced")
    assert "cause: provider" in bounce["text"]


def test_an_unknown_user_ends_as_bounced(stack: Stack, bounces: tuple[str, int]) -> None:
    stack.sandbox.set_mode("smtp", "bounce", domains=["example.com"])
    tenant = tenant_with_return_path(stack)
    id_ = tenant.send(to=[{"email": "ada@example.com"}, {"email": "bob@example.org"}])
    story = tenant.wait(id_, "bounced")
    assert {row["email"]: row["status"] for row in story["recipients"]} == {
        "ada@example.com": "bounced",
        "bob@example.org": "sent",
    }


def test_a_mail_server_may_post_a_bounce_instead(stack: Stack) -> None:
    tenant = tenant_with_return_path(stack)
    id_ = tenant.send()
    tenant.wait(id_, "sent")
    [mail] = stack.sandbox.inbox()
    dsn = returned_mail("ada@example.com")
    url = f"{stack.web_address}/v1/bounces"
    assert requests.post(url, data=dsn, timeout=60).status_code == 401
    path = {"recipient": mail["envelope"]["from"]}
    assert requests.post(url, params=path, data=dsn, timeout=60).status_code == 200
    tenant.wait(id_, "bounced")


def test_nobody_can_forge_a_bounce(stack: Stack, bounces: tuple[str, int]) -> None:
    tenant = tenant_with_return_path(stack)
    id_ = tenant.send()
    tenant.wait(id_, "sent")
    [mail] = stack.sandbox.inbox()
    path = mail["envelope"]["from"]
    local, _, domain = path.partition("@")
    forged = f"{local[:-1]}{'a' if local[-1] != 'a' else 'b'}@{domain}"
    with smtplib.SMTP(*bounces, timeout=60) as client:
        client.ehlo()
        client.mail("")
        code, _ = client.rcpt(forged)
        assert code == 550
        code, _ = client.rcpt(path)
        assert code == 250
