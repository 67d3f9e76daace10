"""Who shares an account: invitations, roles, leaving."""

from __future__ import annotations

import time
from typing import Any

import pytest
from flute.v1 import account_service_pb2, environment_service_pb2
from google.protobuf.field_mask_pb2 import FieldMask

from flute_server.rpc.persons import STEADY_S
from tests.integration.people import MEMBER, PASSWORD, Browser, People, new_email, refused
from tests.stack import until

VIEWER, DEVELOPER, ADMIN, OWNER = range(1, 5)


def set_role(by: Browser, who: Browser, role: int) -> Any:
    member = MEMBER.Member(user_id=who.me().id, role=role)  # type: ignore[arg-type]
    request = MEMBER.UpdateMemberRequest(member=member, update_mask=FieldMask(paths=["role"]))
    return by.call(by.client.members.UpdateMember, request)


def remove(by: Browser, user_id: str) -> None:
    by.call(by.client.members.RemoveMember, MEMBER.RemoveMemberRequest(user_id=user_id))


def leave(who: Browser) -> None:
    who.call(who.client.members.LeaveAccount, MEMBER.LeaveAccountRequest())


def view(people: People, token: str) -> Any:
    return people.client.members.GetInvitation(MEMBER.GetInvitationRequest(token=token), timeout=60)


def test_a_mailed_invitation_brings_somebody_in_and_proves_the_address(people: People):
    owner, browser = people.person(), Browser(people)
    answer = owner.invite(browser.email, DEVELOPER)
    assert answer.mail_configured
    token = browser.mail("invitation")
    shown = view(people, token)
    assert (shown.account_name, shown.email, shown.role) == ("Acme", browser.email, DEVELOPER)
    assert (shown.inviter, shown.HasField("user_exists"), shown.user_exists) == (owner.email, True, False)
    browser.token = browser.sign_up(email="", invitation_token=token).session_token
    me = browser.me()
    assert (me.email, me.confirmed, me.role) == (browser.email, True, DEVELOPER)
    assert me.account_id == owner.me().account_id
    with refused("INVITATION_OVER"):
        view(people, token)
    assert owner.members()[browser.email].HasField("last_active_time")


def shown_token(owner: Browser, email: str, role: int = VIEWER) -> str:
    return str(owner.invite(email, role).link.rpartition("/")[2])


def test_who_came_by_the_link_that_the_inviter_saw_joins_when_they_prove_the_address(people: People):
    owner, browser = people.person(), Browser(people)
    token = shown_token(owner, browser.email, DEVELOPER)
    assert browser.sign_up(email="", invitation_token=token).session_token == ""
    assert browser.email not in owner.members()
    with refused("BAD_LOGIN"):
        browser.log_in()
    browser.token = browser.confirm(browser.mail("confirm")).session_token
    me = browser.me()
    assert (me.confirmed, me.role, me.account_id) == (True, DEVELOPER, owner.me().account_id)
    assert len(me.memberships) == 1
    with refused("INVITATION_OVER"):
        view(people, token)


def test_who_proves_the_address_when_the_invitation_is_over_does_not_join(people: People):
    owner, browser = people.person(), Browser(people)
    token = shown_token(owner, browser.email, DEVELOPER)
    browser.sign_up(email="", invitation_token=token)
    proof = browser.mail("confirm")
    people.sql("UPDATE invitation SET expire_time = now() WHERE email = %s", browser.email)
    with refused("LINK_SPENT"):
        browser.confirm(proof)
    assert browser.email not in owner.members()


def test_a_revoked_invitation_takes_with_it_who_has_not_proven_the_address_yet(people: People):
    owner, browser = people.person(), Browser(people)
    made = owner.invite(browser.email)
    browser.sign_up(invitation_token=made.link.rpartition("/")[2])
    token = browser.mail("confirm")
    request = MEMBER.RevokeInvitationRequest(id=made.invitation.id)
    owner.call(people.client.members.RevokeInvitation, request)
    with refused("LINK_SPENT"):
        browser.confirm(token)


def test_the_link_that_the_inviter_saw_does_not_tell_who_has_a_login(people: People):
    owner, known, unknown = people.person(), people.person(), Browser(people)
    answers, words, least = [], [], []
    for browser in (known, unknown):
        token, guesser = shown_token(owner, browser.email), Browser(people, email=browser.email)
        shown = view(people, token)
        words.append((shown.HasField("user_exists"), shown.user_exists))
        begin = time.monotonic()
        answers.append(guesser.sign_up(password="another good password", invitation_token=token))
        least.append(time.monotonic() - begin)
    assert words == [(False, False)] * 2
    assert [answer.session_token for answer in answers] == ["", ""]
    assert [answer.confirmation_sent_to for answer in answers] == [known.email, unknown.email]
    assert min(least) > STEADY_S
    told = until(
        lambda: [str(m) for m in people.mails(known.email) if "already" in str(m)], "what to do instead"
    )
    assert "then open the invitation again" in told[0].replace("\\n", " ")
    # Nor does the mailed one, to who names another address than its own.
    token = unknown.mail("invitation")
    assert Browser(people, email=known.email).sign_up(invitation_token=token).session_token == ""


def test_who_has_a_login_joins_with_it(people: People):
    owner, browser = people.person(), people.person()
    token = shown_token(owner, browser.email, ADMIN)
    mailed = browser.mail("invitation")
    assert view(people, mailed).user_exists
    with refused("USER_EXISTS"):
        Browser(people, email=browser.email).sign_up(invitation_token=mailed)
    with refused("NO_SESSION"):
        Browser(people).accept(token)
    assert browser.accept(token).role == ADMIN
    me = browser.me()
    assert me.account_id == owner.me().account_id
    assert len(me.memberships) == 2


def test_an_invitation_is_listed_replaced_and_revoked(people: People):
    owner, email = people.person(), new_email()
    first = owner.invite(email).link.rpartition("/")[2]
    second = owner.invite(email, ADMIN)
    with refused("INVITATION_OVER"):
        view(people, first)
    members = people.client.members
    (row,) = owner.call(members.ListInvitations, MEMBER.ListInvitationsRequest()).invitations
    assert (row.id, row.role) == (second.invitation.id, ADMIN)
    stranger = people.person()
    with refused("NOT_FOUND"):
        stranger.call(members.RevokeInvitation, MEMBER.RevokeInvitationRequest(id=row.id))
    owner.call(members.RevokeInvitation, MEMBER.RevokeInvitationRequest(id=row.id))
    with refused("INVITATION_OVER"):
        view(people, second.link.rpartition("/")[2])
    with refused("MEMBER_EXISTS"):
        owner.invite(owner.email)


def test_only_owners_make_and_unmake_owners_and_one_stays(people: People):
    owner = people.person()
    admin, viewer = people.member(owner, ADMIN), people.member(owner, VIEWER)
    assert set_role(admin, viewer, ADMIN).role == ADMIN
    with refused("ROLE_TOO_LOW"):
        set_role(admin, viewer, OWNER)
    with refused("ROLE_TOO_LOW"):
        set_role(admin, owner, VIEWER)
    with refused("ROLE_TOO_LOW"):
        remove(admin, owner.me().id)
    with refused("ROLE_TOO_LOW"):
        admin.invite(new_email(), OWNER)
    with refused("LAST_OWNER"):
        set_role(owner, owner, ADMIN)
    with refused("LAST_OWNER"):
        leave(owner)
    assert set_role(owner, admin, OWNER).role == OWNER
    leave(owner)
    assert owner.me().role == 0
    assert owner.email not in admin.members()


def test_a_removed_member_acts_nowhere_from_then_on(people: People):
    owner = people.person()
    viewer = people.member(owner, VIEWER)
    listed = environment_service_pb2.ListEnvironmentsRequest()
    viewer.call(people.client.environments.ListEnvironments, listed)
    remove(owner, viewer.me().id)
    with refused("NO_ACCOUNT"):
        viewer.call(people.client.environments.ListEnvironments, listed)
    assert viewer.me().account_id == ""


def test_a_new_role_counts_at_once(people: People):
    owner = people.person()
    viewer = people.member(owner, VIEWER)
    with refused("ROLE_TOO_LOW"):
        viewer.invite(new_email())
    set_role(owner, viewer, ADMIN)
    assert viewer.invite(new_email()).link


@pytest.mark.parametrize("role", [0, 9])
def test_a_role_that_is_none_is_refused(people: People, role: int):
    with refused("INVALID_FIELDS", "role"):
        people.person().invite(new_email(), role)


def test_an_account_gets_another_name(people: People):
    owner = people.person()
    account = account_service_pb2.Account(id=owner.me().account_id, name="Acme & Sons")
    mask = FieldMask(paths=["name"])
    request = account_service_pb2.UpdateAccountRequest(account=account, update_mask=mask)
    assert owner.call(people.client.accounts.UpdateAccount, request).name == "Acme & Sons"
    assert owner.me().account_name == "Acme & Sons"


def test_a_deleted_account_is_gone_with_all_that_is_in_it(people: People):
    tenant = people.stack.tenant("postmark")
    owner, client = Browser(people), people.client
    invite = MEMBER.CreateInvitationRequest(account_id=tenant.account_id, email=owner.email, role=OWNER)  # type: ignore[arg-type]
    people.come_by(owner, client.call(client.members.CreateInvitation, invite).link)
    people.sql(
        "INSERT INTO email (id, environment_id, lease, round, content, has_attachments, due_time) "
        "VALUES (gen_random_uuid(), %s, 0, 0, '{}', false, now() + interval '1 day')",
        tenant.environment_id,
    )

    def delete(name: str) -> None:
        request = account_service_pb2.DeleteAccountRequest(id=tenant.account_id, confirm_name=name)
        owner.call(client.accounts.DeleteAccount, request)

    with refused("INVALID_FIELDS", "confirm_name"):
        delete("test")
    with refused("MAIL_UNDER_WAY"):
        delete("Test")
    people.sql("UPDATE email SET due_time = NULL WHERE environment_id = %s", tenant.environment_id)
    delete("Test")
    assert owner.me().account_id == ""
    count = "SELECT count(*) FROM account WHERE id = %s"
    until(lambda: people.sql(count, tenant.account_id) == [(0,)], "the account is gone")
    assert people.sql("SELECT count(*) FROM email WHERE environment_id = %s", tenant.environment_id) == [(0,)]


def test_the_demos_owner_and_others_made_by_the_service_are_proven(people: People):
    browser = people.person()
    assert browser.me().confirmed
    assert browser.log_in(PASSWORD) == ""
