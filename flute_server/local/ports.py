"""Choosing ports: the wanted one if it is free; else another, or a clear refusal if a person asked for it."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable

from .errors import LocalError

Say = Callable[[str], None]
_TRIES = 100


def is_free(host: str, port: int) -> bool:
    """Could a server listen there now?"""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do, for closed connections
        try:
            sock.bind((host, port))
            sock.listen(1)
        except OSError as error:
            if error.errno in {errno.EADDRINUSE, errno.EACCES}:
                return False
            raise LocalError(f"Nothing can listen on {host}:{port}: {error.strerror}.") from error
    return True


class Ports:
    """Hands out ports, no port twice."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._given: set[int] = set()

    def asked(self, host: str, port: int, what: str, setting: str) -> int:
        """The port that a person asked for with `setting`. Raises LocalError when it is taken."""
        if not self._available(host, port):
            raise LocalError(
                f"Port {port} on {host}, asked for with {setting}, is taken by another program. "
                f"End that program, or give {what} another port with {setting}."
            )
        self._given.add(port)
        return port

    def usual(self, host: str, port: int, what: str, setting: str, count: int = 1) -> int:
        """The usual port, or the first of `count` in a row; another if any of them is taken, and says so."""
        for first in range(port, min(port + _TRIES * count, 65536 - count), count):
            block = range(first, first + count)
            if all(self._available(host, number) for number in block):
                break
        else:
            raise LocalError(f"All ports from {port} on are taken on {host}. Choose one with {setting}.")
        if first != port:
            taken = next(n for n in range(port, port + count) if not self._available(host, n))
            self._say(f"port {taken} is taken by another program: {what} uses {first} instead")
        self._given.update(block)
        return first

    def _available(self, host: str, port: int) -> bool:
        return port not in self._given and is_free(host, port)


def split_address(address: str, setting: str) -> tuple[str, int]:
    """host:port or [host]:port in parts."""
    host, _, port = address.strip().rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise LocalError(f"{setting} must be an address such as 127.0.0.1:8080, not {address!r}.")
    return host.strip("[]"), int(port)


def join_address(host: str, port: int) -> str:
    """host:port, with brackets around an IPv6 host."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def reachable(host: str) -> str:
    """The address to use for a server that listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)
