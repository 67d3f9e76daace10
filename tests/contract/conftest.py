"""Every provider in turn, against the sandbox."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flute_server.providers import registry
from flute_server.providers.base import Provider
from flute_server.sandbox import Sandbox
from tests.contract.shared import credentials, network


@pytest.fixture(params=[slug for slug, kind in registry.PROVIDERS.items() if not kind.simulated])
def slug(request: pytest.FixtureRequest, sandbox: Sandbox) -> str:
    return str(request.param)


@pytest.fixture
def provider(slug: str, sandbox: Sandbox) -> Iterator[Provider]:
    connected = registry.connect(slug, credentials(slug, sandbox), network())
    yield connected
    connected.close()
