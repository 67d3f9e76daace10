"""The last step of the first-run guide: what becomes of the first mail."""

from __future__ import annotations

import uuid
from typing import Any

from flask.typing import ResponseReturnValue
from flute.v1.email_pb2 import Email
from flute.v1.email_service_pb2 import GetEmailRequest

from web.dashboard import dashboard, first_run
from web.dashboard.ask import ask
from web.dashboard.first_run import progress
from web.dashboard.pages.environment_try import state_name
from web.dashboard.places import address_of
from web.dashboard.render import part
from web.dashboard.words import sentence

_AT_REST = {"delivered", "bounced", "failed", "suppressed", "canceled"}


@dashboard.get("/start/mail/<uuid:id_>")
def start_story(id_: uuid.UUID) -> ResponseReturnValue:
    """The last step as it is now; it asks again by itself until the mail is at rest."""
    story = story_of(mail_of(str(id_)))
    state = progress() if story["at_rest"] else None
    return part("start/_story.html", page_url=address_of, state=state, steps=first_run.STEPS, **story)


def mail_of(id_: str) -> Email:
    """The mail. Raises RpcFailure."""
    return ask(GetEmailRequest(id=id_), Email)


def story_of(mail: Email | None) -> dict[str, Any]:
    """What the last step shows of a mail."""
    states = {state_name(recipient.state) for recipient in mail.recipients} if mail else set()
    return {
        "mail": mail,
        "word": state_name(mail.state) if mail else "",
        "at_rest": bool(mail) and states <= _AT_REST,
        "took": _took(mail) if mail else None,
        "sentence": sentence,
    }


def _took(mail: Email) -> float | None:
    """Seconds from accepting it until the last delivery."""
    ends = [event.time for event in mail.events if event.type == "delivered"]
    return (ends[-1].ToDatetime() - mail.create_time.ToDatetime()).total_seconds() if ends else None
