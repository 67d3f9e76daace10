"""Send an email's content again, as a new email."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace

from sqlalchemy import select

from flute_server.domain.message import Message
from flute_server.domain.state import State
from flute_server.errors import FailedPrecondition, Violation, invalid
from flute_server.models import Recipient, db
from flute_server.sending import idempotency
from flute_server.sending.accept import check_domain, check_routes, simulator_faults
from flute_server.sending.answer import Answer
from flute_server.sending.content import unpacked
from flute_server.sending.retention import removed
from flute_server.sending.senders import Sender, by_environment
from flute_server.sending.store import Draft, Origin, Source, store
from flute_server.sending.story import find_email

# Whom a mail did not reach.
MISSED = frozenset({State.BOUNCED, State.FAILED, State.SUPPRESSED, State.CANCELED})


@dataclass(frozen=True, slots=True)
class Original:
    """An email that is to be sent again, and in whose name.

    message: without its files; removed: why its content is not there any more.
    """

    email_id: uuid.UUID
    sender: Sender
    has_attachments: bool
    message: Message
    removed: str


def original(given: str, sender: Sender | None, *, to_all: bool) -> Original:
    """The email with this id, addressed to those whom it did not reach or `to_all`.

    sender: None for the operator's own programs, which repeat a test mail as one. Raises NotFound.
    """
    email = find_email(given, sender.environment_id if sender else None)
    query = select(Recipient).where(Recipient.email_id == email.id).order_by(Recipient.id)
    recipients = [row for row in db.session.scalars(query) if to_all or row.state in MISSED]
    sender = sender or replace(by_environment(str(email.environment_id)), test=email.test)
    message = unpacked(email.content, recipients, ())
    found = Original(email.id, sender, email.has_attachments, message, removed(email.content))
    # Before another connection stores the copy, and has to wait for nobody.
    db.session.rollback()
    return found


def resend(found: Original, origin: Origin) -> Answer:
    """Store it as a new email; when this returns, it is durable.

    Raises FailedPrecondition when its content was removed, it would go to nobody or the environment has no
    route, InvalidArgument if a live key repeats a test, PermissionDenied if the environment has another
    domain by now, AlreadyExists or Aborted where the call's key is taken.
    """
    sender, message = found.sender, found.message
    if known := idempotency.recall(sender.environment_id, origin.once):
        return known
    if found.removed:
        raise FailedPrecondition("CONTENT_REMOVED", f"the mail cannot be sent again: its {found.removed}")
    if not (message.to or message.cc or message.bcc):
        text = "the mail has reached everybody, or still may; choose recipients: all to send it to them again"
        raise FailedPrecondition("NOTHING_TO_RESEND", text)
    if why := next((text for _, text in simulator_faults(sender, message)), ""):
        raise invalid([Violation("id", f"the mail was a test: {why}")])
    check_domain(sender, message.sender.domain)
    check_routes(sender)
    return store(sender, [Draft(message)], origin, Source(found.email_id, found.has_attachments))
