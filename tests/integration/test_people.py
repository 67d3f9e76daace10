"""Signing up, logging in, and what people do about themselves."""

from __future__ import annotations

import time
from typing import Any

import pytest
from flute.v1 import account_service_pb2, audit_service_pb2, user_service_pb2
from google.protobuf.field_mask_pb2 import FieldMask

from tests.integration.people import (
    PASSWORD,
    PERSON,
    SESSION,
    Browser,
    People,
    new_email,
    refused,
    retry_after,
)
from tests.stack import until

OTHER = "another good password"


def test_the_first_person_comes_in_at_once_and_runs_the_installation(people: People):
    me = people.operator().me()
    assert me.operator
    assert me.confirmed
    assert (me.name, me.account_name, me.role) == ("Ada", "Acme", 4)
    policy = people.client.persons.GetSignUpPolicy(PERSON.GetSignUpPolicyRequest(), timeout=60)
    assert (policy.mode, policy.first, policy.mail_configured) == (PERSON.SIGN_UP_MODE_OPEN, False, True)


def test_nobody_is_a_user_before_the_address_is_proven(people: People):
    people.operator()
    browser = Browser(people)
    answer = browser.sign_up()
    assert (answer.session_token, answer.confirmation_sent_to) == ("", browser.email)
    with refused("BAD_LOGIN"):
        browser.log_in()
    token = browser.mail("confirm")
    told = browser.confirm(token)
    assert told.email == browser.email
    browser.token = told.session_token
    me = browser.me()
    assert me.account_name == "Acme"
    assert me.confirmed
    assert not me.operator
    with refused("LINK_SPENT"):
        browser.confirm(token)


def test_a_sign_up_does_not_tell_whether_the_address_is_known(people: People):
    known = people.person()
    stranger = Browser(people, email=known.email)
    unknown = Browser(people)
    answers = [stranger.sign_up(password=OTHER), unknown.sign_up(password=OTHER)]
    assert [answer.session_token for answer in answers] == ["", ""]
    assert [answer.confirmation_sent_to for answer in answers] == [known.email, unknown.email]
    people.tokens(unknown.email, "confirm")
    until(lambda: any("already" in str(mail) for mail in people.mails(known.email)), "the notice")
    assert "/confirm/" not in str(people.mails(known.email))
    with refused("BAD_LOGIN"):
        stranger.log_in(OTHER)


def test_a_sign_up_names_all_fields_that_are_wrong(people: People):
    people.operator()
    with refused("INVALID_FIELDS", "email", "password", "account_name"):
        Browser(people).sign_up(email="no address", password="short", account_name="")


def test_log_in_needs_the_password_and_does_not_tell_who_is_known(people: People):
    browser = people.person()
    words = []
    for email in (browser.email, new_email(), "no address", "nul\0@people.example"):
        with refused("BAD_LOGIN") as caught:
            Browser(people, email=email).log_in("the wrong password")
        words.append(caught.value.details())
    assert len(set(words)) == 1


def test_the_same_password_typed_on_another_keyboard_is_the_same(people: People):
    people.operator()
    browser = Browser(people)
    browser.sign_up(password="Zo\u00eb has a passwo\u0308rd \ufb01ne")
    browser.confirm(browser.mail("confirm"), "Zoe\u0308 has a passw\u00f6rd fine")
    browser.log_in("Zoe\u0308 has a passw\u00f6rd fine")
    assert browser.me().email == browser.email


# The throttle allows four mails to an address at once.
@pytest.mark.parametrize(("call", "times"), [("log_in", 8), ("reset", 4)])
def test_time_does_not_tell_who_is_known(people: People, call: str, times: int):
    def seconds(email: str) -> float:
        other = Browser(people, email=email)
        begin = time.monotonic()
        if call == "log_in":
            with refused("BAD_LOGIN"):
                other.log_in("the wrong password")
        else:
            request = PERSON.RequestPasswordResetRequest(email=email)
            other.call(people.client.persons.RequestPasswordReset, request)
        return time.monotonic() - begin

    def alike() -> bool:
        known = people.person().email
        pairs = [(seconds(known), seconds(new_email())) for _ in range(times)]
        tried.append(pairs)
        least = list(map(min, zip(*pairs, strict=True)))  # the least disturbed by what else runs
        return bool(abs(least[0] - least[1]) < 0.4 * max(least))

    tried: list[Any] = []
    assert any(alike() for _ in range(5)), tried  # what tells, tells every time


def test_guessing_is_held_up_by_account_and_client_and_says_when_to_come_back(people: People):
    victim = people.person()
    guesser = Browser(people, email=victim.email)
    for _ in range(10):
        with refused("BAD_LOGIN"):
            guesser.log_in("the wrong password")
    with refused("RATE_LIMITED") as caught:
        guesser.log_in(PASSWORD)
    assert 1 < retry_after(caught.value) <= 30
    # From elsewhere the person gets in, and is not held up for what the guesser did.
    assert Browser(people, email=victim.email).log_in() == ""
    # An unknown address is held up alike.
    unknown = Browser(people)
    for _ in range(10):
        with refused("BAD_LOGIN"):
            unknown.log_in("the wrong password")
    with refused("RATE_LIMITED"):
        unknown.log_in("the wrong password")


def test_one_address_gets_only_so_many_mails(people: People):
    people.operator()
    email = new_email()
    for _ in range(4):
        Browser(people, email=email).sign_up()
    with refused("RATE_LIMITED") as caught:
        Browser(people, email=email).sign_up()
    assert retry_after(caught.value) > 60
    with refused("RATE_LIMITED"):
        browser = Browser(people)
        request = PERSON.RequestPasswordResetRequest(email=email)
        browser.call(people.client.persons.RequestPasswordReset, request)


def test_a_forgotten_password_is_reset_once_and_ends_all_sessions(people: People):
    browser = people.person()
    lost = Browser(people, email=browser.email)
    lost.call(
        people.client.persons.RequestPasswordReset, PERSON.RequestPasswordResetRequest(email=browser.email)
    )
    token = lost.mail("reset")
    with refused("INVALID_FIELDS", "new_password"):
        lost.reset(token, "short")
    assert lost.reset(token, OTHER).email == browser.email
    with refused("SESSION_ENDED"):
        browser.me()
    with refused("BAD_LOGIN"):
        lost.log_in(PASSWORD)
    assert lost.log_in(OTHER) == ""
    with refused("LINK_SPENT"):
        lost.reset(token, OTHER)


def test_a_link_whose_time_is_over_leads_nowhere(people: People):
    browser = people.person()
    browser.call(
        people.client.persons.RequestPasswordReset, PERSON.RequestPasswordResetRequest(email=browser.email)
    )
    token = browser.mail("reset")
    people.sql("UPDATE user_token SET expire_time = now() WHERE email = %s", browser.email)
    with refused("LINK_SPENT"):
        browser.reset(token, OTHER)


def test_no_token_of_a_mail_stands_readable_in_the_database(people: People):
    browser = people.person()
    browser.call(
        people.client.persons.RequestPasswordReset, PERSON.RequestPasswordResetRequest(email=browser.email)
    )
    token = browser.mail("reset")
    for table in ("user_token", "sign_up", "system_mail", "session", "audit_entry", "invitation"):
        for (row,) in people.sql(f"SELECT t::text FROM {table} t"):
            assert token not in row
            assert browser.token not in row


def test_logging_in_anew_ends_the_session_that_comes_along(people: People):
    browser = people.person()
    before = browser.token
    browser.log_in()
    assert browser.token != before
    old = Browser(people, token=before)
    with refused("SESSION_ENDED"):
        old.me()


def test_sessions_are_listed_and_ended(people: People):
    browser = people.person()
    elsewhere = [Browser(people, email=browser.email) for _ in range(3)]
    for other in elsewhere:
        other.log_in()
    sessions = people.client.sessions
    rows = browser.call(sessions.ListSessions, SESSION.ListSessionsRequest()).sessions
    assert len(rows) == 4
    assert [row.address for row in rows if row.current] == [browser.address]
    assert {row.user_agent for row in rows} == {"Firefox"}
    gone = next(row.id for row in rows if row.address == elsewhere[0].address)
    browser.call(sessions.RevokeSession, SESSION.RevokeSessionRequest(id=gone))
    with refused("SESSION_ENDED"):
        elsewhere[0].me()
    elsewhere[1].me()
    with refused("NOT_FOUND"):
        people.person().call(sessions.RevokeSession, SESSION.RevokeSessionRequest(id=rows[0].id))
    answer = browser.call(sessions.RevokeOtherSessions, SESSION.RevokeOtherSessionsRequest())
    assert answer.count == 2
    browser.call(sessions.LogOut, SESSION.LogOutRequest())
    with refused("SESSION_ENDED"):
        browser.me()


def test_a_changed_password_ends_the_other_sessions(people: People):
    browser = people.person()
    other = Browser(people, email=browser.email)
    other.log_in()
    change = people.client.persons.ChangePassword
    with refused("WRONG_PASSWORD", "password"):
        browser.call(change, PERSON.ChangePasswordRequest(password=OTHER, new_password=OTHER))
    browser.call(change, PERSON.ChangePasswordRequest(password=PASSWORD, new_password=OTHER))
    browser.me()
    with refused("SESSION_ENDED"):
        other.me()
    assert other.log_in(OTHER) == ""


def test_a_changed_address_counts_when_it_is_proven_and_the_old_one_is_told(people: People):
    browser = people.person()
    before, after = browser.email, new_email()
    request = PERSON.ChangeEmailRequest(password=PASSWORD, new_email=after)
    me = browser.call(people.client.persons.ChangeEmail, request)
    assert (me.email, me.pending_email) == (before, after)
    until(lambda: any(after in str(mail) for mail in people.mails(before)), "the notice")
    assert browser.confirm(people.tokens(after, "confirm")[0], "").email == after  # by their session
    me = browser.me()
    assert (me.email, me.pending_email, me.confirmed) == (after, "", True)
    with refused("BAD_LOGIN"):
        Browser(people, email=before).log_in()
    assert Browser(people, email=after).log_in() == ""


def test_a_name_is_changed(people: People):
    browser = people.person()
    assert browser.call(people.client.persons.UpdateMe, renamed(" Grace ")).name == "Grace"
    wrong = PERSON.UpdateMeRequest(me=PERSON.Me(operator=True), update_mask=FieldMask(paths=["operator"]))
    with refused("INVALID_FIELDS", "update_mask"):
        browser.call(people.client.persons.UpdateMe, wrong)


def test_the_second_factor_is_asked_for_and_no_code_counts_twice(people: People):
    browser = people.person()
    assert len(set(browser.enable_totp())) == 10
    me = browser.me()
    assert (me.totp_enabled, me.recovery_codes_left) == (True, 10)
    challenge = browser.log_in()
    assert challenge
    with refused("BAD_CODE"):
        browser.complete(challenge, min(browser.used))  # the one that turned it on
    code = browser.code()
    browser.complete(challenge, code)
    assert browser.me().email == browser.email
    with refused("CHALLENGE_OVER"):
        browser.complete(challenge, code)
    with refused("BAD_CODE"):
        browser.complete(browser.log_in(), code)


def test_a_recovery_code_counts_once(people: People):
    browser = people.person()
    codes = browser.enable_totp()
    browser.complete(browser.log_in(), codes[0].upper().replace("-", " "))
    assert browser.me().recovery_codes_left == 9
    with refused("BAD_CODE"):
        browser.complete(browser.log_in(), codes[0])
    request = PERSON.RegenerateRecoveryCodesRequest(password=PASSWORD)
    fresh = browser.call(people.client.persons.RegenerateRecoveryCodes, request).codes
    with refused("BAD_CODE"):
        browser.complete(browser.log_in(), codes[1])
    browser.complete(browser.log_in(), fresh[0])


def test_codes_cannot_be_guessed(people: People):
    browser = people.person()
    browser.enable_totp()
    guesser = Browser(people, email=browser.email)
    challenge = guesser.log_in()
    for _ in range(5):
        with refused("BAD_CODE"):
            guesser.complete(challenge, "000000")
    with refused("CHALLENGE_OVER"):
        guesser.complete(challenge, browser.code())
    for _ in range(9):
        assert Browser(people, email=browser.email).log_in()
    with refused("RATE_LIMITED"):
        Browser(people, email=browser.email).log_in()


def test_the_second_factor_is_turned_off_with_password_and_code(people: People):
    browser = people.person()
    codes = browser.enable_totp()
    disable = people.client.persons.DisableTotp
    with refused("WRONG_PASSWORD"):
        browser.call(disable, PERSON.DisableTotpRequest(password=OTHER, code=codes[0]))
    with refused("INVALID_FIELDS", "code"):
        browser.call(disable, PERSON.DisableTotpRequest(password=PASSWORD, code="123"))
    me = browser.call(disable, PERSON.DisableTotpRequest(password=PASSWORD, code=codes[0]))
    assert (me.totp_enabled, me.recovery_codes_left) == (False, 0)
    assert browser.log_in() == ""


def test_the_audit_log_tells_what_somebody_did_and_from_where_nobody_but_them(people: People):
    browser = people.person()
    browser.enable_totp()
    codes = browser.call(
        people.client.persons.RegenerateRecoveryCodes,
        PERSON.RegenerateRecoveryCodesRequest(password=PASSWORD),
    ).codes
    elsewhere = Browser(people, email=browser.email)
    elsewhere.complete(elsewhere.log_in(), codes[0])
    sessions = people.client.sessions
    rows = browser.call(sessions.ListSessions, SESSION.ListSessionsRequest()).sessions
    assert {row.address for row in rows} == {browser.address, elsewhere.address}
    other = next(row.id for row in rows if row.address == elsewhere.address)
    browser.call(sessions.RevokeSession, SESSION.RevokeSessionRequest(id=other))
    browser.call(people.client.persons.UpdateMe, renamed("Grace"))
    account = browser.me().account_id
    request = audit_service_pb2.ListAuditEntriesRequest(account_id=account)
    entries = browser.call(people.client.audit.ListAuditEntries, request).audit_entries
    done = {"account.create", "session.create", "session.delete", "user.update", "user.use_recovery_code"}
    assert done <= {entry.action for entry in entries}
    assert {entry.actor for entry in entries} == {"service", browser.email}
    for entry in entries:
        assert browser.address not in entry.text
        assert elsewhere.address not in entry.text
    assert browser.secret not in str(entries)


def renamed(name: str) -> PERSON.UpdateMeRequest:
    return PERSON.UpdateMeRequest(me=PERSON.Me(name=name), update_mask=FieldMask(paths=["name"]))


def test_another_account_of_ones_own(people: People):
    browser = people.person()
    first = browser.me().account_id
    request = account_service_pb2.CreateOwnAccountRequest(name="Second")
    second = browser.call(people.client.accounts.CreateOwnAccount, request).id
    me = browser.me()
    assert me.account_id == second
    assert {place.account_name for place in me.memberships} == {"Acme", "Second"}
    switch = people.client.sessions.SwitchAccount
    browser.call(switch, SESSION.SwitchAccountRequest(account_id=first))
    assert browser.me().account_id == first
    with refused("NOT_FOUND"):
        browser.call(switch, SESSION.SwitchAccountRequest(account_id=people.operator().me().account_id))


def test_an_operator_lets_somebody_in_again_without_mail(people: People):
    browser = people.person()
    browser.enable_totp()
    client = people.client
    request = user_service_pb2.ResetUserPasswordRequest(email=browser.email, disable_totp=True)
    made = client.call(client.users.ResetUserPassword, request)
    assert not made.user.totp_enabled
    with refused("SESSION_ENDED"):
        browser.me()
    browser.token = ""
    browser.reset(made.link.rpartition("/")[2], OTHER)
    assert browser.log_in(OTHER) == ""


def test_one_operator_always_stays(people: People):
    operator, browser = people.operator(), people.person()
    users = people.client.users

    def change(who: Browser, by: Browser, value: bool) -> None:
        user = user_service_pb2.User(id=who.me().id, operator=value)
        mask = FieldMask(paths=["operator"])
        by.call(users.UpdateUser, user_service_pb2.UpdateUserRequest(user=user, update_mask=mask))

    with refused("LAST_OPERATOR"):
        change(operator, operator, False)
    with refused("OPERATOR_REQUIRED"):
        change(browser, browser, True)
    change(browser, operator, True)
    assert browser.me().operator
    change(browser, browser, False)
    assert not browser.me().operator
