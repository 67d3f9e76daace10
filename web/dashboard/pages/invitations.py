"""What somebody sees who was invited."""

from __future__ import annotations

import grpc
from flask import redirect, request, url_for
from flask.typing import ResponseReturnValue
from flute.v1.member_service_pb2 import (
    AcceptInvitationRequest,
    GetInvitationRequest,
    InvitationView,
    Member,
)
from flute.v1.person_service_pb2 import (
    SIGN_UP_MODE_CLOSED,
    GetSignUpPolicyRequest,
    SignUpPolicy,
    SignUpRequest,
    SignUpResponse,
)

from web.client import RpcFailure
from web.dashboard import dashboard
from web.dashboard.ask import ask
from web.dashboard.form import Form
from web.dashboard.guard import without_login
from web.dashboard.me import role_name
from web.dashboard.pages.sign_up import signed_up
from web.dashboard.render import page, say

_GONE = (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION)


@dashboard.route("/invitation/<token>", methods=["GET", "POST"])
@without_login
def invitation(token: str) -> ResponseReturnValue:
    """Into which account, as what, by whom; who is new signs up here."""
    form = Form.of()
    if request.method == "POST":
        message = SignUpRequest(
            password=form.values.get("password", ""), name=form["name"], invitation_token=token
        )
        if told := form.send(message, SignUpResponse):
            return signed_up(told, ask(GetSignUpPolicyRequest(), SignUpPolicy), token)
    return _show(token, form)


@dashboard.post("/invitation/<token>/accept")
def accept_invitation(token: str) -> ResponseReturnValue:
    """Who is logged in becomes a member."""
    form = Form.of()
    if form.send(AcceptInvitationRequest(token=token), Member) is None:
        return _show(token, form)
    say("You are a member now.")
    return redirect(url_for("dashboard.home"), 303)


def _show(token: str, form: Form) -> ResponseReturnValue:
    try:
        view = ask(GetInvitationRequest(token=token), InvitationView)
    except RpcFailure as failure:
        if failure.code not in _GONE:
            raise
        return page("invitation_gone.html"), 404
    policy = ask(GetSignUpPolicyRequest(), SignUpPolicy)
    shown = page(
        "invitation.html",
        form=form,
        token=token,
        view=view,
        role=role_name(view.role),
        told=view.HasField("user_exists"),
        mail_leaves=policy.mail_configured,
        is_closed=policy.mode == SIGN_UP_MODE_CLOSED,
    )
    return form.shown(shown)
