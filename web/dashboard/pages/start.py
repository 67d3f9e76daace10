"""The first-run guide: from nothing to a delivered mail, each step on one page."""

from __future__ import annotations

import secrets
from typing import Any

from flask import Response, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flute.v1.email_pb2 import Email
from flute.v1.provider_account_service_pb2 import Provider, ProviderAccount

from web.dashboard import dashboard, first_run, provider_state
from web.dashboard.first_run import SIMULATOR, Progress, progress
from web.dashboard.form import Form
from web.dashboard.me import me
from web.dashboard.pages.provider_accounts import kinds
from web.dashboard.pages.start_story import mail_of, story_of
from web.dashboard.places import address_of
from web.dashboard.render import page

# Where people have their own mail: not what their app sends from.
_MAILBOXES = {"gmail", "googlemail", "outlook", "hotmail", "live", "yahoo", "icloud", "gmx", "web", "proton"}


@dashboard.get("/start")
def start() -> ResponseReturnValue:
    """The step that is next, or the one that was asked for."""
    state = progress()
    wanted = request.args.get("step", "delivered" if "mail" in request.args else "")
    mail = mail_of(request.args["mail"]) if "mail" in request.args else None
    step = wanted if any(one.slug == wanted for one in first_run.STEPS) else state.current.slug
    account = _corrected(state, request.args.get("account", "")) if step == "provider" else None
    return step_page(state, step, kind=request.args.get("kind", ""), account=account, mail=mail)


def _corrected(state: Progress, wanted: str) -> ProviderAccount | None:
    """The provider account that was asked for; or, of somebody who comes back, the one that is in the way."""
    if wanted:
        return next((one for one in state.provider_accounts if one.id == wanted), None)
    return state.doubted[-1] if state.doubted and not request.args else None


def step_page(
    state: Progress,
    step: str,
    form: Form | None = None,
    *,
    kind: str = "",
    account: ProviderAccount | None = None,
    mail: Email | None = None,
    **more: Any,  # noqa: ANN401
) -> str:
    """The guide with this step open; form: as it was refused; account: the one to correct."""
    offered = kinds() if step == "provider" else {}
    chosen = offered.get(account.provider if account else kind)
    if mail is None and step == "delivered" and state.mail:
        mail = mail_of(state.mail.id)
    return page(
        "start/page.html",
        nav="overview",
        state=state,
        steps=first_run.STEPS,
        opened=step if state.ready(step) else state.current.slug,
        form=form or Form(first_values(step, state, chosen, account)),
        kinds=[one for slug, one in offered.items() if slug != SIMULATOR],
        kind=chosen,
        account=account,
        mark=provider_state.health(account) if account else None,
        request_id=secrets.token_hex(16),
        page_url=address_of,
        pairs=lambda values: [(value, value) for value in values],
        options_of=lambda accounts: [(account.id, account.name) for account in accounts],
        **story_of(mail),
        **more,
    )


def first_values(
    step: str, state: Progress, kind: Provider | None = None, account: ProviderAccount | None = None
) -> dict[str, str]:
    """What the form of a step begins with."""
    if account:
        return {"name": account.name, **account.credentials}
    if kind:
        defaults = {field.name: field.default_value for field in kind.fields}
        return {"name": _free_name(kind, state), **defaults}
    if step == "environment":
        return {"name": "Transactional", "domain": _own_domain()}
    if step == "mail" and state.environment:
        return {
            "to": me().email,
            "subject": "Hello from Flute",
            "text": "It works. This mail was sent from the guide.",
        }
    return {"name": "My app"}


def _free_name(kind: Provider, state: Progress) -> str:
    """Postmark, or Postmark 2 where there is one already: no two have the same name."""
    name, taken = kind.name.partition(" (")[0], {account.name for account in state.provider_accounts}
    further = (f"{name} {number}" for number in range(2, len(taken) + 2))
    return next(one for one in (name, *further) if one not in taken)


def _own_domain() -> str:
    domain = me().email.rpartition("@")[2]
    return "" if domain.partition(".")[0] in _MAILBOXES else domain


def next_step(step: str = "", **values: str) -> Response:
    """To the guide again, at this step or the one that is next."""
    target = url_for("dashboard.start", step=step or None, **values)  # type: ignore[arg-type]
    return redirect(target, 303)  # type: ignore[return-value]
