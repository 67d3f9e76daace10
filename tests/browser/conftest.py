"""A page in Chromium, for the tests of the dashboard. Helpers for it are in tests/browsing.py: axe, fits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from flute_server import sandbox as sandboxes
from flute_server.local.embedded import Services
from tests.browser.town import Town
from tests.browsing import WIDE, Watch, chromium
from tests.stack import fresh_database, running


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@contextmanager
def watched(browser: Browser, **settings: Any) -> Iterator[tuple[Page, Watch]]:
    """A page of a fresh context with these settings, which must not complain until the end."""
    context = browser.new_context(**{"viewport": WIDE, **settings})
    page = context.new_page()
    watch = Watch(page)
    yield page, watch
    context.close()
    assert watch.complaints == []


@pytest.fixture
def opened(browser: Browser) -> Iterator[tuple[Page, Watch]]:
    with watched(browser) as found:
        yield found


@pytest.fixture
def page(opened: tuple[Page, Watch]) -> Page:
    """Of a browser without cookies. The test fails at its end if it complained or asked another origin."""
    return opened[0]


@pytest.fixture
def watch(opened: tuple[Page, Watch]) -> Watch:
    """For the test that expects a complaint: watch.allow("status of 404")."""
    return opened[1]


@pytest.fixture
def other(browser: Browser) -> Iterator[Page]:
    """A second browser, of somebody else or in another place."""
    context = browser.new_context(viewport=WIDE)
    page = context.new_page()
    watch = Watch(page)
    watch.allow("status of 403")
    yield page
    context.close()
    assert watch.complaints == []


@pytest.fixture(scope="package")
def town(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """A system of our own, in which nobody has signed up yet, with a sandbox that gets its mail alone."""
    redis = services.redis_url.removesuffix("/0").partition("?")[0]
    database = fresh_database(services, "browser_people")
    own = replace(services, database_url=database, redis_url=f"{redis}?db=9")
    with sandboxes.start() as sandbox:
        login, (host, port) = sandbox.credentials("smtp"), sandbox.address("smtp")
        settings = {
            "FLUTE_SIGN_UP": "open",
            "FLUTE_SYSTEM_FROM": "Flute <flute@flutemail.io>",
            "FLUTE_SYSTEM_SMTP": f"smtp://{login['username']}:{login['password']}@{host}:{port}?starttls=off",
        }
        with running(own, sandbox, tmp_path_factory.mktemp("people"), 1, **settings) as stack:
            yield Town(stack)
