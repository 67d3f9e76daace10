"""Emails in the browser: find one, understand it, act on it; and nothing that a mail says can do harm."""

from __future__ import annotations

import re
import secrets
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import psycopg
import pytest
from flute.v1.account_service_pb2 import CreateAccountRequest
from flute.v1.api_key_service_pb2 import API_KEY_KIND_TEST, CreateApiKeyRequest
from flute.v1.environment_service_pb2 import CreateEnvironmentRequest, Environment
from playwright.sync_api import Browser, Locator, Page, StorageState, expect

from tests.browsing import WIDE, Watch, axe, fits
from tests.rpc import TOMORROW, new_key
from tests.stack import DOMAIN, Stack, Tenant, until

PASSWORD = "correct horse battery"
HERE = "Asia/Kolkata"  # the viewer, 5½ hours ahead of UTC
HOSTILE = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"


@dataclass
class Office:
    """An account that sends through SendGrid, then Postmark, and somebody of it who is logged in."""

    stack: Stack
    tenant: Tenant
    cookies: StorageState

    def url(self, path: str = "") -> str:
        return f"{self.stack.web_address}/emails{path}"

    def become(self, role: str) -> None:
        """What they may do from now on."""
        with psycopg.connect(self.stack.services.database_url, autocommit=True) as database:
            database.execute(
                "UPDATE member SET role = %s WHERE account_id = %s", (role, self.tenant.account_id)
            )


@pytest.fixture(scope="module")
def office(running_stack: Stack, browser: Browser) -> Office:
    client, person = running_stack.client, f"{secrets.token_hex(5)}@people.example"
    owner = CreateAccountRequest(name="Acme", owner_email=person, owner_password=PASSWORD)
    account = client.call(client.accounts.CreateAccount, owner)
    made = [
        client.call(
            client.environments.CreateEnvironment,
            CreateEnvironmentRequest(
                environment=Environment(account_id=account.id, name=name, domain=domain)
            ),
        )
        for name, domain in (("Transactional", DOMAIN), ("Marketing", f"news.{DOMAIN}"))
    ]
    key = CreateApiKeyRequest(environment_id=made[0].id, name="app")
    token = client.call(client.api_keys.CreateApiKey, key).access_token
    tenant = Tenant(running_stack, account.id, made[0].id, token, {})
    for slug in ("sendgrid", "postmark"):
        tenant.add_route(slug, {})
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{running_stack.web_address}/login")
    page.get_by_label("Email").fill(person)
    page.locator("input[name=password]").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(lambda url: "/login" not in url)
    found = Office(running_stack, tenant, context.storage_state())
    context.close()
    return found


@pytest.fixture
def visit(office: Office, stack: Stack, browser: Browser) -> Iterator[tuple[Page, Watch]]:
    """Their browser. The test fails at its end if a page complained or asked another origin."""
    stack.listen(office.tenant, "sendgrid", "postmark")
    context = browser.new_context(viewport=WIDE, storage_state=office.cookies, timezone_id=HERE)
    page = context.new_page()
    watch = Watch(page)
    yield page, watch
    context.close()
    assert watch.complaints == []


@pytest.fixture
def page(visit: tuple[Page, Watch]) -> Page:
    return visit[0]


@pytest.fixture
def watch(visit: tuple[Page, Watch]) -> Watch:
    return visit[1]


def sound(page: Page) -> None:
    """In both themes, and on a telephone."""
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce")
        assert axe(page) == []
    fits(page)


def unfold(page: Page, within: Locator) -> None:
    for summary in within.locator("summary").all():
        summary.click()


def rows(page: Page) -> Locator:
    return page.locator("#mails tbody tr")


def test_mails_are_found_by_what_is_known_of_them(office: Office, page: Page, stack: Stack) -> None:
    tenant = office.tenant
    receipt = tenant.send(subject="Your receipt 4711", tags=["receipt"], metadata={"order": "4711"})
    tenant.send(subject="Your news", to=[{"email": "bob@example.com"}, {"email": "cy@example.com"}])
    tenant.send(subject="Later", send_at=TOMORROW.isoformat())
    tenant.wait(receipt, "delivered")
    page.goto(office.url())
    expect(rows(page)).to_have_count(3)
    expect(page.get_by_role("row", name="Your news")).to_contain_text("bob@example.com and 1 more")
    sound(page)

    page.get_by_label("Status").select_option("Scheduled")
    expect(rows(page)).to_have_count(1)
    expect(rows(page)).to_contain_text("Later")
    page.get_by_role("link", name="Status: scheduled").click()
    expect(rows(page)).to_have_count(3)

    search = page.get_by_label("Search")
    for words, found in (("NEWS", "Your news"), ("cy@example.com", "Your news"), ("4711 your", "receipt")):
        search.fill(words)
        search.press("Enter")
        expect(rows(page)).to_have_count(1)
        expect(rows(page)).to_contain_text(found)
    page.get_by_text("More filters").click()
    page.get_by_label("Metadata").fill("order=4711")
    page.get_by_label("Tag").fill("receipt")
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_role("link", name="Metadata: order=4711")).to_be_visible()
    expect(rows(page)).to_have_count(1)
    page.get_by_label("From (your time)").fill("2026-01-02T03:04")
    page.get_by_role("button", name="Apply").click()
    expect(page).to_have_url(re.compile(r"from=2026-01-01T21%3A34Z"))
    expect(page.get_by_label("From (your time)")).to_have_value("2026-01-02T03:04")
    expect(page.get_by_role("link", name="From: 2 Jan 2026, 03:04")).to_be_visible()
    sound(page)


def test_a_search_that_finds_nothing_says_what_to_do(office: Office, page: Page, watch: Watch) -> None:
    watch.allow("status of 422")
    receipt = office.tenant.send(subject="Found by its id", metadata={"invoice": "0815"})
    page.goto(office.url())
    search = page.get_by_label("Search")
    search.fill("!!!")
    search.press("Enter")
    expect(page.get_by_text("Has no word in it")).to_be_visible()
    search.fill("nothing like this")
    search.press("Enter")
    expect(page.get_by_role("heading", name="Nothing matches")).to_be_visible()
    page.get_by_role("link", name="Clear filters").last.click()
    expect(page.get_by_role("row", name="Found by its id")).to_be_visible()

    search.fill(receipt)
    search.press("Enter")
    expect(page.get_by_role("heading", name="Found by its id")).to_be_visible()
    page.get_by_role("link", name="Tags and metadata").click()
    expect(page.get_by_text("0815")).to_be_visible()

    page.goto(office.url())
    page.get_by_role("link", name="Marketing").click()
    expect(page.get_by_role("heading", name="No mail yet")).to_be_visible()
    expect(page.get_by_text(f"hello@news.{DOMAIN}")).to_be_visible()
    sound(page)


def test_a_mail_that_failed_over_tells_why(office: Office, page: Page, stack: Stack) -> None:
    stack.sandbox.set_mode("sendgrid", "down")
    id_ = office.tenant.send(subject="Down")
    office.tenant.wait(id_, "delivered")
    page.goto(office.url())
    line = page.get_by_role("row", name="Down")
    expect(line).to_contain_text("sendgrid → postmark")
    expect(line).to_contain_text("Failover")
    page.get_by_role("link", name="Down").click()
    expect(page.get_by_text("The mail to ada@example.com has arrived.")).to_be_visible()
    story = page.get_by_role("list", name="Timeline")
    titles = ["Accepted", "Handed to sendgrid", "Failover: away from sendgrid", "Handed to postmark"]
    assert story.get_by_role("heading").all_inner_texts()[:4] == titles
    expect(story).to_contain_text("Connection refused")
    expect(story).to_contain_text("Passed over sendgrid (already tried).")
    unfold(page, story)
    expect(story).to_contain_text("Not sent")
    expect(story).to_contain_text("Id at the provider:")
    expect(story.locator("dl").first).to_contain_text("Chosen")
    sound(page)


def test_a_bounce_that_was_the_providers_fault_shows_its_verdict(
    office: Office, page: Page, stack: Stack
) -> None:
    stack.sandbox.set_mode("sendgrid", "block")
    id_ = office.tenant.send(subject="Blocked")
    office.tenant.wait(id_, "delivered")
    page.goto(office.url(f"/{id_}"))
    page.get_by_text("Verdict: The provider's fault").click()
    verdict = page.locator("details[open]")
    expect(verdict).to_contain_text("named-block-list")
    expect(verdict).to_contain_text("550 5.7.1 Service refused")
    expect(verdict).to_contain_text("Send it through another provider.")
    expect(page.get_by_role("list", name="Timeline")).not_to_contain_text("[cause:")
    sound(page)
    page.get_by_role("link", name="JSON").click()
    expect(page.get_by_role("region", name="JSON")).to_contain_text('"status": "delivered"')
    expect(page.get_by_role("region", name="curl")).to_contain_text(f"/v1/email/{id_}")
    sound(page)


def test_a_mail_is_sent_again_to_those_whom_it_missed(office: Office, page: Page, stack: Stack) -> None:
    stack.sandbox.set_mode("sendgrid", "bounce", domains=["left.example"])
    id_ = office.tenant.send(
        subject="Twice", to=[{"email": "ada@example.com"}, {"email": "eve@left.example"}]
    )
    office.tenant.wait(id_, "bounced")
    stack.sandbox.set_mode("sendgrid", "ok")
    page.goto(office.url(f"/{id_}"))
    page.get_by_role("button", name="Send again…").click()
    dialog = page.get_by_role("dialog", name="Send again to 1 recipient?")
    expect(dialog).to_contain_text("eve@left.example")
    dialog.get_by_role("button", name="Send again").click()
    expect(page.get_by_text("Sent again. This is the new mail.")).to_be_visible()
    # The address is on the suppression list by now, which the story of the copy tells while it is looked at.
    expect(page.locator("#email-head")).to_contain_text("Suppressed")
    page.get_by_role("link", name=id_[:8]).click()
    expect(page.get_by_text("Sent again as")).to_be_visible()
    page.get_by_role("button", name="Send again to all…").click()
    page.get_by_role("dialog").get_by_role("button", name="Send again to all").click()
    expect(page.get_by_text("Sent again. This is the new mail.")).to_be_visible()
    expect(page.locator(".lines li").filter(has_text="ada@example.com")).to_contain_text("Delivered")


def test_a_scheduled_mail_gets_another_time_and_is_taken_back(
    office: Office, page: Page, watch: Watch
) -> None:
    watch.allow("status of 422")
    id_ = office.tenant.send(subject="Scheduled", send_at=TOMORROW.isoformat())
    page.goto(office.url(f"/{id_}"))
    page.get_by_role("link", name="Reschedule").click()
    here = TOMORROW.astimezone(ZoneInfo(HERE))
    expect(page.get_by_label("Send at (your time)")).to_have_value(
        re.compile(here.strftime("%Y-%m-%dT%H:%M"))
    )
    sound(page)
    page.get_by_label("Send at").fill("2099-01-01T12:00")
    page.get_by_role("button", name="Reschedule").click()
    expect(page.get_by_text("30 days").last).to_be_visible()
    page.get_by_label("Send at").fill(TOMORROW.strftime("%Y-%m-%dT23:59"))
    page.get_by_role("button", name="Reschedule").click()
    expect(page.get_by_text("It is sent at its new time.")).to_be_visible()
    page.get_by_role("button", name="Cancel mail…").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel mail").click()
    expect(page.get_by_text("What waited is not sent any more.")).to_be_visible()
    expect(page.locator("#email-head")).to_contain_text("Canceled")
    expect(page.get_by_role("button", name="Cancel mail…")).to_have_count(0)


@pytest.fixture
def hostile_site() -> Iterator[socket.socket]:
    """Where a mail would like to be heard of; it answers nobody."""
    with socket.create_server(("127.0.0.1", 0)) as site:
        site.setblocking(False)
        yield site


def test_nothing_that_a_mail_says_runs(
    office: Office, page: Page, watch: Watch, stack: Stack, hostile_site: socket.socket
) -> None:
    watch.allow("Content Security Policy")
    watch.allow("Blocked script execution")
    watch.allow("The document is sandboxed")
    watch.allow("Blocked form submission")
    there = "http://{}:{}".format(*hostile_site.getsockname())
    watch.allow(there)  # the browser complains of what it was kept from asking there
    stack.sandbox.set_mode("sendgrid", "bounce", text=HOSTILE)
    id_ = office.tenant.send(
        subject=HOSTILE,
        text=HOSTILE,
        html=_hostile_html(there),
        to=[{"email": "hostile@gone.example", "name": HOSTILE}],
        headers={"X-Hostile": HOSTILE},
        tags=["<b>tag"],
        metadata={"<i>key": HOSTILE},
        attachments=[{"filename": "<b>.html", "content": "PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg=="}],
    )
    office.tenant.wait(id_, "bounced")
    page.goto(office.url())
    expect(page.get_by_role("link", name=HOSTILE)).to_be_visible()
    page.get_by_role("link", name=HOSTILE).click()
    unfold(page, page.get_by_role("list", name="Timeline"))
    expect(page.get_by_role("list", name="Timeline")).to_contain_text("onerror")
    for tab in ("Text", "Headers", "Attachments", "Tags and metadata", "JSON", "HTML"):
        page.get_by_role("link", name=re.compile(f"^{tab}")).click()
        expect(page.get_by_role("heading", name=HOSTILE)).to_be_visible()
        if tab == "Attachments":
            keep_the_file(page)
    assert "owned" not in page.title().replace(HOSTILE, "")
    frame = page.frame_locator("iframe.paper")
    expect(frame.get_by_text("Shown")).to_be_visible()
    frame.get_by_role("link", name="link").click()
    frame.get_by_role("button", name="Send").click()
    assert len(page.context.pages) == 1
    expect(frame.get_by_text("Shown")).to_be_visible()
    assert page.evaluate("document.querySelector('iframe.paper').contentDocument") is None
    assert page.url.endswith("show=html")
    # Alone in a window it can do no more.
    answer = page.goto(office.url(f"/{id_}/html"))
    assert answer
    assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert page.evaluate("self.origin") == "null"
    assert page.title() == ""
    with pytest.raises(BlockingIOError):
        hostile_site.accept()  # nobody knocked


def _hostile_html(there: str) -> str:
    """HTML that tries to run, and to be heard of at this address."""
    return f"""<link rel=preconnect href='{there}'><link rel=prefetch href='{there}/p'>{HOSTILE}<p>Shown</p>
        <a href='{there}/a'>link</a><img src='{there}/b.png'><script>parent.document.title='owned'</script>
        <style>@import '{there}/c.css'; p {{ background: url({there}/f.png) }}</style>
        <meta http-equiv=refresh content='0; url={there}/d'><iframe src='/emails'></iframe>
        <form action='{there}/e'><button>Send</button></form>"""


def keep_the_file(page: Page) -> None:
    """It is kept under a name that does no harm, and shown nowhere."""
    sound(page)
    here = page.url
    with page.expect_download() as caught:
        page.get_by_role("link", name="Download <b>.html").click()
    assert caught.value.suggested_filename == "_b_.html"
    assert caught.value.path().read_text() == "<script>alert(1)</script>"
    assert page.url == here


def test_a_viewer_sees_everything_and_changes_nothing(office: Office, page: Page, watch: Watch) -> None:
    id_ = office.tenant.send(subject="Only look", send_at=TOMORROW.isoformat())
    page.goto(office.url(f"/{id_}"))
    page.get_by_role("button", name="Cancel mail…").click()
    office.become("viewer")
    try:
        page.get_by_role("dialog").get_by_role("button", name="Cancel mail").click()
        expect(page.get_by_text("This takes the role developer")).to_be_visible()
        expect(page.locator("#email-head")).to_contain_text("Scheduled")
        expect(page.locator("#email-actions button, #email-actions a")).to_have_count(0)
        page.get_by_role("link", name="JSON").click()
        expect(page.get_by_role("region", name="JSON")).to_contain_text("Only look")
    finally:
        office.become("owner")


def test_the_export_is_what_the_filters_show(office: Office, page: Page) -> None:
    test_key = new_key(office.tenant, kind=API_KEY_KIND_TEST)
    subject = '=HYPERLINK("https://evil.example"), "quoted"'
    id_ = office.tenant.send(access_token=test_key, subject=subject, tags=["export", "two"])
    office.tenant.wait(id_, "delivered")
    page.goto(office.url("?tag=export"))
    expect(rows(page)).to_contain_text("Test")
    with page.expect_download() as caught:
        page.get_by_role("link", name="Export CSV").click()
    assert caught.value.suggested_filename == "emails.csv"
    header, line = caught.value.path().read_text().splitlines()
    assert header.startswith("id,status,create_time")
    assert line.startswith(f"{id_},delivered,")
    assert '"\'=HYPERLINK(""https://evil.example""), ""quoted"""' in line
    assert '"export, two",sendgrid,true' in line


def test_list_and_story_are_live(office: Office, page: Page, stack: Stack) -> None:
    stack.sandbox.set_mode("sendgrid", "down")
    stack.sandbox.set_mode("postmark", "down")
    id_ = office.tenant.send(subject="Waiting")
    until(lambda: "deferred" in str(office.tenant.get(id_)["timeline"]), "both were tried")
    page.goto(office.url())
    expect(page.get_by_role("row", name="Waiting")).to_contain_text("Queued")
    before = rows(page).count()
    office.tenant.send(subject="News", send_at=TOMORROW.isoformat())
    expect(page.get_by_role("link", name="1 new mail")).to_be_visible()
    expect(rows(page)).to_have_count(before)
    page.get_by_role("link", name="1 new mail").click()
    expect(rows(page).first).to_contain_text("News")

    page.get_by_role("link", name="Waiting").click()
    expect(page.locator("#email-head")).to_contain_text("Live")
    page.get_by_text("Why this route").first.click()
    expect(page.get_by_role("button", name="Cancel mail…")).to_be_visible()
    office.tenant.stack.sandbox.set_mode("sendgrid", "ok")
    stack.sandbox.set_mode("postmark", "ok")
    expect(page.locator("#email-head")).to_contain_text("Delivered", timeout=60_000)
    expect(page.locator("#email-head")).not_to_contain_text("Live")
    expect(page.locator("details[open]")).to_have_count(1)
    expect(page.get_by_role("button", name="Cancel mail…")).to_have_count(0)
    office.tenant.wait(id_, "delivered")
