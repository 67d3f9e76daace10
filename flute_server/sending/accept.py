"""Take a mail in: all checks, then one transaction; what it answers is durable."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

from flute_server import addresses
from flute_server.domain.message import Message, RecipientKind
from flute_server.domain.terms import terms
from flute_server.domain.validation import faults
from flute_server.errors import FailedPrecondition, PermissionDenied, Violation, invalid
from flute_server.models import autocommit
from flute_server.sending.content import packed
from flute_server.sending.senders import Sender

MAX_VIOLATIONS = 50


@dataclass(frozen=True, slots=True)
class Accepted:
    """A stored email."""

    id: uuid.UUID
    create_time: datetime


def accept(sender: Sender, message: Message) -> Accepted:
    """Check the mail and store it; when this returns, it is durable.

    Raises InvalidArgument with every fault, PermissionDenied for a foreign FROM domain, FailedPrecondition
    while the environment has no route.
    """
    found = [Violation(f"content.{path}", text) for path, text in faults(message, addresses.why_invalid)]
    if found:
        raise invalid(found[:MAX_VIOLATIONS])
    _check_domain(sender, message.sender.domain)
    if not sender.has_routes:
        raise FailedPrecondition(
            "NO_ROUTES", "the environment has no provider yet; add a route to it, then send again"
        )
    return _store(sender.environment_id, message)


def _check_domain(sender: Sender, domain: str) -> None:
    domain = domain if domain.isascii() else addresses.domain_of(domain)
    if domain == sender.domain:
        return
    if sender.allow_subdomains and domain.endswith(f".{sender.domain}"):
        return
    text = f"the environment sends from {sender.domain}, not from {domain}"
    raise PermissionDenied("FROM_DOMAIN_MISMATCH", text, [Violation("content.from.email", text)])


# One statement is one round trip and one transaction, which is what accepting mostly costs.
_STORE = """
WITH stored AS (
    INSERT INTO email
        (id, environment_id, create_time, due_time, lease, round, content, has_attachments, terms)
    VALUES (
        %(id)s, %(environment_id)s, %(now)s, %(now)s, 0, 0, %(content)s::jsonb, %(has_attachments)s,
        %(terms)s::text[]
    )
), addressed AS (
    INSERT INTO recipient (email_id, environment_id, email_time, kind, address, name, state, update_time)
    SELECT %(id)s, %(environment_id)s, %(now)s, kind, address, name, 'queued', %(now)s
    FROM unnest(%(kinds)s::text[], %(addresses)s::text[], %(names)s::text[]) WITH ORDINALITY
        AS given (kind, address, name, place)
    ORDER BY place
), attached AS (
    INSERT INTO attachment (email_id, position, filename, content_type, content_id, content)
    SELECT %(id)s, place, filename, content_type, content_id, content
    FROM unnest(
        %(filenames)s::text[], %(content_types)s::text[], %(content_ids)s::text[], %(files)s::bytea[]
    ) WITH ORDINALITY AS given (filename, content_type, content_id, content, place)
)
INSERT INTO event (email_id, environment_id, type, time, text)
VALUES (%(id)s, %(environment_id)s, 'accepted', %(now)s, 'accepted and stored')
"""


def _store(environment_id: uuid.UUID, message: Message) -> Accepted:
    email_id, now = uuid.uuid4(), datetime.now(UTC)
    addressees = [
        *((RecipientKind.TO, address) for address in message.to),
        *((RecipientKind.CC, address) for address in message.cc),
        *((RecipientKind.BCC, address) for address in message.bcc),
    ]
    values = {
        "id": email_id,
        "environment_id": environment_id,
        "now": now,
        "content": json.dumps(packed(message)),
        "has_attachments": bool(message.attachments),
        "terms": terms(message),
        "kinds": [str(kind) for kind, _ in addressees],
        "addresses": [address.email for _, address in addressees],
        "names": [address.name for _, address in addressees],
        "filenames": [file.filename for file in message.attachments],
        "content_types": [file.content_type for file in message.attachments],
        "content_ids": [file.content_id for file in message.attachments],
        "files": [file.content for file in message.attachments],
    }
    with autocommit() as connection:
        connection.exec_driver_sql(_STORE, values)
    return Accepted(email_id, now)
