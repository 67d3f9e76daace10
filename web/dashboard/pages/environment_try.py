"""Try it: a mail by hand, sent or only planned, and the command that would do the same."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from email.utils import formataddr, getaddresses

from flask import Response, abort, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flute.v1.email_pb2 import Address, DeliveryState, Email, EmailContent
from flute.v1.email_service_pb2 import GetEmailRequest, PlanEmailRequest, PlanEmailResponse, SendEmailRequest
from flute.v1.environment_service_pb2 import Environment

from web.dashboard import curl, dashboard
from web.dashboard.ask import ask
from web.dashboard.form import Form
from web.dashboard.me import me
from web.dashboard.pages.environments import environment_of, environment_page
from web.dashboard.places import address_of, base_url
from web.dashboard.render import page
from web.dashboard.words import sentence

_UNITS = {"minutes": timedelta(minutes=1), "hours": timedelta(hours=1), "days": timedelta(days=1)}
_STOP_POLLING = 286  # htmx's own
# States in which nothing more is expected, as far as this page follows a mail.
_AT_REST = {"delivered", "bounced", "failed", "suppressed", "canceled", "scheduled"}
_NAMES = {
    "content.from": "from_local",
    "content.from.email": "from_local",
    "content.from.name": "from_name",
    "content.send_at": "send_in",
    "content.attachments": "attachment",
    "content.attachments[0].filename": "attachment",
    "content.attachments[0].content": "attachment",
    "content.attachments[0].content_type": "attachment",
}


@dashboard.route("/environments/<id_>/try", methods=["GET", "POST"])
def environment_try(id_: str) -> ResponseReturnValue:
    """The form; what came of the mail that was sent with it; or which way the mail would take."""
    environment = environment_of(id_)
    if request.method == "GET":
        sent = _sent(id_, request.args["sent"]) if "sent" in request.args else None
        return _try_page(environment, Form(_again(sent) if sent else _first(environment)), sent=sent)
    form = Form.of(_NAMES)
    content = _content(form, environment)
    if "plan" in form.values:
        message = PlanEmailRequest(environment_id=id_, content=content)
        plan = form.send(message, PlanEmailResponse)
        return _try_page(environment, form, plan=plan, content=content), form.status
    if sent := form.send(_send_request(form, id_, content), Email):
        return redirect(url_for("dashboard.environment_try", id_=id_, sent=sent.id), 303)
    return _try_page(environment, form, content=content), form.status


@dashboard.post("/environments/<id_>/try/curl")
def try_curl(id_: str) -> ResponseReturnValue:
    """The command alone, for the form as it stands."""
    content = _content(Form.of(_NAMES), environment_of(id_))
    return page("environments/_curl.html", command=curl.send(base_url(), content))


@dashboard.get("/environments/<id_>/try/sent/<email_id>")
def try_sent(id_: str, email_id: str) -> ResponseReturnValue:
    """How the mail fares, to be asked again until it is at rest."""
    sent = _sent(id_, email_id)
    body = page("environments/_sent.html", sent=sent, state=state_name, sentence=sentence)
    return Response(body, _STOP_POLLING if _at_rest(sent) else 200, mimetype="text/html")


def state_name(state: DeliveryState.ValueType) -> str:
    """As people say it."""
    return DeliveryState.Name(state).removeprefix("DELIVERY_STATE_").lower()


def _at_rest(sent: Email) -> bool:
    return all(state_name(recipient.state) in _AT_REST for recipient in sent.recipients)


def _sent(id_: str, email_id: str) -> Email:
    sent = ask(GetEmailRequest(id=email_id), Email)
    return sent if sent.environment_id == id_ else abort(404)


def _try_page(
    environment: Environment,
    form: Form,
    sent: Email | None = None,
    plan: PlanEmailResponse | None = None,
    content: EmailContent | None = None,
) -> str:
    return environment_page(
        "try.html",
        environment,
        "try",
        form=form,
        sent=sent,
        at_rest=sent is not None and _at_rest(sent),
        state=state_name,
        plan=plan,
        command=curl.send(base_url(), content or _content(Form(form.values), environment)),
        request_id=secrets.token_hex(16),
        email_url=address_of("email", id_=sent.id) if sent else "",
    )


# ----- between the form and the mail


def _first(environment: Environment) -> dict[str, str]:
    """What the form begins with: a mail to oneself."""
    return {
        "from_local": "hello",
        "from_domain": environment.domain,
        "from_name": me().account_name,
        "to": me().email,
        "subject": "Hello from Flute",
        "text": "It works.",
    }


def _again(sent: Email) -> dict[str, str]:
    """The same mail once more, without its files, which are not told."""
    mail = sent.content
    author = getattr(mail, "from")
    local, _, domain = author.email.rpartition("@")
    return {
        "from_local": local,
        "from_domain": domain,
        "from_name": author.name,
        **{name: _written(getattr(mail, name)) for name in ("to", "cc", "bcc")},
        "subject": mail.subject,
        "text": mail.text,
        "html": mail.html,
        "tags": ", ".join(mail.tags),
    }


def _written(addresses: list[Address]) -> str:
    return ", ".join(
        formataddr((one.name, one.email)) if one.name.isascii() else one.email for one in addresses
    )


def _content(form: Form, environment: Environment) -> EmailContent:
    """The mail as far as it can be read; whether it may be sent so, the server says."""
    content = EmailContent(
        to=_addresses(form["to"]),
        cc=_addresses(form["cc"]),
        bcc=_addresses(form["bcc"]),
        subject=form["subject"],
        text=form.values.get("text", ""),
        html=form.values.get("html", ""),
        tags=[tag.strip() for tag in form["tags"].split(",") if tag.strip()],
    )
    author = getattr(content, "from")
    author.email = f"{form['from_local']}@{form['from_domain'] or environment.domain}"
    author.name = form["from_name"]
    if form["send_in"]:
        after = form.number("send_in", most=50_000) * _UNITS.get(form["send_in_unit"], _UNITS["minutes"])
        content.send_at.FromDatetime((datetime.now(UTC) + after).replace(microsecond=0))
    _attach(form, content)
    return content


def _addresses(text: str) -> list[Address]:
    """Ada Lovelace <ada@example.com>, bob@example.com. What is none is left to the server to find."""
    found = getaddresses([text]) if text else []
    if text and not any(email for _, email in found):
        return [Address(email=text)]
    return [Address(email=email, name=name) for name, email in found if email or name]


def _attach(form: Form, content: EmailContent) -> None:
    """The file, or the mere fact that one is chosen: the command is updated without the file."""
    if file := request.files.get("attachment"):
        if file.filename:
            content.attachments.add(
                filename=file.filename, content=file.read(), content_type=file.mimetype or ""
            )
    elif "attachment" in form.values:
        content.attachments.add(filename="your-file")


def _send_request(form: Form, id_: str, content: EmailContent) -> SendEmailRequest:
    """With the id that the page came with: pressing twice, or reloading, sends one mail."""
    return SendEmailRequest(environment_id=id_, content=content, request_id=form["request_id"])
