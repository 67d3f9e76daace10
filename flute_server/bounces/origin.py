"""Which attempt a mail is about, and whether that is proven.

Only our signature proves it. It counts wherever it stands (the envelope, the header, the return path of the
returned mail): whoever shows it has seen the mail. All else that leads to an attempt can be made up.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from flute_server.domain.verp import ALL, find_return_paths

ReadAddress = Callable[[str], tuple[str, str] | None]  # an address -> the ids that it is signed for

_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_FLAGS = re.IGNORECASE | re.MULTILINE | re.ASCII
# What providers/mime.py wrote, perhaps quoted.
_EMAIL = re.compile(rf"^[> \t]*X-Flute-Id:[ \t]*({_UUID})\b", _FLAGS)
_ATTEMPT = re.compile(rf"^[> \t]*(?:Message-ID|Original-Envelope-Id):\s{{0,3}}<?({_UUID})\b", _FLAGS)
_ANSWERED = re.compile(rf"^(?:In-Reply-To|References):\s{{0,3}}<({_UUID})@", _FLAGS)


@dataclass(frozen=True, slots=True)
class Origin:
    """Our ids as far as they are known. verified: signed by us, else a mere claim."""

    attempt_id: str = ""
    recipient_id: str = ""  # empty: the report has to tell
    email_id: str = ""
    verified: bool = False


def trace(mail: bytes, recipient: str, read_address: ReadAddress) -> Origin:
    """From the envelope recipient, else from any signed address in the mail, else from what is unsigned."""
    text = mail.decode("latin-1")
    for address in (recipient, *find_return_paths(text)):
        ids = read_address(address) if address else None
        if ids:
            return Origin(ids[0], "" if ids[1] == ALL else ids[1], verified=True)
    head, _, body = text.partition("\n\n")
    # The Message-ID in the head is the reporter's, and at Microsoft a UUID too.
    attempt = _ATTEMPT.search(body) or _ANSWERED.search(head)
    email = _EMAIL.search(body)
    return Origin(attempt[1].lower() if attempt else "", "", email[1].lower() if email else "")
