"""The sandbox's process: opens all ports, says where, serves until told to stop."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from flute_server.sandbox.control import Control
from flute_server.sandbox.http import HttpProvider
from flute_server.sandbox.inbox import Inbox
from flute_server.sandbox.listener import PortTaken, bind
from flute_server.sandbox.mailgun import Mailgun
from flute_server.sandbox.poster import EventLog
from flute_server.sandbox.postmark import Postmark
from flute_server.sandbox.provider import Provider
from flute_server.sandbox.sendgrid import SendGrid
from flute_server.sandbox.smtp import Smtp
from flute_server.sandbox.sparkpost import SparkPost

# In the order of their ports after the control port.
HTTP_PROVIDERS: tuple[type[HttpProvider], ...] = (SendGrid, Postmark, SparkPost, Mailgun)
NAMES = (*(kind.name for kind in HTTP_PROVIDERS), Smtp.name)
DEFAULT_PORT = 8025

# PEM files: the certificate with its chain, and its key.
Certificate = tuple[str, str]


class Running:
    """All the sandbox's servers in the present event loop."""

    def __init__(self, host: str, ports: dict[str, int], certificate: Certificate | None = None) -> None:
        self.inbox = Inbox()
        self.log = EventLog()
        self._tls = _server_context(certificate)
        self.host = host
        self.providers: dict[str, Provider] = {}
        self._runner: web.AppRunner | None = None
        self._ports = ports
        self.control_port = 0

    async def open(self) -> None:
        """Raises PortTaken; then nothing is left open."""
        control = bind(self.host, self._ports.get("control", 0))
        try:
            for kind in HTTP_PROVIDERS:
                await self._open(kind(self.inbox, self.log, self.host, self._ports.get(kind.name, 0)))
            await self._open(Smtp(self.inbox, self.log, self.host, self._ports.get(Smtp.name, 0), self._tls))
            await self._open_control(control)
        except PortTaken:
            control.close()
            await self.close()
            raise

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        for provider in self.providers.values():
            await provider.close()

    def describe(self) -> dict[str, Any]:
        """The handshake: where everything is, and what it accepts."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return {
            "control": f"http://{host}:{self.control_port}",
            "pid": os.getpid(),
            "providers": {name: provider.describe() for name, provider in self.providers.items()},
        }

    async def _open(self, provider: Provider) -> None:
        self.providers[provider.name] = provider
        await provider.listener.open()

    async def _open_control(self, sock: socket.socket) -> None:
        self.control_port = sock.getsockname()[1]
        # Connections of a sandbox that was killed may linger; they must not keep its ports from the next one.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        app = Control(self.inbox, self.log, self.providers).application()
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1)
        await self._runner.setup()
        await web.SockSite(self._runner, sock).start()


def _server_context(certificate: Certificate | None) -> ssl.SSLContext | None:
    if certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    return context


def choose_ports(host: str, port: int | None) -> dict[str, int]:
    """Control on `port`, the providers on the ones after it. None: the usual ones, or any where taken."""
    base = DEFAULT_PORT if port is None else port
    ports = {name: base + offset if base else 0 for offset, name in enumerate(("control", *NAMES))}
    if port is None:
        return {name: number if _free(host, number) else 0 for name, number in ports.items()}
    return ports


def _free(host: str, port: int) -> bool:
    try:
        bind(host, port).close()
    except PortTaken:
        return False
    return True


async def serve(
    host: str,
    ports: dict[str, int],
    ready: Callable[[dict[str, Any]], None],
    certificate: Certificate | None = None,
) -> None:
    """Run until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    running = Running(host, ports, certificate)
    await running.open()
    try:
        ready(running.describe())
        await stop.wait()
    finally:
        await running.close()


def write_ready_file(path: Path, description: dict[str, Any]) -> None:
    """Whoever sees the file sees all of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    unfinished.write_text(json.dumps(description, indent=2) + "\n")
    unfinished.replace(path)


def _leave_with_parent() -> None:
    """Standard input is a pipe from whoever started us: its end is theirs, however they died."""
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


def _announce(description: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(description) + "\n")
    sys.stdout.flush()


def main() -> None:
    """What flute_server.sandbox.start runs: settings in the first argument, the handshake on stdout."""
    settings = json.loads(sys.argv[1])
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    try:
        asyncio.run(serve(settings["host"], settings["ports"], _announce, settings["certificate"]))
    except PortTaken as error:
        _announce({"error": str(error)})
        sys.exit(1)


if __name__ == "__main__":
    main()
