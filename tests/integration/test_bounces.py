"""The mail server for bounces over a real socket."""

from __future__ import annotations

import asyncio
import os
import signal
import smtplib
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc
import pytest
from flute.v1.event_service_pb2 import IngestBounceRequest
from google.protobuf.empty_pb2 import Empty

from flute_server.bounces import read
from flute_server.bounces.mail import MAX_OCTETS
from flute_server.bounces.receive import Limits, Receiver
from flute_server.domain.event import ProviderEventKind
from flute_server.domain.verp import read_return_path, return_path, secret_of
from tests.stack import until

SECRET = b"a secret of this test"
ATTEMPT = str(uuid.UUID(int=7))
ADDRESS = return_path(SECRET, ATTEMPT, "1", "bounces.example.org")
OTHER = return_path(SECRET, ATTEMPT, "2", "bounces.example.org")
MAIL = b"From: MAILER-DAEMON@mx.example.com\r\nSubject: failure notice\r\n\r\n550 5.1.1 no such user\r\n"


@dataclass
class Store:
    """Keeps mails in a list, or fails for those whose recipient is in `fails`."""

    kept: list[tuple[str, bytes]] = field(default_factory=list)
    fails: set[str] = field(default_factory=set)

    def __call__(self, recipient: str, raw: bytes) -> None:
        if recipient in self.fails:
            raise ConnectionError("the store is away")
        self.kept.append((recipient, raw))


@contextmanager
def running(store: Store, *, lmtp: bool = False, limits: Limits | None = None) -> Iterator[int]:
    """A receiver in a loop of its own; gives its port."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    accepts = lambda address: read_return_path(SECRET, address) is not None  # noqa: E731
    receiver = Receiver(accepts, store, lmtp=lmtp, limits=limits)
    try:
        yield asyncio.run_coroutine_threadsafe(receiver.open("127.0.0.1", 0), loop).result(30)
    finally:
        asyncio.run_coroutine_threadsafe(_stop(receiver), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()


async def _stop(receiver: Receiver) -> None:
    await receiver.close()
    await asyncio.sleep(0.05)  # cancelled sessions end


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def port(store: Store) -> Iterator[int]:
    with running(store) as listening:
        yield listening


@pytest.fixture
def client(port: int) -> Iterator[smtplib.SMTP]:
    with smtplib.SMTP("127.0.0.1", port, "mx.example.com", timeout=30) as connected:
        connected.ehlo()
        yield connected


def begin(client: smtplib.SMTP, *recipients: str) -> list[int]:
    client.docmd("MAIL", "FROM:<>")
    return [client.docmd("RCPT", f"TO:<{address}>")[0] for address in recipients]


def test_takes_a_bounce_and_leads_it_to_its_attempt(client: smtplib.SMTP, store: Store):
    assert begin(client, ADDRESS) == [250]
    assert client.data(MAIL)[0] == 250
    ((recipient, raw),) = store.kept
    assert raw == b"Return-Path: <>\r\n" + MAIL
    (event,) = read(raw, lambda address: read_return_path(SECRET, address), recipient)
    assert (event.kind, event.attempt_id, event.recipient_id) == (ProviderEventKind.BOUNCED, ATTEMPT, "1")


def test_takes_a_return_path_whose_case_was_changed(client: smtplib.SMTP, store: Store):
    assert begin(client, ADDRESS.upper()) == [250]
    assert client.data(MAIL)[0] == 250
    assert len(store.kept) == 1


@pytest.mark.parametrize(
    "address",
    [
        "ada@example.org",
        "postmaster@bounces.example.org",
        ADDRESS.replace("bounce+", "bounce+a"),
        "bounce+@x.y",
    ],
)
def test_refuses_other_addresses_before_the_mail(client: smtplib.SMTP, store: Store, address: str):
    assert begin(client, address) == [550]
    assert client.docmd("DATA")[0] == 503
    assert store.kept == []


def test_refuses_a_forged_signature(client: smtplib.SMTP):
    local, _, domain = ADDRESS.partition("@")
    forged = ("a" if local[-1] != "a" else "b").join([local[:-1], f"@{domain}"])
    assert begin(client, forged) == [550]


def test_leaves_the_mail_with_its_sender_when_it_cannot_be_stored(client: smtplib.SMTP, store: Store):
    store.fails = {ADDRESS}
    begin(client, ADDRESS)
    code, text = client.data(MAIL)
    assert (code, text[:5]) == (451, b"4.3.0")
    store.fails = set()
    begin(client, ADDRESS)
    assert client.data(MAIL)[0] == 250
    assert len(store.kept) == 1


def test_acknowledges_a_mail_for_several_only_when_all_have_it(client: smtplib.SMTP, store: Store):
    store.fails = {OTHER}
    assert begin(client, ADDRESS, OTHER) == [250, 250]
    assert client.data(MAIL)[0] == 451


def test_announces_and_enforces_its_size(client: smtplib.SMTP, store: Store):
    assert client.esmtp_features["size"] == str(10 * 1024 * 1024)
    assert client.docmd("MAIL", "FROM:<> SIZE=99999999")[0] == 552
    begin(client, ADDRESS)
    code, text = client.data(MAIL + (b"x" * 70 + b"\r\n") * (10 * 1024 * 1024 // 72 + 1))
    assert (code, text[:5]) == (552, b"5.3.4")
    assert store.kept == []
    begin(client, ADDRESS)
    assert client.data(MAIL)[0] == 250


def test_keeps_the_top_of_a_large_mail(client: smtplib.SMTP, store: Store):
    begin(client, ADDRESS)
    assert client.data(MAIL + (b"original " * 9 + b"\r\n") * 100_000)[0] == 250
    raw = store.kept[0][1]
    assert raw.startswith(b"Return-Path: <>\r\n" + MAIL)
    assert MAX_OCTETS <= len(raw) < MAX_OCTETS + 100_000


def test_takes_lines_that_are_too_long_and_stuffed_dots(client: smtplib.SMTP, store: Store):
    begin(client, ADDRESS)
    mail = MAIL + b".dot\r\n..\r\n" + b"x" * 200_000 + b"\r\n.\r\nend\r\n"
    assert client.data(mail)[0] == 250
    assert store.kept[0][1] == b"Return-Path: <>\r\n" + mail


def test_takes_no_mail_within_a_mail(port: int, store: Store):
    """SMTP smuggling: a bare line feed before the dot ends nothing."""
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        file = connection.makefile("rwb")
        file.readline()
        for line in ("HELO x", "MAIL FROM:<>", f"RCPT TO:<{ADDRESS}>", "DATA"):
            file.write(line.encode() + b"\r\n")
            file.flush()
            said = file.readline()
        assert said.startswith(b"354")
        file.write(MAIL + b"\n.\nMAIL FROM:<>\r\n\n.\r\nDATA\r\n\r.\r\n.\r\n")
        file.flush()
        assert file.readline().startswith(b"250")
        file.write(b"QUIT\r\n")
        file.flush()
        assert file.readline().startswith(b"221")
        file.close()
    assert len(store.kept) == 1


def test_answers_for_every_recipient_over_lmtp(store: Store):
    store.fails = {OTHER}
    with running(store, lmtp=True) as port, smtplib.LMTP("127.0.0.1", port, timeout=30) as client:
        client.ehlo()
        assert begin(client, ADDRESS, OTHER) == [250, 250]
        assert client.data(MAIL)[0] == 250
        assert client.getreply()[0] == 451
    assert [recipient for recipient, _ in store.kept] == [ADDRESS]


def test_turns_away_more_connections_than_it_can_hold(store: Store):
    with running(store, limits=Limits(connections_per_host=2)) as port:
        first, second = (smtplib.SMTP("127.0.0.1", port, "x", timeout=30) for _ in range(2))
        with pytest.raises(smtplib.SMTPConnectError) as refused:
            smtplib.SMTP("127.0.0.1", port, "x", timeout=30)
        assert refused.value.smtp_code == 421
        first.quit()

        def third() -> smtplib.SMTP | None:
            try:
                return smtplib.SMTP("127.0.0.1", port, "x", timeout=30)
            except smtplib.SMTPConnectError:
                return None

        until(third, "a place is free").quit()
        second.quit()


def test_hangs_up_on_those_who_say_nothing_and_those_who_never_end(store: Store):
    for limits in (Limits(idle_s=0.2), Limits(session_s=0.2)):
        with (
            running(store, limits=limits) as port,
            socket.create_connection(("127.0.0.1", port), 30) as silent,
        ):
            silent.settimeout(30)
            assert silent.recv(100).startswith(b"220")
            assert silent.recv(100) == b""


def test_hangs_up_after_too_many_guesses(store: Store):
    with (
        running(store, limits=Limits(commands=5)) as port,
        smtplib.SMTP("127.0.0.1", port, "x", timeout=30) as client,
    ):
        client.ehlo()
        assert begin(client, *["guess@example.org"] * 6)[-1] == 421


def test_offers_no_login(client: smtplib.SMTP):
    assert not client.has_extn("auth")
    assert client.docmd("AUTH", "PLAIN AGEAYg==")[0] >= 500


# The process.

KEYS = "an-older-key-does-too"
TOKEN = "t" * 40


class Events:
    """Plays flute_server; away at first."""

    def __init__(self) -> None:
        self.away = True
        self.seen: list[IngestBounceRequest] = []

    def ingest_bounce(self, request: IngestBounceRequest, context: grpc.ServicerContext) -> Empty:
        assert ("authorization", f"Bearer {TOKEN}") in context.invocation_metadata()
        if self.away:
            context.abort(grpc.StatusCode.UNAVAILABLE, "the database is away")
        self.seen.append(request)
        return Empty()


@pytest.fixture
def events() -> Iterator[tuple[Events, str]]:
    servicer, server = Events(), grpc.server(ThreadPoolExecutor(2))
    handler = grpc.unary_unary_rpc_method_handler(
        servicer.ingest_bounce, IngestBounceRequest.FromString, Empty.SerializeToString
    )
    service = grpc.method_handlers_generic_handler("flute.v1.EventService", {"IngestBounce": handler})
    server.add_generic_rpc_handlers((service,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield servicer, f"127.0.0.1:{port}"
    server.stop(None).wait()


@contextmanager
def process(grpc_address: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """`flute bounces` on a free port, which it says."""
    env = os.environ | {
        "DATABASE_URL": "postgresql://nowhere/x",
        "REDIS_URL": "redis://nowhere",
        "FLUTE_SECRET_KEYS": f"a-newer-key,{KEYS}",
        "FLUTE_SERVICE_TOKEN": TOKEN,
        "FLUTE_GRPC_ADDRESS": grpc_address,
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    command = [sys.executable, "-c", "from flute_server.cli.bounces import bounces; bounces()", "--port", "0"]
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as running_process:
        assert running_process.stderr is not None
        said = running_process.stderr.readline()
        try:
            yield running_process, int(said.rpartition(" ")[2])
        finally:
            running_process.kill()


def test_the_process_hands_bounces_to_the_server_and_ends_when_told(events: tuple[Events, str]):
    servicer, grpc_address = events
    address = return_path(secret_of(KEYS), ATTEMPT, "1", "bounces.example.org")
    with process(grpc_address) as (child, port):
        with smtplib.SMTP("127.0.0.1", port, "x", timeout=60) as client:
            client.ehlo()
            assert begin(client, ADDRESS) == [550]
            assert begin(client, address) == [250]
            assert client.data(MAIL)[0] == 451
            servicer.away = False
            begin(client, address)
            assert client.data(MAIL)[0] == 250
        child.send_signal(signal.SIGTERM)
        assert child.wait(60) == 0
    (request,) = servicer.seen
    assert (request.recipient, request.raw) == (address, b"Return-Path: <>\r\n" + MAIL)
