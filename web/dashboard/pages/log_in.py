"""Logging in and out."""

from __future__ import annotations

import grpc
from flask import redirect, request, url_for
from flask.typing import ResponseReturnValue
from flute.v1.session_service_pb2 import CompleteLogInRequest, LogInRequest, LogInResponse, LogOutRequest
from google.protobuf.empty_pb2 import Empty

from web.client import RpcFailure
from web.dashboard import dashboard, session
from web.dashboard.ask import ask
from web.dashboard.form import Form
from web.dashboard.guard import safe_next, without_login
from web.dashboard.render import page, say


@dashboard.route("/login", methods=["GET", "POST"])
@without_login
def log_in() -> ResponseReturnValue:
    """Address and password; then a code, for those who want to be asked for one."""
    form = Form.of(email=request.args.get("email", ""))
    if request.method == "POST":
        message = LogInRequest(email=form["email"], password=form.values.get("password", ""))
        if told := form.send(message, LogInResponse):
            return _after(told)
    return page("log_in.html", form=form), form.status


@dashboard.post("/login/code")
@without_login
def log_in_code() -> ResponseReturnValue:
    """The code of the second factor."""
    form = Form.of()
    message = CompleteLogInRequest(challenge_token=form["challenge"], code=form["code"])
    if told := form.send(message, LogInResponse):
        return _after(told)
    return page("log_in_code.html", form=form, challenge=form["challenge"]), form.status


def _after(told: LogInResponse) -> ResponseReturnValue:
    if told.challenge_token:
        return page("log_in_code.html", form=Form(), challenge=told.challenge_token)
    session.begin(told.session_token)
    return redirect(safe_next(request.args.get("next")), 303)


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
    return redirect(url_for("dashboard.log_in"), 303)
