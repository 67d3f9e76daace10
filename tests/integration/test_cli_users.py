"""`flute user`: for the operator at night, without mail."""

from __future__ import annotations

import pytest

from tests.integration.people import Browser, People, new_email, refused
from tests.integration.test_cli import Flute
from tests.stack import until

OTHER = "another good password"


@pytest.fixture
def flute(people: People) -> Flute:
    return Flute(people.stack)


def test_people_are_listed(flute: Flute, people: People):
    browser = people.person()
    done = flute("user", "list")
    assert done.exit_code == 0, done.output
    (line,) = (line for line in done.output.splitlines() if browser.email in line)
    assert "yes" in line
    (row,) = (row for row in flute.json("user", "list") if row["email"] == browser.email)
    assert (row["confirmed"], row["memberships"], row["operator"]) == (True, 1, False)


def test_an_operator_is_made_and_unmade(flute: Flute, people: People):
    browser = people.person()
    assert "runs this installation" in flute("user", "operator", browser.email).output
    assert browser.me().operator
    assert "any more" in flute("user", "operator", browser.email, "--remove").output
    assert not browser.me().operator
    assert "no user nobody@x.example" in flute.refused("user", "operator", "nobody@x.example")
    assert "make another operator first" in flute.refused(
        "user", "operator", people.operator().email, "--remove"
    )


def test_a_password_is_reset_by_a_printed_link_or_set_at_once(flute: Flute, people: People):
    browser = people.person()
    link = flute("user", "reset-password", browser.email).output.split()[-1]
    assert link.startswith(people.stack.web_address)
    with refused("SESSION_ENDED"):
        browser.me()
    browser.token = ""
    browser.reset(link.rpartition("/")[2], OTHER)
    assert browser.log_in(OTHER) == ""
    done = flute("user", "reset-password", browser.email, "--password", "-", text="a third password\n")
    assert "was set" in done.output
    assert browser.log_in("a third password") == ""


def test_mail_that_waits_is_shown_with_its_link(flute: Flute, people: People):
    owner, email = people.person(), new_email()
    people.stack.sandbox.set_mode("smtp", "error")
    try:
        owner.invite(email)
        until(lambda: "tried" in flute("user", "mail").output, "a try")
        shown = flute("user", "mail").output
    finally:
        people.stack.sandbox.reset()
    assert email in shown
    assert "/invitation/flute_once_" in shown
    people.sql("UPDATE system_mail SET next_try_time = now()")
    Browser(people, email=email).mail("invitation")
