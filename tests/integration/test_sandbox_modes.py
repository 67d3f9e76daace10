"""Every mode of every played provider, over real sockets."""

from __future__ import annotations

import smtplib
import socket
import time
from contextlib import closing

import pytest

from flute_server.sandbox import Sandbox
from flute_server.sandbox.examples import body, check, login, message, send, submit

HTTP = ("sendgrid", "postmark", "sparkpost", "mailgun")
ALL = (*HTTP, "smtp")


def deliver(sandbox: Sandbox, provider: str) -> None:
    if provider == "smtp":
        assert submit(sandbox.address("smtp")) == {}
    else:
        assert send(provider, sandbox.address(provider)).status in {200, 202}


def first_octet(address: tuple[str, int]) -> bytes:
    with closing(socket.create_connection(address, timeout=30)) as client:
        return client.recv(1)


@pytest.mark.parametrize("provider", ALL)
def test_down_drops_connections_refuses_new_ones_and_comes_back(sandbox: Sandbox, provider: str) -> None:
    address = sandbox.address(provider)
    with socket.create_connection(address, timeout=30) as open_one:
        if provider != "smtp":
            open_one.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        # The first octet proves that the sandbox has taken the connection.
        assert open_one.recv(1)
        sandbox.set_mode(provider, "down")
        while open_one.recv(4096):
            pass
    with pytest.raises(ConnectionRefusedError):
        first_octet(address)
    sandbox.set_mode(provider, "ok")
    deliver(sandbox, provider)
    assert sandbox.count() == 1


@pytest.mark.parametrize("provider", ALL)
def test_reset_cuts_connections_before_reading(sandbox: Sandbox, provider: str) -> None:
    sandbox.set_mode(provider, "reset")
    with pytest.raises(ConnectionResetError):
        first_octet(sandbox.address(provider))
    assert sandbox.calls(provider)["answers"] == {"reset": 1}


REFUSALS = {
    "sendgrid": {
        "error": (500, "internal"),
        "rate_limited": (429, "too many"),
        "unauthorized": (401, "grant"),
        "quota": (401, "Maximum credits exceeded"),
        "sender_unverified": (403, '"field":"from"'),
        "reject_message": (400, '"field":"content"'),
        "reject_recipient": (400, "personalizations.0.to.0.email"),
    },
    "postmark": {
        "error": (500, "ErrorCode"),
        "rate_limited": (429, "Too many"),
        "unauthorized": (401, '"ErrorCode":10,'),
        "quota": (422, '"ErrorCode":405,'),
        "sender_unverified": (422, '"ErrorCode":400,'),
        "reject_message": (422, '"ErrorCode":300,'),
        "reject_recipient": (422, "Invalid 'To' address: 'ada@example.com'"),
    },
    "sparkpost": {
        "error": (500, '"code":"1500"'),
        "rate_limited": (429, "Too many"),
        "unauthorized": (401, "Unauthorized"),
        "quota": (420, '"code":"2102"'),
        "sender_unverified": (400, '"code":"7001"'),
        "reject_message": (400, '"code":"1902"'),
        "reject_recipient": (400, '"code":"5002"'),
    },
    "mailgun": {
        "error": (500, "Internal"),
        "rate_limited": (429, "Too many"),
        "unauthorized": (401, "Forbidden"),
        "quota": (402, "plan"),
        "sender_unverified": (403, "not allowed"),
        "reject_message": (400, "'html'"),
        "reject_recipient": (400, "'to' parameter is not a valid address: ada@example.com"),
    },
}


@pytest.mark.parametrize(
    ("provider", "mode", "status", "told"),
    [(provider, mode, *answer) for provider, answers in REFUSALS.items() for mode, answer in answers.items()],
)
def test_refuses_in_the_providers_words(
    sandbox: Sandbox, provider: str, mode: str, status: int, told: str
) -> None:
    sandbox.set_mode(provider, mode)
    answer = send(provider, sandbox.address(provider))
    assert (answer.status, sandbox.count()) == (status, 0)
    assert told in answer.text
    every_call = mode in {"error", "rate_limited", "unauthorized"}
    assert check(provider, sandbox.address(provider)).status == (status if every_call else 200)


@pytest.mark.parametrize("provider", HTTP)
def test_gives_retry_after_and_another_status_when_told_to(sandbox: Sandbox, provider: str) -> None:
    sandbox.set_mode(provider, "rate_limited", retry_after=7)
    assert send(provider, sandbox.address(provider)).headers["Retry-After"] == "7"
    sandbox.set_mode(provider, "error", status=503)
    answer = send(provider, sandbox.address(provider))
    assert answer.status == 503
    assert "Retry-After" not in answer.headers


@pytest.mark.parametrize(
    ("mode", "error", "code", "text"),
    [
        ("error", smtplib.SMTPSenderRefused, 421, "4.3.2"),
        ("rate_limited", smtplib.SMTPSenderRefused, 421, "4.7.0"),
        ("unauthorized", smtplib.SMTPAuthenticationError, 535, "5.7.8"),
        ("quota", smtplib.SMTPSenderRefused, 550, "quota"),
        ("sender_unverified", smtplib.SMTPSenderRefused, 553, "not verified"),
        ("reject_message", smtplib.SMTPDataError, 554, "5.6.0"),
    ],
)
def test_refuses_over_smtp(
    sandbox: Sandbox, mode: str, error: type[smtplib.SMTPResponseException], code: int, text: str
) -> None:
    sandbox.set_mode("smtp", mode)
    with pytest.raises(error) as caught:
        submit(sandbox.address("smtp"))
    assert caught.value.smtp_code == code
    assert text in str(caught.value.smtp_error)
    assert sandbox.count() == 0
    assert sandbox.calls("smtp")["answers"][str(code)] >= 1


def test_answers_another_code_over_smtp_when_told_to(sandbox: Sandbox) -> None:
    sandbox.set_mode("smtp", "error", status=554)
    with login(sandbox.address("smtp")) as client:
        assert client.mail("news@example.org") == (554, b"5.3.0 Internal error")


def test_refuses_a_recipient_over_smtp_and_takes_the_others(sandbox: Sandbox) -> None:
    sandbox.set_mode("smtp", "reject_recipient", domains=["bad.example"])
    refused = submit(sandbox.address("smtp"), ["ada@example.com", "bob@bad.example"])
    assert refused["bob@bad.example"][0] == 550
    assert sandbox.inbox()[0]["envelope"]["recipients"] == ["ada@example.com"]


def test_ends_the_credentials_of_an_open_smtp_session(sandbox: Sandbox) -> None:
    with login(sandbox.address("smtp")) as client:
        sandbox.set_mode("smtp", "unauthorized")
        assert client.mail("news@example.org")[0] == 535


@pytest.mark.parametrize("provider", HTTP)
def test_drops_the_answer_and_keeps_the_mail(sandbox: Sandbox, provider: str) -> None:
    sandbox.set_mode(provider, "drop_answer")
    with pytest.raises(ConnectionResetError):
        send(provider, sandbox.address(provider))
    assert sandbox.count(provider=provider) == sandbox.calls(provider)["accepted"] == 1


def test_drops_the_answer_to_the_final_dot(sandbox: Sandbox) -> None:
    sandbox.set_mode("smtp", "drop_answer")
    with pytest.raises(smtplib.SMTPServerDisconnected):
        submit(sandbox.address("smtp"))
    assert sandbox.count(provider="smtp") == 1


MODES_WITHOUT_AN_ANSWER = [("hang", {}), ("slow", {"seconds": 60})]


@pytest.mark.parametrize(("mode", "settings"), MODES_WITHOUT_AN_ANSWER)
@pytest.mark.parametrize("provider", HTTP)
def test_takes_the_mail_and_leaves_the_client_waiting(
    sandbox: Sandbox, provider: str, mode: str, settings: dict[str, int]
) -> None:
    sandbox.set_mode(provider, mode, **settings)
    with pytest.raises(TimeoutError):
        send(provider, sandbox.address(provider), timeout_s=1)
    sandbox.wait_for(1, provider=provider)


@pytest.mark.parametrize(("mode", "settings"), MODES_WITHOUT_AN_ANSWER)
def test_takes_the_mail_and_leaves_the_smtp_client_waiting(
    sandbox: Sandbox, mode: str, settings: dict[str, int]
) -> None:
    sandbox.set_mode("smtp", mode, **settings)
    with closing(login(sandbox.address("smtp"))) as client:
        assert client.sock is not None
        client.sock.settimeout(1)
        with pytest.raises((TimeoutError, smtplib.SMTPServerDisconnected)):
            client.send_message(message())
    sandbox.wait_for(1, provider="smtp")


@pytest.mark.parametrize("provider", ALL)
def test_answers_ok_after_a_while_when_slow(sandbox: Sandbox, provider: str) -> None:
    sandbox.set_mode(provider, "slow", seconds=0.2)
    started = time.monotonic()
    deliver(sandbox, provider)
    assert time.monotonic() - started >= 0.2
    assert sandbox.count() == 1


@pytest.mark.parametrize("provider", HTTP)
def test_a_mode_can_concern_some_domains_only(sandbox: Sandbox, provider: str) -> None:
    sandbox.set_mode(provider, "error", domains=["Outlook.example"])
    fields = body(provider, ["ada@outlook.example"])
    assert send(provider, sandbox.address(provider), fields).status == 500
    deliver(sandbox, provider)


def test_a_mode_of_some_domains_speaks_at_the_recipient_over_smtp(sandbox: Sandbox) -> None:
    sandbox.set_mode("smtp", "error", domains=["outlook.example"])
    refused = submit(sandbox.address("smtp"), ["ada@example.com", "bob@outlook.example"])
    assert refused["bob@outlook.example"][0] == 451


def test_a_mode_can_concern_a_share_of_the_calls(sandbox: Sandbox) -> None:
    sandbox.set_mode("sendgrid", "error", share=0.3)
    for _ in range(100):
        send("sendgrid", sandbox.address("sendgrid"))
    answers = sandbox.calls("sendgrid")["answers"]
    assert 15 < answers["500"] < 45
    assert answers["202"] == 100 - answers["500"] == sandbox.count()


def test_sparkpost_accepts_the_rest_when_some_recipients_are_refused(sandbox: Sandbox) -> None:
    sandbox.set_mode("sparkpost", "reject_recipient", domains=["bad.example"])
    fields = body("sparkpost", ["ada@example.com", "bob@bad.example"])
    answer = send("sparkpost", sandbox.address("sparkpost"), fields)
    assert answer.status == 200
    assert answer.json()["errors"][0]["code"] == "2000"
    assert answer.json()["results"]["total_rejected_recipients"] == 1
    assert "bob@bad.example" in answer.json()["results"]["rcpt_to_errors"][0]["description"]
    assert sandbox.inbox()[0]["envelope"]["recipients"] == ["ada@example.com"]
