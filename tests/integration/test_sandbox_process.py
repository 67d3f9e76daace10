"""The sandbox as a process: starting, ports, stopping; and the bounds of its memory."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from flute_server.sandbox import Sandbox, SandboxError, start
from flute_server.sandbox.events import Event, Happening
from flute_server.sandbox.examples import send
from flute_server.sandbox.inbox import Entry, Inbox, letters
from flute_server.sandbox.mail import Address, Mail
from flute_server.sandbox.poster import Batch, Outgoing, Poster, Verdict
from flute_server.sandbox.run import choose_ports

ROOT = Path(__file__).resolve().parents[2]
COMMAND = "from flute_server.cli.sandbox import sandbox; sandbox()"


@contextmanager
def taken_port() -> Iterator[int]:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        yield taken.getsockname()[1]


@contextmanager
def command(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", COMMAND, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_command_announces_itself_and_stops_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    ready = tmp_path / "deeper" / "sandbox.json"
    with command("--port", "0", "--ready-file", str(ready)) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        lines = [process.stdout.readline() for _ in range(5)]
        described = _wait_for_file(ready)
        assert described["control"] in first
        assert "sendgrid" in lines[0]
        sandbox = Sandbox(described["control"])
        assert send("postmark", sandbox.address("postmark")).status == 200
        sandbox.set_mode("mailgun", "down")
        with socket.create_connection(sandbox.address("smtp"), timeout=30) as idle:
            assert idle.recv(3) == b"220"
            process.send_signal(number)
            assert process.wait(60) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""
        assert not ready.exists()


def _wait_for_file(path: Path) -> dict[str, str]:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    described: dict[str, str] = json.loads(path.read_text())
    return described


def test_command_says_which_port_is_taken() -> None:
    with taken_port() as port, command("--port", str(port)) as process:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 1
        assert f"port {port} on 127.0.0.1 is taken" in errors
        assert "without it" in errors


def test_without_a_port_picks_others_for_those_that_are_taken() -> None:
    ports = choose_ports("127.0.0.1", None)
    assert set(ports) == {"control", "sendgrid", "postmark", "sparkpost", "mailgun", "smtp"}
    assert choose_ports("127.0.0.1", 9000) == dict(zip(ports, range(9000, 9006), strict=True))
    assert set(choose_ports("127.0.0.1", 0).values()) == {0}


def test_helper_says_which_port_is_taken() -> None:
    with taken_port() as port, pytest.raises(SandboxError, match=f"port {port} on 127.0.0.1 is taken"):
        start(ports={"smtp": port})


def test_ends_with_the_process_that_started_it() -> None:
    code = (
        "import os, signal; from flute_server.sandbox import start; sandbox = start();"
        "print(sandbox.control, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
    )
    # The sandbox holds the other end of our pipe: run() returned, so it is gone.
    host, _, port = ended.stdout.strip().removeprefix("http://").partition(":")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), timeout=30)


def test_offers_starttls_with_a_certificate(tmp_path: Path) -> None:
    paths = _certificate(tmp_path)
    with start(certificate=paths) as sandbox:
        with smtplib.SMTP(*sandbox.address("smtp"), timeout=30) as client:
            context = ssl.create_default_context(cafile=paths[0])
            context.check_hostname = False
            client.starttls(context=context)
            client.login(*sandbox.credentials("smtp").values())
            client.sendmail("a@b.example", "c@d.example", "From: a@b.example\r\nDate: x\r\n\r\nhi")
        assert sandbox.count(provider="smtp") == 1
        sandbox.set_mode("smtp", "down")


def _certificate(folder: Path) -> tuple[str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sandbox")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    certificate = builder.sign(key, hashes.SHA256())
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return str(paths[0]), str(paths[1])


def _entry(raw: bytes) -> Entry:
    return Entry("test", "id", "a@b.example", ("c@d.example",), raw)


def _read(entry: Entry) -> Mail:
    return Mail(Address("a@b.example"), text=(entry.raw or b"").decode(), metadata={"flute_id": "em_1"})


def test_inbox_forgets_the_oldest_mails_when_there_are_too_many() -> None:
    inbox = Inbox(max_entries=2, max_raw_bytes=1000)
    inbox.register("test", _read)
    for text in (b"one", b"two", b"three"):
        inbox.add(_entry(text))
    assert [inbox.describe(entry)["text"] for entry in inbox.select()] == ["two", "three"]


def test_inbox_keeps_who_and_which_ids_when_it_drops_bodies() -> None:
    inbox = Inbox(max_entries=3, max_raw_bytes=10)
    inbox.register("test", _read)
    for text in (b"123456", b"7890", b"x", b"y"):
        inbox.add(_entry(text))
    first, second, third = (inbox.describe(entry) for entry in inbox.select())
    assert (first["text"], second["text"], third["text"]) == ("7890", "x", "y")
    inbox.add(_entry(b"0123456789"))
    oldest = inbox.describe(inbox.select()[0])
    assert (oldest["text"], oldest["metadata"], oldest["bodies_dropped"]) == (
        None,
        {"flute_id": "em_1"},
        True,
    )
    assert inbox.clear() == 3


def test_a_mail_without_its_body_can_still_be_told_of() -> None:
    inbox = Inbox(max_raw_bytes=1)
    inbox.register("test", _read)
    entry = _entry(b"long enough")
    inbox.add(entry)
    delivered = inbox.happened(entry, time.time())[-1]
    assert (delivered.kind, delivered.letter.recipient) == ("delivered", "c@d.example")
    assert delivered.letter.metadata == {"flute_id": "em_1"}
    assert list(inbox.newest("test", "em_1")) == [entry]
    assert list(inbox.newest("test", "em_2")) == []


def _outgoing(number: int) -> Outgoing:
    letter = letters(_entry(b""), Mail(Address("a@b.example")))[0]
    return Outgoing("test", Event(Happening.DELIVERED, letter, 0, number))


async def _settled(poster: Poster, items: list[Outgoing]) -> list[str]:
    """The states, once none is pending."""
    for item in items:
        poster.put(item)
    async with asyncio.timeout(60):
        while any(item.state == "pending" for item in items):
            await asyncio.sleep(0.01)
    await poster.close()
    return [item.state for item in items]


async def _refuse(_: Batch) -> Verdict:
    return Verdict("there", "500", taken=False)


async def _accept(_: Batch) -> Verdict:
    return Verdict("there", "200", taken=True)


async def _break(_: Batch) -> Verdict:
    raise KeyError("a bug")


def test_an_event_is_given_up_in_the_end() -> None:
    async def run() -> tuple[list[str], int]:
        item = _outgoing(1)
        return await _settled(Poster(_refuse, 1, give_up_after_s=0.2), [item]), item.tries

    states, tries = asyncio.run(run())
    assert states == ["given up"]
    assert tries > 1


def test_a_fault_of_ours_is_shown_with_its_event() -> None:
    async def run() -> tuple[list[str], str]:
        item = _outgoing(1)
        return await _settled(Poster(_break, 1), [item]), item.status

    assert asyncio.run(run()) == (["given up"], "sandbox error: KeyError('a bug')")


def test_no_more_events_are_kept_than_fit() -> None:
    async def run() -> list[str]:
        return await _settled(Poster(_accept, 10, max_pending=3), [_outgoing(n) for n in range(5)])

    assert asyncio.run(run()) == ["taken"] * 3 + ["given up"] * 2
