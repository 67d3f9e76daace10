"""What people set about themselves: name, address, password."""

from __future__ import annotations

from flask import redirect, url_for
from flask.typing import ResponseReturnValue
from flute.v1.person_service_pb2 import ChangeEmailRequest, ChangePasswordRequest, Me, UpdateMeRequest
from google.protobuf.empty_pb2 import Empty
from google.protobuf.field_mask_pb2 import FieldMask

from web.dashboard import dashboard
from web.dashboard.form import Form
from web.dashboard.me import me
from web.dashboard.render import page, say


@dashboard.get("/settings")
def settings() -> ResponseReturnValue:
    """All of it, each in a form of its own."""
    return _show()


@dashboard.post("/settings/name")
def change_name() -> ResponseReturnValue:
    """What others call them."""
    form = Form.of()
    message = UpdateMeRequest(me=Me(name=form["name"]), update_mask=FieldMask(paths=["name"]))
    if form.send(message, Me) is None:
        return _show(name=form)
    say("Your name is saved.")
    return _back()


@dashboard.post("/settings/email")
def change_email() -> ResponseReturnValue:
    """The address with which they log in; it counts when it was confirmed."""
    form = Form.of()
    message = ChangeEmailRequest(password=form.values.get("password", ""), new_email=form["new_email"])
    told = form.send(message, Me)
    if told is None:
        return _show(email=form)
    if told.pending_email:
        say(
            f"A mail is on its way to {told.pending_email}. Open the link in it to finish the change.", "info"
        )
    else:
        say(f"You go on to log in with {told.email}.")
    return _back()


@dashboard.post("/settings/password")
def change_password() -> ResponseReturnValue:
    """A new password; all other sessions end."""
    form = Form.of()
    values = form.values
    message = ChangePasswordRequest(
        password=values.get("password", ""), new_password=values.get("new_password", "")
    )
    if form.send(message, Empty) is None:
        return _show(password=form)
    say("Your password is changed. You are logged out everywhere else.")
    return _back()


def _show(
    name: Form | None = None, email: Form | None = None, password: Form | None = None
) -> ResponseReturnValue:
    refused = next((form for form in (name, email, password) if form), Form())
    body = page(
        "settings.html",
        nav="settings",
        name=name or Form(values={"name": me().name}),
        email=email or Form(),
        password=password or Form(),
    )
    return refused.shown(body)


def _back() -> ResponseReturnValue:
    return redirect(url_for("dashboard.settings"), 303)
