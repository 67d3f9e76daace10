"""How the installation fares, for those who run it."""

from __future__ import annotations

from flask import redirect, request, url_for
from flask.typing import ResponseReturnValue
from flute.v1.system_service_pb2 import CheckStatus, GetSystemHealthRequest, SystemHealth
from flute.v1.user_service_pb2 import (
    GetSystemMailStatusRequest,
    ListUsersRequest,
    ListUsersResponse,
    SystemMailStatus,
    UpdateUserRequest,
    User,
)
from google.protobuf.field_mask_pb2 import FieldMask

from web.dashboard import dashboard
from web.dashboard.act import act
from web.dashboard.ask import ask
from web.dashboard.render import page

_PAGE_SIZE = 50
# Looks at every part, some of which may hang.
_TIMEOUT_S = 20.0
_WORDS = {"ok": "All is well", "warning": "It works, but needs a look", "failing": "Something needs you now"}


@dashboard.get("/system")
def system() -> ResponseReturnValue:
    """Every part, what was found, and what to do about it."""
    return page("system/health.html", nav="system", **_health())


@dashboard.get("/system/part")
def system_part() -> ResponseReturnValue:
    """The same, for the page that is open."""
    return page("system/_checks.html", **_health())


def _health() -> dict[str, object]:
    told = ask(GetSystemHealthRequest(), SystemHealth, _TIMEOUT_S)
    return {
        "health": told,
        "status": _word(told.status),
        "summary": _WORDS.get(_word(told.status), ""),
        "checks": [(check, _word(check.status)) for check in told.checks],
    }


def _word(status: CheckStatus.ValueType) -> str:
    return CheckStatus.Name(status).removeprefix("CHECK_STATUS_").lower()


@dashboard.get("/system/people")
def system_people() -> ResponseReturnValue:
    """Everybody who can log in here, and how Flute's own mail to them is doing."""
    after = request.args.get("after", "")
    told = ask(ListUsersRequest(page_size=_PAGE_SIZE, page_token=after), ListUsersResponse)
    following = told.next_page_token
    return page(
        "system/people.html",
        nav="system",
        users=told.users,
        mail=ask(GetSystemMailStatusRequest(), SystemMailStatus),
        next_url=url_for("dashboard.system_people", after=following) if following else "",
        first_url=url_for("dashboard.system_people") if after else "",
    )


@dashboard.post("/system/people/<id_>/operator")
def change_operator(id_: str) -> ResponseReturnValue:
    """Let somebody run this installation, or no more."""
    operator = request.form.get("operator") == "1"
    change = User(id=id_, operator=operator)
    message = UpdateUserRequest(user=change, update_mask=FieldMask(paths=["operator"]))
    act(
        message,
        User,
        "They run this installation now." if operator else "They do not run this installation any more.",
    )
    return redirect(url_for("dashboard.system_people"), 303)
