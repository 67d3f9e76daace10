"""Take in what providers tell afterwards: prove that it is theirs, keep it, read it, act on it."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Flask
from sqlalchemy import bindparam, func, insert, select
from sqlalchemy.dialects.postgresql import insert as upsert

from flute_server.admin.find import as_uuid
from flute_server.bounces.parse import read as read_bounce
from flute_server.config import Config
from flute_server.domain.event import ProviderEvent as Event
from flute_server.domain.event import ProviderEventKind
from flute_server.domain.verdict import Diagnostic
from flute_server.errors import InvalidArgument, Unauthenticated, not_found
from flute_server.models import Attempt, Inbound, ProviderAccount, ProviderEvent, autocommit, db
from flute_server.providers.base import Provider, WebhookMalformed, WebhookRefused, WebhookRequest
from flute_server.providers.webhooks import parse
from flute_server.sending import arrivals, retention
from flute_server.sending.connections import Connections
from flute_server.sending.feedback import Matched, apply, match
from flute_server.sending.record import Writes
from flute_server.sending.returned import ReturnPaths, file
from flute_server.sending.wake import INGEST, awake, wake

log = logging.getLogger(__name__)

# How much is read in one transaction, and how long one job goes on.
BATCH = 50
SHIFT_S = 2.0
# A mail may become known after its event: the event is matched again for this long.
MATCH_AGAIN = timedelta(seconds=10)
MATCH_FOR = timedelta(hours=1)
# A body that cannot be processed is tried again after this time, by when somebody may have mended us.
READ_AGAIN = timedelta(minutes=10)

_ACCOUNT = select(
    ProviderAccount.id,
    ProviderAccount.provider,
    ProviderAccount.revision,
    ProviderAccount.credentials,
    ProviderAccount.last_event_time,
    ProviderAccount.rejected_time,
).where(ProviderAccount.id == bindparam("id"))


class Receiver:
    """Takes webhooks in: proof first, then the database, then the answer. One a process."""

    def __init__(self, config: Config) -> None:
        self._redis_url = config.redis_url
        self._connections = Connections(config)
        self._return_paths = ReturnPaths(config)

    def webhook(self, slug: str, account_id: str, request: WebhookRequest) -> None:
        """Durable when this returns. Raises NotFound, Unauthenticated, InvalidArgument."""
        with autocommit() as connection:
            row = connection.execute(_ACCOUNT, {"id": as_uuid(account_id)}).one_or_none()
            if row is None or row.provider != slug:
                raise not_found("webhook", account_id)
            provider = self._connections.get(row.id, row.revision, row.provider, row.credentials)
            try:
                _prove(provider, request)
            except (Unauthenticated, InvalidArgument) as error:
                arrivals.rejected(connection, row.id, row.rejected_time, str(error))
                raise
            values = {
                "provider_account_id": row.id,
                "token": provider.webhook_token(request.body) or None,
                "body": request.body,
                "due_time": func.now(),
            }
            connection.execute(upsert(Inbound).values(values).on_conflict_do_nothing())
            arrivals.proven(connection, row.id, row.last_event_time)
        wake(self._redis_url, INGEST)

    def bounce(self, recipient: str, raw: bytes) -> None:
        """A mail with a return path that we signed. Durable when this returns. Raises Unauthenticated."""
        if self._return_paths.find(recipient, raw) is None:
            text = "neither the recipient nor the mail holds a return path that this Flute has signed"
            raise Unauthenticated("BOUNCE_REFUSED", text)
        with autocommit() as connection:
            values = {"recipient": recipient, "body": raw, "due_time": func.now()}
            connection.execute(insert(Inbound).values(values))
        wake(self._redis_url, INGEST)


def _prove(provider: Provider, request: WebhookRequest) -> None:
    try:
        provider.authenticate(request, datetime.now(UTC))
        parse(request.body)
    except WebhookRefused as error:
        raise Unauthenticated("WEBHOOK_REFUSED", str(error)) from error
    except WebhookMalformed as error:
        raise InvalidArgument("WEBHOOK_MALFORMED", str(error)) from error


class Reader:
    """Reads what was taken in and acts on it. One a worker process."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._config: Config = app.config["FLUTE"]
        self._connections = Connections(self._config)
        self._return_paths = ReturnPaths(self._config)

    def drain(self) -> None:
        """Read until nothing is left, or until the shift ends. One RQ job."""
        awake(self._config.redis_url, INGEST)
        end = time.monotonic() + SHIFT_S
        while self.step():
            if time.monotonic() > end:
                wake(self._config.redis_url, INGEST)
                return

    def step(self) -> int:
        """One transaction; how many bodies and events were dealt with."""
        with self._app.app_context():
            now = db.session.scalars(select(func.now())).one()
            writes = Writes(now)
            bodies, fresh, returned = self._bodies(writes)
            again, found = _match_again(writes.now)
            # Together, since both may be about the same mail.
            apply([*fresh, *found], writes)
            writes.flush()
            retention.look_again({item.email_id for item in (*fresh, *found)} | returned)
            db.session.commit()
            return bodies + again

    def _bodies(self, writes: Writes) -> tuple[int, list[Matched], set[uuid.UUID]]:
        """How many bodies were read, their new events whose mail is known, and the mails that came back."""
        query = (
            select(Inbound, ProviderAccount)
            .join(ProviderAccount, ProviderAccount.id == Inbound.provider_account_id, isouter=True)
            .where(Inbound.due_time <= writes.now)
            .order_by(Inbound.due_time)
            .limit(BATCH)
            .with_for_update(of=Inbound, skip_locked=True)
        )
        rows = db.session.execute(query).all()
        by_account: dict[uuid.UUID | None, list[Event]] = {}
        for inbound, account in rows:
            events = self._read(inbound, account, writes)
            by_account.setdefault(inbound.provider_account_id, []).extend(events)
        matched: list[Matched] = []
        for account_id, events in by_account.items():
            matched += _keep(events, account_id, writes.now)
        bounces = [inbound for inbound, account in rows if account is None]
        return len(rows), matched, file(bounces, self._return_paths)

    def _read(self, inbound: Inbound, account: ProviderAccount | None, writes: Writes) -> list[Event]:
        """The events of one body. One that cannot be read is kept, with the reason, and read again later."""
        try:
            if account is None:
                events = read_bounce(
                    inbound.body, self._return_paths.read, inbound.recipient, inbound.create_time
                )
                events = [event for event in events if event.raw.get("verified")]
            else:
                provider = self._connections.get(
                    account.id, account.revision, account.provider, account.credentials
                )
                events = provider.read_events(inbound.body)
                inbound.body = b""
        except WebhookMalformed as error:
            inbound.due_time, inbound.error = None, str(error)[:1000]
            return []
        except Exception as error:
            log.exception("inbound %s could not be read", inbound.id)
            inbound.due_time, inbound.error = writes.now + READ_AGAIN, repr(error)[:1000]
            return []
        inbound.due_time = None
        return events


def _keep(events: Sequence[Event], account_id: uuid.UUID | None, now: datetime) -> list[Matched]:
    """Store the events that are new; those of them whose mail is known."""
    found = list(zip(events, match(events, account_id), strict=True))
    owners: Mapping[uuid.UUID, uuid.UUID] = {}
    if account_id is None:
        owners = _owners([item for _, item in found if item])
        arrivals.by_mail(set(owners.values()), now)
    owned = [
        (event, item, owner)
        for event, item in found
        if (owner := account_id or (owners.get(item.attempt_id) if item else None))
    ]
    new = _store([_row(event, owner, item, now) for event, item, owner in owned])
    fresh: list[Matched] = []
    for event, item, owner in owned:
        if item and (owner, event.key) in new:
            new.remove((owner, event.key))  # the same event may stand twice in a batch
            fresh.append(item)
    return fresh


def _owners(matched: Sequence[Matched]) -> dict[uuid.UUID, uuid.UUID]:
    """The provider account of each attempt."""
    ids = {item.attempt_id for item in matched}
    query = select(Attempt.id, Attempt.provider_account_id).where(Attempt.id.in_(ids))
    return {attempt_id: owner for attempt_id, owner in db.session.execute(query)} if ids else {}


def _row(event: Event, owner: uuid.UUID, item: Matched | None, now: datetime) -> dict[str, Any]:
    waits = item is None and event.kind is not ProviderEventKind.OTHER
    return {
        "provider_account_id": owner,
        "key": event.key,
        "kind": event.kind,
        "time": event.time,
        "recipient": event.recipient,
        "email_id": item.email_id if item else None,
        "event": _packed(event),
        "match_time": now + MATCH_AGAIN if waits else None,
    }


def _store(rows: list[dict[str, Any]]) -> set[tuple[uuid.UUID, str]]:
    """Store events, and tell which of them the provider had not told before: (account, key)."""
    if not rows:
        return set()
    table = ProviderEvent.__table__
    new = upsert(ProviderEvent).on_conflict_do_nothing(index_elements=["provider_account_id", "key"])
    known = new.returning(table.c.provider_account_id, table.c.key)
    # In one order for all workers, since a row that another is storing is waited for.
    ordered = sorted(rows, key=lambda row: (row["provider_account_id"], row["key"]))
    return {(owner, key) for owner, key in db.session.connection().execute(known, ordered)}


def _match_again(now: datetime) -> tuple[int, list[Matched]]:
    """Look once more for the mail of events that came too early: how many, and those whose mail is known."""
    query = (
        select(ProviderEvent)
        .where(ProviderEvent.match_time <= now)
        .order_by(ProviderEvent.match_time)
        .limit(BATCH)
        .with_for_update(skip_locked=True)
    )
    found: list[Matched] = []
    rows = list(db.session.scalars(query))
    for row in rows:
        [item] = match([_unpacked(row.event)], row.provider_account_id)
        if item:
            row.email_id, row.match_time = item.email_id, None
            found.append(item)
        else:
            again = now + MATCH_AGAIN
            row.match_time = again if again < row.create_time + MATCH_FOR else None
    return len(rows), found


def expect(events: Sequence[Event], account_id: uuid.UUID) -> None:
    """Store events that are to be read when their time comes. In the session's transaction."""
    _store([_row(event, account_id, None, event.time) | {"match_time": event.time} for event in events])


def _packed(event: Event) -> dict[str, Any]:
    """The event as JSON; spelled out, since dataclasses.asdict costs more than storing it."""
    diagnostic = event.diagnostic
    return {
        "kind": event.kind,
        "key": event.key,
        "time": event.time.isoformat(),
        "recipient": event.recipient,
        "email_id": event.email_id,
        "attempt_id": event.attempt_id,
        "recipient_id": event.recipient_id,
        "provider_message_id": event.provider_message_id,
        "diagnostic": {name: getattr(diagnostic, name) for name in diagnostic.__slots__},
        "raw": event.raw,
    }


def _unpacked(parts: Mapping[str, Any]) -> Event:
    values = {
        **parts,
        "kind": ProviderEventKind(parts["kind"]),
        "time": datetime.fromisoformat(parts["time"]),
        "diagnostic": Diagnostic(**parts["diagnostic"]),
    }
    return Event(**values)


def sweep(app: Flask) -> None:
    """Wake a worker if something is left to read."""
    config: Config = app.config["FLUTE"]
    with app.app_context():
        bodies = select(Inbound.id).where(Inbound.due_time <= func.now()).exists()
        events = select(ProviderEvent.id).where(ProviderEvent.match_time <= func.now()).exists()
        if db.session.scalar(select(bodies | events)):
            wake(config.redis_url, INGEST)
