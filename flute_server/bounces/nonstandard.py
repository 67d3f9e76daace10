"""Bounces that follow no standard: flufl.bounce knows whose address they name, the text says why."""

from __future__ import annotations

import logging
from email.message import Message
from email.utils import parseaddr

from flufl.bounce import all_failures

from flute_server.bounces import automatic
from flute_server.bounces.finding import Finding, diagnostic, has_code
from flute_server.bounces.mail import field, human_text, part_text, parts
from flute_server.bounces.wording import before_returned, passage
from flute_server.domain.event import ProviderEventKind
from flute_server.domain.verp import find_return_paths

MAX_RECIPIENTS = 100
# Its patterns take quadratic time on a line: 400 characters and 16 KB keep the worst below a second.
MAX_LINE = 400
MAX_TEXT = 16_384
_FIELDS = ("from", "x-failed-recipients", "x-mailer")  # all that it reads of the header

log = logging.getLogger(__name__)
logging.getLogger("flufl.bounce").setLevel(logging.CRITICAL)  # it logs what it is about to raise


def read(message: Message) -> list[Finding]:
    """A finding for every address that failed; one without an address when only the failure is clear."""
    text = human_text(message)
    temporary, permanent = _addresses(message)
    if automatic.says_delayed(message, before_returned(text)):
        temporary, permanent = temporary | permanent, set()
    every = sorted(temporary | permanent)[:MAX_RECIPIENTS]
    if not every:
        return _nameless(message, text)
    return [
        Finding(
            ProviderEventKind.BOUNCED if address in permanent else ProviderEventKind.DEFERRED,
            address,
            diagnostic(passage(text, [address], every), address),
            details={"source": "text"},
        )
        for address in every
    ]


def _nameless(message: Message, text: str) -> list[Finding]:
    """The return path may tell who it was."""
    own = before_returned(text)
    if automatic.says_delayed(message, own):
        kind = ProviderEventKind.DEFERRED
    elif automatic.says_failed(message) or has_code(own):
        kind = ProviderEventKind.BOUNCED
    else:
        return []
    return [Finding(kind, "", diagnostic(passage(text, [], []), ""), details={"source": "text"})]


def _addresses(message: Message) -> tuple[set[str], set[str]]:
    """What flufl.bounce finds: temporary and permanent failures."""
    _simplify(message)
    try:
        temporary, permanent = all_failures(message)
    except Exception:
        # Written for honest mail; whatever it stumbles over here, the mail is still a bounce.
        log.info("flufl.bounce could not read a bounce", exc_info=True)
        return set(), set()
    return _own(temporary), _own(permanent)


def _own(addresses: object) -> set[str]:
    """Addresses that could be recipients: our return path stands in many bounces and is none."""
    found = set()
    for octets in addresses if isinstance(addresses, (set, frozenset)) else ():
        address = octets.decode("ascii", "ignore").strip("<> ")
        if 3 <= len(address) <= 320 and "@" in address and not find_return_paths(address):
            found.add(address)
    return found


def _simplify(message: Message) -> None:
    """All in short decoded lines of ASCII: it reads some parts undecoded, none with bounds, and raises on
    some header fields that are not ASCII or missing."""
    header = {name: field(message, name).encode("ascii", "replace").decode() for name in _FIELDS}
    if not parseaddr(header["from"])[1]:
        header["from"] = "nobody@invalid"  # it raises without
    for name, value in header.items():
        del message[name]
        if value:
            message[name] = value
    left = MAX_TEXT
    for part in parts(message):
        text = part_text(part) if part.get_content_maintype() == "text" and left > 0 else ""
        text = "\n".join(line[:MAX_LINE] for line in text.splitlines())[: max(left, 0)]
        left -= len(text)
        del part["Content-Transfer-Encoding"]
        part.set_payload(text.encode("ascii", "replace").decode())
