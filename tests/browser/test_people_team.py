"""People in the browser: a team, invitations, sessions, settings, several accounts."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page, expect

from tests.browser.town import (
    NEW_PASSWORD,
    PASSWORD,
    Town,
    agree,
    log_in,
    new_email,
    press,
    sound,
    type_in,
)
from tests.browsing import Watch


def test_a_team(town: Town, page: Page, other: Page):
    email, guest = town.owner(), new_email()
    log_in(page, town, email)
    invite(page, guest, "viewer")
    sound(page)
    page.goto(town.url("/team"))
    expect(page.locator("#secret")).to_have_count(0)
    other.goto(town.link(guest, "invitation"))
    expect(other.get_by_role("heading", name="Join Acme")).to_be_visible()
    expect(other.get_by_role("link", name=f"Log in as {guest}")).to_have_count(0)
    sound(other)
    type_in(other, password=PASSWORD, name="<img src=x onerror=alert(1)>")
    press(other, "Join Acme")
    expect(other.get_by_text("Welcome to Flute.")).to_be_visible()
    see_as_viewer(other, town)

    page.reload()
    expect(page.get_by_role("rowheader", name="<img src=x onerror=alert(1)>")).to_be_visible()
    page.get_by_label(f"Role of {guest}", exact=True).select_option("developer")
    press(page, f"Save the role of {guest}")
    expect(page.get_by_text(f"{guest} is developer now.")).to_be_visible()
    other.goto(town.url("/team"))
    expect(other.locator("details.menu.up")).to_contain_text("developer")
    page.locator("tr", has_text=guest).get_by_role("button", name="Remove…").click()
    agree(page, "Remove")
    expect(page.get_by_text("no member any more")).to_be_visible()
    other.reload()
    expect(other.get_by_text("You are in no account")).to_be_visible()
    sound(other)

    page.get_by_role("link", name="Audit log").click()
    for action in ("Member left or was removed", "Role changed", "Member joined", "Somebody invited"):
        expect(page.get_by_text(action).first).to_be_visible()
    sound(page)


def invite(page: Page, email: str, role: str) -> str:
    """The link of the invitation."""
    type_in(page, email=email)
    page.locator("#f-role").select_option(role)
    press(page, "Invite")
    return page.locator("#secret").inner_text()


def see_as_viewer(page: Page, town: Town) -> None:
    """Nothing to change is offered, and what is asked for by its address is refused in plain words."""
    page.goto(town.url("/team"))
    expect(page.get_by_role("combobox")).to_have_count(0)
    expect(page.get_by_role("button", name="Invite")).to_have_count(0)
    expect(page.get_by_role("link", name="Audit log")).to_have_count(0)
    sound(page)
    page.goto(town.url("/audit"))
    expect(page.get_by_role("heading", name="You may not do this")).to_be_visible()
    sound(page)


def test_invitations(town: Town, page: Page, other: Page, watch: Watch):
    watch.allow("status of 404")
    guest = town.owner("Globex")
    log_in(page, town, town.owner())
    other.goto(invite(page, guest, "admin"))
    sound(other)
    other.get_by_role("link", name=f"Log in as {guest}").click()
    type_in(other, password=PASSWORD)
    press(other, "Log in")
    sound(other)
    press(other, f"Join as {guest}")
    expect(other.get_by_text("You are a member now.")).to_be_visible()
    other.goto(town.url("/team"))
    expect(other.get_by_text("Who works in Acme")).to_be_visible()
    expect(other.locator("#f-role option")).to_have_text(["Viewer", "Developer", "Admin"])

    lower_ones_own_role(other, guest)

    # The link that the inviter saw brings somebody new in when they have proven their address.
    new = new_email()
    other.context.clear_cookies()
    other.goto(invite(page, new, "viewer"))
    type_in(other, password=PASSWORD)
    press(other, "Join Acme")
    expect(other.get_by_role("heading", name="Look into your inbox")).to_be_visible()
    sound(other)
    other.goto(town.link(new, "confirm"))
    type_in(other, password=PASSWORD)
    press(other, "Confirm my address")
    expect(other.get_by_text("Welcome to Flute.")).to_be_visible()
    other.goto(town.url("/team"))
    expect(other.get_by_text("Who works in Acme")).to_be_visible()

    page.goto(town.url("/team"))
    gone = invite(page, "somebody@people.example", "viewer")
    page.get_by_role("button", name="Revoke…").click()
    agree(page, "Revoke")
    expect(page.get_by_text("The invitation is revoked.")).to_be_visible()
    page.goto(gone)
    expect(page.get_by_role("heading", name="This invitation does not work any more")).to_be_visible()
    sound(page)


def lower_ones_own_role(page: Page, email: str) -> None:
    page.get_by_label(f"Role of {email}", exact=True).select_option("viewer")
    press(page, f"Save the role of {email}")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("only another admin or an owner can give you the role")
    sound(page)
    agree(page, "Change my role")
    expect(page.get_by_text(f"{email} is viewer now.")).to_be_visible()


def test_sessions(town: Town, page: Page, other: Page):
    email = town.owner()
    log_in(page, town, email, path="/settings/sessions")
    log_in(other, town, email)
    expect(other.get_by_role("heading", name="Team")).to_be_visible()
    page.reload()
    expect(page.get_by_text("Chrome on Linux")).to_have_count(2)
    expect(page.locator(".pill", has_text="This one")).to_have_count(1)
    sound(page)
    page.get_by_role("button", name="End the session").click()
    expect(page.get_by_text("That session has ended.")).to_be_visible()
    other.reload()
    expect(other.get_by_role("heading", name="Log in")).to_be_visible()
    type_in(other, email=email, password=PASSWORD)
    press(other, "Log in")
    expect(other.get_by_role("heading", name="Team")).to_be_visible()
    page.reload()
    page.get_by_role("button", name="Log out everywhere else…").click()
    agree(page, "Log out everywhere else")
    expect(page.get_by_text("1 other session has ended.")).to_be_visible()
    other.reload()
    expect(other.get_by_role("heading", name="Log in")).to_be_visible()


def test_settings(town: Town, page: Page, watch: Watch):
    watch.allow("status of 422")
    email = town.owner()
    log_in(page, town, email, path="/settings")
    sound(page)
    type_in(page, name="Grace")
    press(page, "Save the name")
    expect(page.get_by_text("Your name is saved.")).to_be_visible()
    type_in(page, **{"password": "wrong", "new_password": NEW_PASSWORD})
    press(page, "Change the password")
    expect(page.locator("#f-password-error")).to_be_visible()
    sound(page)
    type_in(page, password=PASSWORD, new_password=NEW_PASSWORD)
    press(page, "Change the password")
    expect(page.get_by_text("Your password is changed.")).to_be_visible()

    new = f"new-{email}"
    type_in(page, **{"new_email": new, "email-password": NEW_PASSWORD})
    press(page, "Change the email")
    expect(page.get_by_text(f"Waits for its confirmation: {new}")).to_be_visible()
    sound(page)
    page.goto(town.link(new, "confirm"))
    press(page, "Confirm my address")
    expect(page.get_by_text(f"You log in with {new}")).to_be_visible()


def test_several_accounts(town: Town, page: Page, watch: Watch):
    watch.allow("status of 4")
    log_in(page, town, town.owner("Acme <b>"), path="/settings/account")
    sound(page)
    type_in(page, name="Acme & Sons")
    press(page, "Save the name")
    expect(page.get_by_text("The account's name is saved.")).to_be_visible()
    press_leave(page)
    expect(page.get_by_text("You are still a member")).to_be_visible()
    type_in(page, account_name="Second")
    press(page, "Create the account")
    expect(page.get_by_text("The account Second is there")).to_be_visible()
    page.goto(town.url("/settings/account"))
    expect(page.get_by_text("You are here")).to_have_count(1)
    sound(page)
    press(page, "Switch to Acme & Sons")
    expect(page.locator("details.menu.down > summary")).to_contain_text("Acme & Sons")
    page.goto(town.url("/team"))
    expect(page.get_by_text("Who works in Acme & Sons")).to_be_visible()
    page.locator("details.menu.down > summary").click()
    press(page, "Second")
    expect(page.locator("details.menu.down > summary")).to_contain_text("Second")
    page.goto(town.url("/settings/account"))
    type_in(page, confirm_name="Acme & Sons")
    press(page, "Delete the account")
    agree(page, "Delete the account")
    expect(page.locator("#f-confirm_name-error")).to_be_visible()
    type_in(page, confirm_name="Second")
    press(page, "Delete the account")
    agree(page, "Delete the account")
    expect(page.get_by_text("The account Second is deleted")).to_be_visible()


def press_leave(page: Page) -> None:
    page.get_by_role("button", name="Leave the account…").click()
    agree(page, "Leave the account")


def test_cookies_and_headers_of_the_running_system(town: Town, page: Page):
    log_in(page, town, town.owner())
    cookies: list[Any] = page.context.cookies()
    assert [(cookie["name"], cookie["httpOnly"], cookie["sameSite"]) for cookie in cookies] == [
        ("flute", True, "Lax")
    ]
