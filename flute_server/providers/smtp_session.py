"""One SMTP connection: opened, made secure, logged in, and used for one mail after the other.

smtplib speaks the protocol; what is added here: the checked connection, a bound on the whole of every wait,
the reply to the final dot (smtplib drops it), and the knowledge of the stage at which something went wrong.
"""

from __future__ import annotations

import base64
import contextlib
import re
import smtplib
import socket
import time
from dataclasses import dataclass, field
from typing import Any

from flute_server import egress

MAX_REPLY = 64 * 1024
_ENHANCED = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.])")


@dataclass(frozen=True, slots=True)
class Server:
    """Where to connect, and how."""

    host: str
    port: int
    security: str  # starttls, tls or none
    username: str = ""
    password: str = field(default="", repr=False)
    ehlo_name: str = ""
    connect_timeout_s: float = 5.0
    answer_timeout_s: float = 30.0
    allow_private: bool = False
    ca_file: str = ""


@dataclass(frozen=True, slots=True)
class Envelope:
    """What one transaction carries. `utf8`: an address in it cannot be written in ASCII.

    envelope_id: what delivery reports repeat (RFC 3461 section 4.4); empty: none are asked for.
    """

    sender: str
    recipients: tuple[str, ...]
    content: bytes = field(repr=False)
    utf8: bool = False
    envelope_id: str = ""


@dataclass(frozen=True, slots=True)
class SmtpReply:
    """A server's reply, and its stage: greeting, hello, tls, login, sender, recipient, data or content."""

    stage: str
    code: int
    text: str

    @property
    def enhanced(self) -> str:
        """The enhanced status code (RFC 3463); empty when there is none."""
        match = _ENHANCED.search(self.text)
        return match[1] if match else ""

    @property
    def positive(self) -> bool:
        return 200 <= self.code < 300


class Refused(Exception):
    """The server said no to the session or to the whole transaction."""

    def __init__(self, reply: SmtpReply) -> None:
        super().__init__(f"{reply.code} {reply.text}")
        self.reply = reply


class Broken(Exception):
    """The connection failed. `committed`: the final dot had left, and no reply to it came."""

    def __init__(self, text: str, stage: str, *, committed: bool = False) -> None:
        super().__init__(text)
        self.stage = stage
        self.committed = committed


class Session:
    """A connection ready for mail. Used by one thread at a time."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._link = _Link(server)
        self._stage = "connect"
        self._committed = False
        self.mails = 0
        self.used_at = time.monotonic()

    def open(self) -> None:
        """Raises Refused or Broken; then the connection is closed."""
        try:
            with self._watch():
                self._open()
        except BaseException:
            self.close()
            raise

    def transact(self, envelope: Envelope) -> tuple[SmtpReply, dict[str, SmtpReply]]:
        """Hand over one mail: the reply to it, and the refusals by recipient.

        When all recipients are refused, the reply is the first refusal. Raises Refused or Broken.
        """
        with self._watch():
            self._need(envelope)
            self._say("sender", "MAIL", f"FROM:<{envelope.sender}>{self._options(envelope)}")
            refused = self._recipients(envelope)
            if len(refused) == len(envelope.recipients):
                return next(iter(refused.values())), refused
            self._say("data", "DATA", expected=354)
            reply = self._content(envelope.content)
        self.mails += 1
        self.used_at = time.monotonic()
        return reply, refused

    def reset(self) -> bool:
        """Clear a transaction that did not come to its end; whether the session can be used again."""
        try:
            with self._watch():
                self._say("sender", "RSET")
        except (Refused, Broken):
            return False
        return True

    def close(self) -> None:
        """Take leave without waiting for the reply."""
        with contextlib.suppress(OSError, smtplib.SMTPException):
            self._link.allow(1.0)
            self._link.putcmd("QUIT")
        self._link.close()

    # Opening.

    def _open(self) -> None:
        server = self._server
        self._link.allow(server.connect_timeout_s + server.answer_timeout_s)
        self._stage = "greeting"
        self._expect(self._link.connect(server.host, server.port), 220)
        self._hello()
        if server.security == "starttls":
            self._start_tls()
            self._hello()
        if server.username:
            self._stage = "login"
            self._expect(self._login(), 235)

    def _hello(self) -> None:
        self._stage = "hello"
        name = self._server.ehlo_name or self._link.literal()
        code, text = self._link.ehlo(name)
        if code >= 500:  # a server that knows no extensions (RFC 5321 section 3.2)
            code, text = self._link.helo(name)
        self._expect((code, text), 250)

    def _start_tls(self) -> None:
        self._stage = "tls"
        if not self._link.has_extn("starttls"):
            raise Broken("the server does not offer STARTTLS; choose tls or none, or another port", "tls")
        try:
            self._link.starttls(context=egress.tls_context("smtp", self._server.ca_file))
        except smtplib.SMTPResponseException as error:
            raise Refused(_reply("tls", error.smtp_code, error.smtp_error)) from error

    def _login(self) -> tuple[int, Any]:
        """PLAIN or LOGIN in UTF-8 (RFC 4616); smtplib's own would fail on anything but ASCII."""
        user, password = self._server.username, self._server.password
        offered = self._link.esmtp_features.get("auth", "").upper().split()
        if "PLAIN" in offered:
            return self._link.docmd("AUTH", f"PLAIN {_base64(f'{chr(0)}{user}{chr(0)}{password}')}")
        if "LOGIN" in offered:
            code, text = self._link.docmd("AUTH", f"LOGIN {_base64(user)}")
            return self._link.docmd(_base64(password)) if code == 334 else (code, text)
        if "CRAM-MD5" in offered:
            return self._cram_md5(user, password)
        raise Refused(SmtpReply("login", 0, "the server offers no login with user name and password here"))

    def _cram_md5(self, user: str, password: str) -> tuple[int, Any]:
        self._link.user, self._link.password = user, password
        try:
            return self._link.auth("CRAM-MD5", self._link.auth_cram_md5)
        except smtplib.SMTPAuthenticationError as error:
            return error.smtp_code, error.smtp_error
        except UnicodeError:
            raise Refused(SmtpReply("login", 0, "CRAM-MD5 takes ASCII passwords only")) from None

    # A transaction.

    def _need(self, envelope: Envelope) -> None:
        if envelope.utf8 and not self._link.has_extn("smtputf8"):
            raise Refused(SmtpReply("utf8", 0, "the server takes no non-ASCII addresses (no SMTPUTF8)"))
        limit = self._link.esmtp_features.get("size", "")
        if limit.isdecimal() and 0 < int(limit) < len(envelope.content):
            text = f"the mail has {len(envelope.content):,} octets, the server takes {int(limit):,}"
            raise Refused(SmtpReply("size", 0, text))
        self._link.command_encoding = "utf-8" if envelope.utf8 else "ascii"

    def _options(self, envelope: Envelope) -> str:
        size = f" SIZE={len(envelope.content)}" if self._link.has_extn("size") else ""
        reports = f" RET=HDRS ENVID={_xtext(envelope.envelope_id)}" if self._reports(envelope) else ""
        return size + (" SMTPUTF8" if envelope.utf8 else "") + reports

    def _reports(self, envelope: Envelope) -> bool:
        """Whether to ask for delivery reports (RFC 3461)."""
        return bool(envelope.envelope_id) and self._link.has_extn("dsn")

    def _recipients(self, envelope: Envelope) -> dict[str, SmtpReply]:
        refused = {}
        self._stage = "recipient"
        asked = self._reports(envelope)
        for address in envelope.recipients:
            options = _notify(address) if asked else ""
            reply = _reply("recipient", *self._link.docmd("RCPT", f"TO:<{address}>{options}"))
            if reply.code == 421:  # the session ends here, so nobody gets anything
                raise Refused(reply)
            if not reply.positive:
                refused[address] = reply
        return refused

    def _content(self, content: bytes) -> SmtpReply:
        self._stage = "content"
        self._link.allow(self._server.answer_timeout_s)
        self._link.send(re.sub(rb"(?m)^\.", b"..", content) + b".\r\n")
        self._committed = True
        self._link.allow(self._server.answer_timeout_s)
        reply = _reply("content", *self._link.getreply())
        self._committed = False
        if not reply.positive:
            raise Refused(reply)
        return reply

    # Both.

    def _say(self, stage: str, *command: str, expected: int = 250) -> None:
        """A command that has to be answered so; the allowance of time starts with it."""
        self._stage = stage
        self._link.allow(self._server.answer_timeout_s)
        self._expect(self._link.docmd(*command), expected)

    def _expect(self, answer: tuple[int, Any], code: int) -> None:
        if answer[0] != code:
            raise Refused(_reply(self._stage, *answer))

    @contextlib.contextmanager
    def _watch(self) -> Any:  # noqa: ANN401 (a generator for contextmanager)
        """The one place that knows foreign errors."""
        self._committed = False
        try:
            yield
        except (OSError, smtplib.SMTPException, egress.NotSent) as error:
            raise Broken(egress.words(error), self._stage, committed=self._committed) from error


class _Link(smtplib.SMTP):
    """smtplib's client over a checked connection with bounded waits."""

    def __init__(self, server: Server) -> None:
        super().__init__(local_hostname="localhost", timeout=server.connect_timeout_s)
        self._server = server
        self._host = server.host  # what starttls expects in the certificate
        self._allowance = egress.Allowance(0.0)

    def allow(self, seconds: float) -> None:
        """From now on everything sent and read has to be done in this time."""
        self._allowance.deadline = time.monotonic() + seconds

    def literal(self) -> str:
        """Our address as EHLO argument, for hosts without a name (RFC 5321 section 4.1.3)."""
        address = str(self.sock.getsockname()[0]).partition("%")[0] if self.sock else "127.0.0.1"
        return f"[IPv6:{address}]" if ":" in address else f"[{address}]"

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        sock = egress.connect(host, port, timeout, allow_private=self._server.allow_private)
        if self._server.security != "tls":
            return sock
        try:
            sock.settimeout(timeout)
            return egress.tls_context("smtp", self._server.ca_file).wrap_socket(sock, server_hostname=host)
        except OSError:
            sock.close()
            raise

    def send(self, s: Any) -> None:  # noqa: ANN401 (smtplib's own signature)
        if self.sock is not None:
            self.sock.settimeout(max(self._allowance.deadline - time.monotonic(), 0.001))
        super().send(s)

    def getreply(self) -> tuple[int, bytes]:
        self._allowance.octets = MAX_REPLY
        if self.file is None and self.sock is not None:
            self.file = egress.BoundedSocket(self.sock, self._allowance).makefile()
        return super().getreply()


def _reply(stage: str, code: int, text: bytes | str) -> SmtpReply:
    said = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return SmtpReply(stage, code, " ".join(said.split()))


def _notify(address: str) -> str:
    """Reports of failure and delay, naming the address as we know it (RFC 3461 sections 4.1 and 4.2)."""
    original = f" ORCPT=rfc822;{_xtext(address)}" if address.isascii() else ""
    return f" NOTIFY=FAILURE,DELAY{original}"


def _xtext(text: str) -> str:
    """RFC 3461 section 4."""
    return "".join(c if "!" <= c <= "~" and c not in "+=" else f"+{ord(c):02X}" for c in text)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
