"""Where somebody is logged in."""

from __future__ import annotations

from flask import redirect, request, url_for
from flask.typing import ResponseReturnValue
from flute.v1.session_service_pb2 import (
    ListSessionsRequest,
    ListSessionsResponse,
    RevokeOtherSessionsRequest,
    RevokeOtherSessionsResponse,
    RevokeSessionRequest,
)
from google.protobuf.empty_pb2 import Empty

from web.dashboard import dashboard
from web.dashboard.ask import ask
from web.dashboard.render import page, say
from web.dashboard.words import browser


@dashboard.get("/settings/sessions")
def sessions() -> ResponseReturnValue:
    """All of one's sessions, the one that is looking marked."""
    rows = ask(ListSessionsRequest(), ListSessionsResponse).sessions
    return page("sessions.html", nav="settings", sessions=rows, browser=browser)


@dashboard.post("/settings/sessions/revoke")
def revoke_session() -> ResponseReturnValue:
    """End one of them."""
    ask(RevokeSessionRequest(id=request.form.get("id", "")), Empty)
    say("That session has ended.")
    return redirect(url_for("dashboard.sessions"), 303)


@dashboard.post("/settings/sessions/revoke-others")
def revoke_other_sessions() -> ResponseReturnValue:
    """End all but this one."""
    count = ask(RevokeOtherSessionsRequest(), RevokeOtherSessionsResponse).count
    say(
        f"{count} other {'session has' if count == 1 else 'sessions have'} ended."
        if count
        else "There was no other session."
    )
    return redirect(url_for("dashboard.sessions"), 303)
