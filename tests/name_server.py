"""A small DNS server on loopback, with the records that a test gives it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

Zone = dict[tuple[str, str], list[str]]


class NameServer:
    """zone: (host, type) -> values as people write them. silent: it answers nothing; broken: SERVFAIL."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(0.1)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="name server")
        self.zone: Zone = {}
        self.asked: list[tuple[str, str]] = []
        self.silent = self.broken = False
        self._thread.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._socket.getsockname()[1]}"

    def reset(self, zone: Zone | None = None) -> None:
        self.zone, self.asked, self.silent, self.broken = dict(zone or {}), [], False, False

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while not self._over.is_set():
            with suppress(TimeoutError, dns.exception.DNSException):
                data, sender = self._socket.recvfrom(4096)
                answer = self._answer(dns.message.from_wire(data))
                if not self.silent:
                    self._socket.sendto(answer.to_wire(), sender)

    def _answer(self, query: dns.message.Message) -> dns.message.Message:
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        asked = query.question[0]
        host, type_ = asked.name.to_text(omit_final_dot=True).lower(), dns.rdatatype.to_text(asked.rdtype)
        self.asked.append((host, type_))
        if self.broken:
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif not self._fill(answer, host, type_):
            known = any(name == host or name.endswith(f".{host}") for name, _ in self.zone)
            answer.set_rcode(dns.rcode.NOERROR if known else dns.rcode.NXDOMAIN)
        return answer

    def _fill(self, answer: dns.message.Message, host: str, type_: str) -> bool:
        """Add the records, and those that an alias leads to."""
        alias = self.zone.get((host, "CNAME"))
        kind = "CNAME" if alias else type_
        values = alias or self.zone.get((host, type_))
        if not values:
            return False
        texts = [_quoted(value) if kind == "TXT" else value for value in values]
        answer.answer.append(dns.rrset.from_text(f"{host}.", 60, "IN", kind, *texts))
        if alias and type_ != "CNAME":
            self._fill(answer, alias[0].rstrip("."), type_)
        return True


def _quoted(text: str) -> str:
    """Strings of up to 255 octets, as long records are split."""
    parts = [text[at : at + 255] for at in range(0, len(text), 255)]
    return " ".join('"' + part.replace("\\", "\\\\").replace('"', '\\"') + '"' for part in parts)


@contextmanager
def running_name_server() -> Iterator[NameServer]:
    server = NameServer()
    try:
        yield server
    finally:
        server.close()
