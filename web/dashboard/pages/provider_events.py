"""Whether what a provider tells of its mail gets here: its webhook, step by step."""

from __future__ import annotations

from collections.abc import Sequence

from flask import current_app, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flute.v1.provider_account_service_pb2 import ProviderAccount, ProviderField

from web.dashboard import dashboard, provider_state
from web.dashboard.form import Form
from web.dashboard.pages.provider_account import account_of, account_page
from web.dashboard.pages.provider_accounts import change_of, kind_of
from web.dashboard.places import base_url
from web.dashboard.render import page, say


def _changed(account: ProviderAccount, form: Form, fields: Sequence[ProviderField]) -> ProviderAccount | None:
    """The account with what was typed; as it is where nothing was."""
    message = change_of(account, form, fields)
    if not form.errors and not message.update_mask.paths:
        return account
    return form.send(message, ProviderAccount)


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
    if request.method == "POST" and (changed := _changed(account, form, fields)):
        next_ = "Send a mail through it, and watch here whether its events arrive."
        say("Saved." if provider_state.missing_secrets(changed, kind) else f"Saved. {next_}")
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
