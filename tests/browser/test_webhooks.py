"""Webhook endpoints in the browser: create, test, see what was told, tell it again, rotate, pause, delete."""

from __future__ import annotations

from playwright.sync_api import Page, expect
from standardwebhooks import Webhook

from tests.browser.town import Town, agree, log_in, press, sound, type_in
from tests.browsing import Watch
from tests.receiver import receiving
from tests.stack import until


def test_an_endpoint_is_told_and_told_again(page: Page, watch: Watch, town: Town) -> None:
    watch.allow("status of 422")  # the address that is none
    tenant = town.stack.tenant("simulator")
    with receiving() as program:
        log_in(page, town, tenant.owner, tenant.password, path="/webhooks")
        sound(page)
        secret = _created(page, program.url)
        press(page, "Send a test")
        expect(page.get_by_text("The endpoint answered with 204")).to_be_visible()
        page.get_by_role("link", name="Back to the deliveries").click()

        mail = tenant.send()
        until(lambda: [call for call in program.calls if call.type == "accepted"], "the event")
        told = program.calls[-1]
        Webhook(secret).verify(told.body, told.headers)

        def written_down() -> bool:
            page.reload()
            return "Delivered" in page.get_by_role("row", name="Accepted").inner_text()

        until(written_down, "the delivery of it")
        sound(page)
        page.get_by_role("link", name="Accepted").click()
        expect(page.get_by_text("204 after")).to_be_visible()
        expect(page.get_by_role("region", name="JSON")).to_contain_text('"type"')
        sound(page)

        press(page, "Tell again")
        expect(page.get_by_text("1 event is told again")).to_be_visible()
        until(lambda: [call.id for call in program.calls].count(told.id) == 2, "the repetition")

        page.goto(town.url(f"/emails/{mail}?show=webhooks"))
        row = page.get_by_role("row", name="Accepted")
        expect(row).to_contain_text(program.url)
        expect(row).to_contain_text("204")
        sound(page)
        press(page, "Tell again: accepted")
        expect(page.get_by_text("1 event is told again")).to_be_visible()
        assert page.url.endswith(f"/emails/{mail}?show=webhooks")
        until(lambda: [call.id for call in program.calls].count(told.id) == 3, "another repetition")
        page.get_by_role("link", name="Accepted").click()
        expect(page.get_by_text("204 after").first).to_be_visible()


def test_an_endpoint_is_changed_and_ended(page: Page, watch: Watch, town: Town) -> None:
    watch.allow("status of 422")  # the address that is none
    tenant = town.stack.tenant("simulator")
    log_in(page, town, tenant.owner, tenant.password, path="/webhooks")
    secret = _created(page, "http://127.0.0.1:9/nobody")
    press(page, "Pause")
    expect(page.get_by_text("Events wait until you resume")).to_be_visible()
    press(page, "Resume")
    press(page, "Send a test")
    expect(page.get_by_text("It does not take events yet")).to_be_visible()
    _open_settings(page)
    sound(page)
    press(page, "New secret")
    newer = page.locator("#secret").inner_text()
    assert newer != secret
    page.reload()  # sends it again
    expect(page.get_by_text("Only one old secret is kept")).to_be_visible()
    expect(page.get_by_role("button", name="New secret")).to_have_count(0)
    sound(page)
    page.get_by_text("End both secrets now…").click()
    agree(page, "End both secrets now")
    assert page.locator("#secret").inner_text() not in {secret, newer}
    page.get_by_role("link", name="Go on").click()
    _open_settings(page)
    page.get_by_text("Delete endpoint…").click()
    agree(page, "Delete endpoint")
    expect(page.get_by_role("heading", name="No endpoint yet")).to_be_visible()


def _created(page: Page, url: str) -> str:
    """The secret of a new endpoint that is told of accepted mail; its page is open then."""
    page.get_by_role("link", name="New endpoint").first.click()
    type_in(page, url="ftp://nowhere", description="The shop")
    press(page, "Create endpoint")
    expect(page.locator("#f-url-error")).to_contain_text("http")
    sound(page)
    type_in(page, url=url)
    page.get_by_label("Accepted", exact=True).check()
    press(page, "Create endpoint")
    secret = page.locator("#secret").inner_text()
    sound(page)
    page.get_by_role("link", name="Go on").click()
    return secret


def _open_settings(page: Page) -> None:
    page.get_by_role("navigation", name="Endpoint", exact=True).get_by_role("link", name="Settings").click()
