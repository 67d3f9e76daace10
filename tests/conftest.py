"""What the tests share: one set of real parts a session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flute_server import sandbox as sandboxes
from flute_server.local.embedded import Services, temporary
from flute_server.sandbox import Sandbox
from tests.stack import Stack, running


@pytest.fixture(scope="session")
def services() -> Iterator[Services]:
    """PostgreSQL and Valkey in a temporary folder."""
    with temporary() as started:
        yield started


@pytest.fixture(scope="session")
def running_sandbox() -> Iterator[Sandbox]:
    with sandboxes.start() as started:
        yield started


@pytest.fixture
def sandbox(running_sandbox: Sandbox) -> Sandbox:
    """The sandbox with an empty inbox and all providers well."""
    running_sandbox.reset()
    return running_sandbox


@pytest.fixture(scope="session")
def running_stack(
    services: Services, running_sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    with running(services, running_sandbox, tmp_path_factory.mktemp("stack")) as stack:
        yield stack


@pytest.fixture
def stack(running_stack: Stack, sandbox: Sandbox) -> Stack:
    """The whole system, its sandbox well and empty."""
    return running_stack
