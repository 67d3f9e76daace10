"""From which address a call comes. Web tells it of its own callers, and it alone is believed."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import unquote

from flute_server.config import Network

log = logging.getLogger(__name__)


def client_address(metadata: Mapping[str, str], peer: str, trusted: tuple[Network, ...]) -> str:
    """As a trusted peer tells it, else the peer's own; empty if that is no address: it is kept and shown."""
    own = _address(peer)
    told = metadata.get("x-client-address")
    if not told:
        return own
    if not _is_in(own, trusted):
        _complain(own)
        return own
    return _normal(told)


def _address(peer: str) -> str:
    """Of the other end of the connection, as gRPC writes it: ipv4:1.2.3.4:5 or ipv6:[::1]:5, escaped."""
    kind, _, rest = unquote(peer).partition(":")
    # Whoever reaches a socket in the file system is on this machine.
    return "127.0.0.1" if kind == "unix" else _normal(rest.rpartition(":")[0].strip("[]"))


def _normal(address: str) -> str:
    """The address if it is one. IPv4 is IPv4, also over a socket of IPv6."""
    try:
        given = ipaddress.ip_address(address)
    except ValueError:
        return ""
    return str((given.version == 6 and given.ipv4_mapped) or given)


def _is_in(address: str, networks: tuple[Network, ...]) -> bool:
    return bool(address) and any(ipaddress.ip_address(address) in network for network in networks)


@lru_cache(64)
def _complain(peer: str) -> None:
    """Once for each: without its word, all whom this web serves share the limits of one client."""
    log.warning(
        "%s tells the addresses of its callers and is not believed; if a web of yours runs there, name it in"
        " FLUTE_GRPC_TRUSTED_PEERS",
        peer or "a caller without an address",
    )
