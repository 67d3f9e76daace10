"""Turns a raw diagnostic into evidence: the receiver's own words, the codes, the SMTP stage.

Reporters wrap the receiver's answer in guesses of their own ("Address not found", "Unknown
address error"); addresses, host names and links contain words that mean nothing here
("userunknown@", "spam.example"). Both are removed before any rule looks at the text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from .vocabulary import Diagnostic

# Longer texts are quoted mails; the cause stands in the first lines or (GMX) in the last ones.
HEAD_CHARS = 3000
TAIL_CHARS = 1000

# Hosts whose name or path tells the cause. Any other link or host name is only noise.
_TELLING_HOST = re.compile(
    r"spamhaus|spamcop|sorbs\.net|barracuda|abuseat|surriel|mailspike|manitu|uribl|surbl|uceprotect"
    r"|cloudmark|proofpoint|senderscore|senderbase|talosintelligence|mail-abuse|trendmicro|invaluement"
    r"|abusix|njabl|backscatterer|dnsbl|dnswl|sbrs|\bgr[ae]y[a-z]*\."
    r"|google\.com|groups\.google|live\.com|postmaster\.(?:gmx|yahoo|aol|web|mail|free|orange)"
    r"|open-?spf|pobox\.com|dmarc|dkim|amazonses|sendgrid|mailgun|sparkpost|postmarkapp"
)
_LINK = re.compile(r"(?:https?|ftp)://[^\s<>\"')\]]{1,400}")
_ADDRESS = re.compile(r"<?[^\s<>\"'()\[\],;:]{1,100}@(?P<domain>[^\s<>\"'()\[\],;:]{1,200})>?")
_PROVIDER_BOUNCE_DOMAIN = re.compile(
    r"amazonses\.com|sendgrid\.net|mailgun\.(?:org|net)|sparkpostmail|mtasv\.net|mandrillapp|mcsv\.net"
)
_IP = re.compile(
    r"(?<![\w.])\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}(?![\w.]*\d)"
    r"|(?<![\w:.])(?:ipv6:)?[0-9a-f]{1,4}:(?:[0-9a-f]{0,4}:){2,6}[0-9a-f]{1,4}(?![\w:])"
)
# The refusing host in the reporter's words. Its IP must not pass for the sender's.
_RECEIVER = re.compile(
    r"(?<!client )(?<!your )(?<!sending )(?<!remote )"
    r"(?:\bhost|connect to|connection with|conversation with) \S{1,200} ?\[[0-9a-f.:]{2,45}\](?::\d+)?"
    r"|\b[0-9a-f.:]{3,45} (?=failed after i sent|does not like recipient)"
)
_HOST = re.compile(
    r"(?<![\w.@-])(?:[a-z0-9_-]{1,63}\.){1,8}"
    r"(?:com|net|org|info|biz|edu|gov|mil|int|arpa|lan|local|localdomain|internal|invalid|example"
    r"|test|cloud|email|online|site|xyz|app|dev|io|[a-z]{2})\.?(?![\w@-])"
)

_STATUS = re.compile(r"(?<![\w.])([245]\.[0-7]\.\d{1,3})(?!\d|\.\d)")
_REPLY = re.compile(r"(?<![\w.,:/=+-])([245][0-7]\d)(?=[ \-#:;,]|$)")
# Multi-line replies repeat the code on each line; without it the words become neighbours.
_CODE_PREFIX = re.compile(r"(?<![\w.,:/=+-])[245][0-7]\d(?:[ \-]?#?[245]\.[0-7]\.\d{1,3})?[ \-]+(?=\S)")
# Follows the real answer in pipelined sessions and says nothing of its own.
_ECHO = re.compile(
    r"(?:error: )?need rcpt(?: command)?|(?:error: )?no valid recipients"
    r"|valid rcpt command must precede data|all rcpt commands were rejected with this error:?"
    r"|bad sequence of commands|giving up on (?:<ip>|<host>)\.?|\(in reply to [a-z ]{3,30} command\)"
)
# What comes after the last of these is what the receiver itself said.
_WRAPPER = re.compile(
    r"\bsaid: |refused to talk to me: |said\[response message\]: ?|other server returned was: "
    r"|the response (?:from the remote server )?was: |remote server returned:? '?|\) returned '"
    r"| -> |did not like our [a-z ]{4,9}:|last transfail: ?|generated response: ?"
    r"|responded as follows: ?|diagnostic-code: ?(?:smtp; ?)?|unknown address error |<<< "
    r"|remote mail server after (?:pipelined )?(?:end of data|initial connection|[a-z]{4} (?:from|to)"
    r":\S{0,200}(?: size=\d+)?|helo|ehlo|data)[^:]{0,200}: "
)
_MIN_INNER_LETTERS = 4
# Postfix puts this before whatever a policy said: "...: Greylisted", "...: Internal error".
_POLICY_PREFIX = re.compile(r"(?:<addr>:? ?)?recipient address rejected: (?!access denied)(?=[a-z])")


class Stage(StrEnum):
    """The SMTP command that was refused: it tells what the refusal can be about."""

    CONNECT = "connect"  # only the IP address and host name are known
    MAIL = "mail"  # and the sender
    RCPT = "rcpt"  # and the recipient
    DATA = "data"  # and the content
    UNKNOWN = "unknown"


_STAGES = (
    (
        Stage.CONNECT,
        re.compile(
            r"refused to talk to me|after initial connection|in reply to (?:helo|ehlo|lhlo)"
            r"|after (?:helo|ehlo)\b|>>> (?:helo|ehlo)|but greeting failed|my name was rejected"
            r"|while performing the (?:helo|ehlo) handshake|during (?:the )?connect\b"
        ),
    ),
    (
        Stage.MAIL,
        re.compile(
            r"(?:in reply to|after(?: pipelined)?|did not like our|>>>|following|response to|sent|during)"
            r" mail from|smtp:mail\b|sender was rejected|following mail command|step: mail"
        ),
    ),
    (
        Stage.RCPT,
        re.compile(
            r"(?:in reply to|after(?: pipelined)?|did not like our|>>>|following|response to|sent|during)"
            r" rcpt|smtp:rcpt\b|does not like recipient|step: rcpt"
        ),
    ),
    (
        Stage.DATA,
        re.compile(
            r"(?:in reply to|after(?: pipelined| sending)?|did not like our|>>>|following|response to"
            r"|during) (?:end of |the )?(?:data|message|message body|\.)(?!\w)"
            r"|failed after i sent the message|for text command|step: data|smtp:data\b"
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class Evidence:
    """The cleaned facts that the rules look at. All texts are lower case."""

    inner: str  # the receiver's own words
    whole: str  # the same with the reporter's words around it
    statuses: tuple[str, ...]  # enhanced codes, the receiver's own first
    replies: tuple[str, ...]  # reply codes, the receiver's own first
    stage: Stage

    @property
    def first_digit(self) -> str:
        """4 or 5 as the receiver itself said it; empty when no code is known."""
        codes = (*self.replies[:1], *self.statuses[:1])
        return codes[0][0] if codes else ""


def read(diagnostic: Diagnostic) -> Evidence:
    """Everything the rules may look at."""
    raw = _plain(diagnostic.text)
    inner = _innermost(raw)
    names = _known_names(diagnostic)
    return Evidence(
        inner=_POLICY_PREFIX.sub("", _clean(inner, names)),
        whole=_clean(raw, names),
        statuses=_codes(_STATUS, inner, diagnostic.status, raw),
        replies=_codes(_REPLY, inner, diagnostic.reply, raw),
        stage=_stage(raw),
    )


def _plain(text: str) -> str:
    """One line of lower-case text of bounded length."""
    if len(text) > HEAD_CHARS + TAIL_CHARS:
        text = f"{text[:HEAD_CHARS]} {text[-TAIL_CHARS:]}"
    # Compatibility forms can multiply the length, hence the second cut.
    folded = unicodedata.normalize("NFKC", text).lower()[: 2 * HEAD_CHARS]
    return " ".join(folded.replace("\u2019", "'").split())


def _innermost(raw: str) -> str:
    """What follows the last wrapper, or everything when nothing readable follows it."""
    for match in reversed(list(_WRAPPER.finditer(raw))):
        inner = raw[match.end() :]
        if sum(map(str.isalpha, inner)) >= _MIN_INNER_LETTERS:
            return inner
    return raw


def _codes(pattern: re.Pattern[str], inner: str, given: str, raw: str) -> tuple[str, ...]:
    """Codes by trust: in the receiver's words, then as reported, then anywhere; no repeats."""
    hidden = [_IP.sub(" ", text) for text in (inner, raw)]
    found = [*pattern.findall(hidden[0]), *pattern.findall(given), *pattern.findall(hidden[1])]
    return tuple(dict.fromkeys(found))


def _stage(raw: str) -> Stage:
    """The first SMTP stage that the text mentions."""
    hits = [(match.start(), stage) for stage, p in _STAGES if (match := p.search(raw))]
    return min(hits)[1] if hits else Stage.UNKNOWN


def _known_names(diagnostic: Diagnostic) -> list[tuple[re.Pattern[str], str]]:
    """The recipient's domain and the refusing host, to tell them from the sender's in the text."""
    known = ((diagnostic.destination, "<recipient-domain>"), (diagnostic.rhost, "<receiver>"))
    return [
        (re.compile(rf"(?<![\w.-]){re.escape(name)}(?![\w-])"), mask)
        for name, mask in ((name.strip().lower(), mask) for name, mask in known)
        if _HOST.fullmatch(name)
    ]


def _clean(raw: str, names: list[tuple[re.Pattern[str], str]]) -> str:
    """The words without addresses, links, host names, IP addresses and repeated codes."""
    text = _LINK.sub(_telling_or("<url>"), raw)
    text = _ADDRESS.sub(_mask_address, text)
    text = _RECEIVER.sub("<receiver>", text)
    for name, mask in names:
        text = name.sub(mask, text)
    text = _IP.sub("<ip>", text)
    text = _HOST.sub(_telling_or("<host>"), text)
    text = _CODE_PREFIX.sub(" ", text)
    text = _ECHO.sub(" ", text)
    return " ".join(text.split())


def _telling_or(mask: str) -> Callable[[re.Match[str]], str]:
    """Hides a host or link behind the mask, unless it tells the cause."""

    def replace(match: re.Match[str]) -> str:
        return match[0] if _TELLING_HOST.search(match[0]) else mask

    return replace


def _mask_address(match: re.Match[str]) -> str:
    """Hides an address; the sending provider's own bounce domain is worth knowing."""
    return "<provider-addr>" if _PROVIDER_BOUNCE_DOMAIN.search(match["domain"]) else "<addr>"
