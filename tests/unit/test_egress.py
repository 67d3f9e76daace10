"""Outgoing connections: only to addresses a tenant may name, to the one that was checked, never for ever."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import requests

from flute_server import egress


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.8",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::1",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd12:3456::1",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "ff0e::1",
    ],
)
def test_a_tenant_may_not_name(address: str) -> None:
    assert not egress.is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "1.1.1.1",
        "172.32.0.1",
        "2606:4700::1111",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
        "2002:808:808::1",
    ],
)
def test_a_tenant_may_name(address: str) -> None:
    assert egress.is_public(address)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0x7f.1", "2130706433", "[::1]", "0"])
def test_private_hosts_are_refused_in_every_spelling(host: str) -> None:
    with pytest.raises(egress.AddressRefused, match="FLUTE_ALLOW_PRIVATE_ADDRESSES=1"):
        egress.connect(host, 9, 1.0)


@pytest.mark.parametrize(
    "host", ["", "no.such.host.invalid", "a" * 64 + ".example", "bad host", "..", "\udcff"]
)
def test_hosts_that_are_none_are_an_error_of_ours(host: str) -> None:
    with pytest.raises(egress.NotSent):
        egress.connect(host, 9, 1.0)


def test_the_connection_goes_to_the_address_that_was_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["8.8.8.8", "127.0.0.1"])  # the second look-up of a rebinding name would be private
    connected: list[object] = []

    def look_up(host: str, port: int, **_: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    class Recorder(socket.socket):
        def connect(self, address: object) -> None:
            connected.append(address)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(socket, "socket", Recorder)

    egress.connect("rebinding.example", 25, 1.0).close()

    assert connected == [("8.8.8.8", 25)]


def test_private_addresses_among_public_ones_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    connected: list[object] = []

    def look_up(host: str, port: int, **_: object) -> list[object]:
        return [(socket.AF_INET, 1, 6, "", (a, port)) for a in ("10.0.0.1", "8.8.4.4")]

    class Recorder(socket.socket):
        def connect(self, address: object) -> None:
            connected.append(address)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(socket, "socket", Recorder)

    egress.connect("mixed.example", 25, 1.0).close()

    assert connected == [("8.8.4.4", 25)]


@contextmanager
def server(*turns: Callable[[socket.socket], None]) -> Iterator[str]:
    """Each connection gets one turn."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for turn in turns:
            try:
                connection, _ = listener.accept()
            except OSError:
                return  # nobody came
            with connection:
                turn(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits in accept
        listener.close()
        thread.join(5)


def session(answer_timeout_s: float = 5.0) -> egress.CheckedSession:
    return egress.CheckedSession(egress.CheckedAdapter(allow_private=True, answer_timeout_s=answer_timeout_s))


def post(url: str, made: egress.CheckedSession, data: bytes = b"x") -> requests.Response:
    with made:
        return made.post(url, data=data, timeout=(2, 5), allow_redirects=False)


def read_request(connection: socket.socket) -> None:
    received = b""
    while b"\r\n\r\n" not in received or not received.endswith(b"x"):
        received += connection.recv(65536)


def says(answer: bytes) -> Callable[[socket.socket], None]:
    def turn(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(answer)

    return turn


def hangs_up(connection: socket.socket) -> None:
    read_request(connection)


def hangs_up_on_half_a_request(connection: socket.socket) -> None:
    connection.recv(1000)


def drips(connection: socket.socket) -> None:
    read_request(connection)
    try:
        for octet in b"HTTP/1.1 200 OK\r\n" + b"X-Drip: drip\r\n" * 1000:
            connection.sendall(bytes([octet]))
            time.sleep(0.02)
    except OSError:
        pass  # the client has had enough


def test_a_lost_answer_is_told_from_a_request_that_did_not_leave() -> None:
    with server(hangs_up) as url, pytest.raises(egress.AnswerLost):
        post(url, session())
    with server(hangs_up_on_half_a_request) as url, pytest.raises(egress.NotSent):
        post(url, session(), bytes(50_000_000))
    with pytest.raises(egress.NotSent):
        post(url, session())


def test_an_early_refusal_is_read_although_the_request_did_not_leave() -> None:
    def too_large(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1 << 20):
            pass

    with server(too_large) as url:
        assert post(url, session(), bytes(5_000_000)).status_code == 413


def test_a_dripping_answer_is_bounded_as_a_whole() -> None:
    started = time.monotonic()

    with server(drips) as url, pytest.raises(egress.AnswerLost):
        post(url, session(answer_timeout_s=0.5))

    assert time.monotonic() - started < 20


def test_redirects_are_not_followed_and_cookies_not_kept() -> None:
    made = session()
    answer = (
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"
    )

    with server(says(answer)) as url:
        response = made.post(url, data=b"x")

    assert (response.status_code, list(made.cookies), list(response.cookies)) == (302, [], [])
    made.close()


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")

    with server(says(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) as url:
        assert post(url, session()).status_code == 200


def test_a_session_refuses_private_addresses() -> None:
    made = egress.CheckedSession(egress.CheckedAdapter())

    with server(hangs_up) as url, pytest.raises(egress.AddressRefused):
        post(url, made)
