"""What somebody tries who means no good."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import grpc
import psycopg
import pytest
from flute.v1 import provider_account_service_pb2, user_service_pb2
from google.protobuf.field_mask_pb2 import FieldMask

from flute_server.vault import password_hash
from tests.integration.people import (
    MEMBER,
    PASSWORD,
    PERSON,
    Browser,
    People,
    new_address,
    new_email,
    refused,
    retry_after,
)
from tests.rpc import details
from tests.stack import READ_TIMEOUT_S, until

VIEWER, DEVELOPER, ADMIN, OWNER = range(1, 5)
OTHER = "another good password"

# Each becomes 18 letters when it is made comparable (NFKC).
SWELLING = "\ufdfa" * 1_000_000


def test_a_password_of_megabytes_takes_no_time(people: People):
    people.operator()
    stranger, begin = Browser(people), time.monotonic()
    with refused("BAD_LOGIN"):
        stranger.log_in(SWELLING)
    with refused("INVALID_FIELDS", "password"):
        stranger.sign_up(password=SWELLING)
    with refused("INVALID_FIELDS", "new_password"):
        stranger.reset("flute_once_x", SWELLING)
    with refused("INVALID_FIELDS", "email"):
        stranger.sign_up(email="a" * 4_000_000 + "@example.com")
    assert time.monotonic() - begin < 20  # to make them comparable would take minutes


def waits_for_a_lock(people: People) -> bool:
    query = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    return bool(people.sql(query))


def in_background(call: Any) -> tuple[threading.Thread, list[str]]:
    """The thread that calls, and how it went."""
    went: list[str] = []

    def run() -> None:
        try:
            call()
            went.append("well")
        except grpc.RpcError as error:
            went.append(details(error)[0])

    thread = threading.Thread(target=run)
    thread.start()
    return thread, went


def test_who_knew_the_old_password_does_not_come_in_while_it_is_changed(people: People):
    victim = people.person()
    thief, victim_id = Browser(people, email=victim.email), victim.me().id
    with psycopg.connect(people.stack.services.database_url) as other:
        query = 'UPDATE "user" SET password_hash = %s WHERE email = %s'
        other.execute(query, (password_hash("a quite new password"), victim.email))
        thread, went = in_background(thief.log_in)
        until(lambda: went or waits_for_a_lock(people), "the log-in to go as far as it can")
        other.execute("DELETE FROM session WHERE user_id = %s", (victim_id,))
    thread.join(60)
    assert went == ["BAD_LOGIN"]


def test_codes_are_not_guessed_for_long_whatever_the_challenge(people: People):
    victim = people.person()
    victim.enable_totp()
    thief = Browser(people, email=victim.email)
    for _ in range(5):
        challenge = thief.log_in()
        for _ in range(5):
            with refused("BAD_CODE"):
                thief.complete(challenge, "000000")
    thief.address, challenge = new_address(), thief.log_in()
    with refused("RATE_LIMITED"):
        thief.complete(challenge, "000000")
    # Others have a limit of their own.
    other = people.person()
    other.enable_totp()
    other.complete(other.log_in(), other.code())


def test_a_victim_who_clicks_the_link_lets_nobody_in_who_gave_their_address(people: People):
    people.operator()
    attacker = Browser(people)
    attacker.sign_up(password=OTHER)
    token, victim = attacker.mail("confirm"), Browser(people, email=attacker.email)
    # Whatever the victim types or does not: it is not what the attacker chose.
    for password in ("", PASSWORD):
        with refused("WRONG_PASSWORD", "password") as caught:
            victim.confirm(token, password)
        assert "If you did not sign up, ignore the mail" in str(caught.value.details())
    with refused("BAD_LOGIN"):
        attacker.log_in(OTHER)
    # The address is still the victim's to sign up with.
    victim.sign_up()
    victim.token = victim.confirm(victim.mail("confirm", 2)).session_token
    assert victim.me().confirmed
    with refused("LINK_SPENT"):
        attacker.confirm(token, OTHER)


def test_who_came_in_under_an_address_of_somebody_else_is_thrown_out_by_them(people: People):
    attacker = people.member(people.person(), ADMIN, proven=False)
    attacker.call(people.client.persons.ResendConfirmation, PERSON.ResendConfirmationRequest())
    attacker.enable_totp()
    victim = Browser(people, email=attacker.email)
    for confirming in (victim, people.person()):  # nor does the session of anybody else do
        with refused("WRONG_PASSWORD"):
            confirming.confirm(attacker.mail("confirm"), "not what the attacker chose")
    assert not attacker.me().confirmed
    with refused("NOT_CONFIRMED"):
        attacker.invite(new_email())
    users, user = people.client.users, user_service_pb2.User(id=attacker.me().id, operator=True)
    with refused("NOT_CONFIRMED"):
        mask = FieldMask(paths=["operator"])
        people.operator().call(
            users.UpdateUser, user_service_pb2.UpdateUserRequest(user=user, update_mask=mask)
        )
    reset = PERSON.RequestPasswordResetRequest(email=victim.email)
    victim.call(people.client.persons.RequestPasswordReset, reset)
    victim.reset(victim.mail("reset"), OTHER)
    with refused("SESSION_ENDED"):
        attacker.me()
    assert victim.log_in(OTHER) == ""  # without the attacker's second factor
    assert victim.me().confirmed


def test_nobody_is_given_an_address_by_whoever_reads_its_mail(people: People):
    attacker, victim = people.person(), Browser(people)
    request = PERSON.ChangeEmailRequest(password=PASSWORD, new_email=victim.email)
    attacker.call(people.client.persons.ChangeEmail, request)
    token = victim.mail("confirm")
    with refused("WRONG_PASSWORD", "password"):
        victim.confirm(token, "what the victim would choose")
    assert attacker.me().email != victim.email


def test_the_password_of_a_link_is_not_guessed(people: People):
    people.operator()
    browser, guesser = Browser(people), Browser(people)
    browser.sign_up()
    token = browser.mail("confirm")
    for _ in range(10):
        with refused("WRONG_PASSWORD"):
            guesser.confirm(token, "a guess of many")
    with refused("RATE_LIMITED") as caught:
        guesser.confirm(token)
    assert retry_after(caught.value) > 1
    assert browser.confirm(token).session_token  # from elsewhere they come in


def invitation_of(who: Browser, role: int) -> str:
    return str(who.invite(new_email(), role).link.rpartition("/")[2])


def test_who_was_removed_does_not_come_back_by_an_invitation_of_their_own(people: People):
    owner = people.person()
    admin = people.member(owner, ADMIN)
    kept, secret = invitation_of(owner, VIEWER), invitation_of(admin, ADMIN)
    owner.call(people.client.members.RemoveMember, MEMBER.RemoveMemberRequest(user_id=admin.me().id))
    with refused("INVITATION_OVER"):
        admin.accept(secret)
    assert admin.accept(kept).role == VIEWER


@pytest.mark.parametrize(("left", "ends"), [(ADMIN, [OWNER]), (DEVELOPER, [VIEWER, ADMIN, OWNER])])
def test_who_lost_a_role_cannot_give_it_by_an_older_invitation(people: People, left: int, ends: list[int]):
    owner = people.person()
    other = people.member(owner, OWNER)
    links = {role: invitation_of(other, role) for role in (VIEWER, ADMIN, OWNER)}
    member = MEMBER.Member(user_id=other.me().id, role=left)  # type: ignore[arg-type]
    request = MEMBER.UpdateMemberRequest(member=member, update_mask=FieldMask(paths=["role"]))
    owner.call(people.client.members.UpdateMember, request)
    for role, link in links.items():
        if role in ends:
            with refused("INVITATION_OVER"):
                other.accept(link)
    rows = owner.call(people.client.members.ListInvitations, MEMBER.ListInvitationsRequest()).invitations
    assert {row.role for row in rows} == set(links) - set(ends)


def test_a_new_address_does_not_save_an_invitation(people: People):
    owner = people.person()
    admin = people.member(owner, ADMIN)
    link, new = invitation_of(admin, ADMIN), new_email()
    request = PERSON.ChangeEmailRequest(password=PASSWORD, new_email=new)
    admin.call(people.client.persons.ChangeEmail, request)
    admin.email = new
    admin.confirm(admin.mail("confirm"))
    owner.call(people.client.members.RemoveMember, MEMBER.RemoveMemberRequest(user_id=admin.me().id))
    with refused("INVITATION_OVER"):
        admin.accept(link)


def test_nobody_is_flooded_with_invitations(people: People):
    victim = new_email()
    senders = [people.person() for _ in range(2)]
    for nth in range(4):
        senders[nth % 2].invite(victim)
    with refused("RATE_LIMITED"):
        people.person().invite(victim.upper())
    senders[0].invite(new_email())


def test_a_mail_server_that_says_nothing_keeps_nobody_else_waiting(people: People):
    owner = people.person()
    accounts = people.client.provider_accounts
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        credentials = {"host": "127.0.0.1", "port": str(silent.getsockname()[1]), "security": "none"}
        given = provider_account_service_pb2.ProviderAccount(
            provider="smtp", name="Silence", credentials=credentials
        )
        request = provider_account_service_pb2.CreateProviderAccountRequest(provider_account=given)
        verify = provider_account_service_pb2.VerifyProviderAccountRequest(
            id=owner.call(accounts.CreateProviderAccount, request).id
        )
        begun = [in_background(lambda: owner.call(accounts.VerifyProviderAccount, verify)) for _ in range(10)]
        until(lambda: sum(bool(went) for _, went in begun) >= 8, "the ones too many to be refused")
        begin = time.monotonic()
        assert owner.me().email == owner.email
        assert time.monotonic() - begin < READ_TIMEOUT_S  # the others wait longer
    for thread, _ in begun:
        thread.join(60)
    assert sorted(word for _, went in begun for word in went)[:8] == ["BUSY"] * 8


def test_a_flood_of_log_ins_leaves_threads_to_everybody_else(people: People):
    owner, thieves = people.person(), [Browser(people) for _ in range(40)]
    begun = [in_background(thief.log_in) for thief in thieves]
    begin = time.monotonic()
    assert owner.me().email == owner.email
    took = time.monotonic() - begin
    for thread, _ in begun:
        thread.join(60)
    words = [word for _, went in begun for word in went]
    assert set(words) == {"BAD_LOGIN", "BUSY"}, words
    assert took < 15
