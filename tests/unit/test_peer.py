"""Whose word on a client's address the server takes."""

from __future__ import annotations

import logging

import pytest

from flute_server.config import Config, ConfigError
from flute_server.rpc.peer import client_address
from tests.unit.test_system_mail_settings import config

TOLD = {"x-client-address": "203.0.113.9"}
PLACES = "10.0.0.5, 10.1.0.0/24, fd00::/8"


def seen(peer: str, metadata: dict[str, str], made: Config | None = None) -> str:
    return client_address(metadata, peer, (made or config()).trusted_peers)


@pytest.mark.parametrize(
    "peer", ["ipv4:127.0.0.1:5", "ipv6:%5B::1%5D:5", "ipv6:[::ffff:127.0.0.1]:5", "unix:", "unix:/run/flute"]
)
def test_this_machine_is_believed_unless_somebody_says_otherwise(peer: str):
    assert seen(peer, TOLD) == "203.0.113.9"
    assert seen(peer, {"x-client-address": "anything"}) == ""
    assert seen(peer, TOLD, config(FLUTE_GRPC_TRUSTED_PEERS=PLACES)) in {"127.0.0.1", "::1"}


def test_a_caller_from_elsewhere_counts_as_itself_and_is_complained_of(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert seen("ipv4:198.51.100.7:40001", TOLD) == "198.51.100.7"
    assert caplog.text.count("198.51.100.7 tells the addresses of its callers and is not believed") == 1
    assert seen("ipv4:198.51.100.7:40001", {}) == "198.51.100.7"
    assert seen("nonsense", TOLD) == ""


@pytest.mark.parametrize("peer", ["ipv4:10.0.0.5:5", "ipv4:10.1.0.77:5", "ipv6:[fd00::7]:5"])
def test_the_machines_of_web_are_believed_where_they_are_named(peer: str):
    assert seen(peer, TOLD, config(FLUTE_GRPC_TRUSTED_PEERS=PLACES)) == "203.0.113.9"
    assert seen(peer, TOLD) != "203.0.113.9"


@pytest.mark.parametrize(
    ("listens", "peer"), [("10.9.0.1:50051", "ipv4:10.9.0.1:5"), ("[fd00::1]:50051", "ipv6:[fd00::1]:5")]
)
def test_a_server_believes_its_own_machine_at_whichever_address_it_listens(listens: str, peer: str):
    assert seen(peer, TOLD, config(FLUTE_GRPC_ADDRESS=listens)) == "203.0.113.9"
    assert seen("ipv4:127.0.0.1:5", TOLD, config(FLUTE_GRPC_ADDRESS=listens)) == "203.0.113.9"
    assert seen(peer, TOLD, config(FLUTE_GRPC_ADDRESS="flute.internal:50051")) != "203.0.113.9"


@pytest.mark.parametrize("value", ["web.internal", "10.0.0.5/24", "10.0.0.5;10.0.0.6", "10.0.0.5,"])
def test_a_wrong_list_of_peers_is_named(value: str):
    with pytest.raises(ConfigError, match=r"^FLUTE_GRPC_TRUSTED_PEERS must be addresses or networks such as"):
        config(FLUTE_GRPC_TRUSTED_PEERS=value)
