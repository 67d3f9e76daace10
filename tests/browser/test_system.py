"""What those see who run the installation, and others do not."""

from __future__ import annotations

from flute.v1.user_service_pb2 import ListUsersRequest, UpdateUserRequest, User
from google.protobuf.field_mask_pb2 import FieldMask
from playwright.sync_api import Page, expect

from tests.browser.town import Town, agree, log_in, sound
from tests.browsing import Watch


def make_operator(town: Town, email: str) -> None:
    client = town.stack.client
    users = client.pages(client.users.ListUsers, ListUsersRequest(), "users")
    [id_] = [user.id for user in users if user.email == email]
    change = UpdateUserRequest(user=User(id=id_, operator=True), update_mask=FieldMask(paths=["operator"]))
    client.call(client.users.UpdateUser, change)


def test_an_operator_sees_every_part_and_everybody(page: Page, town: Town) -> None:
    email, other = town.owner(), town.owner()
    make_operator(town, email)
    log_in(page, town, email, path="/system")
    for part in ("PostgreSQL Ok", "Workers Ok"):
        expect(page.get_by_role("row", name=part, exact=False).first).to_be_visible()
    sound(page)
    page.get_by_role("navigation", name="System").get_by_role("link", name="People").click()
    row = page.get_by_role("row", name=other)
    row.get_by_text("Make operator…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(other)
    agree(page, "Make operator")
    expect(page.get_by_role("row", name=other)).to_contain_text("Operator")
    sound(page)


def test_others_do_not(page: Page, watch: Watch, town: Town) -> None:
    watch.allow("status of 403")
    log_in(page, town, town.owner(), path="/system")
    expect(page.get_by_role("heading", name="You may not do this")).to_be_visible()
    expect(page.get_by_role("link", name="System")).to_have_count(0)
