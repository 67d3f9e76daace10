"""An SMTP submission server as the fact sheet (section 5) tells it."""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
import ssl
from collections.abc import Mapping
from secrets import token_hex
from typing import Any, AnyStr, ClassVar

from aiosmtpd.smtp import MISSING, SMTP, AuthResult, Envelope, LoginPassword, Session

from flute_server.sandbox.aftermath import let_overtake
from flute_server.sandbox.bounces import Bounces
from flute_server.sandbox.dsn import REPORTED
from flute_server.sandbox.events import Event
from flute_server.sandbox.fate import HISTORIES
from flute_server.sandbox.inbox import Entry, Inbox
from flute_server.sandbox.listener import Listener, ResetProtocol
from flute_server.sandbox.mail import Mail, is_address
from flute_server.sandbox.mime import objection, read_mail
from flute_server.sandbox.modes import OK, Effect, Mode, ModeError
from flute_server.sandbox.poster import EventLog, Outgoing
from flute_server.sandbox.provider import Provider

MAX_BYTES = 25 * 1024 * 1024
# 5.5: any server must take 100 recipients a transaction; this one takes no more.
MAX_RECIPIENTS = 100
USERNAME = "sandbox"
PASSWORD = "sandbox-password"  # noqa: S105 - what the sandbox accepts
AUTHENTICATION_REFUSED = "535 5.7.8 Authentication credentials invalid"

# Refusals of a whole transaction, at MAIL; with `domains` set the same is said at RCPT instead.
AT_MAIL: Mapping[str, str] = {
    "error": "421 4.3.2 Internal error, closing the channel, try again later",
    "rate_limited": "421 4.7.0 Too many messages from this account, slow down",
    "unauthorized": AUTHENTICATION_REFUSED,
    "quota": "550 5.4.5 Daily sending quota of this account exceeded",
    "sender_unverified": "553 5.7.1 Sender address not verified for this account",
}
AT_RECIPIENT: Mapping[str, str] = {
    **AT_MAIL,
    # A 421 would end the session for the other recipients too.
    "error": "451 4.3.0 Internal error, try again later",
    "rate_limited": "454 4.7.0 Too many messages for this domain, slow down",
    "reject_recipient": "550 5.1.1 <{}>: Recipient address rejected: user unknown",
    "suppress": "550 5.7.1 <{}>: on the suppression list of this account",
}

# As aiosmtpd hands it on: the sender of bounces (RFC 5321 section 4.5.5).
NULL_SENDER = "<>"
_STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")

# aiosmtpd tells of every command; the sandbox counts them instead. Its errors would be our bugs.
logging.getLogger("mail.log").setLevel(logging.ERROR)


class Smtp(Provider):
    """Plays a relay that wants a login."""

    name: ClassVar[str] = "smtp"
    scheme: ClassVar[str] = "smtp"
    credentials: ClassVar[dict[str, str]] = {"username": USERNAME, "password": PASSWORD}

    def __init__(
        self, inbox: Inbox, log: EventLog, host: str, port: int, tls: ssl.SSLContext | None = None
    ) -> None:
        self.bounces = Bounces()
        super().__init__(inbox, log, self.bounces.deliver)
        self.connections: set[Connection] = set()
        self._tls = tls
        self.listener = Listener(host, port, self._protocol)

    def read(self, entry: Entry) -> Mail:
        return read_mail(entry.raw or b"", entry.envelope_from, entry.recipients)

    def drop_connections(self) -> None:
        for connection in list(self.connections):
            if isinstance(connection.transport, asyncio.Transport):
                connection.transport.abort()

    async def close(self) -> None:
        self.listener.release()
        self.drop_connections()
        await self.poster.close()
        self.bounces.close()

    @property
    def listens(self) -> bool:
        return self.bounces.server is not None

    def tells(self, event: Event) -> bool:
        """A plain relay writes about failures alone, and never to the null sender."""
        return event.kind in REPORTED and bool(event.letter.return_path)

    def check_class(self, klass: str) -> None:
        if not _STATUS.fullmatch(klass):
            raise ModeError(f"the class of a bounce mail is an enhanced status code, not {klass!r}")

    def describe(self) -> dict[str, object]:
        return {**super().describe(), "bounces": self.describe_bounces()}

    def describe_bounces(self) -> dict[str, object]:
        """Where bounces are delivered."""
        host, port = self.bounces.server or (None, None)
        return {"host": host, "port": port}

    def _protocol(self) -> asyncio.Protocol:
        if self.mode.name == "reset" and self.mode.draw():
            self.calls.begin()
            self.calls.answer("reset")
            return ResetProtocol()
        return Connection(self, self._tls)


class Connection(SMTP):
    """One client's session."""

    def __init__(self, provider: Smtp, tls: ssl.SSLContext | None) -> None:
        super().__init__(
            Dialogue(provider),
            data_size_limit=MAX_BYTES,
            enable_SMTPUTF8=True,
            hostname="sandbox.flute.invalid",
            ident="Flute sandbox",
            tls_context=tls,
            auth_require_tls=False,
            authenticator=_authenticate,
            loop=asyncio.get_running_loop(),
        )
        self._provider = provider

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._provider.connections.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._provider.connections.discard(self)
        super().connection_lost(error)

    async def push(self, status: AnyStr) -> None:
        """Count what is refused; a 421 announces the end of the session, so end it."""
        text = status.decode("utf-8", "replace") if isinstance(status, bytes) else status
        if text[:1] in {"4", "5"}:
            self._provider.calls.answer(text[:3])
        await super().push(status)
        if text.startswith("421") and self.transport is not None:
            self.transport.close()


class Dialogue:
    """aiosmtpd's hooks: what this server says to each command. One for each session."""

    def __init__(self, provider: Smtp) -> None:
        self._provider = provider
        self._mode = OK

    async def handle_AUTH(self, server: SMTP, session: Session, envelope: Envelope, args: list[str]) -> Any:  # noqa: ANN401 - aiosmtpd's
        mode = self._provider.mode
        if mode.name == "unauthorized" and not mode.domains and mode.draw():
            self._provider.calls.begin()
            return AUTHENTICATION_REFUSED
        return MISSING

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if not session.authenticated:
            return "530 5.7.0 Authentication required"
        self._provider.calls.begin()
        mode = self._provider.mode
        self._mode = mode if mode.effect is not Effect.CONNECTION and mode.draw() else mode.otherwise()
        if address != NULL_SENDER and not is_address(address):
            return "501 5.1.7 Bad sender address syntax"
        if not address.isascii() and not envelope.smtp_utf8:
            return "553 5.6.7 A non-ASCII address needs SMTPUTF8"
        if self._mode.name in AT_MAIL and not self._mode.domains:
            return self._worded(AT_MAIL)
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 Sender OK"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if not is_address(address):
            return "501 5.1.3 Bad recipient address syntax"
        if not address.isascii() and not envelope.smtp_utf8:
            return "553 5.6.7 A non-ASCII address needs SMTPUTF8"
        if len(envelope.rcpt_tos) >= MAX_RECIPIENTS:
            return "452 4.5.3 Too many recipients"
        if self._mode.name in AT_RECIPIENT and self._mode.concerns(address):
            return self._worded(AT_RECIPIENT).format(address)
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Recipient OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        content = envelope.original_content or b""
        fault = objection(content, "BODY=8BITMIME" in envelope.mail_options, envelope.smtp_utf8)
        if fault:
            return f"554 {fault}"
        mode = self._mode if self._mode.concerned(envelope.rcpt_tos) else self._mode.otherwise()
        if mode.name == "reject_message":
            return "554 5.6.0 Message content rejected"
        queue_id, bounces = self._keep(envelope, content, mode)
        await let_overtake(mode, bounces)
        if mode.effect is Effect.ACCEPTED:
            await self._withhold(server, mode)
        self._provider.calls.answer("250")
        return f"250 2.0.0 OK: queued as {queue_id}"

    def _keep(self, envelope: Envelope, content: bytes, mode: Mode) -> tuple[str, list[Outgoing]]:
        queue_id = token_hex(6).upper()
        recipients = tuple(envelope.rcpt_tos)
        sender = "" if envelope.mail_from == NULL_SENDER else envelope.mail_from or ""
        entry = Entry("smtp", queue_id, sender, recipients, content, fate=mode)
        if mode.name not in HISTORIES:
            # Nothing to write about: spare the look into the mail.
            return queue_id, self._provider.keep(entry, None)
        return queue_id, self._provider.keep(entry, self._provider.read(entry))

    async def _withhold(self, server: SMTP, mode: Mode) -> None:
        """The mail is taken; what becomes of the reply to the final dot? Returns when it may be given."""
        if mode.name == "slow":
            await asyncio.sleep(mode.seconds)
            return
        self._provider.calls.answer(mode.name)
        if mode.name == "drop_answer" and isinstance(server.transport, asyncio.Transport):
            server.transport.abort()
        # Ends by being cancelled when the connection is gone.
        await asyncio.Event().wait()

    def _worded(self, replies: Mapping[str, str]) -> str:
        reply = replies[self._mode.name]
        if self._mode.name == "error" and self._mode.status:
            klass = self._mode.status // 100
            return f"{self._mode.status} {klass}.3.0 Internal error"
        return reply


def _authenticate(
    server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: LoginPassword
) -> AuthResult:
    """PLAIN and LOGIN with the sandbox's one account."""
    known = hmac.compare_digest(data.login, USERNAME.encode())
    right = hmac.compare_digest(data.password, PASSWORD.encode())
    return AuthResult(success=known and right, handled=False)
