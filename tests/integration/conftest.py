"""What tests about people share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from flute_server import sandbox as sandboxes
from flute_server.local.embedded import Services
from flute_server.sandbox import Sandbox
from flute_server.schema import upgrade
from tests.integration.board import TOKEN, answers
from tests.integration.people import People, other_redis
from tests.integration.web_script import Script, web_before
from tests.stack import Stack, fresh_database


@pytest.fixture(scope="session")
def people(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[People]:
    """Server and worker over an empty database, open to all. A sandbox of its own gets the system mail:
    in the shared one, what is still under way would come in among the mail of the next test."""
    own = replace(
        services,
        database_url=fresh_database(services, "people"),
        redis_url=other_redis(services.redis_url, 7),
    )
    with sandboxes.start() as sandbox:
        yield from _people(own, sandbox, tmp_path_factory.mktemp("people"))


def _people(services: Services, sandbox: Sandbox, folder: Path) -> Iterator[People]:
    login, (host, port) = sandbox.credentials("smtp"), sandbox.address("smtp")
    settings = {
        "FLUTE_SIGN_UP": "open",
        "FLUTE_SYSTEM_FROM": "Flute <flute@flutemail.io>",
        "FLUTE_SYSTEM_SMTP": f"smtp://{login['username']}:{login['password']}@{host}:{port}?starttls=off",
    }
    stack = Stack(services, sandbox, folder, settings)
    try:
        upgrade(stack.config)
        stack.start_server()
        stack.add_worker()
        yield People(stack)
    finally:
        stack.stop()


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
