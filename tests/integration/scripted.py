"""The sending side in one thread: real database, real code, and providers that do as they are told.

A `World` has workers that are stepped by hand, calls that are answered when a test says so, and providers
that keep books of what they took and what became of it. Nothing sleeps; time passes by moving timestamps.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from flute_server.domain.capability import Capabilities
from flute_server.domain.event import ProviderEvent
from flute_server.domain.event import ProviderEventKind as Kind
from flute_server.domain.message import Address, Handoff, Message
from flute_server.domain.outcome import ErrorKind, Reply, SendResult
from flute_server.domain.verdict import Diagnostic
from flute_server.models import AmbiguityPolicy, Environment, db
from flute_server.providers.base import (
    NEVER,
    CredentialCheck,
    LookUp,
    Network,
    Provider,
    Trace,
    WebhookRequest,
)
from flute_server.sending import health
from flute_server.sending.accept import accept
from flute_server.sending.connections import Connections
from flute_server.sending.deliver import Deliverer
from flute_server.sending.dispatch import Dispatcher
from flute_server.sending.ingest import Reader, Receiver
from flute_server.sending.outcomes import Call, Ended, Inquiry, Told
from flute_server.sending.senders import by_environment
from tests.integration.places import Place

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


class _Scripts(Connections):
    """Leads to the scripted providers instead of the network."""

    def __init__(self, app: Flask, providers: Mapping[uuid.UUID, Scripted]) -> None:
        super().__init__(app.config["FLUTE"])
        self._providers = providers

    def get(self, account_id: uuid.UUID, revision: int, slug: str, sealed: bytes) -> Provider:
        return self._providers[account_id]


class _Shelf(ThreadPoolExecutor):
    """Keeps what is submitted until somebody runs it."""

    def __init__(self) -> None:
        super().__init__(1)
        self.kept: list[Call | Inquiry] = []

    def submit(self, _: Any, /, *args: Any, **__: Any) -> Future[Any]:
        self.kept.append(args[0])
        return Future()


class Worker(Deliverer):
    """The real loop, one turn at a time and without threads."""

    def __init__(self, app: Flask, providers: Mapping[uuid.UUID, Scripted], name: str) -> None:
        self.name = name
        self.stop = threading.Event()
        super().__init__(app, self.stop)
        self._connections = _Scripts(app, providers)
        self._dispatcher = Dispatcher(self._connections, self._lease, self._slots)
        self._pool = self.shelf = _Shelf()

    @property
    def under_way(self) -> list[Call | Inquiry]:
        return self.shelf.kept

    def ended(self) -> list[Ended | Told]:
        """What has ended and is not written down yet."""
        found = list(self._unrecorded)
        waiting = [self._ended.get_nowait() for _ in range(self._ended.qsize())]
        for result in waiting:
            self._ended.put(result)
        return found + waiting

    def end(self, call: Call | Inquiry) -> None:
        """Its answer has come; the next turn writes it down."""
        self.shelf.kept.remove(call)
        if isinstance(call, Call):
            self._send(call)
        else:
            self._inquire(call)

    def turn(self, fails: str = "") -> bool:
        """What Deliverer._step does, but that it waits for nothing; False when the database failed.

        fails: "before" the commit or "after" it, so that the worker does not learn that it was done.
        """
        ended = self._unrecorded + self._collect(block=False)
        self._fails = fails
        failing = patch.object(db.session, "commit", side_effect=_lost()) if fails == "before" else None
        with failing or nullcontext():
            self._unrecorded, claimed = self._try_turn(ended, accepting=not self.stop.is_set())
        return claimed is not None

    def _turn(self, *args: Any, **kwargs: Any) -> tuple[int, list[Call | Inquiry]]:
        done = super()._turn(*args, **kwargs)
        if self._fails == "after":
            raise _lost()
        return done


def _lost() -> OperationalError:
    return OperationalError("COMMIT", {}, Exception("the connection is lost"))


class World:
    """A tenant with some provider accounts, and the workers that send its mail."""

    def __init__(
        self,
        app: Flask,
        on_ambiguous: AmbiguityPolicy = AmbiguityPolicy.RESEND,
        *,
        accounts: int = 3,
        can_be_asked: bool = False,
        all_tell_ids: bool = False,
    ) -> None:
        self.app = app
        with app.app_context():
            _forget_others()
            self.place = Place.create(accounts, on_ambiguous=on_ambiguous)
        self.providers = {
            id_: Scripted(tells_ids=all_tell_ids or n != 1, can_be_asked=can_be_asked)
            for n, id_ in enumerate(self.place.accounts)
        }
        self.addresses: dict[int, str] = {}
        for provider in self.providers.values():
            provider.addresses = self.addresses
        self._hired = 0
        self.workers = [self.hire(), self.hire()]
        scripts = _Scripts(app, self.providers)
        self._reader = Reader(app)
        self._reader._connections = scripts
        self._receiver = Receiver(app.config["FLUTE"])
        self._receiver._connections = scripts
        self.told: list[tuple[uuid.UUID, bytes]] = []

    def hire(self) -> Worker:
        self._hired += 1
        return Worker(self.app, self.providers, f"worker {self._hired}")

    def accept(self, *to: str) -> uuid.UUID:
        message = Message(
            sender=Address("hello@flutemail.io"), to=tuple(map(Address, to)), subject="Hello", text="Hi"
        )
        with self.app.app_context():
            accepted = accept(by_environment(str(self.place.environment_id)), message)
            rows = db.session.execute(
                text("SELECT id, address FROM recipient WHERE email_id = :id"), {"id": accepted.id}
            )
            self.addresses.update({id_: address for id_, address in rows})
        return accepted.id

    def turn(self, worker: Worker | None = None, fails: str = "") -> list[Call | Inquiry]:
        """One turn; the calls that it began."""
        worker = worker or self.workers[0]
        before = list(worker.under_way)
        worker.turn(fails)
        return [call for call in worker.under_way if call not in before]

    def act(self, call: Call, deed: Deed = TAKEN, exceptions: Mapping[str, Deed] | None = None) -> None:
        """The provider acts on a call; whether its answer comes is another matter. exceptions: by address."""
        deeds = {
            recipient.id: (exceptions or {}).get(recipient.address.email, deed)
            for recipient in call.handoff.recipients
        }
        self.provider(call).do(call.handoff, deeds)

    def provider(self, call: Call) -> Scripted:
        return self.providers[call.route.account_id]

    def acted(self, call: Call) -> bool:
        return str(call.attempt_id) in self.provider(call).answers

    def crash(self, number: int = 0) -> None:
        """A worker dies with all that it knows; another takes its place."""
        self.workers[number] = self.hire()

    def untold(self) -> list[tuple[uuid.UUID, dict[str, Any]]]:
        """What the providers have still to tell, with the account that tells it."""
        return [
            (id_, event)
            for id_, provider in self.providers.items()
            for copy in provider.copies
            for event in copy.untold
        ]

    def tell(self, account_id: uuid.UUID, events: Sequence[dict[str, Any]]) -> None:
        """A provider posts events."""
        for copy in self.providers[account_id].copies:
            copy.untold = [event for event in copy.untold if event not in events]
        self.post(account_id, json.dumps(list(events)).encode())
        self.told.append((account_id, json.dumps(list(events)).encode()))

    def post(self, account_id: uuid.UUID, body: bytes) -> None:
        with self.app.app_context():
            self._receiver.webhook("sendgrid", str(account_id), WebhookRequest({}, body))

    def tell_all(self) -> None:
        """Every event there is, one call each."""
        for account_id, event in self.untold():
            self.tell(account_id, [event])

    def read(self) -> int:
        return self._reader.step()

    def lapse(self) -> None:
        """All leases and pauses are over; providers that failed may be probed."""
        self._do("UPDATE email SET due_time = now() WHERE due_time > now()")
        self._do("UPDATE breaker SET retry_at = now() WHERE retry_at > now()")
        self._do("UPDATE provider_event SET match_time = now() WHERE match_time > now()")

    def pass_time(self, span: timedelta) -> None:
        """Whatever is on record happened so much longer ago."""
        for table, columns in _TIMES.items():
            moved = ", ".join(f"{column} = {column} - :span" for column in columns)
            self._do(f"UPDATE {table} SET {moved}", span=span)

    def heal(self) -> None:
        """A person looks after all accounts."""
        with self.app.app_context():
            for account_id in self.place.accounts:
                health.reset(account_id)
            db.session.commit()

    def settings(self, **values: Any) -> None:
        with self.app.app_context():
            environment = db.session.get_one(Environment, self.place.environment_id)
            for name, value in values.items():
                setattr(environment, name, value)
            db.session.commit()

    def rows(self, query: str, **values: Any) -> list[Any]:
        with self.app.app_context():
            values |= {"environment": self.place.environment_id, "tenant": self.place.tenant_id}
            return list(db.session.execute(text(query), values))

    def _do(self, statement: str, **values: Any) -> None:
        with self.app.app_context():
            db.session.execute(text(statement), values)
            db.session.commit()


_TIMES = {
    "email": ("create_time", "due_time"),
    "attempt": ("start_time", "end_time"),
    "breaker": ("retry_at",),
    "provider_event": ("time", "match_time"),
}


def _forget_others() -> None:
    """What an earlier, perhaps failed, test left to do is not ours."""
    db.session.execute(text("UPDATE email SET due_time = NULL WHERE due_time IS NOT NULL"))
    db.session.execute(text("UPDATE inbound SET due_time = NULL WHERE due_time IS NOT NULL"))
    db.session.execute(text("UPDATE provider_event SET match_time = NULL WHERE match_time IS NOT NULL"))
    db.session.commit()
