"""Suppressions in the browser: add, find, take in a file, give it out, let an address go."""

from __future__ import annotations

from playwright.sync_api import FilePayload, Page, expect

from tests.browser.town import Town, agree, log_in, press, sound, type_in

FILE = b"email,reason,text\neve@example.com,complaint,called it spam\nnot an address,bounce,\n"


def test_an_address_comes_and_goes(page: Page, town: Town) -> None:
    log_in(page, town, town.owner(), path="/suppressions")
    expect(page.get_by_role("heading", name="No suppressed address")).to_be_visible()
    type_in(page, email="Ada@Example.com", text="asked us by phone")
    press(page, "Add")
    expect(page.get_by_role("row", name="ada@example.com")).to_contain_text("asked us by phone")
    sound(page)

    page.get_by_role("link", name="Import").click()
    sound(page)
    page.locator("#f-file").set_input_files(FilePayload(name="list.csv", mimeType="text/csv", buffer=FILE))
    press(page, "Import")
    expect(page.get_by_text("1 new address, 0 known before, 1 line not taken.")).to_be_visible()
    expect(page.get_by_role("row", name="3")).to_be_visible()  # the line
    page.locator("#f-lines").fill("eve@example.com\nbob@example.com")
    press(page, "Import")
    expect(page.get_by_text("1 new address, 1 known before, 0 lines not taken.")).to_be_visible()

    page.goto(town.url("/suppressions?reason=complaint"))
    rows = page.get_by_role("row")
    expect(rows).to_have_count(2)  # with the head
    expect(rows.last).to_contain_text("eve@example.com")
    with page.expect_download() as download:
        page.get_by_role("link", name="Export").click()
    text = download.value.path().read_text()
    assert [line.partition(",")[0] for line in text.splitlines()[1:]] == [
        "ada@example.com",
        "eve@example.com",
        "bob@example.com",
    ]

    page.goto(town.url("/suppressions?search=ADA@example.com"))
    page.get_by_text("Remove…").click()
    agree(page, "Remove")
    expect(page.get_by_text("it may be mailed again")).to_be_visible()
    expect(page.get_by_role("row", name="ada@example.com")).to_have_count(0)
    page.goto(town.url("/audit"))
    expect(page.get_by_role("row", name="Suppression removed")).to_contain_text("ada@example.com")
