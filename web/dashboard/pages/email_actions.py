"""What people do with a mail: send it again, take it back, give it another time."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from flask import redirect, request, url_for
from flask.typing import ResponseReturnValue
from flute.v1.email_pb2 import DELIVERY_STATE_SCHEDULED, Email
from flute.v1.email_service_pb2 import (
    RESEND_TO_ALL,
    RESEND_TO_FAILED,
    CancelEmailRequest,
    GetEmailRequest,
    RescheduleEmailRequest,
    ResendEmailRequest,
)

from web.dashboard import dashboard, instants
from web.dashboard.ask import ask
from web.dashboard.form import Form
from web.dashboard.gate import takes_role
from web.dashboard.render import page, say


@dashboard.post("/emails/<uuid:id_>/resend")
def email_resend(id_: uuid.UUID) -> ResponseReturnValue:
    """As a new mail, to those whom this one did not reach or to all. Pressed twice, it is sent once."""
    form = Form.of()
    message = ResendEmailRequest(
        id=str(id_),
        recipients=RESEND_TO_ALL if form["recipients"] == "all" else RESEND_TO_FAILED,
        request_id=form["request_id"],
    )
    copy = form.send(message, Email)
    if copy is None:
        return _refused(id_, form)
    say("Sent again. This is the new mail.")
    return redirect(url_for("dashboard.email", id_=copy.id), 303)


@dashboard.post("/emails/<uuid:id_>/cancel")
def email_cancel(id_: uuid.UUID) -> ResponseReturnValue:
    """Cancel what still waits."""
    form = Form.of()
    if form.send(CancelEmailRequest(id=str(id_)), Email) is None:
        return _refused(id_, form)
    say("Canceled. What waited is not sent any more.")
    return redirect(url_for("dashboard.email", id_=id_), 303)


@dashboard.route("/emails/<uuid:id_>/reschedule", methods=["GET", "POST"])
@takes_role("developer")
def email_reschedule(id_: uuid.UUID) -> ResponseReturnValue:
    """Another time, or now."""
    found = ask(GetEmailRequest(id=str(id_)), Email)
    form = Form.of(send_at=found.content.send_at.ToDatetime(UTC).isoformat(timespec="seconds"))
    if request.method == "POST" and (time := _wanted(form)):
        message = RescheduleEmailRequest(id=str(id_))
        message.send_at.FromDatetime(time)
        if form.send(message, Email):
            say("It is sent at its new time." if time > datetime.now(UTC) else "It is sent now.")
            return redirect(url_for("dashboard.email", id_=id_), 303)
    scheduled = found.state == DELIVERY_STATE_SCHEDULED
    body = page("email_reschedule.html", nav="emails", email=found, form=form, scheduled=scheduled)
    return body, form.status


def _wanted(form: Form) -> datetime | None:
    """The time that was given; what is none becomes an error of its field."""
    if form["now"]:
        return datetime.now(UTC)
    time = instants.read(form, "send_at")
    if time is None:
        form.errors.setdefault("send_at", "Choose a date and a time of day.")
    return time


def _refused(id_: uuid.UUID, form: Form) -> ResponseReturnValue:
    """What the server said, on the page of the mail: its story tells why."""
    say(form.problem or " ".join(form.errors.values()), "bad")
    return redirect(url_for("dashboard.email", id_=id_), 303)
