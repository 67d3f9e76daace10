"""The people of an account."""

from __future__ import annotations

from flask import redirect, request, url_for
from flask.typing import ResponseReturnValue
from flute.v1.annotations_pb2 import ROLE_UNSPECIFIED, Role
from flute.v1.member_service_pb2 import (
    CreateInvitationRequest,
    CreateInvitationResponse,
    ListInvitationsRequest,
    ListInvitationsResponse,
    ListMembersRequest,
    ListMembersResponse,
    Member,
    RemoveMemberRequest,
    RevokeInvitationRequest,
    UpdateMemberRequest,
)
from flute.v1.person_service_pb2 import SIGN_UP_MODE_CLOSED, GetSignUpPolicyRequest, SignUpPolicy
from google.protobuf.empty_pb2 import Empty
from google.protobuf.field_mask_pb2 import FieldMask

from web.dashboard import dashboard
from web.dashboard.ask import ask
from web.dashboard.form import Form
from web.dashboard.me import ROLES, may, role_name
from web.dashboard.render import page, say

# What each may do, as the RPCs of the contract are marked; said below every choice of a role.
ROLE_TEXTS = {
    "viewer": "Sees everything except secrets, and changes nothing.",
    "developer": (
        "Also sends mail, manages keys, webhooks and suppressions, tests, pauses, resumes and resets"
        " providers, and resolves alerts."
    ),
    "admin": (
        "Also manages environments, routes, providers and members, runs drills, and reads the audit log."
    ),
    "owner": "Also renames and deletes the account, and makes other owners.",
}


@dashboard.get("/team")
def team() -> ResponseReturnValue:
    """Members, invitations, and what the roles mean."""
    return _show(Form(values={"role": "developer"}))


@dashboard.post("/team/invite")
def invite() -> ResponseReturnValue:
    """Invite somebody. The link is shown in this answer, once."""
    form = Form.of()
    told = form.send(
        CreateInvitationRequest(email=form["email"], role=_role(form["role"])), CreateInvitationResponse
    )
    if told is None:
        return _show(form)
    return _show(Form(values={"role": form["role"]}), created=told, link=_absolute(told.link))


@dashboard.post("/team/revoke")
def revoke_invitation() -> ResponseReturnValue:
    """The link of an invitation works no more."""
    form = Form.of()
    return _done(form, form.send(RevokeInvitationRequest(id=form["id"]), Empty), "The invitation is revoked.")


@dashboard.post("/team/role")
def change_role() -> ResponseReturnValue:
    """Another role for a member."""
    form = Form.of()
    member = Member(user_id=form["user_id"], role=_role(form["role"]))
    message = UpdateMemberRequest(member=member, update_mask=FieldMask(paths=["role"]))
    told = form.send(message, Member)
    return _done(form, told, f"{told.email} is {role_name(told.role)} now." if told else "")


@dashboard.post("/team/remove")
def remove_member() -> ResponseReturnValue:
    """Out of the account, at once."""
    form = Form.of()
    told = form.send(RemoveMemberRequest(user_id=form["user_id"]), Empty)
    return _done(form, told, "They are no member any more, and have no access from now on.")


def _done(form: Form, told: object | None, text: str) -> ResponseReturnValue:
    """Back to the list, saying what was done or why it was not."""
    if told is None:
        say(form.problem or next(iter(form.errors.values())), "bad")
    else:
        say(text)
    return redirect(url_for("dashboard.team"), 303)


def _show(form: Form, created: CreateInvitationResponse | None = None, link: str = "") -> ResponseReturnValue:
    members = ask(ListMembersRequest(page_token=request.args.get("page", "")), ListMembersResponse)
    unconfirmed = any(not member.confirmed for member in members.members)
    policy = ask(GetSignUpPolicyRequest(), SignUpPolicy)
    invitations = ask(ListInvitationsRequest(page_size=1000), ListInvitationsResponse)
    body = page(
        "team.html",
        nav="team",
        members=members.members,
        unconfirmed_members=unconfirmed,
        confirmable=policy.mail_configured,
        sign_up_closed=policy.mode == SIGN_UP_MODE_CLOSED,
        next_page=members.next_page_token,
        invitations=invitations.invitations,
        form=form,
        created=created,
        link=link,
        roles=_choices(),
        role_texts=ROLE_TEXTS,
    )
    return form.shown(body)


def _choices() -> list[tuple[str, str]]:
    """The roles that they may give: only owners make owners."""
    return [(name, name.capitalize()) for name in ROLES if name != "owner" or may("owner")]


def _role(name: str) -> Role.ValueType:
    return ROLES.get(name, ROLE_UNSPECIFIED)


def _absolute(link: str) -> str:
    """The server knows a path alone where nobody told it our address; who invites reads it from their own."""
    return request.host_url.rstrip("/") + link if link.startswith("/") else link
