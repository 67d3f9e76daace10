"""What an email can be found by, as words of one index: the same function serves storing and searching."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Mapping

from flute_server.domain.message import Message

_WORD = re.compile(r"\w+")
# A longer value is found by its beginning.
_LONGEST = 200


def terms(message: Message, original: uuid.UUID | None = None) -> list[str]:
    """Everything that this mail can be found by, each once. original: the email that it repeats."""
    found = [to(address.email) for address in (*message.to, *message.cc, *message.bcc)]
    found += [copy_of(original)] if original else []
    found += [tag(name) for name in message.tags]
    found += metadata(message.metadata)
    found += words(message.subject)
    return list(dict.fromkeys(found))


def to(address: str) -> str:
    return f"to:{address.lower()}"


def tag(name: str) -> str:
    return f"tag:{name}"


def metadata(pairs: Mapping[str, str]) -> list[str]:
    return [f"meta:{key}={value[:_LONGEST]}" for key, value in pairs.items()]


def copy_of(original: uuid.UUID) -> str:
    return f"copy:{original}"


def words(subject: str) -> Iterable[str]:
    return [f"word:{word[:_LONGEST]}" for word in _WORD.findall(subject.lower())]
