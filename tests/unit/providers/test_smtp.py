"""SMTP: every reply of providers.md 5.4 at its stage, broken connections at every stage, TLS, logins."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import socket
import ssl
import threading
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from flute_server.domain.message import Address, Handoff
from flute_server.domain.outcome import ErrorKind, SendResult
from flute_server.providers.base import CredentialError, Network
from flute_server.providers.failures import Fault, rule_for
from flute_server.providers.smtp import FAILURES, Smtp
from tests.unit.providers.calls import SIMPLE, handoff

HANG_UP = "hang up"


@dataclass
class Script:
    """What the server says to each command, by its first word; `.` is the end of the mail."""

    replies: dict[str, list[str]] = field(default_factory=dict)
    extensions: tuple[str, ...] = ()
    tls: ssl.SSLContext | None = None
    tls_at_once: bool = False
    seen: list[str] = field(default_factory=list)
    mails: list[bytes] = field(default_factory=list)
    connections: int = 0

    def reply(self, command: str) -> str:
        waiting = self.replies.get(command, [])
        if not waiting:
            return {"greeting": "220 hello", "DATA": "354 go on", "AUTH": "235 ok", "STARTTLS": "220 go"}.get(
                command, "250 ok"
            )
        return waiting.pop(0) if len(waiting) > 1 else waiting[0]


class Server:
    """Plays a script to any number of connections, one after the other."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits in accept
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(5)
        for connection in self._open:
            connection.close()

    def cut(self) -> None:
        """End all sessions without a word."""
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.script.connections += 1
            self._open.append(connection)
            thread = threading.Thread(target=self._session, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _session(self, connection: socket.socket) -> None:
        try:
            if self.script.tls_at_once and self.script.tls:
                connection = self.script.tls.wrap_socket(connection, server_side=True)
                self._open.append(connection)
            self._talk(connection)
        except (OSError, ValueError):
            pass  # cut off, perhaps in the middle of TLS
        finally:
            connection.close()

    def _talk(self, connection: socket.socket) -> None:
        script = self.script
        file = connection.makefile("rwb", buffering=0)
        if not self._say(file, script.reply("greeting")):
            return
        while line := file.readline().decode():
            command = line.split()[0].upper()
            script.seen.append(line.strip())
            said = script.reply(command)
            if command == "EHLO" and said == "250 ok":
                said = "\r\n".join([f"250-{e}" for e in ("sandbox", *script.extensions)] + ["250 HELP"])
            if command == "AUTH":
                self._login(file, line)
            if not self._say(file, said) or command == "QUIT":
                return
            if command == "STARTTLS" and script.tls:
                connection = script.tls.wrap_socket(connection, server_side=True)
                self._open.append(connection)
                file = connection.makefile("rwb", buffering=0)
            if command == "DATA" and said.startswith("354") and not self._mail(file):
                return

    def _login(self, file: socket.SocketIO, line: str) -> None:
        """PLAIN says all at once; LOGIN and CRAM-MD5 answer one question."""
        if not line.startswith("AUTH PLAIN"):
            self._say(file, "334 Zm9v")
            self.script.seen.append(file.readline().decode().strip())

    def _mail(self, file: socket.SocketIO) -> bool:
        lines = []
        while (line := file.readline()) not in {b".\r\n", b""}:
            lines.append(line)
        self.script.mails.append(b"".join(lines))
        return self._say(file, self.script.reply("."))

    def _say(self, file: socket.SocketIO, text: str) -> bool:
        if text == HANG_UP:
            return False
        file.write(f"{text}\r\n".encode())
        return True


@contextmanager
def running(script: Script) -> Iterator[Server]:
    server = Server(script)
    try:
        yield server
    finally:
        server.close()


@contextmanager
def provider(server: Server, *, ca_file: str = "", **fields: str) -> Iterator[Smtp]:
    network = Network(allow_private=True, connect_timeout_s=2.0, read_timeout_s=2.0, ca_file=ca_file)
    made = Smtp({"host": "127.0.0.1", "port": str(server.port), "security": "none", **fields}, network)
    try:
        yield made
    finally:
        made.close()


def play(mail: Handoff, **replies: str | list[str]) -> SendResult:
    """Send to a server that says this: commands by name, END for the end of the mail."""
    script = Script(
        {("." if k == "END" else k): [v] if isinstance(v, str) else v for k, v in replies.items()}
    )
    with running(script) as server, provider(server) as smtp:
        return smtp.send(mail)


TWO = replace(SIMPLE, to=(Address("ada@example.com"), Address("bob@example.com")))


@pytest.mark.parametrize(
    ("stage", "reply", "kind"),
    [
        ("greeting", "421 4.3.2 closing", ErrorKind.SERVER),
        ("greeting", "421 4.7.0 too many connections", ErrorKind.RATE),
        ("greeting", "554 5.7.1 no service for you", ErrorKind.SERVER),
        ("hello", "502 what", ErrorKind.SERVER),
        ("login", "535 5.7.8 bad", ErrorKind.AUTH),
        ("login", "534 5.7.9 too weak", ErrorKind.AUTH),
        ("login", "538 5.7.11 encryption needed", ErrorKind.AUTH),
        ("login", "454 4.7.0 temporary authentication failure", ErrorKind.SERVER),
        ("sender", "530 5.7.0 authentication required", ErrorKind.AUTH),
        ("sender", "421 4.3.2 closing", ErrorKind.SERVER),
        ("sender", "450 4.7.28 unusual rate", ErrorKind.RATE),
        ("sender", "451 4.3.0 local error", ErrorKind.SERVER),
        ("sender", "452 4.3.1 disk full", ErrorKind.SERVER),
        ("sender", "552 5.3.4 too big", ErrorKind.TOO_LARGE),
        ("sender", "523 too big", ErrorKind.TOO_LARGE),
        ("sender", "553 5.7.1 not owned by user", ErrorKind.SENDER),
        ("sender", "550 5.1.8 bad sender", ErrorKind.SENDER),
        ("sender", "501 5.1.7 syntax", ErrorKind.SENDER),
        ("sender", "555 5.5.4 parameters", ErrorKind.REQUEST),
        ("sender", "503 5.5.1 sequence", ErrorKind.REQUEST),
        ("sender", "550 5.4.5 daily user sending limit exceeded", ErrorKind.QUOTA),
        ("recipient", "550 5.1.1 no such user", ErrorKind.RECIPIENT),
        ("recipient", "550 no such user", ErrorKind.RECIPIENT),
        ("recipient", "550 5.2.1 disabled", ErrorKind.RECIPIENT),
        ("recipient", "550 5.4.1 access denied", ErrorKind.RECIPIENT),
        ("recipient", "501 5.1.3 syntax", ErrorKind.RECIPIENT),
        ("recipient", "553 mailbox name not allowed", ErrorKind.RECIPIENT),
        ("recipient", "556 5.1.10 null MX", ErrorKind.RECIPIENT),
        ("recipient", "521 takes no mail", ErrorKind.RECIPIENT),
        ("recipient", "552 5.2.2 mailbox full", ErrorKind.TEMPORARY),
        ("recipient", "550 5.4.4 no route", ErrorKind.TEMPORARY),
        ("recipient", "450 4.2.1 busy", ErrorKind.TEMPORARY),
        ("recipient", "451 4.7.1 greylisted", ErrorKind.TEMPORARY),
        ("recipient", "452 4.5.3 too many recipients", ErrorKind.TEMPORARY),
        ("recipient", "550 5.7.1 relaying denied", ErrorKind.AUTH),
        ("recipient", "554 5.7.1 Relay access denied", ErrorKind.AUTH),
        ("recipient", "550 5.7.1 blocked using a blocklist", ErrorKind.REQUEST),
        ("recipient", "550 5.7.26 unauthenticated sender", ErrorKind.SENDER),
        ("recipient", "503 5.5.1 sequence", ErrorKind.REQUEST),
        ("data", "451 4.3.0 later", ErrorKind.SERVER),
        ("data", "554 no", ErrorKind.REQUEST),
        ("content", "554 5.6.0 content rejected", ErrorKind.MESSAGE),
        ("content", "554 5.7.1 looks like spam", ErrorKind.REQUEST),
        ("content", "550 5.7.23 SPF", ErrorKind.SENDER),
        ("content", "552 5.3.4 too big", ErrorKind.TOO_LARGE),
        ("content", "451 4.7.1 greylisted", ErrorKind.TEMPORARY),
        ("content", "421 4.7.0 try again later", ErrorKind.SERVER),
        ("content", "450 4.7.0 too many messages", ErrorKind.RATE),
        ("content", "554 transaction failed", ErrorKind.REQUEST),
    ],
)
def test_replies(stage: str, reply: str, kind: ErrorKind) -> None:
    code, _, text = reply.partition(" ")
    enhanced = text.split()[0] if text[:1].isdigit() else ""

    assert rule_for(FAILURES, Fault(int(code), enhanced, text, stage)).kind is kind


def test_the_queue_id_is_kept() -> None:
    for said, queue_id in [
        ("250 2.0.0 Ok: queued as 4FxYz1", "4FxYz1"),
        ("250 OK id=1rAbCd-0001-Xy", "1rAbCd-0001-Xy"),
        ("250 Ok 0100018c-aaaa-bbbb", "0100018c-aaaa-bbbb"),
        ("250 2.0.0 OK  1700000000 ab12-cd.34 - gsmtp", "ab12-cd.34"),
        ("250 ok", ""),
    ]:
        reply = play(handoff(), END=said).reply
        assert (reply.accepted, reply.provider_message_id) == (True, queue_id)


def test_the_rest_is_sent_when_one_recipient_is_refused() -> None:
    result = play(handoff(TWO), RCPT=["250 ok", "550 5.1.1 no such user"], END="250 ok")

    assert result.of("r1").accepted
    assert (result.of("r2").kind, result.of("r2").status, result.of("r2").code) == (
        ErrorKind.RECIPIENT,
        "550",
        "5.1.1",
    )


def test_refused_recipients_each_have_their_own_reason() -> None:
    result = play(handoff(TWO), RCPT=["451 4.7.1 later", "550 5.1.1 no such user"])

    assert [result.of(r).kind for r in ("r1", "r2")] == [ErrorKind.TEMPORARY, ErrorKind.RECIPIENT]


def test_a_421_at_a_recipient_ends_the_session_for_all() -> None:
    result = play(handoff(TWO), RCPT=["250 ok", "421 4.3.2 closing"])

    assert {result.of(r).kind for r in ("r1", "r2")} == {ErrorKind.SERVER}


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        ("greeting", ErrorKind.UNREACHABLE),
        ("EHLO", ErrorKind.UNREACHABLE),
        ("MAIL", ErrorKind.SERVER),
        ("RCPT", ErrorKind.SERVER),
        ("DATA", ErrorKind.SERVER),
        ("END", ErrorKind.AMBIGUOUS),
    ],
)
def test_only_a_connection_lost_after_the_final_dot_is_ambiguous(command: str, kind: ErrorKind) -> None:
    assert play(handoff(), **{command: HANG_UP}).reply.kind is kind


def test_an_endless_reply_is_cut() -> None:
    flood = "\r\n".join(["220-blah blah blah"] * 10_000)

    assert play(handoff(), greeting=flood).reply.kind is ErrorKind.UNREACHABLE


def test_a_session_is_used_for_several_mails() -> None:
    script = Script()
    with running(script) as server, provider(server) as smtp:
        assert all(smtp.send(handoff()).reply.accepted for _ in range(3))

    assert (script.connections, len(script.mails)) == (1, 3)


def test_a_session_that_the_server_ended_is_replaced() -> None:
    script = Script()
    with running(script) as server, provider(server) as smtp:
        assert smtp.send(handoff()).reply.accepted
        server.cut()
        assert smtp.send(handoff()).reply.accepted

    assert (script.connections, len(script.mails)) == (2, 2)


def test_a_kept_session_that_is_told_to_leave_is_replaced() -> None:
    script = Script({"MAIL": ["250 ok", "421 4.4.2 idle too long", "250 ok"]})
    with running(script) as server, provider(server) as smtp:
        assert smtp.send(handoff()).reply.accepted
        assert smtp.send(handoff()).reply.accepted

    assert script.connections == 2


def test_a_refused_mail_does_not_spoil_the_next_one() -> None:
    script = Script({"RCPT": ["550 5.1.1 no such user", "250 ok"]})
    with running(script) as server, provider(server) as smtp:
        assert smtp.send(handoff()).reply.kind is ErrorKind.RECIPIENT
        assert smtp.send(handoff()).reply.accepted

    assert script.connections == 1
    assert "RSET" in script.seen


def test_the_envelope_and_the_octets() -> None:
    script = Script(extensions=("SIZE 100000", "8BITMIME"))
    mail = handoff(replace(TWO, text=".dot\n..two\n", html="", bcc=(Address("eve@bücher.example"),)))
    with running(script) as server, provider(server, ehlo_name="flute.example") as smtp:
        smtp.send(mail)

    assert script.seen[0].upper() == "EHLO FLUTE.EXAMPLE"
    assert script.seen[1].startswith("MAIL FROM:<news@flutemail.io> SIZE=")
    assert script.seen[2:6] == [
        "RCPT TO:<ada@example.com>",
        "RCPT TO:<bob@example.com>",
        "RCPT TO:<eve@xn--bcher-kva.example>",
        "DATA",
    ]
    assert b"\r\n\r\n..dot\r\n...two\r\n" in script.mails[0]
    assert b"Message-ID: <attempt-1@flutemail.io>\r\n" in script.mails[0]
    assert b"eve" not in script.mails[0]


def test_what_the_server_does_not_take_is_not_begun() -> None:
    script = Script(extensions=("SIZE 100",))
    with running(script) as server, provider(server) as smtp:
        large = smtp.send(handoff()).reply
    script = Script()
    with running(script) as server, provider(server) as smtp:
        foreign = smtp.send(handoff(replace(SIMPLE, to=(Address("jürgen@example.com"),)))).reply

    assert (large.kind, foreign.kind) == (ErrorKind.TOO_LARGE, ErrorKind.REQUEST)
    assert not any(line.startswith("MAIL") for line in script.seen)


def test_non_ascii_addresses_with_smtputf8() -> None:
    script = Script(extensions=("SMTPUTF8",))
    with running(script) as server, provider(server) as smtp:
        assert smtp.send(handoff(replace(SIMPLE, to=(Address("jürgen@bücher.example"),)))).reply.accepted

    assert "MAIL FROM:<news@flutemail.io> SMTPUTF8" in script.seen
    assert "RCPT TO:<jürgen@xn--bcher-kva.example>" in script.seen


def test_a_line_break_in_the_mail_is_the_messages_fault() -> None:
    spoiled = handoff(replace(SIMPLE, to=(Address("ada@example.com>\r\nRCPT TO:<eve@example.com"),)))

    assert play(spoiled).reply.kind is ErrorKind.MESSAGE


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sandbox")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.mark.parametrize("security", ["starttls", "tls"])
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5"])
def test_tls_and_login(certificate: Path, security: str, mechanism: str) -> None:
    script = Script({}, ("STARTTLS", f"AUTH {mechanism}"), tls(certificate), tls_at_once=security == "tls")
    fields = {"security": security, "username": "me", "password": "password"}
    with running(script) as server, provider(server, ca_file=str(certificate), **fields) as smtp:
        checked = smtp.check()
        assert checked.ok, checked.text
        assert smtp.send(handoff()).reply.accepted

    assert script.mails
    assert any(line.startswith(f"AUTH {mechanism}") for line in script.seen)
    assert ("STARTTLS" in script.seen) is (security == "starttls")


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_passwords_are_utf8(mechanism: str) -> None:
    script = Script({}, (f"AUTH {mechanism}",))
    with running(script) as server, provider(server, username="jürgen", password="pässwort") as smtp:
        assert smtp.check().ok

    assert "pässwort" in b64decode(script.seen[1 if mechanism == "PLAIN" else 2].split()[-1]).decode()


def test_a_refused_login_does_not_show_the_password() -> None:
    script = Script({"AUTH": ["535 5.7.8 no: AG1lAHBhc3N3b3Jk password"]}, ("AUTH PLAIN",))
    with running(script) as server, provider(server, username="me", password="password") as smtp:
        reply = smtp.send(handoff()).reply
        checked = smtp.check()

    assert (reply.kind, reply.text) == (ErrorKind.AUTH, "5.7.8 no: [secret] [secret]")
    assert not checked.ok
    assert "password" not in checked.text + repr(smtp) + repr(vars(smtp)["_server"])


def test_no_mail_without_the_encryption_that_was_asked_for() -> None:
    script = Script()
    with running(script) as server, provider(server, security="starttls") as smtp:
        reply = smtp.send(handoff()).reply

    assert (reply.kind, "STARTTLS" in reply.text) == (ErrorKind.UNREACHABLE, True)
    assert not script.mails


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_an_unknown_certificate_is_refused(certificate: Path, security: str) -> None:
    script = Script({}, ("STARTTLS",), tls(certificate), tls_at_once=security == "tls")
    with running(script) as server, provider(server, security=security) as smtp:
        reply = smtp.send(handoff()).reply

    assert reply.kind is ErrorKind.UNREACHABLE
    assert "certificate" in reply.text
    assert not script.mails


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"host": "smtp://x"}, "host"),
        ({"host": "x y"}, "host"),
        ({"host": "x", "port": "0"}, "port"),
        ({"host": "x", "port": "smtp"}, "port"),
        ({"host": "x", "security": "maybe"}, "security"),
        ({"host": "x", "username": "me"}, "password"),
        ({"host": "x", "password": "p"}, "username"),
        ({"host": "x", "ehlo_name": "a b"}, "ehlo_name"),
        ({}, "host"),
    ],
)
def test_fields_are_checked(fields: dict[str, str], wrong: str) -> None:
    with pytest.raises(CredentialError) as refused:
        Smtp.validate(fields)
    assert refused.value.field == wrong
