"""Who is logged in, asked once a request."""

from __future__ import annotations

from typing import cast

from flask import g
from flute.v1.annotations_pb2 import ROLE_ADMIN, ROLE_DEVELOPER, ROLE_OWNER, ROLE_VIEWER, Role
from flute.v1.person_service_pb2 import GetMeRequest, Me

from web.client import RpcFailure
from web.dashboard import session
from web.dashboard.ask import ask

ROLES = {"viewer": ROLE_VIEWER, "developer": ROLE_DEVELOPER, "admin": ROLE_ADMIN, "owner": ROLE_OWNER}


def me() -> Me:
    """Who is logged in. Raises RpcFailure when nobody is any more, or the server is away."""
    if "me" not in g:
        g.me = ask(GetMeRequest(), Me)
    return cast(Me, g.me)


def me_or_nobody() -> Me | None:
    """The same for pages that are shown to everybody, errors included."""
    if not session.token():
        return None
    try:
        return me()
    except RpcFailure:
        return None


def may(role: str) -> bool:
    """Whether they may do what takes this role: what a page offers. What happens, the server decides."""
    who = me_or_nobody()
    return who is not None and who.role >= ROLES[role]


def role_name(role: Role.ValueType) -> str:
    """As people say it."""
    return next((name for name, value in ROLES.items() if value == role), "")
