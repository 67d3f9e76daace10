"""The plumbing of HTTP providers: long, broken and strange answers; waits; redaction."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from flute_server.domain.outcome import ErrorKind, Reply
from flute_server.providers.base import CredentialError, Network
from flute_server.providers.http import LONGEST_WAIT_S, retry_after
from flute_server.providers.postmark import Postmark
from flute_server.providers.redaction import clip, redactor
from tests.unit.providers.calls import handoff

NOW = 1_767_225_600.0  # Thu, 01 Jan 2026 00:00:00 GMT


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("1.5", 1.5),
        (" 30 ", 30.0),
        ("999999999", LONGEST_WAIT_S),
        ("Thu, 01 Jan 2026 00:01:00 GMT", 60.0),
        ("Wed, 31 Dec 2025 00:00:00 GMT", 0.0),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("nan", None),
        ("1e9", None),
        ("٣", None),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    assert retry_after(value, NOW) == seconds


@contextmanager
def answering(octets: bytes, *, hold: bool = False) -> Iterator[str]:
    """A server that answers one call with these octets and hangs up, or holds the line."""
    listener = socket.create_server(("127.0.0.1", 0))
    done = threading.Event()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            received = b""
            while not received.endswith(b"}"):
                received += connection.recv(65536)
            try:
                connection.sendall(octets)
            except OSError:
                return
            if hold:
                done.wait(5)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        done.set()
        listener.close()
        thread.join(5)


def sent(url: str, read_timeout_s: float = 5.0) -> Reply:
    network = Network(allow_private=True, connect_timeout_s=2.0, read_timeout_s=read_timeout_s)
    provider = Postmark({"server_token": "tok/en", "base_url": url}, network)
    try:
        return provider.send(handoff()).reply
    finally:
        provider.close()


def test_an_endless_refusal_is_cut_and_still_a_refusal() -> None:
    endless = b"HTTP/1.1 401 No\r\nContent-Length: 9999999999\r\n\r\n" + b"x" * 200_000

    with answering(endless, hold=True) as url:
        reply = sent(url)

    assert reply.kind is ErrorKind.AUTH
    assert len(reply.text) <= 500


@pytest.mark.parametrize(
    ("octets", "kind"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", ErrorKind.AMBIGUOUS),
        (b"HTTP/1.1 422 No\r\nContent-Length: 100\r\n\r\n{", ErrorKind.REQUEST),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", ErrorKind.AMBIGUOUS),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", ErrorKind.AMBIGUOUS),
        (b"SSH-2.0-OpenSSH\r\n", ErrorKind.AMBIGUOUS),
        (b"", ErrorKind.AMBIGUOUS),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", ErrorKind.AMBIGUOUS),
        (
            b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
            ErrorKind.REQUEST,
        ),
    ],
)
def test_broken_answers_are_outcomes(octets: bytes, kind: ErrorKind) -> None:
    with answering(octets) as url:
        assert sent(url).kind is kind


def test_an_answer_that_stops_in_the_middle_ends_at_the_deadline() -> None:
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", hold=True) as url:
        assert sent(url, read_timeout_s=0.3).kind is ErrorKind.AMBIGUOUS


def test_the_wait_that_is_asked_for_is_kept() -> None:
    body = b'{"ErrorCode": 429, "Message": "slow down, tok\\/en or tok%2Fen"}'
    head = b"HTTP/1.1 429 No\r\nRetry-After: 12\r\nContent-Length: %d\r\n\r\n" % len(body)

    with answering(head + body) as url:
        reply = sent(url)

    assert (reply.kind, reply.retry_after) == (ErrorKind.RATE, 12.0)


def test_a_host_without_tls_is_unreachable() -> None:
    with answering(b"") as url:
        port = url.rpartition(":")[2]
        reply = sent(f"https://127.0.0.1:{port}", read_timeout_s=0.3)

    assert reply.kind is ErrorKind.UNREACHABLE


@pytest.mark.parametrize(
    "url",
    [
        "ftp://x",
        "x",
        "https://",
        "https://u:p@x",
        "https://x/?q=1",
        "https://x/#f",
        "https://x:99999",
        "https://ü.de",
    ],
)
def test_a_base_url_is_a_web_address(url: str) -> None:
    with pytest.raises(CredentialError) as refused:
        Postmark.validate({"server_token": "x", "base_url": url})
    assert refused.value.field == "base_url"


def test_secrets_are_found_in_every_spelling() -> None:
    redact = redactor(['to/k"en', ""])

    shown = redact('to/k"en to/k\\"en to%2Fk%22en dG8vayJlbg== ok')

    assert shown == "[secret] [secret] [secret] [secret] ok"


def test_texts_are_one_short_line() -> None:
    assert clip("a\r\n\tb\0c " + "x" * 10_000).startswith("a b c xxx")
    assert len(clip("x" * 10_000)) == 500
