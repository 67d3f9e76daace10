"""What tests about people share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from flask import Flask
from flask.testing import FlaskClient

from flute_server.local.embedded import Services
from flute_server.sandbox import Sandbox
from flute_server.schema import upgrade
from tests.integration.board import TOKEN, answers
from tests.integration.people import People
from tests.integration.web_script import Script, web_before
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


# ----- the dashboard before a scripted server


@pytest.fixture(scope="module")
def dashboard_app() -> Iterator[tuple[Script, Flask]]:
    script = Script()
    with web_before(script) as client:
        yield script, client.application


@pytest.fixture
def script(dashboard_app: tuple[Script, Flask]) -> Script:
    dashboard_app[0].reset()
    dashboard_app[0].answer = answers()
    return dashboard_app[0]


@pytest.fixture
def web(dashboard_app: tuple[Script, Flask], script: Script) -> FlaskClient:
    """A browser without cookies."""
    return dashboard_app[1].test_client()


@pytest.fixture
def inside(web: FlaskClient) -> FlaskClient:
    """Of somebody who is logged in."""
    with web.session_transaction() as session:
        session["token"] = TOKEN
    return web
