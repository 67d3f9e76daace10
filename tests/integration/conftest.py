"""What tests about people share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from flute_server.local.embedded import Services
from flute_server.sandbox import Sandbox
from flute_server.schema import upgrade
from tests.integration.people import People
from tests.stack import Stack, fresh_database


@pytest.fixture(scope="session")
def people(
    services: Services, running_sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[People]:
    """Server and worker over an empty database, open to all, whose system mail the sandbox gets."""
    own = replace(
        services,
        database_url=fresh_database(services, "people"),
        redis_url=_other_redis(services.redis_url),
    )
    login, (host, port) = running_sandbox.credentials("smtp"), running_sandbox.address("smtp")
    settings = {
        "FLUTE_SIGN_UP": "open",
        "FLUTE_SYSTEM_FROM": "Flute <flute@flutemail.io>",
        "FLUTE_SYSTEM_SMTP": f"smtp://{login['username']}:{login['password']}@{host}:{port}?starttls=off",
    }
    stack = Stack(own, running_sandbox, tmp_path_factory.mktemp("people"), settings)
    try:
        upgrade(stack.config)
        stack.start_server()
        stack.add_worker()
        yield People(stack)
    finally:
        stack.stop()


def _other_redis(url: str) -> str:
    """Another of its 16 databases, so that no worker of other tests takes our jobs."""
    return f"{url.removesuffix('/0').partition('?')[0]}?db=7"
