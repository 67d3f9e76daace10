"""Environments in the browser: set one up, put its routes in order, give out a key, try a mail, read DNS."""

from __future__ import annotations

import json
import re
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
import pytest
import requests
from flute.v1 import (
    account_service_pb2,
    environment_service_pb2,
    provider_account_service_pb2,
    route_service_pb2,
)
from playwright.sync_api import Browser, FilePayload, Locator, Page, StorageState, expect

from tests.browser.conftest import watched
from tests.browsing import Watch, axe, fits
from tests.name_server import NameServer
from tests.stack import DOMAIN, Stack, until

PASSWORD = "correct horse battery"


@dataclass
class Team:
    """An account with two providers connected, and one person, who is logged in."""

    stack: Stack
    account_id: str
    email: str
    cookies: StorageState

    @property
    def url(self) -> str:
        return self.stack.web_address

    def connect(self, slug: str, name: str) -> None:
        account = provider_account_service_pb2.ProviderAccount(
            account_id=self.account_id, provider=slug, name=name, credentials=self.stack.credentials(slug)
        )
        request = provider_account_service_pb2.CreateProviderAccountRequest(provider_account=account)
        self.stack.client.call(self.stack.client.provider_accounts.CreateProviderAccount, request)

    def become(self, role: str) -> None:
        """What the person may do from now on, in the session that they have."""
        with psycopg.connect(self.stack.services.database_url, autocommit=True) as database:
            database.execute("UPDATE member SET role = %s WHERE account_id = %s", (role, self.account_id))


@pytest.fixture(scope="module")
def team(running_stack: Stack, browser: Browser) -> Team:
    client, email = running_stack.client, f"{secrets.token_hex(5)}@people.example"
    request = account_service_pb2.CreateAccountRequest(
        name="Acme", owner_email=email, owner_password=PASSWORD
    )
    account = client.call(client.accounts.CreateAccount, request)
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{running_stack.web_address}/login")
    page.get_by_label("Email").fill(email)
    page.locator("input[name=password]").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(lambda url: "/login" not in url)
    made = Team(running_stack, account.id, email, context.storage_state())
    context.close()
    made.connect("sendgrid", "SendGrid")
    made.connect("postmark", "Postmark")
    return made


@pytest.fixture
def visit(team: Team, browser: Browser, stack: Stack) -> Iterator[tuple[Page, Watch]]:
    """The person's browser. Fails at its end if the page complained."""
    with watched(browser, storage_state=team.cookies) as opened:
        yield opened


def sound(page: Page) -> None:
    """In both themes and on a telephone."""
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce")
        assert axe(page) == []
    fits(page)


def said(page: Page, text: str) -> None:
    expect(page.locator(".flashes")).to_contain_text(text)


def in_order(page: Page, *names: str) -> None:
    """The routes come in this order; those of one position are told as "A + B"."""
    places = page.get_by_role("list", name="Routes in order").locator("> li")
    expect(places).to_have_count(len(names))
    for place, name in zip(places.all(), names, strict=True):
        expect(place.locator(".row > strong")).to_have_text(name.split(" + "))


def names(page: Page) -> list[str]:
    """The routes in order."""
    return page.get_by_role("list", name="Routes in order").locator(".row > strong").all_inner_texts()


def form_of(page: Page, name: str) -> Locator:
    """What can be changed of a route, unfolded."""
    line = page.locator("li .stack.tight", has=page.locator("strong", has_text=re.compile(f"^{name}$")))
    line.get_by_text("Change").click()
    return line


def dry_run(page: Page) -> list[str]:
    """The providers in the order in which the mail would try them."""
    page.get_by_role("link", name="Try it").click()
    page.get_by_role("button", name="Dry run").click()
    expect(page.get_by_text("Dry run: nothing was sent")).to_be_visible()
    return page.get_by_role("list", name="Routes in the order of trying").locator("strong").all_inner_texts()


def drag(page: Page, which: int, to: int) -> None:
    grips = page.locator("[data-reorder] .grip")
    begin, end = grips.nth(which).bounding_box(), grips.nth(to).bounding_box()
    assert begin
    assert end
    page.mouse.move(begin["x"] + 5, begin["y"] + 5)
    page.mouse.down()
    page.mouse.move(end["x"] + 5, end["y"] - 20, steps=8)
    page.mouse.up()


def run(command: str) -> tuple[int, dict[str, object]]:
    """Status and answer of a command as it stands on the page."""
    assert command.startswith("curl ")
    full = command + " -s -w '\\n%{http_code}'"
    ran = subprocess.run(["sh", "-c", full], capture_output=True, text=True, timeout=60, check=True)
    body, _, status = ran.stdout.rpartition("\n")
    return int(status), json.loads(body)


def test_from_an_empty_account_to_mail_that_goes_where_it_should(team: Team, visit: tuple[Page, Watch]):
    page, watch = visit
    page.goto(f"{team.url}/environments")
    expect(page.get_by_text("No environment yet")).to_be_visible()
    sound(page)

    page.get_by_role("link", name="New environment").click()
    page.get_by_label("Name").fill("Transactional")
    page.get_by_label("Domain").fill("not a domain")
    watch.allow("status of 422")
    page.get_by_role("button", name="Create environment").click()
    expect(page.get_by_label("Domain")).to_have_attribute("aria-invalid", "true")
    sound(page)
    page.get_by_label("Domain").fill(DOMAIN)
    page.get_by_role("button", name="Create environment").click()
    said(page, "Transactional is set up")
    expect(page.get_by_text("No route yet")).to_be_visible()

    add_both(page)
    put_in_order(page)
    share_a_position(page)
    pass_over_and_remove(page)
    page.goto(f"{team.url}/environments")
    expect(page.get_by_role("row", name="Transactional")).to_contain_text("Not tried yet")
    sound(page)


def add_both(page: Page) -> None:
    for name in ("SendGrid", "Postmark"):
        page.get_by_label("Provider account").select_option(name)
        page.get_by_role("button", name="Add", exact=True).click()
        said(page, "The provider is added")
    in_order(page, "SendGrid", "Postmark")
    page.get_by_text("Change").first.click()
    sound(page)


def put_in_order(page: Page) -> None:
    environment = page.url
    assert dry_run(page) == ["SendGrid", "Postmark"]
    sound(page)
    page.goto(environment)
    page.get_by_role("button", name="Move Postmark up").press("Enter")
    in_order(page, "Postmark", "SendGrid")
    expect(page.get_by_role("button", name="Move Postmark down")).to_be_focused()
    assert dry_run(page) == ["Postmark", "SendGrid"]
    page.goto(environment)
    drag(page, 1, 0)
    in_order(page, "SendGrid", "Postmark")


def share_a_position(page: Page) -> None:
    form_of(page, "Postmark").get_by_role("button", name="Share the position above").click()
    expect(page.get_by_text("about 50 % of the mail")).to_have_count(2)
    sendgrid = form_of(page, "SendGrid")
    sendgrid.get_by_label("Weight").fill("3")
    sendgrid.get_by_label("Mails a second").fill("100")
    sendgrid.get_by_role("button", name="Save").click()
    said(page, "The route is changed")
    expect(page.get_by_text("about 75 % of the mail")).to_be_visible()
    expect(page.get_by_text("up to 100 a second")).to_be_visible()
    form_of(page, "SendGrid").get_by_role("button", name="Give it a position of its own").click()
    in_order(page, "Postmark", "SendGrid")


def pass_over_and_remove(page: Page) -> None:
    environment = page.url
    form_of(page, "Postmark").get_by_role("button", name="Pass it over").click()
    said(page, "passed over from now on")
    expect(page.get_by_text("Disabled", exact=True)).to_be_visible()
    expect(page.get_by_text("There is one route: nothing can take over when it fails.")).to_be_visible()
    dry_run(page)
    expect(page.get_by_role("listitem").filter(has_text="Postmark")).to_contain_text("Passed over")

    page.goto(environment)
    form_of(page, "Postmark").get_by_role("button", name="Remove…").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    said(page, "out of this environment")
    in_order(page, "SendGrid")


@pytest.fixture(scope="module")
def environment(team: Team) -> str:
    """The id of an environment that sends through both."""
    client = team.stack.client
    made = client.call(
        client.environments.CreateEnvironment,
        environment_service_pb2.CreateEnvironmentRequest(
            environment=environment_service_pb2.Environment(
                account_id=team.account_id, name=f"Shop {secrets.token_hex(2)}", domain=DOMAIN
            )
        ),
    )
    request = provider_account_service_pb2.ListProviderAccountsRequest(account_id=team.account_id)
    for row in client.call(client.provider_accounts.ListProviderAccounts, request).provider_accounts:
        route = route_service_pb2.Route(environment_id=made.id, provider_account_id=row.id)
        client.call(client.routes.CreateRoute, route_service_pb2.CreateRouteRequest(route=route))
    return str(made.id)


def test_a_key_is_made_used_rotated_and_revoked(team: Team, environment: str, visit: tuple[Page, Watch]):
    page, watch = visit
    page.goto(f"{team.url}/environments/{environment}/keys")
    expect(page.get_by_text("No key yet")).to_be_visible()
    page.get_by_role("link", name="New key").click()
    page.get_by_label("Name").fill("Shop <b>backend</b>")
    page.get_by_label("Ends by itself").select_option("In 30 days")
    sound(page)
    for box in ("Send", "Read"):
        page.get_by_label(box, exact=True).uncheck()
    watch.allow("status of 422")
    page.get_by_role("button", name="Create key").click()
    expect(page.get_by_role("alert")).to_contain_text("Choose what the key may do.")
    page.get_by_label("Send", exact=True).check()
    page.get_by_role("button", name="Create key").click()
    secret = page.locator("#secret").inner_text()
    command = page.locator("figure.code code").inner_text()
    assert secret in command
    sound(page)
    status, answer = run(command)
    assert (status, answer["status"]) == (202, "queued")

    page.get_by_role("link", name="I have copied it").click()
    assert secret not in page.content()
    row = page.get_by_role("row", name="Shop <b>backend</b>")
    expect(row).to_contain_text(secret[:10])
    sound(page)
    row.get_by_role("link", name="Rotate").click()
    page.get_by_label("The old one ends").select_option("In 1 hour")
    sound(page)
    page.get_by_role("button", name="Rotate key").click()
    newer = page.locator("#secret").inner_text()
    assert newer != secret
    assert run(command.replace(secret, newer))[0] == 202
    assert run(command)[0] == 202

    page.get_by_role("link", name="I have copied it").click()
    page.get_by_role("row", name=newer[:10]).get_by_role("button", name="Revoke…").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    said(page, "The key is revoked")
    expect(page.get_by_role("row", name=newer[:10])).to_contain_text("Revoked")
    assert run(command.replace(secret, newer))[0] == 401


def test_settings_are_kept(team: Team, environment: str, visit: tuple[Page, Watch]):
    page, watch = visit
    page.goto(f"{team.url}/environments/{environment}/settings")
    sound(page)
    page.get_by_label("Hold it for evidence").check()
    page.get_by_label("How long to hold it", exact=True).fill("90")
    page.get_by_label("How long to hold it: unit").select_option("minutes")
    page.get_by_label("Give up after", exact=True).fill("30")
    page.get_by_label("Allow subdomains").check()
    page.get_by_label("Mails a month").fill("10000000000")
    page.get_by_label("At once after a pause").fill("20")
    watch.allow("status of 422")
    page.get_by_role("button", name="Save settings").click()
    expect(page.get_by_role("alert")).to_contain_text("1 minute to 7 days")
    expect(page.get_by_label("Give up after", exact=True)).to_have_value("30")
    page.get_by_label("Give up after", exact=True).fill("2")
    page.get_by_label("Mails a second").fill("10")
    page.get_by_label("Track opens").check()
    page.get_by_label("Remove content after (days)").fill("30")
    page.get_by_role("button", name="Save settings").click()
    said(page, "The settings are saved")
    expect(page.get_by_label("Hold it for evidence")).to_be_checked()
    expect(page.get_by_label("How long to hold it", exact=True)).to_have_value("90")
    expect(page.get_by_label("Give up after", exact=True)).to_have_value("2")
    expect(page.get_by_label("Give up after: unit")).to_have_value("days")
    expect(page.get_by_label("Mails a month")).to_have_value("10000000000")
    expect(page.get_by_label("Mails a second")).to_have_value("10")
    expect(page.get_by_label("Allow subdomains")).to_be_checked()
    expect(page.get_by_label("Track opens")).to_be_checked()
    expect(page.get_by_label("Remove content after (days)")).to_have_value("30")
    page.get_by_role("button", name="Save settings").click()
    said(page, "Nothing was changed")


def test_a_mail_is_tried_out(team: Team, environment: str, visit: tuple[Page, Watch]):
    page, watch = visit
    page.goto(f"{team.url}/environments/{environment}/try")
    page.get_by_label("To", exact=True).fill("Ada <ada@example.com>")
    page.get_by_label("Subject").fill("It's <b>me</b>")
    expect(page.locator("#curl")).to_contain_text("<b>me</b>")
    page.get_by_text("Cc, Bcc, tags, attachment, time").click()
    page.get_by_label("Tags").fill("try, out")
    file: FilePayload = {"name": "it's.txt", "mimeType": "text/plain", "buffer": b"Hello"}
    page.get_by_label("Attachment").set_input_files(files=[file])
    expect(page.locator("#curl")).to_contain_text("base64 < your-file")
    sound(page)
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.get_by_role("heading", name="Where it stands")).to_be_visible()
    expect(page.get_by_role("list", name="Timeline")).to_contain_text("took the mail")
    sound(page)
    [mail] = until(lambda: team.stack.sandbox.inbox(to="ada@example.com"), "the mail")
    assert "It's <b>me</b>" in str(mail)
    assert "it's.txt" in str(mail)
    expect(page.get_by_label("To", exact=True)).to_have_value("Ada <ada@example.com>")

    page.get_by_label("To", exact=True).fill("nobody")
    watch.allow("status of 422")
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.get_by_label("To", exact=True)).to_have_attribute("aria-invalid", "true")


def test_dns_is_read_and_told_what_to_add(
    team: Team, environment: str, visit: tuple[Page, Watch], names: NameServer
):
    page, _ = visit
    names.reset(
        {
            (DOMAIN, "TXT"): ["v=spf1 include:<b>evil</b> -all"],
            (f"_dmarc.{DOMAIN}", "TXT"): ["v=DMARC1; p=none"],
        }
    )
    page.goto(f"{team.url}/environments/{environment}/domain")
    whole = page.locator(".card", has=page.get_by_role("heading", name="The domain as a whole"))
    expect(whole).to_contain_text("DMARC")
    expect(page.get_by_role("heading", name="Postmark")).to_be_visible()
    postmark = page.locator(".card", has=page.get_by_role("heading", name="Postmark"))
    expect(postmark).to_contain_text(f"pm-bounces.{DOMAIN}")
    expect(postmark.get_by_role("button", name="Copy the value for Return path")).to_be_visible()
    whole.get_by_text("What DNS has at", exact=False).first.click()
    expect(whole).to_contain_text("<b>evil</b>")
    sound(page)
    names.reset({(DOMAIN, "TXT"): ["v=spf1 -all"]})
    page.get_by_role("link", name="Check again").click()
    expect(page.locator("#checks")).not_to_contain_text("evil")


def test_all_of_it_works_without_javascript(team: Team, environment: str, browser: Browser, stack: Stack):
    context = browser.new_context(java_script_enabled=False, storage_state=team.cookies)
    page = context.new_page()
    page.goto(f"{team.url}/environments/{environment}")
    first, second = names(page)
    page.get_by_role("button", name=f"Move {second} up").click()
    in_order(page, second, first)
    assert dry_run(page) == [second, first]
    page.get_by_label("Subject").fill("Plain")
    page.get_by_role("button", name="Send", exact=True).click()
    page.get_by_role("link", name="Look again").or_(page.get_by_text("Sent", exact=True)).first.wait_for()
    context.close()


def test_a_viewer_sees_and_changes_nothing(team: Team, environment: str, visit: tuple[Page, Watch]):
    page, _ = visit
    team.become("viewer")
    try:
        page.goto(f"{team.url}/environments/{environment}")
        assert len(names(page)) == 2
        expect(page.get_by_role("button", name="Move")).to_have_count(0)
        expect(page.get_by_text("Change")).to_have_count(0)
        token = page.locator("input[name=csrf_token]").first.input_value()
        for tab, shown in (("settings", "Allow subdomains"), ("keys", "Shop"), ("try", "Dry run")):
            page.goto(f"{team.url}/environments/{environment}/{tab}")
            expect(page.get_by_text(shown).first).to_be_visible()
            for forbidden in ("Save settings", "Delete environment", "Send", "Revoke…"):
                expect(page.get_by_role("button", name=forbidden, exact=True)).to_have_count(0)
            expect(page.get_by_role("link", name="New key")).to_have_count(0)
        cookies = {cookie["name"]: cookie["value"] for cookie in page.context.cookies()}
        posts = {
            "routes/order": {"order": "x"},
            "settings": {"name": "Mine", "give_up_after": "1", "ambiguity_wait": "1"},
            "keys/new": {"name": "Mine", "scopes": "send"},
            "try": {"from_local": "hello", "to": "ada@example.com", "subject": "x", "text": "x"},
            "delete": {},
        }
        for path, fields in posts.items():
            address = f"{team.url}/environments/{environment}/{path}"
            data = {**fields, "csrf_token": token}
            answer = requests.post(address, data=data, cookies=cookies, timeout=60, allow_redirects=False)
            assert answer.status_code in {403, 422}, (path, answer.status_code)
            assert "takes the role" in answer.text, path
    finally:
        team.become("owner")
