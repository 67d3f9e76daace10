"""Signing up, and proving the address."""

from __future__ import annotations

from flask import redirect, request, url_for
from flask.typing import ResponseReturnValue
from flute.v1.person_service_pb2 import (
    SIGN_UP_MODE_CLOSED,
    SIGN_UP_MODE_OPEN,
    ConfirmEmailRequest,
    ConfirmEmailResponse,
    GetSignUpPolicyRequest,
    Me,
    ResendConfirmationRequest,
    SignUpPolicy,
    SignUpRequest,
    SignUpResponse,
)
from google.protobuf.empty_pb2 import Empty

from web.dashboard import dashboard, session
from web.dashboard.ask import ask
from web.dashboard.form import Form
from web.dashboard.guard import safe_next, without_login
from web.dashboard.me import me_or_nobody
from web.dashboard.render import page, say


@dashboard.route("/signup", methods=["GET", "POST"])
@without_login
def sign_up() -> ResponseReturnValue:
    """A new person with an account of their own, where that is allowed."""
    if request.method == "GET" and me_or_nobody():
        return redirect(url_for("dashboard.home"))
    policy = ask(GetSignUpPolicyRequest(), SignUpPolicy)
    form = Form.of(email=request.args.get("email", ""))
    if request.method == "POST":
        message = SignUpRequest(
            email=form["email"],
            password=form.values.get("password", ""),
            name=form["name"],
            account_name=form["account_name"],
        )
        if told := form.send(message, SignUpResponse):
            return signed_up(told, policy)
    return form.shown(page("sign_up.html", form=form, policy=policy, **_modes(policy)))


def _modes(policy: SignUpPolicy) -> dict[str, bool]:
    return {"is_open": policy.mode == SIGN_UP_MODE_OPEN, "is_closed": policy.mode == SIGN_UP_MODE_CLOSED}


def signed_up(told: SignUpResponse, policy: SignUpPolicy, invitation: str = "") -> ResponseReturnValue:
    """They are logged in, or have to prove their address first: as the server says.

    invitation: the token of the one that they came by.
    """
    if not told.session_token:
        email = told.confirmation_sent_to
        return page("sign_up_sent.html", email=email, policy=policy, invitation=invitation)
    session.begin(told.session_token)
    say("Welcome to Flute.")
    return redirect(url_for("dashboard.home"), 303)


@dashboard.route("/confirm/<token>", methods=["GET", "POST"])
@without_login
def confirm(token: str) -> ResponseReturnValue:
    """A button that proves the address, with the password of who is not logged in.

    Opening the link alone does nothing: mail scanners open them too.
    """
    form, who = Form.of({"password": "password"}), me_or_nobody()
    if request.method == "POST":
        message = ConfirmEmailRequest(token=token, password=form.values.get("password", ""))
        if told := form.send(message, ConfirmEmailResponse):
            return _confirmed(told, who)
    asks = form.reason == "WRONG_PASSWORD" or who is None or (who.confirmed and not who.pending_email)
    return form.shown(page("confirm.html", form=form, asks=asks))


def _confirmed(told: ConfirmEmailResponse, who: Me | None) -> ResponseReturnValue:
    if told.session_token:
        session.begin(told.session_token)
        say(f"Welcome to Flute. {told.email} is confirmed.")
        return redirect(url_for("dashboard.home"), 303)
    if who:
        say(f"{told.email} is confirmed.")
        return redirect(url_for("dashboard.settings"), 303)
    say(f"{told.email} is confirmed. You can log in with it now.")
    return redirect(url_for("dashboard.log_in", email=told.email), 303)


@dashboard.post("/settings/confirmation")
def send_confirmation() -> ResponseReturnValue:
    """Mail the confirmation of one's own address once more."""
    form = Form.of()
    if form.send(ResendConfirmationRequest(), Empty) is None:
        say(form.problem, "bad")
    else:
        say("The mail is on its way. Please look into your inbox, and into spam if it is not there soon.")
    return redirect(safe_next(form["next"]), 303)
