"""One-click unsubscription (RFC 8058): the link in a mail, and what following it does."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sqlalchemy import exists, select

from flute_server.config import Config
from flute_server.domain.capability import Capabilities, forbids
from flute_server.domain.message import Handoff
from flute_server.domain.state import EventType
from flute_server.domain.unsubscribe import read_token, secret_of, token
from flute_server.errors import NotFound
from flute_server.models import Email, Environment, Event, Recipient, SuppressionReason, db
from flute_server.sending import suppress
from flute_server.sending.record import Writes, lock

LINK = "List-Unsubscribe"
POST = "List-Unsubscribe-Post"


@dataclass(frozen=True, slots=True)
class Links:
    """Makes the links of an installation. public_url: where recipients reach web; empty: no links."""

    public_url: str
    secret: bytes

    @classmethod
    def of(cls, config: Config) -> Links:
        return cls(config.public_url, secret_of(config.secret_keys[0]))

    def added(self, handoff: Handoff, capabilities: Capabilities) -> Handoff:
        """The hand-off with a link for its recipient, if the mail may have one and the provider carries it.

        A mail to several gets none: whoever follows it would take somebody else off.
        """
        message = handoff.message
        if not self.public_url or len(message.to) + len(message.cc) + len(message.bcc) != 1:
            return handoff
        own = {name.lower() for name, _ in message.headers} & {LINK.lower(), POST.lower()}
        if own or forbids(capabilities, LINK.lower()) or forbids(capabilities, POST.lower()):
            return handoff
        signed = token(self.secret, uuid.UUID(handoff.email_id), int(handoff.recipients[0].id))
        link = ((LINK, f"<{self.public_url}/unsubscribe/{signed}>"), (POST, "List-Unsubscribe=One-Click"))
        return replace(handoff, message=replace(message, headers=(*message.headers, *link)))


@dataclass(frozen=True, slots=True)
class Subscriber:
    """Whom a link concerns. domain: the environment's."""

    email_id: uuid.UUID
    recipient_id: int
    address: str
    domain: str
    account_id: uuid.UUID
    test: bool


def subscriber(given: str, config: Config) -> Subscriber:
    """Whom the link with this token concerns. Raises NotFound."""
    ids = read_token([secret_of(key) for key in config.secret_keys], given)
    row = None
    if ids:
        query = (
            select(Recipient.address, Environment.domain, Environment.account_id, Email.test)
            .join(Email, Email.id == Recipient.email_id)
            .join(Environment, Environment.id == Email.environment_id)
            .where(Email.id == ids[0], Recipient.id == ids[1])
        )
        row = db.session.execute(query).one_or_none()
    if not ids or row is None:
        text = "the unsubscribe link is not valid; was it copied whole?"
        raise NotFound("UNSUBSCRIBE_LINK_INVALID", text)
    return Subscriber(*ids, row.address, row.domain, row.account_id, row.test)


def unsubscribe(who: Subscriber) -> None:
    """Suppress the address for the account, and tell it on the timeline; the second time changes nothing."""
    lock([who.email_id])  # two clicks at once are told once
    if not who.test:
        text = f"by the link in email {who.email_id}"
        suppress.add(who.account_id, who.address, SuppressionReason.UNSUBSCRIBE, text)
    known = exists().where(
        Event.email_id == who.email_id,
        Event.recipient_id == who.recipient_id,
        Event.type == EventType.UNSUBSCRIBED,
    )
    if not db.session.scalar(select(known)):
        writes = Writes(datetime.now(UTC))
        text = "the recipient unsubscribed by the link in the mail"
        text += "; a test, so nothing is suppressed" if who.test else "; the address is suppressed"
        writes.tell(who.email_id, EventType.UNSUBSCRIBED, text, who.recipient_id)
        writes.flush()
    db.session.commit()
