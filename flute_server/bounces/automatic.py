"""Tells replies that a person's mailbox made (vacation, receipts) from what a mail system reports."""

from __future__ import annotations

import re
from email.message import Message
from email.utils import parseaddr

from flute_server.bounces.mail import field, subject

_AWAY = re.compile(
    r"\bout of (?:the )?office|\bauto(?:matic|mated)?[ -]?(?:re(?:ply|sponse)|answer)|\bvacation\b"
    r"|\b(?:away|absent) from (?:the |my )|abwesen|automatische? antwort|\babsen[ct]e?\b"
    r"|r[ée]ponse automatique|respuesta autom|risposta automatica|automatisch antwoord"
    r"|autosvar|自動返信|自动回复",
    re.IGNORECASE,
)
_HEADERS = (
    "x-autoreply",
    "x-autorespond",
    "x-autoresponder",
    "x-autoreply-from",
    "x-auto-reply-from",
    "x-mail-autoreply",
    "x-vacation",
    "x-auto-response-suppress",
)
_PRECEDENCE = frozenset({"auto_reply", "bulk", "junk", "list"})
_SYSTEM = re.compile(
    r"(?:mailer[-_.]?daemon|post ?master|mdaemon|mail[-_.]?(?:system|delivery|er)|maildelivery"
    r"|mta|smtp|ndr|bounces?|double-bounce|microsoftexchange[0-9a-f]+|mail delivery (?:sub)?system)\b.*",
    re.IGNORECASE,
)
_FAILED = re.compile(
    r"undeliver|not (?:be )?deliver|deliver\w* (?:status|fail|problem|error|report|warn|notif|unsuccess)"
    r"|mail system error|fail(?:ed|ure) (?:notice|to deliver|mail)|(?:mail|message) (?:delivery )?fail"
    r"|return(?:ed|ing) (?:mail|to sender|message|e-?mail)|nondeliver|non-?deliver|rejected|bounce"
    r"|unzustellbar|non (?:remis|distribu)|no se (?:pudo|ha podido) entregar|mancato recapito",
    re.IGNORECASE,
)
_DELAYED = re.compile(
    r"\bdelay|\bwarning: (?:message|could not send)|still being retried|not yet been delivered|verz[öo]ger"
    r"|\bdeferred\b|\bpostponed\b|temporarily undeliver|will (?:keep trying|be retried)",
    re.IGNORECASE,
)


def away(message: Message) -> bool:
    """The subject of an out-of-office reply."""
    return bool(_AWAY.search(subject(message)))


def automatic(message: Message) -> bool:
    """A machine wrote it (RFC 3834 section 5, and the marks in use besides)."""
    said = field(message, "auto-submitted").lower().partition(";")[0].strip()
    return (
        said not in {"", "no"}
        or field(message, "precedence").lower() in _PRECEDENCE
        or any(field(message, name) for name in _HEADERS)
        or away(message)
    )


def from_mail_system(message: Message) -> bool:
    """A mail system speaks, not somebody's mailbox."""
    if field(message, "x-failed-recipients"):  # Exim
        return True
    if message.get_content_type() == "multipart/report" and _is_delivery_report(message):
        return True  # though its status part says nothing, or it would have been read before
    name, sender = parseaddr(field(message, "from"))
    return bool(_SYSTEM.fullmatch(sender.partition("@")[0]) or _SYSTEM.fullmatch(name))


def _is_delivery_report(message: Message) -> bool:
    return str(message.get_param("report-type")).lower() == "delivery-status"


def says_failed(message: Message) -> bool:
    return bool(_FAILED.search(subject(message)))


def says_delayed(message: Message, text: str) -> bool:
    """Not the end yet: whoever took this for a bounce would send the mail twice."""
    return bool(_DELAYED.search(subject(message)) or _DELAYED.search(text[:1_000]))
