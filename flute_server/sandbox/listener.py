"""A port that can really go away: refuse or reset connections, and come back under the same number."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable

PICK_ATTEMPTS = 20


class PortTaken(Exception):
    """The wanted port is in use; `port` says which one."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(f"port {port} on {host} is taken; name a free one or 0 to have one picked")
        self.port = port


class Listener:
    """Listens for one provider. Closing it keeps the port's number reserved for the way back."""

    def __init__(self, host: str, port: int, factory: Callable[[], asyncio.Protocol]) -> None:
        self._factory = factory
        self._server: asyncio.Server | None = None
        self._socket = bind(host, port)
        self.host = host
        self.port: int = self._socket.getsockname()[1]

    @property
    def listening(self) -> bool:
        return self._server is not None

    async def open(self) -> None:
        """Accept connections (again)."""
        if self._server is None:
            self._reserve(False)
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(self._factory, sock=self._socket.dup(), backlog=1024)

    def close(self) -> None:
        """Refuse connections from now on; the kernel answers them itself."""
        if self._server is None:
            return
        # On Linux a shutdown takes the socket out of LISTEN and leaves it bound: no other process can
        # take the port, and no client can connect to itself by being given it as its source port.
        self._socket.shutdown(socket.SHUT_RD)
        self._server.close()
        self._server = None
        self._reserve(True)

    def release(self) -> None:
        """Stop for good and give the port back."""
        self.close()
        self._socket.close()

    def _reserve(self, exclusive: bool) -> None:
        """While down, nobody may bind our number; while up, connections in TIME_WAIT must not hinder us."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0 if exclusive else 1)


def bind(host: str, port: int) -> socket.socket:
    """A bound socket that does not listen yet. Port 0 picks a free one. Raises PortTaken."""
    if port:
        return _bind_exactly(host, port)
    for _ in range(PICK_ATTEMPTS):
        with _new_socket(host) as probe:
            probe.bind((host, 0))
            picked = probe.getsockname()[1]
        try:
            # Bound by number: Linux forgets an automatic one when listening stops.
            return _bind_exactly(host, picked)
        except PortTaken:
            continue
    raise PortTaken(host, 0)


def reset(transport: asyncio.BaseTransport | None) -> None:
    """Drop the connection with a TCP reset (linger time 0), so that the peer sees ECONNRESET."""
    if not isinstance(transport, asyncio.Transport):
        return
    raw = transport.get_extra_info("socket")
    if raw is not None and raw.fileno() != -1:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


class ResetProtocol(asyncio.Protocol):
    """Accepts a connection and resets it before reading a single octet."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        reset(transport)


def _new_socket(host: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.socket(family, socket.SOCK_STREAM)


def _bind_exactly(host: str, port: int) -> socket.socket:
    sock = _new_socket(host)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        # Two sockets may share a number until one of them listens: find out now, not at the first call.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    except OSError as error:
        sock.close()
        raise PortTaken(host, port) from error
    return sock
