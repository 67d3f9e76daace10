"""Chromium for tests: one that is started, and what is to be asked of every page."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, ViewportSize, expect, sync_playwright

WIDE: ViewportSize = {"width": 1280, "height": 900}
TELEPHONE: ViewportSize = {"width": 380, "height": 800}
# As long as Playwright waits for all else. Its own 5 s are short for a machine that stalls.
expect.set_options(timeout=30_000)


@contextmanager
def chromium(*more: str) -> Iterator[Browser]:
    """The system's Chromium, with more arguments. Not for a whole session: while it runs, no other test can
    run an event loop."""
    path = shutil.which("chromium")
    if path is None:
        pytest.fail("The pages are tested in Chromium, which is missing. On Debian: apt install chromium")
    arguments = ["--no-sandbox", "--disable-background-networking", *more]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


class Watch:
    """Notes what a page complains about and whom it asks."""

    def __init__(self, page: Page) -> None:
        self._said: list[str] = []
        self._asked: dict[str, str] = {}  # origin -> the first address there
        self._allowed: list[str] = []
        page.on("console", self._console)
        page.on("pageerror", lambda error: self._said.append(f"page error: {error}"))
        page.on("request", self._request)

    def allow(self, text: str) -> None:
        """Let complaints pass that contain this, like "status of 404" where a page is to be missing."""
        self._allowed.append(text)

    def allow_origin(self, address: str) -> None:
        """Let the page ask there, for example where a test goes on to a second server."""
        self._asked.pop(_origin(address), None)
        self._allowed.append(_origin(address))

    @property
    def complaints(self) -> list[str]:
        """What the console, the page, the policy and we have to object to."""
        others = list(self._asked.items())[1:]
        said = [*self._said, *(f"asked another origin: {url}" for origin, url in others)]
        return [text for text in said if not any(allowed in text for allowed in self._allowed)]

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self._said.append(f"{message.type}: {message.text} ({message.location.get('url', '')})")

    def _request(self, request: Request) -> None:
        if request.url.startswith(("http:", "https:", "ws:", "wss:")):
            self._asked.setdefault(_origin(request.url), request.url)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def axe(page: Page) -> list[str]:
    """What axe-core finds wrong with the page as it is now, one readable line a place."""
    found = Axe().run(page).response["violations"]
    return [
        f"{rule['id']} ({rule['impact']}): {rule['help']}: {node['html'][:200]} - {node['failureSummary']}"
        for rule in found
        for node in rule["nodes"]
    ]


_STICKING_OUT = """() => {
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width) return [];
  const all = [...document.body.querySelectorAll("*")];
  const out = all.filter(one => one.getBoundingClientRect().right > width + 1).slice(0, 8);
  return [`wider than ${width}`, ...out.map(one => one.outerHTML.slice(0, 160))];
}"""


def sticking_out(page: Page) -> list[str]:
    """What makes the page scroll sideways; nothing where it fits."""
    found: list[str] = page.evaluate(_STICKING_OUT)
    return found


def fits(page: Page) -> None:
    """Assert that the page does not scroll sideways on a telephone; its window is as before afterwards."""
    before = page.viewport_size
    page.set_viewport_size(TELEPHONE)
    assert sticking_out(page) == []
    if before:
        page.set_viewport_size(before)
