"""Listing mails: every filter finds exactly what it should, page by page, and nothing of anybody else."""

from __future__ import annotations

import base64
import json
import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, select, text

from flute_server.domain.message import Address, Message, RecipientKind
from flute_server.domain.outcome import Outcome
from flute_server.domain.state import State
from flute_server.domain.terms import terms
from flute_server.errors import InvalidArgument
from flute_server.local.embedded import Services
from flute_server.models import Attempt, Email, Ledger, Recipient, db
from flute_server.sending import search as searching
from flute_server.sending.content import packed
from flute_server.sending.search import Filters, search
from flute_server.sending.senders import Sender, by_environment
from flute_server.sending.summary import Summary, summaries
from tests.bench.search import fill
from tests.integration.places import Place, fresh_app

BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
MAILS = 80
WORDS = ("invoice", "Your", "news", "Grüße", "of")
TAGS = ("a", "b", "rare")
LONG = "x" * 250


@dataclass
class Mail:
    """What was stored, to be filtered by the plainest means. calls: the accounts tried; open: the last call
    has not ended."""

    id: uuid.UUID
    time: datetime
    subject: str
    addresses: list[str]
    states: list[State]
    tags: list[str] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)
    calls: list[uuid.UUID] = field(default_factory=list)
    open: bool = False

    def seen(self) -> set[State]:
        """The states of its recipients as people see them."""
        if self.open:
            return {State.SENDING if state is State.QUEUED else state for state in self.states}
        return set(self.states)


def store(place: Place, mail: Mail) -> None:
    message = Message(
        sender=Address("hello@flutemail.io", "Flute"),
        to=tuple(Address(address) for address in mail.addresses),
        subject=mail.subject,
        text="x",
        tags=tuple(mail.tags),
        metadata=mail.metadata,
    )
    own = {"environment_id": place.environment_id, "email_time": mail.time}
    email = Email(
        id=mail.id,
        environment_id=place.environment_id,
        create_time=mail.time,
        content=packed(message),
        terms=terms(message),
    )
    db.session.add(email)
    db.session.flush()
    rows = [
        Recipient(email_id=mail.id, kind=RecipientKind.TO, address=address, name="", state=state, **own)
        for address, state in zip(mail.addresses, mail.states, strict=True)
    ]
    calls = [
        Attempt(
            id=uuid.uuid4(),
            email_id=mail.id,
            provider_account_id=account,
            round=0,
            start_time=mail.time + timedelta(seconds=number),
            candidates=[],
            **own,
        )
        for number, account in enumerate(mail.calls)
    ]
    db.session.add_all([*rows, *calls])
    db.session.flush()
    for number, call in enumerate(calls):
        under_way = mail.open and number == len(calls) - 1
        outcome = None if under_way else Outcome.NOT_SENT
        for row in rows:
            if not under_way or row.state == State.QUEUED:
                db.session.add(Ledger(attempt_id=call.id, recipient_id=row.id, outcome=outcome))
    db.session.commit()


def some_mail(dice: random.Random, place: Place, number: int) -> Mail:
    count = dice.choice([1, 1, 1, 2, 5])
    calls = dice.sample(place.accounts, dice.randint(0, len(place.accounts)))
    return Mail(
        uuid.UUID(int=dice.getrandbits(128), version=4),
        BEGIN + timedelta(minutes=number // 3),  # three at a time, so that ids decide
        " ".join(dice.sample(WORDS, dice.randint(1, 3))) + f" {number}",
        [f"{name}@Example.com" for name in dice.sample("abcdefgh", count)],
        [dice.choice([State.DELIVERED, State.DELIVERED, State.BOUNCED, State.QUEUED]) for _ in range(count)],
        [tag for tag, odds in zip(TAGS, (0.5, 0.1, 0.03), strict=True) if dice.random() < odds],
        {"order": str(number % 20), "note": LONG + str(number % 2)} if dice.random() < 0.5 else {},
        calls,
        bool(calls) and dice.random() < 0.2,
    )


@dataclass
class World:
    """Two tenants with the same kinds of mail."""

    place: Place
    sender: Sender
    mails: list[Mail]
    stranger: Place
    app: Flask


@pytest.fixture(scope="module")
def world(services: Services) -> Iterator[World]:
    with fresh_app(services, "search_test") as app, app.app_context():
        place, stranger = Place.create(3), Place.create(3)
        dice = random.Random(4)
        mails = [some_mail(dice, place, number) for number in range(MAILS)]
        for number, mail in enumerate(mails):
            store(place, mail)
            store(stranger, some_mail(dice, stranger, number))
        db.session.execute(text("ANALYZE"))
        db.session.commit()
        yield World(place, by_environment(str(place.environment_id)), mails, stranger, app)


def matches(filters: Filters, mail: Mail, names: dict[str, uuid.UUID]) -> bool:
    words = mail.subject.lower().split()
    return (
        (filters.state is None or filters.state in mail.seen())
        and (not filters.recipient or filters.recipient in [a.lower() for a in mail.addresses])
        and (not filters.tag or filters.tag in mail.tags)
        and all(mail.metadata.get(key) == value for key, value in filters.metadata.items())
        and all(word in words for word in filters.subject.lower().split())
        and (not filters.provider_account or names[filters.provider_account] in mail.calls)
        and (filters.start is None or mail.time >= filters.start)
        and (filters.end is None or mail.time < filters.end)
    )


def every_page(sender: Sender, filters: Filters, size: int) -> list[uuid.UUID]:
    found: list[uuid.UUID] = []
    token = ""
    while True:
        ids, token = search(sender, filters, size, token)
        assert len(ids) <= size
        found += ids
        if not token:
            return found


TIMES = st.none() | st.integers(-2, MAILS // 3 + 2).map(lambda n: BEGIN + timedelta(minutes=n))
FILTERS = st.builds(
    Filters,
    state=st.none()
    | st.sampled_from([State.DELIVERED, State.BOUNCED, State.QUEUED, State.SENDING, State.SENT]),
    recipient=st.just("") | st.sampled_from(["a@example.com", "h@example.com", "nobody@example.com"]),
    tag=st.just("") | st.sampled_from([*TAGS, "unknown"]),
    metadata=st.just({})
    | st.sampled_from([{"order": "7"}, {"order": "3", "note": LONG + "1"}, {"note": LONG}]),
    subject=st.just("") | st.sampled_from(["INVOICE", "your news", "grüße", "nothing"]),
    provider_account=st.just("") | st.sampled_from(["p0", "p2"]),
    start=TIMES,
    end=TIMES,
)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    filters=FILTERS, size=st.sampled_from([1, 7, 200]), steps=st.sampled_from([(1, 2, 3), (5, 20), (250,)])
)
def test_pages_hold_what_matches_and_nothing_else(
    world: World, monkeypatch: pytest.MonkeyPatch, filters: Filters, size: int, steps: tuple[int, ...]
):
    monkeypatch.setattr(searching, "STEPS", steps)
    names = {f"p{number}": account for number, account in enumerate(world.place.accounts)}
    wanted = [mail for mail in world.mails if matches(filters, mail, names)]
    newest_first = sorted(wanted, key=lambda mail: (mail.time, mail.id), reverse=True)
    assert every_page(world.sender, filters, size) == [mail.id for mail in newest_first]


def test_words_that_many_more_mails_have_than_expected_are_found_all_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(searching, "_expected", lambda words: 1)
    monkeypatch.setattr(searching, "STEPS", (2, 5))
    found = every_page(world.sender, Filters(tag="a"), 10)
    assert set(found) == {mail.id for mail in world.mails if "a" in mail.tags}


def test_the_one_mail_of_an_order_is_on_the_first_page_however_old_it_is(
    services: Services, monkeypatch: pytest.MonkeyPatch
):
    """Of words that it has never seen, PostgreSQL expects more with every mail that is stored."""
    monkeypatch.setattr(searching, "STEPS", (1, 2, 3))
    with fresh_app(services, "search_old") as app, app.app_context():
        largest = fill(10_000)[0]
        here = Email.environment_id == largest.environment_id
        oldest = db.session.scalars(select(Email).where(here).order_by(Email.create_time).limit(1)).one()
        order = oldest.content["metadata"]["order"]
        ids, token = search(largest, Filters(metadata={"order": order}), 50, "")
        assert (ids, token) == ([oldest.id], "")


def test_pages_are_stable_while_mail_comes_in(services: Services):
    with fresh_app(services, "search_stable_test") as app, app.app_context():
        place, dice = Place.create(1), random.Random(5)
        sender = by_environment(str(place.environment_id))
        before = [some_mail(dice, place, number) for number in range(9)]
        for mail in before:
            store(place, mail)
        found, token = search(sender, Filters(), 4, "")
        while token:
            store(place, some_mail(dice, place, 1000))
            more, token = search(sender, Filters(), 4, token)
            found += more
        assert sorted(found) == sorted(mail.id for mail in before)


def test_a_token_of_elsewhere_is_refused(world: World):
    _, token = search(world.sender, Filters(tag="a"), 1, "")
    stranger = by_environment(str(world.stranger.environment_id))
    for sender, filters, given_token in (
        (stranger, Filters(tag="a"), token),
        (world.sender, Filters(), token),
        (world.sender, Filters(tag="a"), token[:-8]),
        (world.sender, Filters(tag="a"), "garbage"),
        (world.sender, Filters(tag="a"), "W10="),
        (world.sender, Filters(tag="a"), "ü"),
        (world.sender, Filters(tag="a"), "W1" * 100_000),
        (world.sender, Filters(tag="a"), other_time(token, "0001-01-01T00:00:00+23:00")),
        (world.sender, Filters(tag="a"), other_time(token, 5)),
    ):
        with pytest.raises(InvalidArgument, match="page_token"):
            search(sender, filters, 1, given_token)


def other_time(token: str, time: object) -> str:
    _, id_, mark = json.loads(base64.urlsafe_b64decode(token))
    return base64.urlsafe_b64encode(json.dumps([time, id_, mark]).encode()).decode()


def test_a_provider_account_of_somebody_else_is_as_unknown_as_one_that_never_was(world: World):
    texts = set()
    for given_name in (str(world.stranger.accounts[0]), str(uuid.uuid4()), "nonsense"):
        with pytest.raises(InvalidArgument, match="provider_account") as caught:
            search(world.sender, Filters(provider_account=given_name), 5, "")
        texts.add(caught.value.text)
    assert len(texts) == 1
    own = str(world.place.accounts[0])
    by_id = every_page(world.sender, Filters(provider_account=own), 50)
    assert by_id == every_page(world.sender, Filters(provider_account="p0"), 50)


def test_a_line_tells_the_mail(world: World):
    lines = {line.id: line for line in summaries([mail.id for mail in world.mails])}
    names = {account: f"p{number}" for number, account in enumerate(world.place.accounts)}
    for mail in world.mails:
        line: Summary = lines[mail.id]
        assert line.provider_accounts == [names[account] for account in mail.calls]
        assert [recipient.address.email for recipient in line.recipients] == mail.addresses
        assert {recipient.state for recipient in line.recipients} == mail.seen()
        assert (line.subject, list(line.tags), line.create_time) == (mail.subject, mail.tags, mail.time)
        assert line.sender == Address("hello@flutemail.io", "Flute")


def test_a_page_of_many_costs_as_many_statements_as_a_page_of_one(world: World):
    counts = []
    for size in (1, 60):
        seen: list[str] = []

        def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
            seen.append(statement)  # noqa: B023  removed before the next round

        event.listen(db.engine, "before_cursor_execute", note)
        try:
            ids, _ = search(world.sender, Filters(), size, "")
            assert len(summaries(ids)) == size
        finally:
            event.remove(db.engine, "before_cursor_execute", note)
        counts.append(len(seen))
    assert counts[0] == counts[1] < 8
