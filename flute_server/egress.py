"""Outgoing connections to hosts that a tenant names (SMTP hosts, base URLs, webhooks).

A name is resolved once, every address is checked, and the connection goes to exactly the address that was
checked: a second look-up could answer differently (DNS rebinding). Redirects, proxies of the environment and
cookies are never followed or kept. Every wait is bounded as a whole, not per read, so that a peer which drips
one byte a second holds a thread no longer than one which says nothing.

    NotSent              the peer certainly does not have the request
    +-- AddressRefused   the address is private, and the operator did not allow that
    AnswerLost           the request went out whole, the answer did not come: it may or may not have worked
"""

from __future__ import annotations

import errno
import http.client
import io
import socket
import ssl
import time
from dataclasses import dataclass
from functools import lru_cache
from http.cookiejar import DefaultCookiePolicy
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, ClassVar
from urllib.parse import urlsplit

import certifi
import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

# Only 2000::/3 is handed out as global unicast (IANA IPv6 address space). Everything else is local, multicast
# or unused, and Python calls some of it global (fec0::/10, fe00::/9, 5f00::/16 in 3.11).
GLOBAL_UNICAST_6 = ip_network("2000::/3")
NAT64 = ip_network("64:ff9b::/96")  # RFC 6052: the last 32 bits are the IPv4 address that is reached
# Not global by the IANA special-purpose registries, but `is_global` in some 3.11 releases.
MORE_SPECIAL = tuple(ip_network(n) for n in ("192.0.0.0/24", "192.88.99.0/24", "3fff::/20", "2001::/23"))

# A kept-alive connection that lay idle longer is not reused: the peer may be about to close it, and a request
# that crosses with the close would be ambiguous. Load balancers commonly close after 60 s.
IDLE_LIMIT_S = 30.0

ALLOW_HINT = "the operator can allow private addresses with FLUTE_ALLOW_PRIVATE_ADDRESSES=1"


class NotSent(Exception):
    """The connection could not be made, or broke before the request had left completely."""


class AddressRefused(NotSent):
    """The host has no address that a tenant may name."""


class AnswerLost(Exception):
    """The request left completely; then the connection broke or the wait was over."""


def is_public(address: str) -> bool:
    """Whether a tenant may name this IP address: global unicast, also behind its IPv6 disguises."""
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address):
        inner = _embedded(ip)
        if inner is not None:
            return is_public(str(inner))
        if ip not in GLOBAL_UNICAST_6:
            return False
    return ip.is_global and not ip.is_multicast and not any(ip in network for network in MORE_SPECIAL)


def _embedded(ip: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that a translating or tunnelling IPv6 address leads to."""
    if ip in NAT64:
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour


def connect(host: str, port: int, timeout_s: float, *, allow_private: bool = False) -> socket.socket:
    """A TCP connection to one checked address of the host. Raises NotSent.

    `timeout_s` bounds all tries together, but not the look-up: resolv.conf bounds that (10 s by default).
    """
    addresses = _checked_addresses(host, port, allow_private)
    deadline = time.monotonic() + timeout_s
    failure: OSError = TimeoutError("timed out")
    for left, (family, address) in zip(range(len(addresses), 0, -1), addresses, strict=True):
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            break
        try:
            return _connect(family, address, remaining / left)
        except OSError as error:
            failure = error
    raise NotSent(f"cannot connect to {host}:{port}: {words(failure)}") from failure


def _checked_addresses(host: str, port: int, allow_private: bool) -> list[tuple[int, Any]]:
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NotSent(f"cannot resolve {host}: {words(error)}") from error
    checked: list[tuple[int, Any]] = [
        (family, addr) for family, _, _, _, addr in found if allow_private or is_public(str(addr[0]))
    ]
    if not checked:
        raise AddressRefused(f"{host} is at a private or reserved address ({found[0][4][0]}); {ALLOW_HINT}")
    return checked


def _connect(family: int, address: Any, timeout_s: float) -> socket.socket:  # noqa: ANN401 (shape depends on family)
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout_s)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.connect(address)
    except BaseException:
        sock.close()
        raise
    return sock


def words(error: BaseException) -> str:
    """What an operating system error says, without its number."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


@lru_cache(maxsize=8)
def tls_context(purpose: str, ca_file: str = "") -> ssl.SSLContext:
    """Verifies certificates against the system's authorities, Mozilla's (certifi) and the operator's file.

    One per purpose, as urllib3 writes its ALPN protocols into the context it is given; kept, as reading the
    authorities costs 20 ms.
    """
    context = ssl.create_default_context()
    context.load_verify_locations(cafile=certifi.where())
    if ca_file:
        context.load_verify_locations(cafile=ca_file)
    return context


@dataclass(slots=True)
class Allowance:
    """Until when (on the monotonic clock), and how much, may still be read of a peer's answer."""

    deadline: float
    octets: int = 1024 * 1024


class _BoundedReader(io.RawIOBase):
    """Reads a socket within an allowance, however slowly the peer drips or however much it pours."""

    def __init__(self, sock: socket.socket, allowance: Allowance) -> None:
        self._raw = sock.makefile("rb", buffering=0)
        self._sock = sock
        self._allowance = allowance

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:  # noqa: ANN401 (a WriteableBuffer, which typing cannot name)
        remaining = self._allowance.deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("timed out")
        if self._allowance.octets <= 0:
            raise OSError("the answer is too long")
        self._sock.settimeout(remaining)
        count = self._raw.readinto(buffer)
        self._allowance.octets -= count or 0
        return count

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
            super().close()


class BoundedSocket:
    """Stands for a socket where a library calls `makefile("rb")`, so that what it reads is bounded."""

    def __init__(self, sock: socket.socket, allowance: Allowance) -> None:
        self._sock = sock
        self._allowance = allowance

    def makefile(self, *_: object) -> io.BufferedReader:
        return io.BufferedReader(_BoundedReader(self._sock, self._allowance))


class _Watched(HTTPConnection):
    """A connection through `connect` that knows whether the request had left when something broke."""

    allow_private: ClassVar[bool] = False
    answer_timeout_s: ClassVar[float] = 30.0
    _flushed = False
    _used_at = 0.0
    _gathered: list[bytes] | None = None

    def _new_conn(self) -> socket.socket:
        timeout = self.timeout if isinstance(self.timeout, (int, float)) else self.answer_timeout_s
        return connect(self.host, self.port, timeout, allow_private=self.allow_private)

    def connect(self) -> None:
        try:
            super().connect()
        except (OSError, ssl.SSLError) as error:
            raise NotSent(f"cannot open TLS to {self.host}:{self.port}: {words(error)}") from error

    @property
    def is_connected(self) -> bool:
        return time.monotonic() - self._used_at < IDLE_LIMIT_S and super().is_connected

    def request(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 (urllib3's own signature)
        self._flushed = False
        if self.sock is None:
            self.connect()
        self.timeout = self.answer_timeout_s  # a large mail over a slow line takes longer than a connect may
        self._gathered = []
        try:
            super().request(*args, **options)
        finally:
            octets, self._gathered = b"".join(self._gathered), None
        try:
            super().send(octets)
        except OSError as error:
            if error.errno in {errno.EPIPE, errno.ECONNRESET}:
                raise  # urllib3 looks for an early answer (such as 413) and calls getresponse
            raise NotSent(f"the connection to {self.host} broke while sending: {words(error)}") from error
        self._flushed = True

    def send(self, data: Any) -> None:  # noqa: ANN401 (http.client's own signature)
        """Header and body leave in one system call; urllib3 makes two, at 40 us and a packet each."""
        if self._gathered is not None and isinstance(data, bytes):
            self._gathered.append(data)
        else:
            super().send(data)

    def getresponse(self) -> Any:  # noqa: ANN401 (urllib3 says HTTPResponse, typeshed another one)
        try:
            response = super().getresponse()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            if self._flushed:
                raise AnswerLost(f"the request went out, but no answer came: {words(error)}") from error
            raise NotSent(f"{self.host} hung up before it had the whole request: {words(error)}") from error
        self._used_at = time.monotonic()
        return response

    def response_class(self, sock: socket.socket, **options: Any) -> http.client.HTTPResponse:  # type: ignore[override]  # noqa: ANN401
        """http.client calls this to read the answer; here its whole reading gets one deadline."""
        bounded: Any = BoundedSocket(sock, Allowance(time.monotonic() + self.answer_timeout_s))
        return http.client.HTTPResponse(bounded, **options)


class _WatchedTls(_Watched, HTTPSConnection):
    """The same over TLS: `_Watched` stands before HTTPSConnection in the resolution order."""


class CheckedAdapter(HTTPAdapter):
    """Mount this on a session so that its connections are checked, bounded and kept alive."""

    def __init__(
        self,
        *,
        allow_private: bool = False,
        answer_timeout_s: float = 30.0,
        pool_size: int = 10,
        ca_file: str = "",
    ) -> None:
        self._rules = {"allow_private": allow_private, "answer_timeout_s": answer_timeout_s}
        self._ca_file = ca_file
        super().__init__(pool_connections=4, pool_maxsize=pool_size)

    def init_poolmanager(
        self,
        connections: int,
        maxsize: int,
        block: bool = False,
        **options: Any,  # noqa: ANN401 (urllib3's own signature)
    ) -> None:
        options["ssl_context"] = tls_context("http", self._ca_file)
        super().init_poolmanager(connections, maxsize, block, **options)
        plain = type("_Plain", (_Watched,), self._rules)
        secure = type("_Secure", (_WatchedTls,), self._rules)
        self.poolmanager.pool_classes_by_scheme = {
            "http": type("_PlainPool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
            "https": type("_SecurePool", (HTTPSConnectionPool,), {"ConnectionCls": secure}),
        }

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:  # noqa: ANN401 (requests' own signature)
        """The context knows its authorities; requests would read its file anew for every connection."""
        conn.cert_reqs = "CERT_REQUIRED"

    def build_connection_pool_key_attributes(
        self,
        request: requests.PreparedRequest,
        verify: Any,  # noqa: ANN401
        cert: Any = None,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401 (typed dictionaries that requests keeps to itself)
        parts = urlsplit(request.url or "")
        return {"scheme": parts.scheme, "host": parts.hostname, "port": parts.port}, {}

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:  # noqa: ANN401
        """What requests builds, without collecting cookies (a third of its cost)."""
        response = requests.Response()
        response.status_code = resp.status
        response.headers = requests.structures.CaseInsensitiveDict(resp.headers)
        response.raw = resp
        response.reason = resp.reason
        response.url = req.url or ""
        response.request = req
        return response


class CheckedSession(requests.Session):
    """A session with no other way out than its adapter: no proxy, no .netrc, no cookies, no redirects.

    Raises NotSent, AddressRefused and AnswerLost; anything else that requests raises is not known to be safe.
    """

    def __init__(self, adapter: CheckedAdapter) -> None:
        super().__init__()
        self.trust_env = False
        self.headers.clear()
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self.adapters.clear()
        self.mount("http://", adapter)
        self.mount("https://", adapter)

    def get_redirect_target(self, resp: requests.Response) -> None:
        """A redirect could lead a key to another host; requests would also read its whole body."""
        return
