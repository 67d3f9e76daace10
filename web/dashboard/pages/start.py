"""The first-run guide: from nothing to a delivered mail, each step on one page."""

from __future__ import annotations

import secrets
import uuid
from typing import Any

from flask import Response, abort, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flute.v1.api_key_service_pb2 import CreateApiKeyRequest, CreateApiKeyResponse
from flute.v1.email_pb2 import Address, DeliveryState, Email, EmailContent
from flute.v1.email_service_pb2 import GetEmailRequest, SendEmailRequest
from flute.v1.environment_service_pb2 import CreateEnvironmentRequest, Environment
from flute.v1.provider_account_service_pb2 import (
    CreateProviderAccountRequest,
    ListProvidersRequest,
    ListProvidersResponse,
    Provider,
    ProviderAccount,
    VerifyProviderAccountRequest,
    VerifyProviderAccountResponse,
)
from flute.v1.route_service_pb2 import CreateRouteRequest, Route

from web.dashboard import curl, dashboard, first_run
from web.dashboard.ask import ask
from web.dashboard.first_run import Progress, progress
from web.dashboard.form import Form
from web.dashboard.me import me
from web.dashboard.places import address_of, base_url
from web.dashboard.render import page, part, say
from web.dashboard.words import sentence

SIMULATOR = "simulator"
# Two calls to the provider, each with time to connect and to answer.
_PATIENCE_S = 25.0
_AT_REST = {"delivered", "bounced", "failed", "suppressed", "canceled"}
# Where people have their own mail: not what their app sends from.
_MAILBOXES = {"gmail", "googlemail", "outlook", "hotmail", "live", "yahoo", "icloud", "gmx", "web", "proton"}
_MAIL_NAMES = {"content.to": "to", "content.from": "from_local", "content.from.email": "from_local"}


@dashboard.get("/start")
def start() -> ResponseReturnValue:
    """The step that is next, or the one that was asked for."""
    state = progress()
    wanted = request.args.get("step", "delivered" if "mail" in request.args else "")
    mail = _mail(request.args["mail"]) if "mail" in request.args else None
    step = wanted if any(one.slug == wanted for one in first_run.STEPS) else state.current.slug
    return _page(state, step, kind=request.args.get("kind", ""), mail=mail)


def _page(
    state: Progress,
    step: str,
    form: Form | None = None,
    *,
    kind: str = "",
    mail: Email | None = None,
    **more: Any,  # noqa: ANN401
) -> str:
    kinds = _kinds() if step == "provider" else {}
    chosen = kinds.get(kind)
    if mail is None and step == "delivered" and state.mail:
        mail = _mail(state.mail.id)
    return page(
        "start/page.html",
        nav="overview",
        state=state,
        steps=first_run.STEPS,
        opened=step if state.ready(step) else state.current.slug,
        form=form or Form(_first(step, state, chosen)),
        kinds=[one for slug, one in kinds.items() if slug != SIMULATOR],
        kind=chosen,
        request_id=secrets.token_hex(16),
        page_url=address_of,
        pairs=lambda values: [(value, value) for value in values],
        options_of=lambda accounts: [(account.id, account.name) for account in accounts],
        **_story(mail),
        **more,
    )


def _first(step: str, state: Progress, kind: Provider | None) -> dict[str, str]:
    """What the form of a step begins with."""
    if kind:
        defaults = {field.name: field.default_value for field in kind.fields}
        return {"name": kind.name.partition(" (")[0], **defaults}
    if step == "environment":
        return {"name": "Transactional", "domain": _own_domain()}
    if step == "mail" and state.environment:
        return {
            "to": me().email,
            "subject": "Hello from Flute",
            "text": "It works. This mail was sent from the guide.",
        }
    return {"name": "My app"}


def _own_domain() -> str:
    domain = me().email.rpartition("@")[2]
    return "" if domain.partition(".")[0] in _MAILBOXES else domain


def _next(step: str = "", **values: str) -> Response:
    target = url_for("dashboard.start", step=step or None, **values)  # type: ignore[arg-type]
    return redirect(target, 303)  # type: ignore[return-value]


# ----- a provider


def _kinds() -> dict[str, Provider]:
    return {kind.slug: kind for kind in ask(ListProvidersRequest(), ListProvidersResponse).providers}


@dashboard.post("/start/provider/<slug>")
def start_provider(slug: str) -> ResponseReturnValue:
    """Connect it, and try its credentials at once."""
    kind, form = _kinds().get(slug), Form.of()
    if kind is None:
        abort(404)
    given = {field.name: form[field.name] for field in kind.fields if form[field.name]}
    wanted = ProviderAccount(
        provider=slug, name=form["name"] or kind.name.partition(" (")[0], credentials=given
    )
    made = form.send(CreateProviderAccountRequest(provider_account=wanted), ProviderAccount)
    if made is None:
        return _page(progress(), "provider", form, kind=slug), form.status
    if slug == SIMULATOR:
        say("The simulator is connected. It takes every mail and delivers it to nobody.")
    else:
        _verify(made)
    return _next()


def _verify(account: ProviderAccount) -> None:
    told = ask(VerifyProviderAccountRequest(id=account.id), VerifyProviderAccountResponse, _PATIENCE_S)
    if told.ok:
        say(f"{account.name} is connected. {sentence(told.text)}")
    else:
        why = f"{sentence(told.text)} {told.advice}".strip()
        say(f"{account.name} is connected, but it cannot send yet. {why}", "bad")


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
        return _page(progress(), "environment", form, chosen=chosen), form.status
    _add_routes(made.id, chosen)
    say(f"{made.name} is set up: it sends from {made.domain}.")
    return _next()


@dashboard.post("/start/environment/<id_>/routes")
def start_routes(id_: str) -> ResponseReturnValue:
    """More providers for the environment that is there: who takes over when the first fails."""
    chosen = request.form.getlist("routes")
    if not chosen:
        say("Choose at least one provider.", "bad")
        return _next("environment")
    _add_routes(id_, chosen)
    say("The route is added: mail goes through it when those before it fail.")
    return _next()


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
        return _next()
    message = CreateApiKeyRequest(environment_id=state.environment.id, name=form["name"])
    made = form.send(message, CreateApiKeyResponse)
    if made is None:
        return _page(state, "key", form), form.status
    command = curl.send(
        base_url(), _content(state.environment, Form(_first("mail", state, None))), made.access_token
    )
    return _page(progress(), "key", secret=made.access_token, command=command)


# ----- a mail


@dashboard.post("/start/mail")
def start_mail() -> ResponseReturnValue:
    """Send it in the person's own name; pressing twice sends one."""
    form, state = Form.of(_MAIL_NAMES), progress()
    if state.environment is None:
        return _next()
    message = SendEmailRequest(
        environment_id=state.environment.id,
        content=_content(state.environment, form),
        request_id=form["request_id"],
    )
    if sent := form.send(message, Email):
        return _next(mail=sent.id, _anchor="step-delivered")
    return _page(state, "mail", form), form.status


def _content(environment: Environment, form: Form) -> EmailContent:
    content = EmailContent(
        to=[Address(email=form["to"])], subject=form["subject"], text=form.values.get("text", "")
    )
    author = getattr(content, "from")
    author.email, author.name = f"hello@{environment.domain}", me().account_name
    return content


@dashboard.get("/start/mail/<uuid:id_>")
def start_story(id_: uuid.UUID) -> ResponseReturnValue:
    """The last step as it is now; it asks again by itself until the mail is at rest."""
    story = _story(_mail(str(id_)))
    state = progress() if story["at_rest"] else None
    return part("start/_story.html", page_url=address_of, state=state, steps=first_run.STEPS, **story)


def _mail(id_: str) -> Email:
    return ask(GetEmailRequest(id=id_), Email)


def _story(mail: Email | None) -> dict[str, Any]:
    states = {_word(recipient.state) for recipient in mail.recipients} if mail else set()
    return {
        "mail": mail,
        "word": _word(mail.state) if mail else "",
        "at_rest": bool(mail) and states <= _AT_REST,
        "took": _took(mail) if mail else None,
        "sentence": sentence,
    }


def _word(state: DeliveryState.ValueType) -> str:
    """A state as people say it."""
    return DeliveryState.Name(state).removeprefix("DELIVERY_STATE_").lower()


def _took(mail: Email) -> float | None:
    """Seconds from accepting it until the last delivery."""
    ends = [event.time for event in mail.events if event.type == "delivered"]
    return (ends[-1].ToDatetime() - mail.create_time.ToDatetime()).total_seconds() if ends else None
