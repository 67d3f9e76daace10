"""The account: its name, its end, and the other accounts of a person."""

from __future__ import annotations

from flask import redirect, request, url_for
from flask.typing import ResponseReturnValue
from flute.v1.account_service_pb2 import (
    Account,
    CreateOwnAccountRequest,
    DeleteAccountRequest,
    UpdateAccountRequest,
)
from flute.v1.member_service_pb2 import LeaveAccountRequest
from flute.v1.session_service_pb2 import Session, SwitchAccountRequest
from google.protobuf.empty_pb2 import Empty
from google.protobuf.field_mask_pb2 import FieldMask

from web.dashboard import dashboard
from web.dashboard.ask import ask
from web.dashboard.form import Form
from web.dashboard.me import me
from web.dashboard.render import page, say


@dashboard.get("/settings/account")
def account() -> ResponseReturnValue:
    """The account in which they act, and their others. Also for who is in none."""
    return _show()


@dashboard.post("/settings/account/name")
def rename_account() -> ResponseReturnValue:
    """What people call it."""
    form = Form.of()
    message = UpdateAccountRequest(
        account=Account(id=me().account_id, name=form["name"]), update_mask=FieldMask(paths=["name"])
    )
    if form.send(message, Account) is None:
        return _show(rename=form)
    say("The account's name is saved.")
    return _back()


@dashboard.post("/settings/account/delete")
def delete_account() -> ResponseReturnValue:
    """End it for good, if they type its name."""
    form = Form.of()
    name = me().account_name
    message = DeleteAccountRequest(id=me().account_id, confirm_name=form["confirm_name"])
    if form.send(message, Empty) is None:
        return _show(delete=form)
    say(f"The account {name} is deleted, with everything that was in it.", "info")
    return _back()


@dashboard.post("/settings/account/leave")
def leave_account() -> ResponseReturnValue:
    """Be a member no more."""
    name, form = me().account_name, Form.of()
    if form.send(LeaveAccountRequest(), Empty) is None:
        return _show(leave=form)
    say(f"You have left {name}.", "info")
    return _back()


@dashboard.post("/settings/account/create")
def create_account() -> ResponseReturnValue:
    """Another account of their own."""
    form = Form.of()
    if form.send(CreateOwnAccountRequest(name=form["account_name"]), Account) is None:
        return _show(create=form)
    say(f"The account {form['account_name']} is there, and you are in it.")
    return redirect(url_for("dashboard.home"), 303)


@dashboard.post("/account/switch")
def switch_account() -> ResponseReturnValue:
    """Act in another of one's accounts."""
    ask(SwitchAccountRequest(account_id=request.form.get("account_id", "")), Session)
    return redirect(url_for("dashboard.home"), 303)


def _show(
    rename: Form | None = None,
    delete: Form | None = None,
    leave: Form | None = None,
    create: Form | None = None,
) -> ResponseReturnValue:
    refused = next((form for form in (rename, delete, leave, create) if form), Form())
    body = page(
        "account.html",
        nav="settings",
        rename=rename or Form(values={"name": me().account_name}),
        delete=delete or Form(),
        leave=leave or Form(),
        create=create or Form(),
    )
    return refused.shown(body)


def _back() -> ResponseReturnValue:
    return redirect(url_for("dashboard.account"), 303)
