"""Logging in and out."""

from __future__ import annotations

import grpc
from flask import redirect, request, url_for
from flask.typing import ResponseReturnValue
from flute.v1.person_service_pb2 import SIGN_UP_MODE_OPEN, GetSignUpPolicyRequest, SignUpPolicy
from flute.v1.session_service_pb2 import CompleteLogInRequest, LogInRequest, LogInResponse, LogOutRequest
from google.protobuf.empty_pb2 import Empty

from web.client import RpcFailure
from web.dashboard import dashboard, session
from web.dashboard.ask import ask
from web.dashboard.form import Form
from web.dashboard.guard import safe_next, without_login
from web.dashboard.me import me_or_nobody
from web.dashboard.render import page, say

# Here it is what they typed that is wrong, not their session.
_WRONG = (grpc.StatusCode.UNAUTHENTICATED,)


@dashboard.route("/login", methods=["GET", "POST"])
@without_login
def log_in() -> ResponseReturnValue:
    """Address and password; then a code, for those who want to be asked for one."""
    form = Form.of(email=request.args.get("email", ""))
    if request.method == "GET":
        return _show(form)
    message = LogInRequest(email=form["email"], password=form.values.get("password", ""))
    if told := form.send(message, LogInResponse, mendable=_WRONG):
        return _after(told)
    return _show(form)


def _show(form: Form) -> ResponseReturnValue:
    if request.method == "GET" and me_or_nobody():
        return redirect(safe_next(request.args.get("next")))
    policy = ask(GetSignUpPolicyRequest(), SignUpPolicy)
    if policy.first and policy.mode == SIGN_UP_MODE_OPEN:
        return redirect(url_for("dashboard.sign_up"), 303)
    there_is_sign_up = policy.mode == SIGN_UP_MODE_OPEN
    return form.shown(page("log_in.html", form=form, next=_next(), there_is_sign_up=there_is_sign_up))


@dashboard.route("/login/code", methods=["GET", "POST"])
@without_login
def log_in_code() -> ResponseReturnValue:
    """The code of the second factor."""
    form = Form.of()
    if request.method == "GET":
        return redirect(url_for("dashboard.log_in", next=_next()))
    message = CompleteLogInRequest(challenge_token=form["challenge"], code=form["code"])
    if told := form.send(message, LogInResponse, mendable=_WRONG):
        return _after(told)
    if form.reason == "CHALLENGE_OVER":
        say(form.problem, "bad")
        return redirect(url_for("dashboard.log_in", next=_next()), 303)
    return form.shown(_code_page(form, form["challenge"]))


def _after(told: LogInResponse) -> ResponseReturnValue:
    if told.challenge_token:
        return _code_page(Form(), told.challenge_token)
    session.begin(told.session_token)
    return redirect(safe_next(request.args.get("next")), 303)


def _code_page(form: Form, challenge: str) -> str:
    return page("log_in_code.html", form=form, challenge=challenge, next=_next())


def _next() -> str | None:
    return request.args.get("next") or None


@dashboard.post("/logout")
@without_login
def log_out() -> ResponseReturnValue:
    """End the session, here and at the server. Here even if the server is away."""
    told = True
    try:
        if session.token():
            ask(LogOutRequest(), Empty)
    except RpcFailure as failure:
        told = failure.code is grpc.StatusCode.UNAUTHENTICATED  # it had ended already
    session.end()
    if not told:
        say(
            "You are logged out here, but the server did not answer. Log in again to end that session.",
            "info",
        )
    # An invitation is for somebody else than who was logged in.
    return redirect(url_for("dashboard.log_in", next=request.form.get("next") or None), 303)
