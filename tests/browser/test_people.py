"""People in the browser: signing up, logging in, the second factor, a lost password."""

from __future__ import annotations

import time

import pyotp
from playwright.sync_api import Page, expect

from tests.browser.town import (
    NEW_PASSWORD,
    PASSWORD,
    Town,
    agree,
    log_in,
    log_out,
    new_email,
    press,
    sound,
    type_in,
)
from tests.browsing import Watch
from tests.stack import until


# First, while nobody has signed up.
def test_the_first_person_signs_up_and_confirms(town: Town, page: Page, watch: Watch):
    watch.allow("status of 422")
    page.goto(town.url("/"))
    expect(page.get_by_role("heading", name="Welcome to Flute")).to_be_visible()
    sound(page)
    type_in(
        page, email="ada@people.example", password="aaaaaaaaaaaa", name="Ada Lovelace", account_name="Acme"
    )
    press(page, "Sign up")
    expect(page.locator("#f-password-error")).to_contain_text("different characters")
    assert page.locator("#f-email").input_value() == "ada@people.example"
    sound(page)
    type_in(page, password=PASSWORD)
    press(page, "Show: Password")
    assert page.locator("#f-password").get_attribute("type") == "text"
    press(page, "Sign up")
    expect(page.get_by_text("Welcome to Flute.")).to_be_visible()
    expect(page.get_by_text("is not confirmed yet")).to_be_visible()
    press(page, "Send it again")
    expect(page.get_by_text("The mail is on its way")).to_be_visible()

    page.goto(town.link("ada@people.example", "confirm"))
    expect(page.get_by_role("heading", name="Confirm your address")).to_be_visible()
    sound(page)
    press(page, "Confirm my address")
    expect(page.get_by_text("ada@people.example is confirmed.")).to_be_visible()
    expect(page.get_by_text("is not confirmed yet")).to_have_count(0)
    page.goto(town.link("ada@people.example", "confirm"))
    type_in(page, password=PASSWORD)
    press(page, "Confirm my address")
    expect(page.get_by_text("Your address is not confirmed")).to_be_visible()
    page.goto(town.url("/team"))
    log_out(page)
    page.go_back()
    page.reload()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()


def test_the_next_one_proves_the_address_first(town: Town, page: Page, watch: Watch):
    watch.allow("status of 422")
    email, known = new_email(), town.owner()

    def sign_up(email: str) -> str:
        page.goto(town.url("/login"))
        page.get_by_role("link", name="Sign up").click()
        type_in(page, email=email, password=PASSWORD, account_name="Globex")
        press(page, "Sign up")
        expect(page.get_by_role("heading", name="Look into your inbox")).to_be_visible()
        return page.locator("main").inner_text().replace(email, "")

    assert sign_up(known) == sign_up(email)
    sound(page)
    page.goto(town.link(email, "confirm"))
    sound(page)
    type_in(page, password="what somebody else chose")
    press(page, "Confirm my address")
    expect(page.locator("#f-password-error")).to_contain_text("Not the password that was chosen")
    expect(page.get_by_text("You did not sign up? Ignore the mail")).to_be_visible()
    sound(page)
    type_in(page, password=PASSWORD)
    press(page, "Confirm my address")
    expect(page.get_by_text(f"{email} is confirmed.")).to_be_visible()
    expect(page.get_by_text("Globex").first).to_be_visible()


def test_a_wrong_password_and_an_unknown_address_look_the_same(town: Town, page: Page, watch: Watch):
    watch.allow("status of 4")
    email = town.owner()

    def answer(email: str) -> tuple[int, str]:
        type_in(page, email=email, password="a wrong password")
        with page.expect_response(lambda answer: answer.request.method == "POST") as told:
            press(page, "Log in")
        expect(page.get_by_role("alert")).to_be_visible()
        return told.value.status, page.locator("main").inner_text()

    page.goto(town.url("/login?next=/team"))
    known = answer(email)
    sound(page)
    assert answer("nobody@people.example") == known
    token = page.locator("[name=csrf_token]").input_value()
    for _ in range(9):
        form: dict[str, str | float | bool] = {"email": email, "password": "another one", "csrf_token": token}
        page.context.request.post(town.url("/login"), form=form)
    assert answer(email)[0] == 429
    expect(page.get_by_role("main")).to_contain_text("Please try again in")
    # Somebody else at the same place is not locked out, and comes to where they wanted to go.
    type_in(page, email=town.owner(), password=PASSWORD)
    press(page, "Log in")
    expect(page.get_by_role("heading", name="Team")).to_be_visible()


def test_a_second_factor(town: Town, page: Page, watch: Watch):
    watch.allow("status of 422")
    email = town.owner()
    log_in(page, town, email, path="/settings/two-factor")
    sound(page)
    type_in(page, password="not my password")
    press(page, "Set it up")
    expect(page.locator("#f-password-error")).to_be_visible()
    type_in(page, password=PASSWORD)
    press(page, "Set it up")
    phone, codes = turn_on(page)
    log_out(page)

    log_in(page, town, email)
    sound(page)
    type_in(page, code="000000")
    press(page, "Log in")
    expect(page.get_by_role("alert")).to_contain_text("does not count now")
    type_in(page, code=phone.at(time.time() + 30))
    press(page, "Log in")
    expect(page.get_by_role("heading", name="Team")).to_be_visible()
    log_out(page)
    log_in(page, town, email)
    type_in(page, code=codes[0].upper())
    press(page, "Log in")
    expect(page.get_by_role("heading", name="Team")).to_be_visible()
    page.goto(town.url("/settings/two-factor"))
    expect(page.get_by_text("9 of 10 are left")).to_be_visible()
    turn_off(page, town, codes)


def turn_on(page: Page) -> tuple[pyotp.TOTP, list[str]]:
    """Scan the code, and keep the recovery codes."""
    image = page.get_by_role("img", name="QR code")
    until(lambda: image.evaluate("one => one.complete && one.naturalWidth > 20"), "the QR code is shown")
    sound(page)
    phone = pyotp.TOTP(page.locator(".copyable code").inner_text())
    type_in(page, code="000000")
    press(page, "Turn it on")
    expect(page.locator("#f-code-error")).to_be_visible()
    expect(image).to_be_visible()
    type_in(page, code=phone.now())
    press(page, "Turn it on")
    expect(page.get_by_role("heading", name="Two-factor login is on")).to_be_visible()
    sound(page)
    codes = page.locator("pre code").inner_text().split()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download as text").click()
    assert codes[9] in download.value.path().read_text()
    page.get_by_role("link", name="I have kept them").click()
    expect(page.get_by_text("10 of 10 are left")).to_be_visible()
    sound(page)
    return phone, codes


def turn_off(page: Page, town: Town, codes: list[str]) -> None:
    """With one of the new codes that came instead of these."""
    type_in(page, password=PASSWORD)
    press(page, "Make new codes")
    fresh = page.locator("pre code").inner_text().split()
    assert not set(fresh) & set(codes)
    page.goto(town.url("/settings/two-factor"))
    type_in(page, **{"code": fresh[0], "disable-password": PASSWORD})
    press(page, "Turn it off")
    agree(page, "Turn it off")
    expect(page.get_by_text("Your password alone logs you in now.")).to_be_visible()


def test_a_forgotten_password(town: Town, page: Page, other: Page, watch: Watch):
    watch.allow("status of 422")
    email = town.owner()
    log_in(other, town, email)
    expect(other.get_by_role("heading", name="Team")).to_be_visible()

    def ask(email: str) -> str:
        page.goto(town.url("/login"))
        page.get_by_role("link", name="Forgot your password?").click()
        sound(page)
        type_in(page, email=email)
        press(page, "Send me a link")
        expect(page.get_by_role("heading", name="Look into your inbox")).to_be_visible()
        return page.locator("main").inner_text().replace(email, "")

    assert ask(email) == ask("nobody@people.example")
    sound(page)
    link = town.link(email, "reset")
    page.goto(link)
    sound(page)
    type_in(page, new_password=NEW_PASSWORD)
    press(page, "Change the password")
    expect(page.get_by_text("Your password is changed")).to_be_visible()
    assert page.locator("#f-email").input_value() == email
    other.reload()
    expect(other.get_by_role("heading", name="Log in")).to_be_visible()
    type_in(page, password=PASSWORD)
    press(page, "Log in")
    expect(page.get_by_role("alert")).to_be_visible()
    type_in(page, password=NEW_PASSWORD)
    press(page, "Log in")
    expect(page.get_by_role("heading", name="Log in")).to_have_count(0)
    page.goto(link)
    type_in(page, new_password=PASSWORD)
    press(page, "Change the password")
    expect(page.get_by_role("alert")).to_contain_text("used already")
