"""From signing up to the first delivered mail, and to the first that failover saved; what is told of both."""

from __future__ import annotations

import csv
import io
import os
import re
from pathlib import Path

import psycopg
from flute.v1.provider_account_service_pb2 import (
    ProviderAccount,
    UpdateProviderAccountRequest,
)
from playwright.sync_api import Locator, Page, expect

from tests.browser.town import PASSWORD, Town, log_in, log_out, new_email, press, sound, type_in
from tests.browsing import TELEPHONE, WIDE, Watch

_SHOTS = os.environ.get("FLUTE_SHOTS", "")


def shown(page: Page, name: str) -> None:
    """The page is sound; and, for who wants to look at it, kept as pictures."""
    sound(page)
    if _SHOTS:
        for scheme, size in (("light", WIDE), ("dark", WIDE), ("light", TELEPHONE), ("dark", TELEPHONE)):
            page.emulate_media(color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce")
            page.set_viewport_size(size)
            page.wait_for_timeout(300)
            page.screenshot(path=Path(_SHOTS) / f"{name}-{scheme}-{size['width']}.png", full_page=True)
        page.set_viewport_size(WIDE)


def figure(page: Page, label: str) -> Locator:
    return page.locator(".stat", has=page.get_by_text(label, exact=True)).locator(".value")


def happened(page: Page, *titles: str) -> None:
    """The timeline of the mail has these moments, in this order, and others between. The last two may come
    in any order: a provider may tell of the delivery before its answer to the call has been read."""
    expect(page.locator("#step-delivered[data-done]")).to_be_visible(timeout=60_000)
    shown = page.locator("#step-delivered .timeline h3").all_inner_texts()
    found = [title for title in shown if title in titles]
    assert found[:-2] == list(titles[:-2]), shown
    assert sorted(found[-2:]) == sorted(titles[-2:]), shown


def test_from_sign_up_to_the_first_delivered_mail(town: Town, page: Page, watch: Watch):
    watch.allow("status of 422")
    email = signed_up(town, page, "Initech")
    page.goto(town.url("/"))

    expect(page.get_by_role("heading", name="Your first mail in two minutes")).to_be_visible()
    expect(page.locator(".stats")).to_have_count(0)
    shown(page, "overview-new")
    page.get_by_role("link", name="Begin").click()
    shown(page, "start-provider")
    press(page, "Use the simulator")
    expect(page.get_by_text("It takes every mail and delivers it to nobody")).to_be_visible()

    refuse_a_domain(page)
    page.locator("#f-domain").fill("initech.example")
    press(page, "Set up the environment")
    expect(page.locator("#step-environment")).to_contain_text("sends from initech.example through Simulator")

    # Whoever goes away finds the guide where it was left.
    log_out(page)
    log_in(page, town, email, path="/")
    expect(page.get_by_role("heading", name="Go on where you were")).to_be_visible()
    shown(page, "overview-half")
    page.get_by_role("link", name="Make a key for your app").first.click()
    press(page, "Make the key")
    secret = page.locator("#secret").inner_text()
    expect(page.locator("figure.code code")).to_contain_text(f"Bearer {secret}")
    shown(page, "start-key")
    page.get_by_role("link", name="I have copied it").click()
    assert secret not in page.content()

    assert page.locator("#f-to").input_value() == email
    shown(page, "start-mail")
    press(page, "Send the test mail")
    happened(page, "Accepted", "Attempt", "Sent", "Delivered")
    expect(page.locator("#guide-progress")).to_contain_text("5 of 5")
    shown(page, "start-done")
    page.goto(town.url("/start?step=provider"))
    page.get_by_role("link", name="See it", exact=True).click()
    expect(page.get_by_text("Your first mail has arrived")).to_be_visible()
    page.get_by_role("link", name="Go to the overview").click()
    expect(figure(page, "Delivered")).to_have_text("1", timeout=60_000)
    expect(page.locator(".guide-card")).to_have_count(0)
    shown(page, "overview-first")


def test_failover_saves_a_mail_and_everybody_sees_it(town: Town, page: Page, watch: Watch):
    watch.allow("status of 403")
    email = town.owner("Globex")
    log_in(page, town, email, path="/start")
    connect(town, page, "sendgrid", "SendGrid")
    connect(town, page, "postmark", "Postmark")
    listen(town, email, "postmark")
    page.goto(town.url("/start"))
    page.locator("#f-domain").fill("flutemail.io")
    shown(page, "start-environment")
    press(page, "Set up the environment")
    expect(page.locator("#step-environment")).to_contain_text("through SendGrid, Postmark")
    page.get_by_role("link", name="Later").click()

    town.stack.sandbox.set_mode("sendgrid", "down")
    press(page, "Send the test mail")
    happened(page, "Accepted", "Attempt", "Failover", "Attempt", "Sent", "Delivered")
    shown(page, "start-failover")
    page.goto(town.url("/overview"))
    saved = page.locator(".hero .saved .figure")
    expect(saved).to_have_text("1", timeout=60_000)
    expect(figure(page, "Delivered")).to_have_text("1", timeout=60_000)
    expect(page.locator("table", has_text="Provider").get_by_role("row", name="Postmark")).to_contain_text(
        "100 %"
    )
    shown(page, "overview-saved")
    page.get_by_role("link", name="30 days").click()
    expect(saved).to_have_text("1")
    page.get_by_role("link", name="Postmark").click()
    expect(page.get_by_role("heading", name="Postmark").first).to_be_visible()

    look_at_statistics(page)
    become(town, email, "viewer")
    page.goto(town.url("/start?step=provider"))
    expect(page.get_by_text("Ask an owner or admin of the account to connect a provider.")).to_be_visible()
    expect(page.get_by_role("button", name="Use the simulator")).to_have_count(0)
    shown(page, "start-viewer")


def test_refused_credentials_are_corrected_where_they_were_given(town: Town, page: Page, watch: Watch):
    watch.allow("status of 422")
    log_in(page, town, town.owner("Umbrella"), path="/start?step=provider")
    password = connect_smtp_mistyped(town, page)
    step = page.locator("#step-provider")
    expect(step.get_by_role("alert")).to_contain_text("SMTP: credentials refused")
    expect(page.locator("#guide-progress")).to_contain_text("0 of 5")
    shown(page, "start-refused")

    # A second one of the same kind gets a name of its own, and the first is not forgotten.
    step.get_by_role("link", name="Connect another").click()
    page.get_by_role("link", name="SMTP", exact=True).click()
    expect(page.locator("#f-name")).to_have_value("SMTP 2")
    page.goto(town.url("/overview"))
    page.get_by_role("link", name="Connect a provider").first.click()
    step.get_by_role("link", name="go on all the same").click()
    page.locator("#f-domain").fill("flutemail.io")
    press(page, "Set up the environment")
    page.get_by_role("link", name="Later").click()
    press(page, "Send the test mail")
    last = page.locator("#step-delivered")
    expect(last).to_contain_text("It waits: no provider takes it now")
    shown(page, "start-waiting")

    last.get_by_role("link", name="Correct its credentials").click()
    correct(page, password)
    page.goto(town.url("/start?step=delivered"))

    # This server never tells that a mail arrived.
    expect(last).to_contain_text("Own relay took your first mail", timeout=20_000)
    expect(last).not_to_have_attribute("hx-get", re.compile("."))
    shown(page, "start-handed-over")
    page.get_by_role("link", name="Go to the overview").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    expect(page.locator(".guide-card")).to_have_count(0)


def test_the_guide_can_be_put_away_and_taken_up_again(town: Town, page: Page):
    email = town.owner("Hooli")
    log_in(page, town, email, path="/")
    press(page, "Not now")
    expect(page.locator(".guide-card")).to_have_count(0)
    expect(page.get_by_role("heading", name="Nothing to tell yet")).to_be_visible()
    shown(page, "overview-empty")
    page.get_by_role("link", name="Statistics").first.click()
    expect(page.get_by_role("heading", name="No environment yet")).to_be_visible()
    shown(page, "statistics-none")
    log_out(page)
    log_in(page, town, email, path="/")
    page.get_by_role("link", name="Open the first-run guide").click()
    expect(page.get_by_role("button", name="Use the simulator")).to_be_visible()


def signed_up(town: Town, page: Page, account: str) -> str:
    """The address of somebody who came by the front door and proved it."""
    town.owner()  # somebody who runs the installation
    email = new_email()
    page.goto(town.url("/signup"))
    type_in(page, email=email, password=PASSWORD, account_name=account)
    press(page, "Sign up")
    expect(page.get_by_text(email)).to_be_visible()
    page.goto(town.link(email, "confirm"))
    type_in(page, password=PASSWORD)
    press(page, "Confirm my address")
    expect(page.get_by_text(f"{email} is confirmed.")).to_be_visible()
    return email


def refuse_a_domain(page: Page) -> None:
    page.locator("#f-domain").fill("not a domain")
    with page.expect_response(re.compile("/start/environment")) as refused:
        press(page, "Set up the environment")
    assert refused.value.status == 422
    expect(page.locator("#f-domain-error")).to_be_visible()


def connect(town: Town, page: Page, slug: str, name: str) -> None:
    page.goto(town.url("/start?step=provider"))
    page.get_by_role("link", name=name, exact=True).click()
    page.get_by_text("Further settings").click()
    for field, value in town.stack.credentials(slug).items():
        page.locator(f"#f-{field}").fill(value)
    shown(page, f"start-{slug}")
    press(page, f"Connect {name}")
    expect(page.get_by_text(f"{name} is connected.")).to_be_visible()


def connect_smtp_mistyped(town: Town, page: Page) -> str:
    """The password as it should have been."""
    page.get_by_role("link", name="SMTP", exact=True).click()
    page.get_by_text("Further settings").click()
    credentials = town.stack.credentials("smtp")
    page.locator("#f-security").select_option(credentials.pop("security"))
    type_in(page, **credentials | {"password": "mistyped"})
    press(page, "Connect SMTP")
    return credentials["password"]


def correct(page: Page, password: str) -> None:
    """At first without a name."""
    type_in(page, name=" ", password=password)
    with page.expect_response(re.compile("/start/account/")) as refused:
        press(page, "Save and try again")
    assert refused.value.status == 422
    expect(page.locator("#f-name-error")).to_be_visible()
    type_in(page, name="Own relay", password=password)
    press(page, "Save and try again")
    expect(page.get_by_text("Own relay is saved.")).to_be_visible()


def look_at_statistics(page: Page) -> None:
    page.get_by_role("link", name="Statistics").first.click()
    expect(figure(page, "Saved by failover")).to_have_text("1")
    page.get_by_label("Told apart by").select_option("Receiving domain")
    expect(page.get_by_role("row", name="people.example")).to_be_visible()
    shown(page, "statistics")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download CSV").click()
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text())))
    assert [(row["Receiving domain"], row["Sent"], row["Saved by failover"]) for row in rows] == [
        ("people.example", "1", "1")
    ]


def listen(town: Town, email: str, slug: str) -> None:
    """Let the sandbox's provider post its events to the account of this person."""
    stack = town.stack
    with psycopg.connect(stack.services.database_url) as database:
        query = """
            SELECT p.id::text FROM provider_account p JOIN member m USING (account_id)
            JOIN "user" u ON u.id = m.user_id WHERE u.email = %s AND p.provider = %s"""
        (id_,) = database.execute(query, (email, slug)).fetchone() or ("",)
    account = ProviderAccount(id=id_, credentials={"webhook_password": "a-webhook-password"})
    request = UpdateProviderAccountRequest(provider_account=account)
    row = stack.client.call(stack.client.provider_accounts.UpdateProviderAccount, request)
    url = stack.web_address + row.webhook_path
    stack.sandbox.set_webhook(slug, url, username="flute", password="a-webhook-password")


def become(town: Town, email: str, role: str) -> None:
    with psycopg.connect(town.stack.services.database_url, autocommit=True) as database:
        query = 'UPDATE member SET role = %s WHERE user_id = (SELECT id FROM "user" WHERE email = %s)'
        database.execute(query, (role, email))
