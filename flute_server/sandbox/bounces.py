"""Delivering bounces: a small SMTP client that keeps its connections."""

from __future__ import annotations

import asyncio
import re

from flute_server.sandbox.dsn import REPORTER, Notice, notice
from flute_server.sandbox.poster import Batch, Verdict

TIMEOUT_S = 10.0
_DOTS = re.compile(rb"^\.", re.MULTILINE)


class Said(Exception):
    """The server refused a command."""

    def __init__(self, reply: str) -> None:
        super().__init__(reply)
        self.reply = reply


class Session:
    """One open connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, server: tuple[str, int]) -> Session:
        """Raises OSError or Said."""
        session = cls(*await asyncio.open_connection(*server))
        try:
            await session._expect("2")
            await session._command(f"EHLO {REPORTER}")
        except BaseException:
            session.close()
            raise
        return session

    async def deliver(self, mail: Notice) -> str:
        """The reply to the final dot. Raises OSError or Said."""
        utf8 = "" if mail.recipient.isascii() else " SMTPUTF8"
        eight_bit = "" if mail.content.isascii() else " BODY=8BITMIME"
        await self._command(f"MAIL FROM:<{mail.sender}>{eight_bit}{utf8}")
        await self._command(f"RCPT TO:<{mail.recipient}>")
        await self._command("DATA", "3")
        self._writer.write(_DOTS.sub(b"..", mail.content) + b".\r\n")
        return await self._expect("2")

    def close(self) -> None:
        self._writer.close()

    async def _command(self, line: str, wanted: str = "2") -> str:
        self._writer.write(line.encode() + b"\r\n")
        return await self._expect(wanted)

    async def _expect(self, wanted: str) -> str:
        """The last line of a reply of this class."""
        while True:
            line = (await self._reader.readline()).decode("utf-8", "replace").rstrip()
            if not line:
                raise ConnectionResetError("the server hung up")
            if line[3:4] != "-":
                break
        if not line.startswith(wanted):
            raise Said(line)
        return line


class Bounces:
    """Where DSNs go, set up over the control port."""

    def __init__(self) -> None:
        self.server: tuple[str, int] | None = None
        self._idle: list[tuple[tuple[str, int], Session]] = []

    async def deliver(self, batch: Batch) -> Verdict:
        server = self.server
        if server is None:
            return Verdict("", "no mail server", taken=False, final=True)
        url = f"smtp://{server[0]}:{server[1]}"
        try:
            async with asyncio.timeout(TIMEOUT_S):
                reply = await self._send(server, notice(batch.items[0].event))
        except Said as refusal:
            # Nobody is told of a bounce that bounces: a 5xx is the end of it.
            return Verdict(url, refusal.reply, taken=False, final=refusal.reply.startswith("5"))
        except (OSError, TimeoutError) as error:
            return Verdict(url, type(error).__name__, taken=False)
        return Verdict(url, reply, taken=True)

    def close(self) -> None:
        for _, session in self._idle:
            session.close()
        self._idle.clear()

    async def _send(self, server: tuple[str, int], mail: Notice) -> str:
        session = self._rested(server)
        if session is not None:
            try:
                return await self._with(server, session, mail)
            except OSError:
                # It went away while it was idle: that says nothing about the mail.
                pass
        return await self._with(server, await Session.open(server), mail)

    async def _with(self, server: tuple[str, int], session: Session, mail: Notice) -> str:
        try:
            reply = await session.deliver(mail)
        except BaseException:
            session.close()
            raise
        self._idle.append((server, session))
        return reply

    def _rested(self, server: tuple[str, int]) -> Session | None:
        while self._idle:
            where, session = self._idle.pop()
            if where == server:
                return session
            session.close()
        return None
