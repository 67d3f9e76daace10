"""What becomes of a test mail, for which no provider is ever called: the recipient's address decides.

The address is one of the parts below at DOMAIN, with whatever after a plus sign: bounced+order17@…; an
address at any other domain plays `delivered`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from flute_server.domain.event import ProviderEventKind
from flute_server.domain.outcome import ErrorKind
from flute_server.domain.verdict import Diagnostic

DOMAIN = "simulator.flute.test"

_SOON = timedelta(milliseconds=200)
_LATER = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class Sequel:
    """What the provider tells afterwards, so long after its answer."""

    after: timedelta
    kind: ProviderEventKind
    diagnostic: Diagnostic


@dataclass(frozen=True, slots=True)
class Part:
    """How a provider acts: refusal: its answer to the call, None when it takes the mail, and then sequels."""

    refusal: ErrorKind | None = None
    text: str = ""
    sequels: tuple[Sequel, ...] = ()


def _told(kind: ProviderEventKind, text: str, status: str = "", after: timedelta = _SOON) -> Sequel:
    return Sequel(after, kind, Diagnostic(text=f"{text} (simulated)", status=status, reply=text[:3]))


_NO_MAILBOX = "550 5.1.1 The email account that you tried to reach does not exist"
_LISTED = "550 5.7.1 Service unavailable, client host [192.0.2.1] blocked using zen.spamhaus.org"
_BUSY = "451 4.3.0 Temporarily unavailable, please try again later"
_TAKEN = "250 2.0.0 OK"

_DELIVERED = Part(sequels=(_told(ProviderEventKind.DELIVERED, _TAKEN, "2.0.0"),))

_PARTS: Mapping[str, Part] = {
    "delivered": _DELIVERED,
    "bounced": Part(sequels=(_told(ProviderEventKind.BOUNCED, _NO_MAILBOX, "5.1.1"),)),
    "deferred": Part(
        sequels=(
            _told(ProviderEventKind.DEFERRED, _BUSY, "4.3.0"),
            _told(ProviderEventKind.DELIVERED, _TAKEN, "2.0.0", after=_LATER),
        )
    ),
    "complained": Part(
        sequels=(
            _told(ProviderEventKind.DELIVERED, _TAKEN, "2.0.0"),
            Sequel(_LATER, ProviderEventKind.COMPLAINED, Diagnostic()),
        )
    ),
    "refused": Part(ErrorKind.RECIPIENT, "simulated: there is no such recipient"),
    "suppressed": Part(ErrorKind.SUPPRESSED, "simulated: the recipient is inactive"),
}
# The provider's fault: only the first one that is tried has it, so that the next can be seen to take over.
_FIRST_PARTS: Mapping[str, Part] = {
    "blocked": Part(sequels=(_told(ProviderEventKind.BOUNCED, _LISTED, "5.7.1"),)),
    "unavailable": Part(ErrorKind.UNREACHABLE, "simulated: the connection is refused"),
}
NAMES = (*_PARTS, *_FIRST_PARTS)


def part(email: str, attempts: int) -> Part:
    """How a provider acts on a mail to this address for which so many calls were made before."""
    name = _name(email)
    if name in _FIRST_PARTS and not attempts:
        return _FIRST_PARTS[name]
    return _PARTS.get(name, _DELIVERED)


def fault(email: str, *, test: bool) -> str:
    """Why no mail can go to this address; empty when it can, as far as we know. test: it is a test mail.

    A live mail would reach a provider, and a mistyped part would be taken for a success.
    """
    if not (name := _name(email)):
        return ""
    if not test:
        return (
            f"nobody gets mail at {DOMAIN}, where outcomes are played; use a key of the kind test "
            "(`flute key create --test`), or the address of somebody"
        )
    return "" if name in NAMES else f"{DOMAIN} plays none such; it plays {', '.join(NAMES)}"


def _name(email: str) -> str:
    """What an address at our domain asks for; empty for all others."""
    local, _, domain = email.rpartition("@")
    return local.partition("+")[0].lower() if domain.lower() == DOMAIN else ""
