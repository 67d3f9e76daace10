"""What the tests share: one set of real parts a session."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from flute_server import sandbox as sandboxes
from flute_server.local.embedded import Services, temporary
from flute_server.sandbox import Sandbox
from tests.name_server import NameServer, running_name_server
from tests.stack import Stack, running

# The same examples in every run, however long they take: a rare find must not stop somebody else's change,
# and that a machine stalls is no fault of ours. With FLUTE_EXAMPLES set, new ones are looked for.
settings.register_profile(
    "flute",
    deadline=None,
    derandomize="FLUTE_EXAMPLES" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("flute")


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
def running_names() -> Iterator[NameServer]:
    with running_name_server() as started:
        yield started


@pytest.fixture
def names(running_names: NameServer) -> NameServer:
    """The DNS that the stack asks, knowing nothing yet."""
    running_names.reset()
    return running_names


@pytest.fixture(scope="session")
def running_stack(
    services: Services,
    running_sandbox: Sandbox,
    running_names: NameServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    folder, dns = tmp_path_factory.mktemp("stack"), running_names.address
    with running(services, running_sandbox, folder, FLUTE_DNS_SERVER=dns) as stack:
        yield stack


@pytest.fixture
def drained_stack(running_stack: Stack) -> Stack:
    running_stack.drain()
    return running_stack


@pytest.fixture
def stack(drained_stack: Stack, sandbox: Sandbox) -> Stack:
    """The whole system with no mail under way, its sandbox well and empty."""
    return drained_stack
