"""What the provider tests share: mails, hand-offs and answers."""

from __future__ import annotations

import json

from requests.structures import CaseInsensitiveDict

from flute_server.domain.message import Address, Handoff, Message, Recipient, RecipientKind
from flute_server.providers.http import HttpAnswer, retry_after

SIMPLE = Message(
    sender=Address("news@flutemail.io", "News"),
    to=(Address("ada@example.com", "Ada"),),
    subject="Hello",
    text="hi",
    html="<p>hi</p>",
)


def handoff(message: Message = SIMPLE) -> Handoff:
    """Everybody named in the message, with ids r1, r2, ..."""
    people = [
        *((a, RecipientKind.TO) for a in message.to),
        *((a, RecipientKind.CC) for a in message.cc),
        *((a, RecipientKind.BCC) for a in message.bcc),
    ]
    recipients = tuple(Recipient(f"r{n}", a, k) for n, (a, k) in enumerate(people, 1))
    return Handoff("email-1", "attempt-1", message, recipients)


def answer(status: int, body: object = "", **headers: str) -> HttpAnswer:
    """`body` as JSON unless it is text; header names with _ for -."""
    fields = CaseInsensitiveDict({name.replace("_", "-"): value for name, value in headers.items()})
    text = body if isinstance(body, str) else json.dumps(body)
    return HttpAnswer(status, fields, text, retry_after(fields.get("Retry-After", ""), 0))
