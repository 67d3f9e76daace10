"""The reference as a reader has it: /docs in a browser that asks nobody else, and examples that run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from flute.v1 import api_key_service_pb2
from playwright.sync_api import Browser, Page

from tests.browsing import chromium
from tests.stack import Stack, Tenant, until
from web.reference.document import document
from web.reference.samples import ID

WIDTHS = (1400, 380)
CALLS = {call["operationId"]: call for calls in document()["paths"].values() for call in calls.values()}
# The examples' times are long past when this runs.
TOMORROW = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def said(browser: Browser) -> Iterator[tuple[Page, list[str]]]:
    """A page, and what the browser complained about."""
    complaints: list[str] = []
    page = browser.new_page(viewport={"width": WIDTHS[0], "height": 900})
    page.on(
        "console", lambda text: complaints.append(text.text) if text.type in {"error", "warning"} else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page, complaints
    page.close()


def test_it_shows_every_call_and_asks_nobody_else(stack: Stack, said: tuple[Page, list[str]]) -> None:
    page, complaints = said
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{stack.web_address}/docs")
    page.get_by_role("heading", name="Quickstart").wait_for()
    page.get_by_text("Replay webhook deliveries").first.wait_for()

    def complete() -> bool:
        shown = page.locator("body").inner_text()
        return all(call["summary"] in shown for call in CALLS.values())

    until(complete, "every call is shown")
    assert [url for url in asked if not url.startswith((f"{stack.web_address}/", "data:", "blob:"))] == []
    assert complaints == []


@pytest.mark.parametrize("width", WIDTHS)
def test_a_call_is_told_with_code_in_three_languages(
    stack: Stack, said: tuple[Page, list[str]], width: int
) -> None:
    page, complaints = said
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(f"{stack.web_address}/docs#tag/send/POST/v1/email")
    page.get_by_text("Stores a mail durably").first.wait_for()
    page.get_by_text("curl -X POST").first.wait_for()
    picker = page.get_by_role("button", name="curl").first
    for language, code in (("Python", "requests.post"), ("JavaScript", "await fetch")):
        picker.click()
        page.get_by_role("option", name=language).first.click()
        page.get_by_text(code).first.wait_for()
        picker = page.get_by_role("button", name=language).first
    # Nothing sticks out: a telephone does not scroll sideways.
    until(lambda: page.evaluate("document.documentElement.scrollWidth") <= width, "the page fits its window")
    assert complaints == []


def test_it_may_not_run_what_is_not_its_own(stack: Stack) -> None:
    policy = requests.get(f"{stack.web_address}/docs", timeout=60).headers["Content-Security-Policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == "'self'"
    assert rules["connect-src"] == "'self'"


# ----- examples


@pytest.fixture
def tenant(stack: Stack) -> Tenant:
    """With a key that may do everything."""
    tenant = stack.tenant()
    scopes = [scope for scope in api_key_service_pb2.ApiKeyScope.values() if scope]
    request = api_key_service_pb2.CreateApiKeyRequest(
        environment_id=tenant.environment_id, name="all", scopes=scopes
    )
    tenant.access_token = stack.client.call(stack.client.api_keys.CreateApiKey, request).access_token
    return tenant


Run = Callable[..., Any]


@pytest.fixture(params=["Shell", "Python", "JavaScript"])
def run(request: pytest.FixtureRequest, tenant: Tenant) -> Run:
    """Runs the example of a call for the mail with this id; gives the answer's JSON."""
    language = str(request.param)
    env = {"FLUTE_URL": tenant.stack.web_address, "FLUTE_KEY": tenant.access_token}

    def run(call: str, id_: str = "") -> Any:
        found = (sample for sample in CALLS[call]["x-codeSamples"] if sample["lang"] == language)
        source = str(next(found)["source"]).replace(ID, id_).replace("2026-12-01T08:00:00Z", TOMORROW)
        if language == "JavaScript":
            return _in_browser(request.getfixturevalue("said")[0], source, env)
        return _in_process(language, source, env)

    return run


def _in_process(language: str, source: str, env: dict[str, str]) -> Any:
    runner = {"Shell": ["bash", "-euc"], "Python": [sys.executable, "-c"]}[language]
    source = source.replace("curl ", "curl -sSf ", 1).replace("print(answer.json())", "print(answer.text)")
    done = subprocess.run(
        [*runner, source], env={**os.environ, **env}, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, f"{source}\n{done.stdout}{done.stderr}"
    return json.loads(done.stdout)


def _in_browser(page: Page, source: str, env: dict[str, str]) -> Any:
    page.goto(f"{env['FLUTE_URL']}/docs")
    # What Node.js has and a browser has not.
    page.evaluate("env => { globalThis.process = { env } }", env)
    return page.evaluate("async () => {" + source.replace("console.log(", "return (") + "}")


def test_the_examples_send_and_ask(tenant: Tenant, run: Run) -> None:
    mail = run("sendEmail")
    assert mail["status"] == "queued"
    tenant.wait(mail["id"], "sent")
    assert run("getEmail", mail["id"])["metadata"] == {"order": "4711"}
    assert [result["status"] for result in run("sendEmailBatch")["results"]] == ["queued", "queued"]
    assert run("sendEmail")["id"] == mail["id"]  # with the same Idempotency-Key


def test_the_examples_reschedule_and_cancel(tenant: Tenant, run: Run) -> None:
    id_ = tenant.send(send_at=(datetime.now(UTC) + timedelta(hours=1)).isoformat())
    assert run("rescheduleEmail", id_)["send_at"] == TOMORROW
    assert run("cancelEmail", id_)["status"] == "canceled"
