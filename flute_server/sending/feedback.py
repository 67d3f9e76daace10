"""Act on provider events: find the mail that each is about, and change what it proves."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select

from flute_server.domain.effect import Effect, Elsewhere, Notice, Seen, effect, standing
from flute_server.domain.event import ProviderEvent, ProviderEventKind
from flute_server.domain.outcome import Fate, Outcome
from flute_server.domain.state import State
from flute_server.domain.verdict import Action, Cause, Verdict, classify
from flute_server.domain.wording import happened, noted
from flute_server.models import (
    AlertKind,
    Attempt,
    Email,
    Environment,
    Ledger,
    ProviderAccount,
    Recipient,
    SuppressionReason,
    db,
)
from flute_server.sending import alerts, health, suppress
from flute_server.sending.record import Writes, lock

_REFUSALS = frozenset({ProviderEventKind.BOUNCED, ProviderEventKind.DROPPED})
_SUPPRESSIONS = {
    Notice.SUPPRESS_BOUNCE: SuppressionReason.BOUNCE,
    Notice.SUPPRESS_COMPLAINT: SuppressionReason.COMPLAINT,
    Notice.SUPPRESS_UNSUBSCRIBE: SuppressionReason.UNSUBSCRIBE,
}


@dataclass(frozen=True, slots=True)
class Matched:
    """An event and the entry of the ledger that it is about."""

    event: ProviderEvent
    email_id: uuid.UUID
    attempt_id: uuid.UUID
    recipient_id: int


@dataclass(slots=True)
class _Entry:
    attempt_id: uuid.UUID
    account_id: uuid.UUID
    account: str
    start: datetime
    end: datetime | None
    outcome: Outcome | None
    fate: Fate | None
    action: Action | None


@dataclass(slots=True)
class _Lessons:
    """What the accounts' health learns from events: (account, receiving domain, seconds or words)."""

    deliveries: list[tuple[uuid.UUID, str, float | None]] = field(default_factory=list)
    bounces: list[tuple[uuid.UUID, str, str]] = field(default_factory=list)


@dataclass(slots=True)
class _Mail:
    """An email as it stands, kept up to date while events are applied to it."""

    tenant_id: uuid.UUID
    domain: str
    test: bool
    states: dict[int, State] = field(default_factory=dict)
    addresses: dict[int, str] = field(default_factory=dict)
    entries: dict[int, list[_Entry]] = field(default_factory=lambda: defaultdict(list))
    queued_again: bool = False

    def has_open_call(self) -> bool:
        return any(entry.outcome is None for entries in self.entries.values() for entry in entries)


def match(events: Sequence[ProviderEvent], account_id: uuid.UUID | None) -> list[Matched | None]:
    """For each event the ledger entry that it is about. account_id: whose events they are; an event never
    touches another account's mail. None for bounce mail, whose signed return path proves the attempt."""
    known = _candidates(events, account_id)
    return [_match(event, known) for event in events]


Known = dict[str, list[tuple[uuid.UUID, uuid.UUID, int, str]]]


def _candidates(events: Sequence[ProviderEvent], account_id: uuid.UUID | None) -> Known:
    """Ledger entries by our attempt id and by the provider's message id."""
    attempt_ids = {id_ for event in events if (id_ := _uuid(event.attempt_id))}
    message_ids = {
        event.provider_message_id for event in events if not event.attempt_id and event.provider_message_id
    }
    query = (
        select(Attempt.email_id, Attempt.id, Recipient.id, Recipient.address, Ledger.provider_message_id)
        .join(Ledger, Ledger.attempt_id == Attempt.id)
        .join(Recipient, Recipient.id == Ledger.recipient_id)
        .order_by(Attempt.start_time)
    )
    if account_id:
        query = query.where(Attempt.provider_account_id == account_id)
    found: Known = defaultdict(list)
    if attempt_ids:
        for email_id, attempt_id, row_id, address, _ in db.session.execute(
            query.where(Attempt.id.in_(attempt_ids))
        ):
            found[str(attempt_id)].append((email_id, attempt_id, row_id, address.lower()))
    if message_ids and account_id:
        for email_id, attempt_id, row_id, address, message_id in db.session.execute(
            query.where(Ledger.provider_message_id.in_(message_ids))
        ):
            found[message_id].append((email_id, attempt_id, row_id, address.lower()))
    return found


def _match(event: ProviderEvent, known: Known) -> Matched | None:
    entries = known.get(event.attempt_id.lower() or event.provider_message_id, [])
    # A bounce mail may name the address that an alias led to besides the one that we mailed.
    final = str(event.raw.get("final_recipient", "")).rpartition(";")[2].strip()
    wanted = {event.recipient.lower(), final.lower()}
    for email_id, attempt_id, row_id, address in entries:
        if event.recipient_id == str(row_id) or (not event.recipient_id and address in wanted):
            return Matched(event, email_id, attempt_id, row_id)
    # A provider may tell no recipient, or not in the form that we gave it.
    if len(entries) == 1 and not event.recipient_id:
        email_id, attempt_id, row_id, _ = entries[0]
        return Matched(event, email_id, attempt_id, row_id)
    return None


def apply(matched: Iterable[Matched], writes: Writes) -> None:
    """Change what these events prove, in the order of their times. In the session's transaction."""
    ordered = sorted(matched, key=lambda item: item.event.time)
    if not ordered:
        return
    lock(item.email_id for item in ordered)
    mails = _load({item.email_id for item in ordered})
    lessons = _Lessons()
    for item in ordered:
        _apply(item, mails[item.email_id], writes, lessons)
    health.delivered_many(lessons.deliveries, writes.now)
    # In one order for all workers, since breakers are locked on the way.
    for account_id, domain, words in sorted(lessons.bounces):
        health.bounced(account_id, domain, words, writes.now)
    for email_id, mail in mails.items():
        # While a call is under way, the worker that made it looks again when it ends.
        if mail.queued_again and not mail.has_open_call():
            writes.hurry(email_id)


def _load(email_ids: set[uuid.UUID]) -> dict[uuid.UUID, _Mail]:
    mails: dict[uuid.UUID, _Mail] = {}
    recipients = (
        select(
            Email.id,
            Environment.account_id,
            Environment.domain,
            Email.test,
            Recipient.id,
            Recipient.state,
            Recipient.address,
        )
        .join(Environment, Environment.id == Email.environment_id)
        .join(Recipient, Recipient.email_id == Email.id)
        .where(Email.id.in_(email_ids))
    )
    for email_id, tenant_id, domain, test, row_id, state, address in db.session.execute(recipients):
        mail = mails.setdefault(email_id, _Mail(tenant_id, domain, test))
        mail.states[row_id] = State(state)
        mail.addresses[row_id] = address
    attempts = (
        select(
            Attempt.email_id,
            Ledger.recipient_id,
            Attempt.id,
            Attempt.provider_account_id,
            ProviderAccount.name,
            Attempt.start_time,
            Attempt.end_time,
            Ledger.outcome,
            Ledger.fate,
            Ledger.action,
        )
        .join(Ledger, Ledger.attempt_id == Attempt.id)
        .join(ProviderAccount, ProviderAccount.id == Attempt.provider_account_id)
        .where(Attempt.email_id.in_(email_ids))
        .order_by(Attempt.start_time, Attempt.id)
    )
    for row in db.session.execute(attempts):
        entry = _Entry(
            attempt_id=row.id,
            account_id=row.provider_account_id,
            account=row.name,
            start=row.start_time,
            end=row.end_time,
            outcome=Outcome(row.outcome) if row.outcome else None,
            fate=Fate(row.fate) if row.fate else None,
            action=Action(row.action) if row.action else None,
        )
        mails[row.email_id].entries[row.recipient_id].append(entry)
    return mails


def _apply(
    item: Matched,
    mail: _Mail,
    writes: Writes,
    lessons: _Lessons,
) -> None:
    row_id, event = item.recipient_id, item.event
    entries = mail.entries[row_id]
    entry = next(entry for entry in entries if entry.attempt_id == item.attempt_id)
    domain = mail.addresses[row_id].rpartition("@")[2].lower()
    verdict = _verdict(event, domain)
    seen = Seen(
        state=mail.states[row_id],
        outcome=entry.outcome,
        fate=entry.fate,
        elsewhere=_elsewhere(entries, entry),
        attempts=len(entries),
        age=event.time - entry.start,
        canceled=entry.action is Action.NONE,
    )
    found = effect(event.kind, seen, verdict)
    if found.event:
        text = happened(entry.account, event, verdict) + found.consequence
        text += noted(found.notice, test=mail.test)
        detail = _detail(event, verdict)
        writes.tell(
            item.email_id,
            found.event,
            text,
            row_id,
            entry.attempt_id,
            time=_when(event, entry),
            detail=detail,
        )
    if not mail.test:
        _teach(lessons, found, event, entry, domain, verdict=verdict)
    _learn(found, entry, row_id, writes)
    if found.state:
        mail.states[row_id] = found.state
        mail.queued_again |= found.state is State.QUEUED
        writes.move(row_id, found.state)
    if found.notice and not mail.test:
        _notify(found.notice, mail, mail.addresses[row_id], item, verdict)


def _teach(
    lessons: _Lessons,
    found: Effect,
    event: ProviderEvent,
    entry: _Entry,
    domain: str,
    *,
    verdict: Verdict | None,
) -> None:
    if found.fate is Fate.DELIVERED and event.kind is ProviderEventKind.DELIVERED:
        took_s = max((event.time - entry.start).total_seconds(), 0.0)
        lessons.deliveries.append((entry.account_id, domain, took_s))
    if found.fate is Fate.BOUNCED and verdict and verdict.cause is Cause.PROVIDER:
        lessons.bounces.append((entry.account_id, domain, event.diagnostic.text or verdict.reason))


def _elsewhere(entries: list[_Entry], entry: _Entry) -> Elsewhere:
    others = (standing(other.outcome, other.fate) for other in entries if other is not entry)
    return max(others, default=Elsewhere.NOWHERE)


def _when(event: ProviderEvent, entry: _Entry) -> datetime:
    """The event's time. Many providers tell whole seconds, which must not put `delivered` before `sent`."""
    if entry.end and timedelta(0) < entry.end - event.time < timedelta(seconds=1):
        return entry.end
    return event.time


def _verdict(event: ProviderEvent, domain: str) -> Verdict | None:
    if event.kind not in _REFUSALS:
        return None
    diagnostic = event.diagnostic
    return classify(diagnostic if diagnostic.destination else replace(diagnostic, destination=domain))


def _learn(found: Effect, entry: _Entry, row_id: int, writes: Writes) -> None:
    changed = (found.outcome or entry.outcome, found.fate or entry.fate, found.action or entry.action)
    if changed != (entry.outcome, entry.fate, entry.action):
        entry.outcome, entry.fate, entry.action = changed
        writes.learn(entry.attempt_id, row_id, *changed)


def _notify(notice: Notice, mail: _Mail, address: str, item: Matched, verdict: Verdict | None) -> None:
    said = item.event.diagnostic.text
    if reason := _SUPPRESSIONS.get(notice):
        suppress.add(mail.tenant_id, address, reason, said[:500] or f"told by email {item.email_id}")
    elif notice is Notice.ALERT_SENDER_DOMAIN:
        text = f"a receiver finds the authentication of {mail.domain} wanting: {said}"
        alerts.tell(mail.tenant_id, AlertKind.SENDER_DOMAIN, mail.domain, text[:1000])
    else:
        rule = verdict.rule if verdict else ""
        text = f"no rule is sure what this bounce means ({rule}), so it was not resent: {said}"
        alerts.tell(mail.tenant_id, AlertKind.REVIEW, str(item.email_id), text[:1000])


def _detail(event: ProviderEvent, verdict: Verdict | None) -> dict[str, Any]:
    """The evidence behind a line of the timeline."""
    diagnostic = {name: value for name, value in asdict(event.diagnostic).items() if value}
    detail: dict[str, Any] = {"provider_event": event.key, "diagnostic": diagnostic}
    if verdict:
        detail["verdict"] = asdict(verdict)
    return detail


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
