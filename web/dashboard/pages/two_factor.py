"""The second factor: setting it up, its recovery codes, turning it off."""

from __future__ import annotations

from urllib.parse import quote

import segno
from flask import redirect, url_for
from flask.typing import ResponseReturnValue
from flute.v1.person_service_pb2 import (
    BeginTotpRequest,
    BeginTotpResponse,
    DisableTotpRequest,
    EnableTotpRequest,
    Me,
    RecoveryCodes,
    RegenerateRecoveryCodesRequest,
)

from web.dashboard import dashboard
from web.dashboard.form import Form
from web.dashboard.me import me
from web.dashboard.render import page, say

# An otpauth address is about 120 characters long; longer ones would make a code that no phone reads.
_LONGEST_URI = 500


@dashboard.get("/settings/two-factor")
def two_factor() -> ResponseReturnValue:
    """Whether it is on, and what can be done about it."""
    return _show()


@dashboard.post("/settings/two-factor/begin")
def begin_two_factor() -> ResponseReturnValue:
    """A secret for the app, shown in this answer alone."""
    form = Form.of()
    told = form.send(BeginTotpRequest(password=_password(form)), BeginTotpResponse)
    if told is None:
        return _show(begin=form)
    return _show_secret(Form(), told.secret, told.uri)


@dashboard.post("/settings/two-factor/enable")
def enable_two_factor() -> ResponseReturnValue:
    """The first code of the app turns it on."""
    form = Form.of()
    told = form.send(EnableTotpRequest(code=form["code"]), RecoveryCodes)
    if told is None:
        # The page that was sent back has what the app needs; the server tells it once.
        return _show_secret(form, form["secret"], form["uri"])
    return _show_codes(told, "Two-factor login is on")


@dashboard.post("/settings/two-factor/codes")
def renew_recovery_codes() -> ResponseReturnValue:
    """New recovery codes instead of the old ones."""
    form = Form.of()
    told = form.send(RegenerateRecoveryCodesRequest(password=_password(form)), RecoveryCodes)
    return _show(codes=form) if told is None else _show_codes(told, "Your new recovery codes")


@dashboard.post("/settings/two-factor/disable")
def disable_two_factor() -> ResponseReturnValue:
    """The password is enough from now on."""
    form = Form.of()
    if form.send(DisableTotpRequest(password=_password(form), code=form["code"]), Me) is None:
        return _show(disable=form)
    say("Two-factor login is off. Your password alone logs you in now.", "info")
    return redirect(url_for("dashboard.two_factor"), 303)


def _show(
    begin: Form | None = None, codes: Form | None = None, disable: Form | None = None
) -> ResponseReturnValue:
    refused = next((form for form in (begin, codes, disable) if form), Form())
    body = page(
        "two_factor.html",
        nav="settings",
        begin=begin or Form(),
        codes=codes or Form(),
        disable=disable or Form(),
    )
    return refused.shown(body)


def _show_secret(form: Form, secret: str, uri: str) -> ResponseReturnValue:
    body = page(
        "two_factor_secret.html", nav="settings", form=form, secret=secret, uri=uri, image=_image(uri)
    )
    return form.shown(body)


def _image(uri: str) -> str:
    """The address as a QR code: an image within the page. Empty for what cannot be one."""
    if not uri.startswith("otpauth://totp/") or len(uri) > _LONGEST_URI:
        return ""
    return segno.make_qr(uri, error="m").svg_data_uri(border=4, light="#fff")


def _show_codes(told: RecoveryCodes, title: str) -> ResponseReturnValue:
    text = "\n".join(told.codes)
    head = f"Recovery codes of {me().email} for Flute. Each works once.\n\n"
    return page(
        "recovery_codes.html",
        nav="settings",
        title=title,
        codes=text,
        file="data:text/plain;charset=utf-8," + quote(head + text + "\n"),
    )


def _password(form: Form) -> str:
    return form.values.get("password", "")
