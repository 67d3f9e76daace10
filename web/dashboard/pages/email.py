"""One mail: its story, its content, and how programs see it."""

from __future__ import annotations

import json
import re
import uuid
import zlib
from typing import Any

from flask import Response, request, url_for
from flask.typing import ResponseReturnValue
from flute.v1 import email_pb2 as pb
from flute.v1.email_service_pb2 import (
    ExplainEmailRequest,
    ExplainEmailResponse,
    GetEmailAttachmentRequest,
    GetEmailRequest,
    ListEmailsRequest,
    ListEmailsResponse,
)
from werkzeug.exceptions import NotFound

from flute_json.naming import words
from flute_json.render import render
from web.dashboard import curl, dashboard
from web.dashboard.ask import ask
from web.dashboard.download import download
from web.dashboard.pages.email_filters import STATES
from web.dashboard.pages.email_timeline import named, timeline
from web.dashboard.pages.email_webhooks import told_of
from web.dashboard.places import base_url
from web.dashboard.render import page, part

_KINDS = words(pb.RecipientKind.DESCRIPTOR)
_ENDED = {"delivered", "bounced", "failed", "suppressed", "canceled"}
_WAITING = {"queued", "scheduled"}
_MISSED = {"bounced", "failed", "suppressed", "canceled"}
# Seconds until the story is looked at again, while it may go on.
_LIVE_S = {"queued": 2, "sending": 2, "sent": 3, "deferred": 10, "scheduled": 10}

_MOST_FILES = 1000  # more than any mail has

# For the mail's own HTML, which is somebody else's: an origin of its own, no script, nothing from anywhere,
# no forms; shown in a frame of our pages alone.
HTML_POLICY = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
)
_DOCTYPE = re.compile(r"\s*(<!doctype[^>]*>)?", re.IGNORECASE)


@dashboard.get("/emails/<uuid:id_>")
def email(id_: uuid.UUID) -> ResponseReturnValue:
    """What became of it, and why; other tabs show what was sent."""
    found = _get(id_)
    shown = request.args.get("show", "timeline")
    tabs = _tabs(found)
    shown = shown if shown in tabs else "timeline"
    return page(
        "email.html",
        nav="emails",
        tabs=[(label, _address(found, tab), tab == shown, count) for tab, (label, count) in tabs.items()],
        shown=shown,
        source=_source(found) if shown == "json" else "",
        told=told_of(found) if shown == "webhooks" else None,
        call=_call(found),
        back_url=url_for("dashboard.emails", environment=found.environment_id),
        **_story(found),
    )


@dashboard.get("/emails/<uuid:id_>/live")
def email_live(id_: uuid.UUID) -> ResponseReturnValue:
    """The story as it is now; nothing while it is as it was."""
    found = _get(id_)
    if _seen(found) == request.args.get("seen"):
        return "", 204
    # Buttons are replaced only by others: whoever is about to press one is not disturbed.
    other = _possible(found) != request.args.get("possible")
    return part("_email_live.html", swapped=True, other_actions=other, **_story(found))


@dashboard.get("/emails/<uuid:id_>/html")
def email_html(id_: uuid.UUID) -> ResponseReturnValue:
    """The mail's HTML as it is, for the sandboxed frame. Its links lead nowhere: no window may be opened."""
    html = _get(id_).content.html
    begin = _DOCTYPE.match(html)
    at = begin.end() if begin else 0
    body = f'{html[:at]}<base target="_blank">{html[at:]}'
    headers = {"Content-Security-Policy": HTML_POLICY}
    return Response(body, headers=headers, content_type="text/html; charset=utf-8")


@dashboard.get("/emails/<uuid:id_>/attachments/<int:index>")
def email_attachment(id_: uuid.UUID, index: int) -> ResponseReturnValue:
    """One file of the mail, to be kept."""
    if index >= _MOST_FILES:
        raise NotFound
    file = ask(GetEmailAttachmentRequest(id=str(id_), index=index), pb.Attachment)
    return download(file.content, file.filename)


def _get(id_: uuid.UUID) -> pb.Email:
    return ask(GetEmailRequest(id=str(id_)), pb.Email)


def _story(found: pb.Email) -> dict[str, Any]:
    """What the story is told with, in the page and when it is fetched anew."""
    told = ask(ExplainEmailRequest(id=found.id), ExplainEmailResponse)
    state = STATES.get(found.state, "unknown")
    states = _states(found)
    return {
        "email": found,
        "content": found.content,
        "author": getattr(found.content, "from"),
        "state": state,
        "states": STATES,
        "kinds": _KINDS,
        "summary": told.summary,
        "copies": _copies(found),
        "moments": timeline(found, told.verdicts),
        "missed": _missed(found),
        "named": named,
        "can_cancel": bool(states & _WAITING),
        "can_reschedule": "scheduled" in states,
        "live_s": 0 if states <= _ENDED else _LIVE_S.get(state, 5),
        "live_url": url_for(
            "dashboard.email_live", id_=found.id, seen=_seen(found), possible=_possible(found)
        ),
        "failed_over": len({attempt.provider_account for attempt in found.attempts}) > 1,
        "request_id": uuid.uuid4().hex,
    }


def _states(found: pb.Email) -> set[str]:
    return {STATES.get(recipient.state, "") for recipient in found.recipients}


def _missed(found: pb.Email) -> list[str]:
    """Whom it did not reach."""
    return [recipient.email for recipient in found.recipients if STATES.get(recipient.state) in _MISSED]


def _possible(found: pb.Email) -> str:
    """Changes with what can be done."""
    return f"{len(_missed(found))}-{'-'.join(sorted(_states(found) & _WAITING))}"


def _seen(found: pb.Email) -> str:
    """Changes with everything that happens."""
    ended = sum(attempt.HasField("duration") for attempt in found.attempts)
    states = bytes(recipient.state for recipient in found.recipients)
    return f"{len(found.events)}-{ended}-{zlib.crc32(states):x}"


def _tabs(found: pb.Email) -> dict[str, tuple[str, int | None]]:
    """What there is to see: label, and how many."""
    tabs: dict[str, tuple[str, int | None]] = {"timeline": ("Timeline", None)}
    if found.content.text:
        tabs["text"] = ("Text", None)
    if found.content.html:
        tabs["html"] = ("HTML", None)
    tabs["headers"] = ("Headers", None)
    if found.attachments:
        tabs["attachments"] = ("Attachments", len(found.attachments))
    tabs["webhooks"] = ("Webhooks", None)
    return tabs | {"data": ("Tags and metadata", None), "json": ("JSON", None)}


def _address(found: pb.Email, tab: str) -> str:
    return url_for("dashboard.email", id_=found.id, show=None if tab == "timeline" else tab)


def _source(found: pb.Email) -> str:
    return json.dumps(render(found), indent=2, ensure_ascii=False)


def _call(found: pb.Email) -> str:
    return curl.read(f"{base_url()}/v1/email/{found.id}")


def _copies(found: pb.Email) -> list[pb.EmailSummary]:
    """The newest of the mails that were made of it."""
    asked = ListEmailsRequest(environment_id=found.environment_id, resent_from=found.id, page_size=5)
    return list(ask(asked, ListEmailsResponse).emails)
