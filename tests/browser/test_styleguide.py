"""Every part of the kit, in both themes and at both widths: it fits, and axe-core finds nothing wrong."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests
from playwright.sync_api import Locator, Page, ViewportSize, expect

from tests.browser import styleguide
from tests.browsing import TELEPHONE, WIDE, axe, fits, sticking_out


@pytest.fixture(scope="module")
def guide() -> Iterator[str]:
    with styleguide.running() as address:
        yield address


LOOKS = [
    *((scheme, size, "/styleguide") for scheme in ("light", "dark") for size in (WIDE, TELEPHONE)),
    *(("light", TELEPHONE, path) for path in ("/empty", "/bare")),
    *(("dark", WIDE, path) for path in ("/empty", "/bare?wrong=1")),
]


@pytest.mark.parametrize(("scheme", "size", "path"), LOOKS)
def test_every_part_is_sound(guide: str, page: Page, path: str, size: ViewportSize, scheme: str):
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce")
    page.set_viewport_size(size)
    page.goto(guide + path)
    if path == "/styleguide":
        expect(page.locator(".chart canvas")).to_have_count(3)
    assert axe(page) == []
    assert sticking_out(page) == []


def test_it_is_readable_without_javascript(guide: str, page: Page):
    browser = page.context.browser
    assert browser is not None
    context = browser.new_context(java_script_enabled=False, viewport=WIDE)
    plain = context.new_page()
    plain.goto(f"{guide}/styleguide")
    expect(plain.get_by_text("Show as a table").first).to_be_visible()
    expect(plain.get_by_role("button", name="Copy", exact=True)).to_have_count(0)
    plain.locator("details.confirm summary").click()
    plain.locator("details.confirm").get_by_role("button", name="Delete", exact=True).click()
    expect(plain.get_by_text("id=7")).to_be_visible()
    context.close()


def test_the_theme_is_kept(guide: str, page: Page):
    page.emulate_media(color_scheme="light")
    page.goto(f"{guide}/styleguide")
    page.get_by_text("Ada Lovelace").click()
    expect(page.get_by_role("button", name="Log out")).to_be_visible()
    assert axe(page) == []
    page.get_by_role("button", name="Dark").click()
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.goto(f"{guide}/empty")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == dark
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_a_question_is_answered_by_keyboard_alone(guide: str, page: Page):
    page.goto(f"{guide}/styleguide")
    opener = page.get_by_role("button", name="Delete…")
    opener.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Delete Transactional?")
    expect(dialog.get_by_role("button", name="Go back")).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(opener).to_be_focused()
    page.keyboard.press("Space")
    expect(dialog.get_by_role("button", name="Go back")).to_be_focused()
    page.keyboard.press("Tab")
    expect(dialog.get_by_role("button", name="Delete", exact=True)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_text("id=7")).to_be_visible()


def test_it_asks_before_what_cannot_be_undone(guide: str, page: Page):
    page.goto(f"{guide}/styleguide")
    page.get_by_role("button", name="Delete…").click()
    dialog = page.get_by_role("dialog", name="Delete Transactional?")
    expect(dialog).to_contain_text("its keys stop working")
    assert axe(page) == []
    dialog.get_by_role("button", name="Go back").click()
    expect(dialog).to_have_count(0)
    page.get_by_role("button", name="Delete…").click()
    dialog.get_by_role("button", name="Delete", exact=True).click()
    expect(page.get_by_text("id=7")).to_be_visible()


def test_a_form_with_a_question_is_sent_once_agreed(guide: str, page: Page):
    page.goto(f"{guide}/styleguide")
    page.get_by_role("button", name="Connect", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Connect").click()
    expect(page.get_by_text("provider=postmark")).to_be_visible()


def test_a_secret_is_copied(guide: str, page: Page):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"{guide}/styleguide")
    page.get_by_role("button", name="Copy", exact=True).click()
    expect(page.locator("#said")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()").startswith("flute_n4bQ")


def test_times_are_the_viewers(guide: str, page: Page):
    page.goto(f"{guide}/styleguide")
    shown = page.locator(".timeline time").first
    expect(shown).to_contain_text("12 min")
    assert ":" in (shown.get_attribute("title") or "")


def test_a_live_part_fetches_itself_and_leaves_the_keyboard_where_it_is(guide: str, page: Page):
    page.goto(f"{guide}/styleguide")
    live = page.locator("#live")
    link, more = live.get_by_role("link", name="An empty page"), live.locator("summary")
    for place in (link, more):
        expect(live).to_contain_text("Fetched")
        place.focus()
        _fetched_again(live)
        expect(place).to_be_focused()
    page.keyboard.press("Enter")
    _fetched_again(live)
    expect(live.get_by_text("All of it")).to_be_visible()
    expect(more).to_be_focused()


def _fetched_again(live: Locator) -> None:
    before = live.locator("span").first.inner_text()
    expect(live.locator("span").first).not_to_have_text(before)


def test_the_menu_opens_on_a_telephone(guide: str, page: Page):
    page.set_viewport_size(TELEPHONE)
    page.goto(f"{guide}/styleguide")
    suppressions = page.get_by_role("link", name="Suppressions")
    expect(suppressions).to_be_hidden()
    page.get_by_role("button", name="Menu", exact=True).click()
    expect(suppressions).to_be_visible()
    page.locator("summary", has_text="Acme").click()
    expect(page.get_by_role("button", name="Globex")).to_be_visible()
    assert axe(page) == []
    page.keyboard.press("Escape")
    expect(suppressions).to_be_hidden()


def test_lines_are_put_in_order_by_dragging(guide: str, page: Page):
    page.goto(f"{guide}/styleguide")
    expect(page.locator(".chart canvas")).to_have_count(3)  # nothing moves any more
    grips = page.locator("[data-reorder] .grip")
    grips.nth(2).scroll_into_view_if_needed()
    begin, end = grips.nth(2).bounding_box(), grips.nth(0).bounding_box()
    assert begin
    assert end
    page.mouse.move(begin["x"] + 5, begin["y"] + 5)
    page.mouse.down()
    page.mouse.move(end["x"] + 5, end["y"] - 20, steps=8)
    page.mouse.up()
    expect(page.get_by_text("order=Mailgun,Postmark,SendGrid")).to_be_visible()


def test_the_skip_link_comes_first_and_everything_fits(guide: str, page: Page):
    page.goto(f"{guide}/empty")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    fits(page)


def test_assets_are_kept_for_good_and_small(guide: str):
    page = requests.get(f"{guide}/bare", timeout=60).text
    address = page.partition('rel="stylesheet" href="')[2].partition('"')[0]
    answer = requests.get(guide + address, timeout=60, headers={"Accept-Encoding": "gzip"})
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert answer.headers["Content-Encoding"] == "gzip"
    assert int(answer.headers["Content-Length"]) < len(answer.content) / 3
    plain = requests.get(guide + address, timeout=60, headers={"Accept-Encoding": "identity"})
    assert plain.content == answer.content
    older = requests.get(f"{guide}/assets/0/app.css", timeout=60)
    assert older.headers["Cache-Control"] == "no-cache"
    assert requests.get(f"{guide}/assets/0/VENDORED.md", timeout=60).status_code == 404
