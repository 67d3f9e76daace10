"""A page in Chromium, for the tests of the dashboard. Helpers for it are in tests/browsing.py: axe, fits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.browsing import WIDE, Watch, chromium


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@contextmanager
def watched(browser: Browser, **settings: Any) -> Iterator[tuple[Page, Watch]]:
    """A page of a fresh context with these settings, which must not complain until the end."""
    context = browser.new_context(**{"viewport": WIDE, **settings})
    context.set_default_timeout(10_000)
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
