"""For who forgot the password."""

from __future__ import annotations

from flask import redirect, request, url_for
from flask.typing import ResponseReturnValue
from flute.v1.person_service_pb2 import (
    GetSignUpPolicyRequest,
    RequestPasswordResetRequest,
    ResetPasswordRequest,
    ResetPasswordResponse,
    SignUpPolicy,
)
from google.protobuf.empty_pb2 import Empty

from web.dashboard import dashboard, session
from web.dashboard.ask import ask
from web.dashboard.form import Form
from web.dashboard.guard import without_login
from web.dashboard.render import page, say


@dashboard.route("/forgot", methods=["GET", "POST"])
@without_login
def forgot() -> ResponseReturnValue:
    """Ask for a link by mail. The answer is the same whether the address is known or not."""
    form = Form.of(email=request.args.get("email", ""))
    policy = ask(GetSignUpPolicyRequest(), SignUpPolicy)
    sent = False
    if request.method == "POST":
        sent = form.send(RequestPasswordResetRequest(email=form["email"]), Empty) is not None
    return form.shown(page("forgot.html", form=form, sent=sent, policy=policy))


@dashboard.route("/reset/<token>", methods=["GET", "POST"])
@without_login
def reset(token: str) -> ResponseReturnValue:
    """A new password, by the link of the mail."""
    form = Form.of()
    if request.method == "POST":
        message = ResetPasswordRequest(token=token, new_password=form.values.get("new_password", ""))
        if told := form.send(message, ResetPasswordResponse):
            # All sessions have ended, the one of this browser too if it was theirs.
            session.end()
            say("Your password is changed, and you are logged out everywhere. Log in with the new one.")
            return redirect(url_for("dashboard.log_in", email=told.email), 303)
    return form.shown(page("reset.html", form=form))
