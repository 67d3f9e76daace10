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
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from flute_server.domain.message import Address, Message
from flute_server.errors import FailedPrecondition
from flute_server.models import AmbiguityPolicy, Environment, db
from flute_server.providers.base import Provider, WebhookRequest
from flute_server.sending import health
from flute_server.sending.accept import accept
from flute_server.sending.answer import Accepted
from flute_server.sending.connections import Connections
from flute_server.sending.deliver import Deliverer, since_boot
from flute_server.sending.dispatch import Dispatcher
from flute_server.sending.ingest import Reader, Receiver
from flute_server.sending.outcomes import Call, Ended, Inquiry, Told
from flute_server.sending.reschedule import cancel, reschedule
from flute_server.sending.senders import by_environment
from flute_server.sending.store import Draft
from flute_server.sending.unsubscribe import Links
from tests.integration.books import TAKEN, Deed, Scripted
from tests.integration.places import Place


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
        self._more: dict[int, tuple[Any, ...]] = {}

    def submit(self, _: Any, /, *args: Any, **__: Any) -> Future[Any]:
        self.kept.append(args[0])
        self._more[id(args[0])] = args[1:]
        return Future()

    def take(self, call: Call | Inquiry) -> tuple[Any, ...]:
        """Take it off; what else was submitted with it."""
        self.kept.remove(call)
        return self._more.pop(id(call))


class Worker(Deliverer):
    """The real loop, one turn at a time and without threads."""

    def __init__(self, app: Flask, providers: Mapping[uuid.UUID, Scripted], name: str) -> None:
        self.name = name
        self.stop = threading.Event()
        super().__init__(app, self.stop)
        self._connections = _Scripts(app, providers)
        self._dispatcher = Dispatcher(self._connections, self._lease, self._slots, Links("", b""))
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
        more = self.shelf.take(call)
        if isinstance(call, Call):
            self._send(call, *more)
        else:
            self._inquire(call)

    def stand_still(self) -> None:
        """This worker alone is stopped, or the machine that it is on, until its leases are over."""
        self._clock = lambda: since_boot() + self._lease.total_seconds()

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

    def accept(self, *to: str, send_in: timedelta | None = None, test: bool = False) -> uuid.UUID:
        """A mail is stored; test: as with a test key."""
        message = Message(
            sender=Address("hello@flutemail.io"), to=tuple(map(Address, to)), subject="Hello", text="Hi"
        )
        send_at = datetime.now(UTC) + send_in if send_in else None
        with self.app.app_context():
            sender = replace(by_environment(str(self.place.environment_id)), test=test)
            answer = accept(sender, Draft(message, send_at))
            [accepted] = answer.results
            assert isinstance(accepted, Accepted)
            rows = db.session.execute(
                text("SELECT id, address FROM recipient WHERE email_id = :id"), {"id": accepted.id}
            )
            self.addresses.update({id_: address for id_, address in rows})
        return accepted.id

    def cancel(self, id_: uuid.UUID) -> bool:
        """Take a mail back; False if that is refused."""
        with self.app.app_context():
            try:
                cancel(str(id_), self.place.environment_id)
            except FailedPrecondition:
                return False
        return True

    def reschedule(self, id_: uuid.UUID, send_in: timedelta | None) -> bool:
        """Give a mail another time, None for at once; False if that is refused."""
        send_at = datetime.now(UTC) + (send_in or timedelta())
        with self.app.app_context():
            try:
                reschedule(str(id_), self.place.environment_id, send_at)
            except FailedPrecondition:
                return False
        return True

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
    "email": ("create_time", "due_time", "send_time"),
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
