"""A running system for people in the browser, and what they do on many pages."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

from flute.v1.account_service_pb2 import CreateAccountRequest
from playwright.sync_api import Page, expect

from tests.browsing import axe, fits
from tests.stack import Stack, until

PASSWORD = "correct horse battery"
NEW_PASSWORD = "staple battery horse"


@dataclass
class Town:
    """The running system, and those who live in it."""

    stack: Stack

    def url(self, path: str) -> str:
        return self.stack.web_address + path

    def owner(self, account: str = "Acme") -> str:
        """The address of somebody new with an account; their password is PASSWORD."""
        email = f"{secrets.token_hex(4)}@people.example"
        request = CreateAccountRequest(name=account, owner_email=email, owner_password=PASSWORD)
        self.stack.client.call(self.stack.client.accounts.CreateAccount, request)
        return email

    def link(self, email: str, kind: str) -> str:
        """What the newest mail of this kind to somebody leads to, as soon as it is in their inbox."""

        def found() -> str | None:
            texts = [str(mail) for mail in self.stack.sandbox.inbox(to=email)]
            links = [match[0] for text in texts if (match := re.search(rf"http[^\s\"]*/{kind}/[\w-]+", text))]
            return links[-1] if links else None

        return str(until(found, f"mail to {email} that leads to /{kind}/"))


def new_email() -> str:
    return f"{secrets.token_hex(4)}@people.example"


def sound(page: Page) -> None:
    """For axe-core in light and dark, and on a telephone."""
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        assert axe(page) == [], (page.url, scheme)
    fits(page)


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def agree(page: Page, name: str) -> None:
    """Press the button of the dialog that asks whether it is meant."""
    page.get_by_role("dialog").get_by_role("button", name=name, exact=True).click()


def type_in(page: Page, **fields: str) -> None:
    for name, value in fields.items():
        page.locator(f"#f-{name}").fill(value)


def log_in(page: Page, town: Town, email: str, password: str = PASSWORD, path: str = "/team") -> None:
    page.goto(town.url(path))
    type_in(page, email=email, password=password)
    press(page, "Log in")


def log_out(page: Page) -> None:
    page.locator("details.menu.up > summary").click()
    press(page, "Log out")
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
