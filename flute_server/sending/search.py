"""Find an environment's mails, newest first, in a time that does not grow with the mails that are stored.

An index in the order of time is followed, that of the filter which says most, and each of its rows is looked
at under the other filters. How many rows a call looks at is bounded, so a filter that hardly anything matches
is answered in several, perhaps empty, pages. Words that are rare are found through their own index instead.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    exists,
    false,
    func,
    or_,
    select,
    text,
    true,
    tuple_,
    union_all,
)
from sqlalchemy.orm import InstrumentedAttribute

from flute_server.admin.find import as_uuid
from flute_server.admin.paging import Place, decode, encode
from flute_server.domain import terms
from flute_server.domain.state import State
from flute_server.errors import Violation, invalid
from flute_server.models import Attempt, Email, Ledger, ProviderAccount, Recipient, db
from flute_server.sending.senders import Sender

# How many rows to look up here and there in the database before more are; the sum bounds the work of a call.
# Neighbouring rows of the emails themselves cost half.
STEPS = (250, 1_000, 4_000)
# So many times what PostgreSQL expects may have the words; with more, its figures are out of date.
SURPRISE = 4
# Most mails come to these, so following them would leave most of the work to the other filters.
_USUAL = frozenset({State.SENT, State.DELIVERED})
# What the row of a recipient tells these apart by is not all; see `_is_in`.
_UNDER_WAY = frozenset({State.QUEUED, State.SENDING})

_Select = Select[*tuple[Any, ...]]
_Id = ColumnElement[uuid.UUID] | InstrumentedAttribute[uuid.UUID]
# The time and id of a mail, by which an index is ordered.
_Key = tuple[ColumnElement[datetime] | InstrumentedAttribute[datetime], _Id]


@dataclass(frozen=True, slots=True)
class Filters:
    """What a mail must have to be found; what is empty lets everything through. start: from then on; end:
    before then."""

    state: State | None = None
    recipient: str = ""
    tag: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    subject: str = ""
    provider_account: str = ""
    start: datetime | None = None
    end: datetime | None = None
    resent_from: uuid.UUID | None = None

    def terms(self) -> list[str]:
        """The words of the index that such a mail has."""
        found = [terms.to(self.recipient)] if self.recipient else []
        found += [terms.tag(self.tag)] if self.tag else []
        found += terms.metadata(self.metadata)
        found += terms.words(self.subject)
        found += [terms.copy_of(self.resent_from)] if self.resent_from else []
        return list(dict.fromkeys(found))


def search(sender: Sender, filters: Filters, size: int, token: str) -> tuple[list[uuid.UUID], str]:
    """The ids of one page of mails, and the token of the next; fewer than `size` though more may follow.

    Raises InvalidArgument for a token of another list and for an unknown provider account.
    """
    listing = ("emails", sender.environment_id, filters)
    after = decode(token, listing) if token else None
    wanted = _Wanted(sender.environment_id, _provider_account(sender, filters.provider_account), filters)
    # Which plan is good depends on the values, and none is worth compiling or other processes.
    settings = {
        "plan_cache_mode": "force_custom_plan",
        "jit": "off",
        "max_parallel_workers_per_gather": "0",
    }
    db.session.execute(select(*(func.set_config(name, value, True) for name, value in settings.items())))
    places, last = _page(wanted, size, after)
    return [place.id for place in places], encode(last, listing) if last else ""


def _provider_account(sender: Sender, given: str) -> uuid.UUID | None:
    """The sender's provider account of this id or name."""
    if not given:
        return None
    id_ = as_uuid(given)
    query = select(ProviderAccount.id).where(
        ProviderAccount.account_id == sender.account_id,
        or_(ProviderAccount.id == id_, ProviderAccount.name == given),
    )
    found = db.session.scalars(query).all()
    if not found:
        raise invalid([Violation("provider_account", "there is no provider account of this name or id")])
    # The name of one may be the id of another.
    return id_ if id_ in found else found[0]


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is searched for. account_id: of the provider account in the filters."""

    environment_id: uuid.UUID
    account_id: uuid.UUID | None
    filters: Filters


def _page(wanted: _Wanted, size: int, after: Place | None) -> tuple[list[Place], Place | None]:
    """The places of a page, and the one to go on after; None at the end of the list."""
    found: list[Place] = []
    expected = _expected(wanted.filters.terms())
    for step in STEPS:
        lacking = size + 1 - len(found)
        places, end = None, None
        if expected is not None and expected <= step:
            places = _through_terms(wanted, after, lacking, step * SURPRISE)
        if places is None:
            places, end = _scan(wanted, after, lacking, step)
        found += places
        if len(found) > size:
            return found[:size], found[size - 1]
        if end is None:
            return found, None
        after = end
    return found, after


def _expected(words: list[str]) -> int | None:
    """How many mails of all tenants have these words, as PostgreSQL's statistics tell; None without words.

    None of them, where it says no more of them than of a word that it has never seen: its guess grows with
    the table, and would keep the one mail of an address from being found among millions.
    """
    if not words:
        return None
    rows = "SELECT 1 FROM email WHERE terms @> CAST(:{} AS text[])"
    query = text(f"EXPLAIN (FORMAT JSON) {rows.format('words')} UNION ALL {rows.format('unseen')}")
    [plan] = db.session.scalars(query, {"words": words, "unseen": [""]}).one()
    expected, unseen = (int(part["Plan Rows"]) for part in plan["Plan"]["Plans"])
    return expected if expected > unseen else 0


def _through_terms(wanted: _Wanted, after: Place | None, limit: int, most: int) -> list[Place] | None:
    """The next mails through the index of words; None if that holds `most` or more."""
    columns = (Email.create_time.label("time"), Email.id, Email.environment_id)
    having = select(*columns).where(Email.terms.contains(wanted.filters.terms())).limit(most).cte("having")
    having = having.prefix_with("MATERIALIZED")
    rows = having.c
    exact = [_is_worded(wanted, rows.id)] if wanted.filters.metadata else []
    tests = and_(true(), *exact, *_tests(wanted, rows.id, Email))
    own = (rows.environment_id == wanted.environment_id, *_span(wanted.filters, (rows.time, rows.id), after))
    tested = select(rows.time, rows.id, tests.label("hit")).where(*own).subquery("tested").c
    hits = select(tested.time, tested.id).where(tested.hit).order_by(tested.time.desc(), tested.id.desc())
    count = select(func.count().label("words")).select_from(having).subquery("counted")
    page = hits.limit(limit).subquery("page")
    found = db.session.execute(select(count, page).join_from(count, page, true(), isouter=True)).all()
    if found[0].words >= most:
        return None
    return sorted((Place(row.time, row.id) for row in found if row.id), reverse=True)


def _scan(wanted: _Wanted, after: Place | None, limit: int, step: int) -> tuple[list[Place], Place | None]:
    """What matches among the next rows of an index, and the last of these rows; None at its end."""
    followed = _followed(wanted)
    window = 2 * step if followed is Email else step
    rows = _rows(wanted, followed, after, window).subquery("followed").c
    known = [rows.has_terms] if followed is Email else []
    tests = and_(true(), *known, *_tests(wanted, rows.id, followed))
    scanned = select(rows.time, rows.id, tests.label("hit")).cte("scanned").prefix_with("MATERIALIZED")
    columns = (scanned.c.time, scanned.c.id)
    newest = [column.desc() for column in columns]
    hits = select(*columns, true()).where(scanned.c.hit).distinct().order_by(*newest).limit(limit)
    full = select(func.count()).select_from(scanned).scalar_subquery() >= window
    end = select(*columns, false()).where(full).order_by(*columns).limit(1)
    found = db.session.execute(union_all(select(hits.subquery()), select(end.subquery()))).all()
    places = sorted((Place(time, id_) for time, id_, hit in found if hit), reverse=True)
    return places, next((Place(time, id_) for time, id_, hit in found if not hit), None)


_Followed = type[Email] | type[Recipient] | type[Attempt]


def _followed(wanted: _Wanted) -> _Followed:
    """The table whose index is followed."""
    state, others = wanted.filters.state, bool(wanted.account_id or wanted.filters.terms())
    if state and not (state in _USUAL and others):
        return Recipient
    return Attempt if wanted.account_id else Email


def _rows(wanted: _Wanted, followed: _Followed, after: Place | None, window: int) -> _Select:
    """The next rows of its index: the time and id of a mail, and of an email whether it has the words."""
    filters, here = wanted.filters, followed.environment_id == wanted.environment_id
    key: _Key = (Email.create_time, Email.id)
    if followed is Email:
        emails: _Select = select(key[0].label("time"), key[1], _has_terms(filters).label("has_terms"))
        return _next(emails.where(here), key, filters, after, window)
    if followed is Attempt:
        key = (Attempt.email_time, Attempt.email_id)
        attempts: _Select = select(key[0].label("time"), key[1].label("id"))
        attempts = attempts.where(here, Attempt.provider_account_id == wanted.account_id)
        return _next(attempts, key, filters, after, window)
    key = (Recipient.email_time, Recipient.email_id)
    recipients: _Select = select(key[0].label("time"), key[1].label("id")).where(here)
    # No row of a recipient says that a call is under way.
    states = (State.QUEUED, State.SENDING) if filters.state is State.SENDING else (filters.state,)
    parts = [_next(recipients.where(Recipient.state == s), key, filters, after, window) for s in states]
    every = union_all(*(select(part.subquery()) for part in parts)).subquery()
    return select(every).order_by(every.c.time.desc(), every.c.id.desc()).limit(window)


def _next(rows: _Select, key: _Key, filters: Filters, after: Place | None, window: int) -> _Select:
    """The first `window` of these rows, newest first."""
    order = [column.desc() for column in key]
    return rows.where(*_span(filters, key, after)).order_by(*order).limit(window)


def _span(filters: Filters, key: _Key, after: Place | None) -> Iterator[ColumnElement[bool]]:
    """The times that are listed, from the place on that was reached."""
    if filters.start:
        yield key[0] >= filters.start
    if filters.end:
        yield key[0] < filters.end
    if after:
        yield tuple_(*key) < tuple_(after.time, after.id)


def _tests(wanted: _Wanted, id_: _Id, followed: _Followed) -> Iterator[ColumnElement[bool]]:
    """What the mail of a row has to have besides what the row itself tells.

    Each is a scalar subquery in the list of columns, which PostgreSQL looks up row by row through an index;
    an EXISTS it could turn into a join over whole tables.
    """
    state = wanted.filters.state
    if followed is not Email and wanted.filters.terms():
        yield _is_worded(wanted, id_)
    if state and (followed is not Recipient or state in _UNDER_WAY):
        yield _any(select(true()).where(Recipient.email_id == id_, _is_in(state)))
    if wanted.account_id and followed is not Attempt:
        at = Attempt.provider_account_id == wanted.account_id
        yield _any(select(true()).where(Attempt.email_id == id_, at))


def _is_worded(wanted: _Wanted, id_: _Id) -> ColumnElement[bool]:
    return _any(select(true()).where(Email.id == id_, _has_terms(wanted.filters)))


def _any(rows: _Select) -> ColumnElement[bool]:
    return rows.limit(1).scalar_subquery().is_not(None)


def _is_in(state: State) -> ColumnElement[bool]:
    """The recipient is in this state, as the story of its mail tells it."""
    called = exists().where(Ledger.recipient_id == Recipient.id, Ledger.outcome.is_(None))
    if state is State.QUEUED:
        return and_(Recipient.state == state, ~called)
    if state is State.SENDING:
        return or_(Recipient.state == state, and_(Recipient.state == State.QUEUED, called))
    return Recipient.state == state


def _has_terms(filters: Filters) -> ColumnElement[bool]:
    words = filters.terms()
    if not words:
        return true()
    has = Email.terms.contains(words)
    # The index has but the beginning of a long value.
    return (
        and_(has, Email.content.contains({"metadata": dict(filters.metadata)})) if filters.metadata else has
    )
