"""Live connections to provider accounts, kept for as long as the credentials stay the same."""

from __future__ import annotations

import uuid

from flute_server.config import Config
from flute_server.domain import verp
from flute_server.providers.base import Network, Provider
from flute_server.providers.registry import connect
from flute_server.vault import vault


class Connections:
    """The open connections of one process."""

    def __init__(self, config: Config) -> None:
        self._vault = vault(config.secret_keys)
        self._network = Network(
            connect_timeout_s=config.connect_timeout_s,
            read_timeout_s=config.read_timeout_s,
            allow_private=config.allow_private_addresses,
            max_connections=config.worker_sends,
            bounce_secret=verp.secret_of(config.secret_keys[0]),
        )
        self._open: dict[uuid.UUID, tuple[int, Provider]] = {}

    def get(self, account_id: uuid.UUID, revision: int, slug: str, sealed: bytes) -> Provider:
        """The connection for these credentials; one for older credentials is dropped."""
        known = self._open.get(account_id)
        if known and known[0] == revision:
            return known[1]
        if known:
            known[1].close()
        provider = connect(slug, self._vault.open(sealed), self._network)
        self._open[account_id] = (revision, provider)
        return provider

    def close(self) -> None:
        """Drop them all."""
        for _, provider in self._open.values():
            provider.close()
        self._open.clear()
