"""What is done in the steps of the first-run guide: connect, set up, make a key, send."""

from __future__ import annotations

from flask import abort, request
from flask.typing import ResponseReturnValue
from flute.v1.api_key_service_pb2 import CreateApiKeyRequest, CreateApiKeyResponse
from flute.v1.email_pb2 import Address, Email, EmailContent
from flute.v1.email_service_pb2 import SendEmailRequest
from flute.v1.environment_service_pb2 import CreateEnvironmentRequest, Environment
from flute.v1.provider_account_service_pb2 import CreateProviderAccountRequest, ProviderAccount
from flute.v1.route_service_pb2 import CreateRouteRequest, Route

from web.dashboard import curl, dashboard
from web.dashboard.ask import ask
from web.dashboard.first_run import SIMULATOR, progress
from web.dashboard.form import Form
from web.dashboard.me import me
from web.dashboard.pages.provider_account import account_of
from web.dashboard.pages.provider_accounts import change_of, given, kind_of, kinds, verified
from web.dashboard.pages.start import first_values, next_step, step_page
from web.dashboard.places import base_url
from web.dashboard.render import say
from web.dashboard.words import sentence

_MAIL_NAMES = {"content.to": "to", "content.from": "from_local", "content.from.email": "from_local"}


# ----- a provider


@dashboard.post("/start/provider/<slug>")
def start_provider(slug: str) -> ResponseReturnValue:
    """Connect it, and try its credentials at once."""
    kind, form = kinds().get(slug), Form.of()
    if kind is None:
        abort(404)
    name = form["name"] or kind.name.partition(" (")[0]
    wanted = ProviderAccount(provider=slug, name=name, credentials=given(form, kind))
    made = form.send(CreateProviderAccountRequest(provider_account=wanted), ProviderAccount)
    if made is None:
        return step_page(progress(), "provider", form, kind=slug), form.status
    if slug == SIMULATOR:
        say("The simulator is connected. It takes every mail and delivers it to nobody.")
        return next_step()
    return _after_trying(made, f"{made.name} is connected")


@dashboard.post("/start/account/<id_>")
def start_account(id_: str) -> ResponseReturnValue:
    """Correct the one that was made, and try it again."""
    account, form = account_of(id_), Form.of()
    message = change_of(account, form, [field for field in kind_of(account).fields if not field.webhook])
    message.provider_account.name = form["name"]
    message.update_mask.paths.append("name")
    changed = form.send(message, ProviderAccount)
    if changed is None:
        return step_page(progress(), "provider", form, account=account), form.status
    return _after_trying(changed, f"{changed.name} is saved")


def _after_trying(account: ProviderAccount, done: str) -> ResponseReturnValue:
    """On to the next step, or to the same, which shows what the provider said and what to do."""
    told = verified(account.id)
    if told.ok:
        say(f"{done}. {sentence(told.text)}")
        return next_step()
    say(f"{done}, but it cannot send yet: see below.", "bad")
    return next_step("provider", account=account.id)


# ----- an environment


@dashboard.post("/start/environment")
def start_environment() -> ResponseReturnValue:
    """Name, domain and routes in one form."""
    form, chosen = Form.of(), request.form.getlist("routes")
    if not chosen:
        form.errors["routes"] = "Choose at least one provider."
    wanted = Environment(name=form["name"], domain=form["domain"])
    made = form.send(CreateEnvironmentRequest(environment=wanted), Environment)
    if made is None:
        return step_page(progress(), "environment", form, chosen=chosen), form.status
    _add_routes(made.id, chosen)
    say(f"{made.name} is set up: it sends from {made.domain}.")
    return next_step()


@dashboard.post("/start/environment/<id_>/routes")
def start_routes(id_: str) -> ResponseReturnValue:
    """More providers for the environment that is there: who takes over when the first fails."""
    chosen = request.form.getlist("routes")
    if not chosen:
        say("Choose at least one provider.", "bad")
        return next_step("environment")
    _add_routes(id_, chosen)
    say("The route is added: mail goes through it when those before it fail.")
    return next_step()


def _add_routes(environment_id: str, provider_accounts: list[str]) -> None:
    for account_id in provider_accounts:
        route = Route(environment_id=environment_id, provider_account_id=account_id)
        ask(CreateRouteRequest(route=route), Route)


# ----- a key


@dashboard.post("/start/key")
def start_key() -> ResponseReturnValue:
    """The secret is in the answer to the POST, and nowhere else."""
    form, state = Form.of(), progress()
    if state.environment is None:
        return next_step()
    message = CreateApiKeyRequest(environment_id=state.environment.id, name=form["name"])
    made = form.send(message, CreateApiKeyResponse)
    if made is None:
        return step_page(state, "key", form), form.status
    command = curl.send(
        base_url(), _content(state.environment, Form(first_values("mail", state))), made.access_token
    )
    return step_page(progress(), "key", secret=made.access_token, command=command)


# ----- a mail


@dashboard.post("/start/mail")
def start_mail() -> ResponseReturnValue:
    """Send it in the person's own name; pressing twice sends one."""
    form, state = Form.of(_MAIL_NAMES), progress()
    if state.environment is None:
        return next_step()
    message = SendEmailRequest(
        environment_id=state.environment.id,
        content=_content(state.environment, form),
        request_id=form["request_id"],
    )
    if sent := form.send(message, Email):
        return next_step(mail=sent.id, _anchor="step-delivered")
    return step_page(state, "mail", form), form.status


def _content(environment: Environment, form: Form) -> EmailContent:
    content = EmailContent(
        to=[Address(email=form["to"])], subject=form["subject"], text=form.values.get("text", "")
    )
    author = getattr(content, "from")
    author.email, author.name = f"hello@{environment.domain}", me().account_name
    return content
