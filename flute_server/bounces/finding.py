"""What a mail says about one recipient, before it is known whose mail it is about."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from flute_server.domain.event import ProviderEventKind
from flute_server.domain.verdict import Diagnostic

PROVIDER = "smtp"  # the slug of those whose bounces come by mail
MAX_TEXT = 4_000

_ENHANCED = re.compile(r"(?<![\w.])([245]\.\d{1,3}\.\d{1,3})(?![\w.]*\d)", re.ASCII)
# Of refusals only: a quoted session has good replies too.
_REPLY = re.compile(r"(?<![\w.,:/=+-])([45][0-5]\d)(?=[ -])", re.ASCII)
_REFUSAL = re.compile(r"(?<![\w.])([45]\.\d{1,3}\.\d{1,3})(?![\w.]*\d)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Finding:
    """One recipient's fate. time: when it happened in the reporter's words; details: facts to keep."""

    kind: ProviderEventKind
    recipient: str = ""
    diagnostic: Diagnostic = field(default_factory=Diagnostic)
    time: str = ""
    details: Mapping[str, str] = field(default_factory=dict)


def diagnostic(text: str, recipient: str, status: str = "", rhost: str = "") -> Diagnostic:
    """The evidence for a verdict; codes are taken from the text where they are not given."""
    reply = _REPLY.search(text)
    code = _ENHANCED.search(status) or _REFUSAL.search(text)
    return Diagnostic(
        text=text[:MAX_TEXT],
        status=code[1] if code else "",
        reply=reply[1] if reply else "",
        destination=recipient.rpartition("@")[2].lower(),
        rhost=rhost,
        provider=PROVIDER,
    )


def has_code(text: str) -> bool:
    """Whether the text quotes an SMTP server's refusal."""
    return bool(_REFUSAL.search(text) or _REPLY.search(text))
