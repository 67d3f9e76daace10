"""Choosing ports."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from flute_server.local.errors import LocalError
from flute_server.local.ports import Ports, join_address, reachable, split_address

HOST = "127.0.0.1"


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server((HOST, 0)) as server:
        yield server.getsockname()[1]


def test_takes_the_usual_port_without_a_word():
    said: list[str] = []
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]
    assert Ports(said.append).usual(HOST, port, "web", "--port") == port
    assert said == []


def test_takes_another_when_the_usual_one_is_taken_and_says_which(taken: int):
    said: list[str] = []
    port = Ports(said.append).usual(HOST, taken, "web", "--port")
    assert port > taken
    assert said == [f"port {taken} is taken by another program: web uses {port} instead"]


def test_a_block_has_no_taken_port_in_it(taken: int):
    said: list[str] = []
    first = Ports(said.append).usual(HOST, taken - 2, "the sandbox", "--demo", count=6)
    assert taken not in range(first, first + 6)
    # The one before it may happen to be taken as well.
    assert said[0].startswith(
        (f"port {taken} is taken", f"port {taken - 1} is taken", f"port {taken - 2} is taken")
    )


def test_refuses_the_port_that_was_asked_for_when_it_is_taken(taken: int):
    with pytest.raises(LocalError, match=f"Port {taken} on {HOST}, asked for with --port, is taken"):
        Ports(print).asked(HOST, taken, "web", "--port")


def test_gives_no_port_twice():
    ports = Ports(lambda _text: None)
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]
    assert ports.asked(HOST, port, "web", "--port") == port
    assert ports.usual(HOST, port, "the gRPC server", "FLUTE_GRPC_ADDRESS") != port


@pytest.mark.parametrize(
    ("text", "parts"), [("127.0.0.1:80", ("127.0.0.1", 80)), ("[::1]:8080", ("::1", 8080)), ("a:1", ("a", 1))]
)
def test_splits_an_address(text: str, parts: tuple[str, int]):
    assert split_address(text, "X") == parts
    assert join_address(*parts) == text


@pytest.mark.parametrize("text", ["", "8080", ":8080", "host:", "host:0", "host:65536", "host:x"])
def test_refuses_what_is_no_address(text: str):
    with pytest.raises(LocalError, match="FLUTE_WEB_BIND must be an address"):
        split_address(text, "FLUTE_WEB_BIND")


def test_all_interfaces_are_reached_through_loopback():
    assert [reachable(host) for host in ("0.0.0.0", "::", "10.0.0.1")] == ["127.0.0.1", "::1", "10.0.0.1"]
