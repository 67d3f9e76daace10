"""The mail server for bounces: takes mail for signed return paths and for nothing else.

It listens to the whole world, so everything is bounded: connections, their life, commands, mails, memory. A
mail is acknowledged when it is durable and not before; until then its sender keeps it and comes again.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP, Envelope, Session

from flute_server.bounces.mail import MAX_OCTETS

Accepts = Callable[[str], bool]
Store = Callable[[str, bytes], None]

UNKNOWN = "550 5.1.1 No such return path"
NOT_NOW = "451 4.3.0 The mail could not be stored, try again later"
TAKEN = "250 2.0.0 Stored"
TOO_LARGE = "552 5.3.4 The mail is too large"
BLOCK = 64 * 1024  # of a mail's content; the wait for each is bounded
BUSY = b"421 4.3.2 Too many connections, try again later\r\n"

log = logging.getLogger(__name__)
# aiosmtpd logs addresses and every line.
logging.getLogger("mail.log").setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True)
class Limits:
    """max_octets: of a mail, announced as SIZE; of those only the first MB is kept (mail.py says why)."""

    max_octets: int = 10 * 1024 * 1024
    connections: int = 100
    connections_per_host: int = 20
    idle_s: float = 300.0  # RFC 5321 section 4.5.3.2.7
    session_s: float = 1800.0
    commands: int = 500
    recipients: int = 100  # RFC 5321 section 4.5.3.1.8
    stores: int = 8  # at once


class Receiver:
    """Listens in the running event loop. `store` is called in threads and raises what it could not keep."""

    def __init__(
        self, accepts: Accepts, store: Store, *, lmtp: bool = False, limits: Limits | None = None
    ) -> None:
        self.accepts = accepts
        self.limits = limits or Limits()
        self.hostname = socket.getfqdn()  # once: it may ask the DNS
        self.connections: dict[asyncio.BaseTransport, str] = {}
        self._store = store
        self._kind: type[_Smtp] = _Lmtp if lmtp else _Smtp
        self._threads = ThreadPoolExecutor(self.limits.stores, "store-bounce")
        self._server: asyncio.Server | None = None
        self._busy = 0

    async def open(self, host: str, port: int) -> int:
        """Listen; answers with the port. Raises OSError."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: self._kind(self), host, port, backlog=128)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self, patience_s: float = 20.0) -> None:
        """Stop listening, finish what is being stored, and hang up."""
        if self._server is not None:
            self._server.close()
        waited = 0.0
        while self._busy and waited < patience_s:
            await asyncio.sleep(0.05)
            waited += 0.05
        for transport in list(self.connections):
            transport.close()
        await asyncio.sleep(0)  # lets the sessions notice
        self._threads.shutdown(wait=False, cancel_futures=True)

    def admit(self, transport: asyncio.BaseTransport) -> bool:
        """Whether one more connection, and one more of that host, is within bounds."""
        host = str((transport.get_extra_info("peername") or ("",))[0])
        same = sum(other == host for other in self.connections.values())
        if len(self.connections) >= self.limits.connections or same >= self.limits.connections_per_host:
            return False
        self.connections[transport] = host
        return True

    async def keep(self, recipient: str, raw: bytes) -> str:
        """Store one mail for one recipient; the reply to it."""
        self._busy += 1
        try:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._threads, self._store, recipient, raw)
        except Exception:
            log.warning("a bounce could not be stored; its sender keeps it", exc_info=True)
            return NOT_NOW
        finally:
            self._busy -= 1
        return TAKEN


class _Dialogue:
    """aiosmtpd's hooks."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if not self._receiver.accepts(address):
            return UNKNOWN
        if len(envelope.rcpt_tos) >= self._receiver.limits.recipients:
            return "452 4.5.3 Too many recipients"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_exception(self, error: Exception) -> str:
        """Our own bug: a 5xx, as aiosmtpd would say, would lose the mail."""
        log.error("a session failed", exc_info=error)
        return NOT_NOW


class _Smtp(SMTP):
    """One session. Reads a mail itself: aiosmtpd keeps an object for every line of it."""

    line_length_limit = 64 * 1024  # some bouncers break no lines; RFC 5321's 1,000 would lose their mail

    def __init__(self, receiver: Receiver) -> None:
        limits = receiver.limits
        super().__init__(
            _Dialogue(receiver),
            data_size_limit=limits.max_octets,
            enable_SMTPUTF8=True,
            hostname=receiver.hostname,
            ident="Flute",
            timeout=limits.idle_s,
            auth_exclude_mechanism=["LOGIN", "PLAIN"],
            command_call_limit=limits.commands,
            loop=asyncio.get_running_loop(),
        )
        self._receiver = receiver
        self._end: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not self._receiver.admit(transport):
            if isinstance(transport, asyncio.Transport):
                transport.write(BUSY)
            transport.close()
            return
        self._end = asyncio.get_running_loop().call_later(self._receiver.limits.session_s, transport.close)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self._end is None:  # never admitted
            return
        self._end.cancel()
        if self.transport is not None:
            self._receiver.connections.pop(self.transport, None)
        super().connection_lost(error)

    def eof_received(self) -> bool | None:
        return super().eof_received() if self._end else None

    def data_received(self, data: bytes) -> None:
        if self._end:
            super().data_received(data)

    async def smtp_DATA(self, arg: str | None) -> None:
        refusal = self._out_of_order(arg)
        if refusal:
            await self.push(refusal)
            return
        await self.push("354 End data with <CR><LF>.<CR><LF>")
        content, octets = await self._content()
        envelope = self.envelope or Envelope()
        self.envelope = Envelope()
        if octets > self._receiver.limits.max_octets:
            replies = [TOO_LARGE for _ in envelope.rcpt_tos]
        else:
            raw = _return_path(envelope) + content
            replies = [await self._receiver.keep(address, raw) for address in envelope.rcpt_tos]
        await self._answer(replies)

    def _out_of_order(self, arg: str | None) -> str:
        if self.session is None or not self.session.host_name:
            return "503 5.5.1 Say hello first"
        if self.envelope is None or not self.envelope.rcpt_tos:
            return "503 5.5.1 Name a recipient first"
        return "501 5.5.4 Syntax: DATA" if arg else ""

    async def _content(self) -> tuple[bytes, int]:
        """The top of the mail and the size of all of it, dots unstuffed (RFC 5321 section 4.5.2).

        Only CR LF ends a line: whoever takes less can be made to see mails that nobody sent.
        """
        kept, octets, fresh = bytearray(), 0, True
        while True:
            try:
                piece = await self._reader.readuntil(b"\r\n")
                if fresh and piece == b".\r\n":
                    return bytes(kept), octets
            except asyncio.LimitOverrunError as error:
                piece = await self._reader.read(error.consumed)
            if octets // BLOCK != (octets + len(piece)) // BLOCK:
                self._reset_timeout()
            octets += len(piece)
            if len(kept) < MAX_OCTETS:
                kept += piece[1:] if fresh and piece.startswith(b".") else piece
            fresh = piece.endswith(b"\r\n")

    async def _answer(self, replies: list[str]) -> None:
        """One reply to the mail: good only if all are. What was stored anyway comes again, known."""
        await self.push(next((reply for reply in replies if reply != TAKEN), TAKEN))


class _Lmtp(_Smtp, LMTP):
    """RFC 2033: one reply for every recipient."""

    async def _answer(self, replies: list[str]) -> None:
        for reply in replies:
            await self.push(reply)


def _return_path(envelope: Envelope) -> bytes:
    """What the last mail server writes on top (RFC 5321 section 4.4)."""
    sender = (envelope.mail_from or "").strip("<>")
    return f"Return-Path: <{sender}>\r\n".encode("utf-8", "surrogateescape")
