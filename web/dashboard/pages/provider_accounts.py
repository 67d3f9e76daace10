"""Provider accounts: the list, and connecting another one."""

from __future__ import annotations

from collections.abc import Iterable

from flask import abort, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flute.v1.provider_account_service_pb2 import (
    CreateProviderAccountRequest,
    ListProviderAccountsRequest,
    ListProviderAccountsResponse,
    ListProvidersRequest,
    ListProvidersResponse,
    Provider,
    ProviderAccount,
    ProviderField,
    UpdateProviderAccountRequest,
    VerifyProviderAccountRequest,
    VerifyProviderAccountResponse,
)
from flute.v1.statistics_service_pb2 import OVERVIEW_PERIOD_DAY, AccountOverview, GetAccountOverviewRequest

from web.dashboard import dashboard, provider_state
from web.dashboard.ask import ask
from web.dashboard.form import Form
from web.dashboard.places import address_of
from web.dashboard.render import page, say
from web.dashboard.words import sentence

_PAGE_SIZE = 50
# Begins the name of the box that removes a secret.
_REMOVE = "remove_"
# Two calls to the provider, each with time to connect and to answer.
_PATIENCE_S = 25.0


@dashboard.get("/providers")
def provider_accounts() -> ResponseReturnValue:
    """Everything that is connected, with how it fares."""
    message = ListProviderAccountsRequest(page_size=_PAGE_SIZE, page_token=request.args.get("after", ""))
    told = ask(message, ListProviderAccountsResponse)
    overview = ask(GetAccountOverviewRequest(period=OVERVIEW_PERIOD_DAY), AccountOverview)
    after = told.next_page_token
    return page(
        "providers/list.html",
        nav="provider_accounts",
        rows=[(account, provider_state.health(account)) for account in told.provider_accounts],
        kinds=kinds(),
        page_url=address_of,
        figures={part.id: part.figures for part in overview.provider_accounts},
        next_url=url_for("dashboard.provider_accounts", after=after) if after else "",
        first_url=url_for("dashboard.provider_accounts") if message.page_token else "",
    )


@dashboard.get("/providers/connect")
def connect_provider() -> ResponseReturnValue:
    """Choose a kind."""
    return page("providers/choose.html", nav="provider_accounts", kinds=kinds().values())


@dashboard.route("/providers/connect/<slug>", methods=["GET", "POST"])
def connect_provider_kind(slug: str) -> ResponseReturnValue:
    """What this kind needs. What was given is tried at once."""
    kind = kinds().get(slug)
    if kind is None:
        abort(404)
    defaults = {field.name: field.default_value for field in kind.fields}
    form = Form.of(None, **{"name": kind.name.partition(" (")[0], **defaults})
    if request.method == "POST":
        wanted = ProviderAccount(provider=slug, name=form["name"], credentials=given(form, kind))
        if made := form.send(CreateProviderAccountRequest(provider_account=wanted), ProviderAccount):
            return redirect(after_change(made, f"{made.name} is connected"), 303)
    return page("providers/connect.html", nav="provider_accounts", kind=kind, form=form), form.status


def kinds() -> dict[str, Provider]:
    """The kinds of provider there are, by slug."""
    return {kind.slug: kind for kind in ask(ListProvidersRequest(), ListProvidersResponse).providers}


def kind_of(account: ProviderAccount) -> Provider:
    """Its kind; one that the server does not know any more has a name and no fields."""
    return kinds().get(account.provider) or Provider(slug=account.provider, name=account.provider)


def given(form: Form, kind: Provider) -> dict[str, str]:
    """The credentials that were filled in."""
    return {field.name: form[field.name] for field in kind.fields if form[field.name]}


def change_of(
    account: ProviderAccount, form: Form, fields: Iterable[ProviderField]
) -> UpdateProviderAccountRequest:
    """What the form says of these credentials. A secret changes when it is typed or its box is ticked."""
    message = UpdateProviderAccountRequest(provider_account=ProviderAccount(id=account.id))
    for field in fields:
        removed = field.secret and form.checked(_REMOVE + field.name)
        if removed and form[field.name]:
            form.errors[field.name] = "Give a new one or remove it, not both."
        if form[field.name] or removed or (not field.secret and form.checked(field.name)):
            message.provider_account.credentials[field.name] = form[field.name]
            message.update_mask.paths.append(f"credentials.{field.name}")
    return message


def after_change(account: ProviderAccount, done: str) -> str:
    """Where to go on after the credentials changed: they are tried, and what came of that is said."""
    told = verified(account.id)
    if told.ok:
        say(f"{done}. {sentence(told.text)}")
        return url_for("dashboard.provider_account", id_=account.id)
    say(f"{done}, but it cannot send yet. {answer_of(told)}", "bad")
    return url_for("dashboard.provider_account_settings", id_=account.id)


def verified(id_: str) -> VerifyProviderAccountResponse:
    """What the provider says of the credentials. Raises RpcFailure."""
    return ask(VerifyProviderAccountRequest(id=id_), VerifyProviderAccountResponse, _PATIENCE_S)


def answer_of(told: VerifyProviderAccountResponse) -> str:
    """What a provider said that does not take the credentials, and what to do."""
    return f"{sentence(told.text)} {told.advice}".strip()
