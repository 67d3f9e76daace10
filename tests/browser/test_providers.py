"""Providers and drills in the browser: connect, hear of events, pause, pass over, read the report."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
import pytest
from flute.v1.account_service_pb2 import CreateAccountRequest
from flute.v1.api_key_service_pb2 import CreateApiKeyRequest
from flute.v1.environment_service_pb2 import CreateEnvironmentRequest, Environment
from flute.v1.provider_account_service_pb2 import PauseProviderAccountRequest
from playwright.sync_api import Browser, Page, StorageState, expect

from tests.browser.conftest import watched
from tests.browsing import Watch, axe, fits
from tests.stack import DOMAIN, Stack, Tenant, until

PASSWORD = "correct horse battery"


@dataclass
class Team:
    """An account with one environment, and one person, who is logged in."""

    tenant: Tenant
    cookies: StorageState

    @property
    def stack(self) -> Stack:
        return self.tenant.stack

    def url(self, path: str) -> str:
        return self.stack.web_address + path

    def provider(self, slug: str) -> str:
        return self.url(f"/providers/{self.tenant.provider_accounts[slug]}")

    def provider_by_name(self, name: str) -> str:
        """The address of a provider that was connected in the browser."""
        with psycopg.connect(self.stack.services.database_url) as database:
            query = "SELECT id FROM provider_account WHERE account_id = %s AND name = %s"
            found = database.execute(query, [self.tenant.account_id, name]).fetchone()
        assert found
        return self.url(f"/providers/{found[0]}")

    def become(self, role: str) -> None:
        """What the person may do from now on, in the session that they have."""
        with psycopg.connect(self.stack.services.database_url, autocommit=True) as database:
            database.execute(
                "UPDATE member SET role = %s WHERE account_id = %s", [role, self.tenant.account_id]
            )


def settled(stack: Stack, browser: Browser) -> Team:
    """Somebody new with an account, an environment and a key, logged in through the form."""
    client, email = stack.client, f"{secrets.token_hex(5)}@people.example"
    account = client.call(
        client.accounts.CreateAccount,
        CreateAccountRequest(name="Acme", owner_email=email, owner_password=PASSWORD),
    )
    wanted = Environment(account_id=account.id, name="Transactional", domain=DOMAIN)
    environment = client.call(
        client.environments.CreateEnvironment,
        CreateEnvironmentRequest(environment=wanted),
    )
    key = client.call(
        client.api_keys.CreateApiKey,
        CreateApiKeyRequest(environment_id=environment.id, name="test"),
    )
    tenant = Tenant(stack, account.id, environment.id, key.access_token, {})
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{stack.web_address}/login")
    page.locator("input[name=email]").fill(email)
    page.locator("input[name=password]").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(lambda url: "/login" not in url)
    team = Team(tenant, context.storage_state())
    context.close()
    return team


@pytest.fixture(scope="module")
def newcomer(running_stack: Stack, browser: Browser) -> Team:
    """With nothing connected."""
    return settled(running_stack, browser)


@pytest.fixture(scope="module")
def team(running_stack: Stack, browser: Browser) -> Team:
    """With SendGrid, then Postmark."""
    made = settled(running_stack, browser)
    made.tenant.add_route("sendgrid", {})
    made.tenant.add_route("postmark", {})
    return made


@contextmanager
def visited(browser: Browser, team: Team) -> Iterator[tuple[Page, Watch]]:
    """The person's browser; forms that are refused are no complaint."""
    with watched(browser, storage_state=team.cookies) as (page, watch):
        watch.allow("status of 422")
        yield page, watch


def sound(page: Page) -> None:
    """In both themes and on a telephone."""
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        assert axe(page) == [], (page.url, scheme)
    fits(page)


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def agree(page: Page, name: str) -> None:
    """Press the button, and the same in the dialog that asks whether it is meant."""
    page.locator("summary", has_text=f"{name}…").click()
    page.get_by_role("dialog").get_by_role("button", name=name, exact=True).click()


def follow(page: Page, name: str) -> None:
    page.get_by_role("main").get_by_role("link", name=name, exact=True).click()


def said(page: Page, text: str) -> None:
    expect(page.locator(".flashes")).to_contain_text(text)


def test_connect_a_provider(stack: Stack, newcomer: Team, browser: Browser):
    good = stack.credentials("postmark")
    with visited(browser, newcomer) as (page, _):
        page.goto(newcomer.url("/providers"))
        expect(page.get_by_role("heading", name="No provider yet")).to_be_visible()
        sound(page)
        follow(page, "Connect a provider")
        simulator = page.get_by_role("listitem").filter(has_text="Simulator")
        expect(simulator).to_contain_text("Delivers to nobody")
        sound(page)
        follow(page, "Postmark")
        expect(page.locator("#f-webhook_password")).to_have_count(0)
        expect(page.locator("#f-server_token")).to_have_attribute("autocomplete", "off")
        sound(page)
        # The wrong token: Postmark's own answer, and what to do.
        page.locator("#f-server_token").fill("00000000-wrong")
        page.locator("#f-base_url").fill(good["base_url"])
        press(page, "Connect and test")
        said(page, "Postmark is connected, but it cannot send yet. Postmark answers 401")
        said(page, "Copy the credentials anew")
        assert "00000000-wrong" not in page.content()
        sound(page)
        refused_everywhere(newcomer, page)
        page.goto(newcomer.provider_by_name("Postmark") + "/settings")
        page.locator("#f-server_token").fill(good["server_token"])
        press(page, "Save and test")
        said(page, "Saved. Postmark accepts these credentials.")
        expect(page.locator("#now")).to_contain_text("Healthy")
        expect(page.get_by_role("main")).to_contain_text("Used in no environment yet")
        assert good["server_token"] not in page.content()
        sound(page)


def refused_everywhere(team: Team, page: Page) -> None:
    """What the check found is told wherever the provider is."""
    page.goto(team.url("/providers"))
    expect(page.get_by_role("row").filter(has_text="Postmark")).to_contain_text("Credentials refused")
    sound(page)
    page.goto(team.provider_by_name("Postmark"))
    expect(page.locator("#now")).to_contain_text("Postmark answers 401")
    expect(page.locator("#now")).to_contain_text("Copy the credentials anew")
    sound(page)
    page.goto(team.url(f"/environments/{team.tenant.environment_id}"))
    page.get_by_label("Provider account").select_option("Postmark")
    press(page, "Add")
    expect(page.get_by_role("list", name="Routes in order")).to_contain_text("Credentials refused")
    sound(page)
    page.get_by_role("link", name="Environments", exact=True).first.click()
    row = page.get_by_role("row").filter(has_text="Transactional")
    expect(row).to_contain_text("Credentials refused")
    expect(row).not_to_contain_text("All well")
    page.goto(team.url("/overview"))
    press(page, "Not now")
    page.get_by_role("main").get_by_role("link", name="Change its settings").click()
    expect(page.locator("#f-server_token")).to_have_value("")
    page.goto(team.url(f"/environments/{team.tenant.environment_id}"))
    page.locator("summary", has_text="Change").click()
    agree(page, "Remove")
    said(page, "The provider is out of this environment")


def test_events_arrive(stack: Stack, newcomer: Team, browser: Browser):
    newcomer.tenant.add_route("postmark", {})
    with visited(browser, newcomer) as (page, _):
        page.goto(newcomer.provider("postmark"))
        follow(page, "Events")
        check = page.locator("#check")
        expect(check).to_contain_text("Not set up")
        address = page.locator(".copyable code").inner_text()
        assert address.startswith(f"{stack.web_address}/v1/webhooks/postmark/")
        expect(page.get_by_role("main")).to_contain_text(
            "Choose a password, and save it as “Webhook password”"
        )
        page.locator("#f-webhook_password").fill("a-webhook-password")
        press(page, "Save")
        said(page, "Saved.")
        expect(check).to_contain_text("Nothing has come yet")
        # Without a reload: first a forged call, then those of a mail.
        stack.sandbox.set_webhook("postmark", address, username="flute", password="wrong")
        newcomer.tenant.send()
        expect(check).to_contain_text("The last call was refused")
        sound(page)
        stack.sandbox.set_webhook("postmark", address, username="flute", password="a-webhook-password")
        newcomer.tenant.send()
        expect(check).to_contain_text("Arriving")
        expect(check).to_contain_text("Why it was refused")
        # An optional secret can be removed, and is asked for anew.
        page.get_by_label("Remove “Webhook password”").check()
        page.locator("#f-webhook_password").fill("another")
        press(page, "Save")
        expect(page.get_by_role("alert")).to_contain_text("Give a new one or remove it, not both.")
        sound(page)
        page.locator("#f-webhook_password").fill("")
        press(page, "Save")
        said(page, "Saved.")
        expect(check).to_contain_text("Not set up")
        expect(page.get_by_label("Remove “Webhook password”")).to_have_count(0)


def test_a_name_that_is_taken_and_an_account_that_nobody_needs(newcomer: Team, browser: Browser):
    with visited(browser, newcomer) as (page, _):
        page.goto(newcomer.url("/providers/connect/simulator"))
        press(page, "Connect and test")
        expect(page.get_by_role("heading", name="Simulator")).to_be_visible()
        sound(page)
        page.goto(newcomer.url("/providers/connect/simulator"))
        press(page, "Connect and test")
        expect(page.get_by_role("alert")).to_contain_text("The account has a provider account")
        page.locator("#f-name").fill("<b>To try</b>")
        press(page, "Connect and test")
        expect(page.get_by_role("heading", name="<b>To try</b>")).to_be_visible()
        follow(page, "Settings")
        agree(page, "Delete")
        said(page, "deleted")
        row = page.get_by_role("row").filter(has_text="Simulator")
        expect(row).to_contain_text("None yet")
        expect(row).to_contain_text("Healthy")
        sound(page)


def test_a_provider_that_fails_and_one_that_is_paused(stack: Stack, team: Team, browser: Browser):
    with visited(browser, team) as (page, _):
        stack.sandbox.set_mode("sendgrid", "unauthorized")
        failed_over = team.tenant.send()
        team.tenant.wait(failed_over, "sent")
        page.goto(team.provider("sendgrid"))
        expect(page.locator("#now")).to_contain_text("Failing")
        expect(page.locator("#now")).to_contain_text("When somebody has mended it")
        sound(page)
        press(page, "Dealt with")
        said(page, "Noted: somebody has dealt with it.")
        expect(page.get_by_role("button", name="Dealt with")).to_have_count(0)
        stack.sandbox.set_mode("sendgrid", "down")
        press(page, "Test again")
        said(page, "It cannot send now. Cannot connect to")
        said(page, "Check the address")
        stack.sandbox.set_mode("sendgrid", "ok")
        press(page, "Test again")
        said(page, "SendGrid accepts these credentials.")
        expect(page.locator("#now")).to_contain_text("Healthy")

        agree(page, "Pause")
        said(page, "It is paused.")
        expect(page.locator("#now")).to_contain_text("Paused")
        id_ = team.tenant.send()
        story = team.tenant.wait(id_, "sent")
        assert "paused by a person" in str(story["timeline"])
        assert team.tenant.inbox(id_) == ["postmark"]
        press(page, "Resume")
        expect(page.locator("#now")).to_contain_text("Healthy")

        def counted() -> bool:
            page.goto(team.provider("sendgrid") + "/history")
            return "No mail in this time" not in page.content()

        until(counted, "the figures of the failed call")
        expect(page.get_by_role("list", name="Breaker history")).to_contain_text("Failing")
        expect(page.locator("figure.chart canvas").first).to_be_visible()
        sound(page)
        follow(page, "30 days")
        expect(page.get_by_role("link", name="30 days")).to_have_attribute("aria-current", "true")
        follow(page, "Settings")
        expect(page.get_by_role("main")).to_contain_text("it is a route of Transactional")


def test_a_drill(stack: Stack, team: Team, browser: Browser):
    with visited(browser, team) as (page, _):
        page.goto(team.url("/drills"))
        expect(page.get_by_role("heading", name="No drill yet")).to_be_visible()
        sound(page)
        page.goto(team.provider("sendgrid"))
        follow(page, "Start a drill")
        expect(page.locator("#preview")).to_contain_text("Transactional: its mail goes to postmark.")
        sound(page)
        page.locator("#f-minutes").fill("30")
        press(page, "Start the drill")
        said(page, "The drill has begun")
        report = page.locator("#report")
        expect(report).to_contain_text(re.compile(r"(29 min \d+ s|30 min) left"))
        expect(report).to_contain_text("No mail yet that it concerns")
        for id_ in [team.tenant.send() for _ in range(3)]:
            team.tenant.wait(id_, "sent")
            assert team.tenant.inbox(id_) == ["postmark"]
        # By itself:
        expect(report.locator(".stat", has_text="Moved").locator(".value")).to_have_text("3")
        expect(report.get_by_role("row").filter(has_text="postmark")).to_contain_text("3")
        expect(report.locator(".stat", has_text="Duplicates").locator(".value")).to_have_text("0")
        sound(page)
        page.goto(team.url("/drills/new"))
        expect(page.locator("#preview")).to_contain_text("No drill can begin now")
        page.goto(team.url("/drills"))
        expect(page.get_by_role("row").filter(has_text="sendgrid")).to_contain_text("Running")
        sound(page)
        follow(page, "sendgrid")
        agree(page, "End now")
        said(page, "The drill is over.")
        expect(page.locator("summary", has_text="End now")).to_have_count(0)
        id_ = team.tenant.send()
        team.tenant.wait(id_, "sent")
        assert team.tenant.inbox(id_) == ["sendgrid"]
        sound(page)


def test_a_drill_that_leaves_mail_waiting_takes_a_second_word(stack: Stack, team: Team, browser: Browser):
    client, ids = stack.client, team.tenant.provider_accounts
    paused = PauseProviderAccountRequest(id=ids["postmark"])
    with visited(browser, team) as (page, _):
        page.goto(team.url("/drills/new"))
        page.locator("#f-provider_account_id").select_option(label="postmark")
        expect(page.locator("#preview")).to_contain_text("its mail goes to sendgrid")
        client.call(client.provider_accounts.PauseProviderAccount, paused)
        page.locator("#f-provider_account_id").select_option(label="sendgrid")
        expect(page.locator("#preview")).to_contain_text("nobody could take over")
        expect(page.locator("#preview")).to_contain_text("postmark: paused by a person")
        press(page, "Start the drill")
        expect(page.get_by_role("alert")).to_contain_text("The mail would wait until the drill ends")
        sound(page)
        page.get_by_label("Start although mail will wait").check()
        press(page, "Start the drill")
        expect(page.locator("#report")).to_contain_text("left")
        id_ = team.tenant.send()
        waiting = page.locator("#report .stat", has_text="Waiting").locator(".value")
        expect(waiting).to_have_text("1")
        agree(page, "End now")
        team.tenant.wait(id_, "sent")
        expect(waiting).to_have_text("0")
        page.goto(team.provider("postmark"))
        press(page, "Resume")
        expect(page.locator("#now")).to_contain_text("Healthy")


def test_who_may_do_what(stack: Stack, team: Team, browser: Browser):
    main = "main button, main summary.button, main a.button"
    with visited(browser, team) as (page, watch):
        watch.allow("status of 403")
        try:
            team.become("developer")
            page.goto(team.provider("sendgrid"))
            press(page, "Reset")
            said(page, "What was held against it is forgotten.")
            expect(page.get_by_role("link", name="Start a drill")).to_have_count(0)
            page.goto(team.provider("sendgrid") + "/settings")
            expect(page.locator("#f-api_key")).to_be_disabled()
            team.become("viewer")
            for path in ("/providers", "/drills"):
                page.goto(team.url(path))
                expect(page.get_by_role("row").filter(has_text="sendgrid").first).to_be_visible()
                expect(page.locator(main)).to_have_count(0)
            page.goto(team.provider("sendgrid"))
            expect(page.get_by_role("button", name="Test again")).to_have_count(0)
            page.goto(team.url("/drills/new"))
            expect(page.get_by_role("button", name="Start the drill")).to_be_disabled()
            # Whoever posts all the same is told so by the server.
            page.evaluate("document.querySelector('main button[type=submit]').disabled = false")
            press(page, "Start the drill")
            expect(page.get_by_role("alert")).to_contain_text("role")
        finally:
            team.become("owner")
