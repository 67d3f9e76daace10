"""Whether what a provider tells of its mail gets here: its webhook, step by step."""

from __future__ import annotations

from flask import current_app, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flute.v1.provider_account_service_pb2 import ProviderAccount, UpdateProviderAccountRequest

from web.dashboard import dashboard, provider_state
from web.dashboard.form import Form
from web.dashboard.pages.provider_account import account_of, account_page
from web.dashboard.pages.provider_accounts import kind_of
from web.dashboard.places import base_url
from web.dashboard.render import page, say


@dashboard.route("/providers/<id_>/events", methods=["GET", "POST"])
def provider_account_events(id_: str) -> ResponseReturnValue:
    """Address, steps, what proves the events, and whether they arrive."""
    account = account_of(id_)
    kind = kind_of(account)
    mark = provider_state.events(account, kind)
    if request.args.get("part") == "check":
        return page("providers/_check.html", account=account, mark=mark)
    form = Form.of(None, **account.credentials)
    fields = [field for field in kind.fields if field.webhook]
    if request.method == "POST":
        credentials = {field.name: form[field.name] for field in fields if form[field.name]}
        wanted = ProviderAccount(id=id_, credentials=credentials)
        if form.send(UpdateProviderAccountRequest(provider_account=wanted), ProviderAccount):
            say("Saved. Send a mail through it, and watch here whether its events arrive.")
            return redirect(url_for("dashboard.provider_account_events", id_=id_), 303)
    body = account_page(
        "events.html",
        account,
        "events",
        kind=kind,
        form=form,
        fields=fields,
        mark=mark,
        address=base_url() + account.webhook_path,
        guessed=not current_app.config["FLUTE_PUBLIC_URL"],
        steps=list(provider_state.steps(account, kind)),
    )
    return body, form.status
