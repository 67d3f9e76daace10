"""The provider of test mail: it takes part in everything, and calls nobody."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar

from flute_server.domain import simulation
from flute_server.domain.event import ProviderEvent
from flute_server.domain.message import Handoff, Recipient
from flute_server.domain.outcome import Reply, SendResult
from flute_server.providers.base import LookUp, Trace
from flute_server.sending import ingest


@dataclass(frozen=True, slots=True)
class Simulator:
    """Answers in a provider's stead. attempts: the calls made before this one, by recipient id."""

    attempts: Mapping[str, int]

    look_up_settles: ClassVar[timedelta] = timedelta(0)

    def send(self, handoff: Handoff) -> SendResult:
        replies = {recipient.id: self._reply(handoff, recipient) for recipient in handoff.recipients}
        return SendResult(next(iter(replies.values())), replies)

    def look_up(self, trace: Trace) -> LookUp:
        """Only asked about a call whose worker was lost, and with it the simulation."""
        return LookUp(found=False, text="nothing was sent, for this is a test mail")

    def foretell(self, handoff: Handoff, account_id: uuid.UUID, now: datetime) -> None:
        """Have the events come that follow, by the way of all events. In the session's transaction."""
        ingest.expect(list(self._events(handoff, now)), account_id)

    def _part(self, recipient: Recipient) -> simulation.Part:
        return simulation.part(recipient.address.email, self.attempts[recipient.id])

    def _reply(self, handoff: Handoff, recipient: Recipient) -> Reply:
        part = self._part(recipient)
        return Reply(part.refusal, text=part.text, provider_message_id="" if part.refusal else _id(handoff))

    def _events(self, handoff: Handoff, now: datetime) -> Iterator[ProviderEvent]:
        for recipient in handoff.recipients:
            part = self._part(recipient)
            for sequel in part.sequels:
                yield ProviderEvent(
                    kind=sequel.kind,
                    key=f"{_id(handoff)}:{recipient.id}:{sequel.kind}",
                    time=now + sequel.after,
                    recipient=recipient.address.email,
                    email_id=handoff.email_id,
                    attempt_id=handoff.attempt_id,
                    recipient_id=recipient.id,
                    provider_message_id=_id(handoff),
                    diagnostic=sequel.diagnostic,
                    raw={"simulated": True},
                )


def _id(handoff: Handoff) -> str:
    return f"simulated-{handoff.attempt_id}"
