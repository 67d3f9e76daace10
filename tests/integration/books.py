"""Providers that do as a test tells them, and keep books of what they took and what became of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from flute_server.domain.capability import Capabilities
from flute_server.domain.event import ProviderEvent
from flute_server.domain.event import ProviderEventKind as Kind
from flute_server.domain.message import Handoff
from flute_server.domain.outcome import ErrorKind, Reply, SendResult
from flute_server.domain.verdict import Diagnostic
from flute_server.providers.base import (
    NEVER,
    CredentialCheck,
    LookUp,
    Network,
    Provider,
    Trace,
    WebhookRequest,
)

BLOCK = "550 5.7.1 Service refused; client host [192.0.2.1] blocked using zen.blocklist.invalid"
NO_USER = "550 5.1.1 no such user here"
VIRUS = "554 5.6.0 message contains a virus"
DMARC = "550 5.7.26 unauthenticated email from flutemail.io is not accepted due to domain's DMARC policy"
RIDDLE = "550 no"
VACATION = "I am out of the office until Monday"

# What becomes of a mail that a provider took, in the words it will use: (kind, diagnostic).
Fortune = tuple[tuple[Kind, str], ...]
FORTUNES: Mapping[str, Fortune] = {
    "delivered": ((Kind.ACCEPTED, ""), (Kind.DELIVERED, "")),
    "deferred": ((Kind.ACCEPTED, ""), (Kind.DEFERRED, "451 4.3.0 try later"), (Kind.DELIVERED, "")),
    "opened": ((Kind.DELIVERED, ""), (Kind.OPENED, "")),
    "complained": ((Kind.DELIVERED, ""), (Kind.COMPLAINED, "")),
    "unsubscribed": ((Kind.DELIVERED, ""), (Kind.UNSUBSCRIBED, "")),
    "answered": ((Kind.DELIVERED, ""), (Kind.BOUNCED, VACATION)),
    "silent": (),
    "blocked": ((Kind.ACCEPTED, ""), (Kind.BOUNCED, BLOCK)),
    "blocked late": ((Kind.ACCEPTED, ""), (Kind.DELIVERED, ""), (Kind.BOUNCED, BLOCK)),
    "busy": ((Kind.DEFERRED, "451 4.3.0 try later"), (Kind.BOUNCED, "451 4.3.0 try later")),
    "no user": ((Kind.BOUNCED, NO_USER),),
    "no user late": ((Kind.DELIVERED, ""), (Kind.BOUNCED, NO_USER)),
    "virus": ((Kind.ACCEPTED, ""), (Kind.BOUNCED, VIRUS)),
    "dmarc": ((Kind.BOUNCED, DMARC),),
    "riddle": ((Kind.BOUNCED, RIDDLE),),
}
ARRIVED = frozenset({"delivered", "deferred", "opened", "complained", "unsubscribed", "answered"})


@dataclass(frozen=True, slots=True)
class Deed:
    """What a provider does with the mail for one recipient: what it answers, and what becomes of the mail.

    kind: None for accepted. fortune: of a mail that it took, None if it did not.
    """

    kind: ErrorKind | None = None
    fortune: str | None = "delivered"


TAKEN = Deed()


def taken(fortune: str) -> Deed:
    return Deed(None, fortune)


def refused(kind: ErrorKind) -> Deed:
    return Deed(kind, None)


def unclear(fortune: str | None) -> Deed:
    return Deed(ErrorKind.AMBIGUOUS, fortune)


@dataclass
class Copy:
    """A line in a provider's books: one mail that it took for one recipient."""

    attempt_id: str
    recipient_id: int
    fortune: str
    untold: list[dict[str, Any]] = field(default_factory=list)

    @property
    def arrived(self) -> bool:
        return self.fortune in ARRIVED


class Scripted(Provider):
    """One provider account. tells_ids: its events carry our ids, else only its own message id."""

    slug = "sendgrid"
    name = "Scripted"
    fields = ()
    capabilities = Capabilities(max_bytes=10**7, max_recipients=100)

    def __init__(self, *, tells_ids: bool, can_be_asked: bool) -> None:
        super().__init__({}, Network())
        self.tells_ids = tells_ids
        self.can_be_asked = can_be_asked
        self.answers: dict[str, SendResult] = {}
        self.copies: list[Copy] = []

    @property
    def look_up_settles(self) -> timedelta:  # type: ignore[override]  # one class plays several providers
        return timedelta(0) if self.can_be_asked else NEVER

    def do(self, handoff: Handoff, deeds: Mapping[str, Deed]) -> None:
        """Act on a call; `send` answers it accordingly."""
        replies = {}
        for recipient in handoff.recipients:
            deed = deeds.get(recipient.id, TAKEN)
            message_id = f"m-{handoff.attempt_id}" if deed.kind is None else ""
            replies[recipient.id] = Reply(deed.kind, text="as told", provider_message_id=message_id)
            if deed.fortune is not None:
                self._take(handoff, int(recipient.id), recipient.address.email, deed.fortune)
        first, *_ = replies.values()
        self.answers[handoff.attempt_id] = SendResult(first, replies)

    def _take(self, handoff: Handoff, recipient_id: int, address: str, fortune: str) -> None:
        copy = Copy(handoff.attempt_id, recipient_id, fortune)
        ids = {
            "email_id": handoff.email_id,
            "attempt_id": handoff.attempt_id,
            "recipient_id": str(recipient_id),
        }
        begin = datetime.now(UTC)
        for n, (kind, said) in enumerate(FORTUNES[fortune]):
            event = {
                "kind": kind,
                "key": f"{handoff.attempt_id}:{recipient_id}:{n}",
                "time": (begin + timedelta(milliseconds=n)).isoformat(),
                "recipient": address,
                "provider_message_id": f"m-{handoff.attempt_id}",
                "said": said,
                **(ids if self.tells_ids else {}),
            }
            copy.untold.append(event)
        self.copies.append(copy)

    def send(self, handoff: Handoff) -> SendResult:
        return self.answers[handoff.attempt_id]

    def look_up(self, trace: Trace) -> LookUp:
        if trace.attempt_id not in self.answers:
            # Who says no will not take it any more: the call is dead by now.
            self.answers[trace.attempt_id] = SendResult(Reply(ErrorKind.AMBIGUOUS))
        address = trace.recipients[0]
        found = any(self._is(copy, trace.attempt_id, address) for copy in self.copies)
        return LookUp(found, "by its books")

    def _is(self, copy: Copy, attempt_id: str, address: str) -> bool:
        return copy.attempt_id == attempt_id and self.addresses[copy.recipient_id] == address

    addresses: Mapping[int, str] = {}

    def authenticate(self, request: WebhookRequest, now: datetime) -> None:
        """All calls are genuine here."""

    def read_events(self, body: bytes) -> list[ProviderEvent]:
        return [_event(item) for item in json.loads(body)]

    def check(self) -> CredentialCheck:
        return CredentialCheck(True, "")

    def close(self) -> None:
        """Nothing is open."""


def _event(item: dict[str, Any]) -> ProviderEvent:
    parts = {name: value for name, value in item.items() if name != "said"}
    parts |= {"kind": Kind(item["kind"]), "time": datetime.fromisoformat(item["time"])}
    return ProviderEvent(**parts, diagnostic=Diagnostic(text=item["said"]), raw=item)
