"""Failover drills at the sending side: the report says what the providers' books say, and no mail is lost."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, select

from flute_server.admin.audit import Author
from flute_server.domain.drill import Drill as Lot
from flute_server.domain.outcome import ErrorKind
from flute_server.domain.route import Use
from flute_server.domain.state import State
from flute_server.errors import FailedPrecondition, InvalidArgument
from flute_server.local.embedded import Services
from flute_server.models import Drill, db
from flute_server.sending import drills
from flute_server.sending.drill_report import Report, report
from flute_server.sending.outcomes import Call
from tests.integration.books import TAKEN, Deed, refused, taken, unclear
from tests.integration.places import fresh_app
from tests.integration.scripted import World
from tests.integration.test_plan import ADA, message, planned

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
AUTHOR = Author("service")


@pytest.fixture(scope="module")
def app(services: Services) -> Iterator[Flask]:
    # A Redis of its own: no worker listens to these wake-ups.
    own = Services(services.database_url, services.redis_url.replace("db=0", "db=6"))
    with fresh_app(own, "drill_test") as app:
        yield app


@pytest.fixture
def world(app: Flask) -> World:
    return World(app)


def start(
    world: World,
    number: int = 0,
    *,
    share: int = 0,
    span: timedelta = HOUR,
    force: bool = False,
    environment: bool = False,
) -> uuid.UUID:
    account = str(world.place.accounts[number])
    where = str(world.place.environment_id) if environment else ""
    with world.app.app_context():
        return drills.create(account, where, span, share, force=force, author=AUTHOR).id


def reported(world: World, drill_id: uuid.UUID) -> Report:
    with world.app.app_context():
        return report(db.session.get_one(Drill, drill_id))


def end(world: World, drill_id: uuid.UUID) -> None:
    with world.app.app_context():
        drills.end(str(drill_id), AUTHOR)


def pass_end(world: World, drill_id: uuid.UUID) -> None:
    """What time would do."""
    world._do("UPDATE drill SET end_time = now() WHERE id = :id", id=drill_id)


def rest(
    world: World,
    deeds: Sequence[Deed] = (TAKEN, TAKEN, TAKEN),
    of: Mapping[uuid.UUID, Sequence[Deed]] | None = None,
) -> None:
    """Turns until no call begins any more, each account acting as its deed says. of: for these mails."""
    worker = world.workers[0]
    for _ in range(12):
        for call in world.turn():
            assert isinstance(call, Call)
            number = world.place.accounts.index(call.route.account_id)
            world.act(call, (of or {}).get(call.task.email_id, deeds)[number])
            worker.end(call)
        if not worker.ended():
            return
    raise AssertionError("calls without end")


def tell_all(world: World) -> None:
    world.tell_all()
    while world.read():
        pass


def books(world: World) -> dict[int, Counter[int]]:
    """Recipient -> how many copies the provider accounts, by number, took."""
    found: dict[int, Counter[int]] = {}
    for number, account in enumerate(world.place.accounts):
        for copy in world.providers[account].copies:
            found.setdefault(copy.recipient_id, Counter())[number] += 1
    return found


def way(world: World, id_: uuid.UUID) -> list[str]:
    query = "SELECT p.name FROM attempt a JOIN provider_account p ON p.id = provider_account_id"
    return [name for (name,) in world.rows(f"{query} WHERE email_id = :id ORDER BY start_time", id=id_)]


def states(world: World) -> Counter[str]:
    rows = world.rows("SELECT state, count(*) FROM recipient WHERE environment_id = :environment GROUP BY 1")
    return Counter(dict(map(tuple, rows)))


DEEDS = (TAKEN, refused(ErrorKind.REQUEST), refused(ErrorKind.RECIPIENT), unclear("delivered"))
mixes = st.lists(st.tuples(*[st.sampled_from(DEEDS)] * 2), min_size=1, max_size=8)


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(mix=mixes, share=st.sampled_from([30, 60, 100]))
def test_the_report_says_what_the_books_say(app: Flask, mix: Sequence[tuple[Deed, Deed]], share: int):
    world = World(app, all_tell_ids=True)
    drill_id = start(world, share=share)
    lot = Lot(drill_id, drills_end(world, drill_id), share)
    concerned: set[int] = set()
    mails = {world.accept(ADA, "bob@example.org"): (TAKEN, *deeds) for deeds in mix}
    rest(world, of=mails)
    for id_ in mails:
        rows = world.rows("SELECT id FROM recipient WHERE email_id = :id", id=id_)
        concerned |= {row.id for row in rows} if lot.concerns(id_) else set()
        assert ("p0" in way(world, id_)) == (not lot.concerns(id_))
    tell_all(world)
    check(world, reported(world, drill_id), concerned)
    # What nobody else could take goes its usual way in the end.
    pass_end(world, drill_id)
    world.heal()
    world.lapse()
    rest(world)
    tell_all(world)
    found = reported(world, drill_id)
    check(world, found, concerned)
    assert found.waiting == 0


def drills_end(world: World, drill_id: uuid.UUID) -> Any:
    return world.rows("SELECT end_time FROM drill WHERE id = :id", id=drill_id)[0].end_time


def check(world: World, found: Report, concerned: set[int]) -> None:
    taken_by = {id_: copies for id_, copies in books(world).items() if id_ in concerned}
    elsewhere = {id_: copies for id_, copies in taken_by.items() if set(copies) != {0}}
    assert found.recipients == len(concerned)
    assert found.moved == len(elsewhere)
    assert found.returned == len(taken_by) - len(elsewhere)
    assert found.duplicates == sum(copies.total() > 1 for copies in elsewhere.values())
    assert found.waiting + found.failed == len(concerned) - len(taken_by)
    by_name = Counter(f"p{number}" for copies in elsewhere.values() for number in copies if number)
    assert {item.account: item.recipients for item in found.destinations} == by_name
    assert found.dropped == found.bounced == 0


def test_the_timeline_and_the_plan_say_why(world: World):
    drill_id = start(world)
    [group] = planned(world, message(ADA)).groups
    id_ = world.accept(ADA)
    rest(world)
    assert way(world, id_) == ["p1"]
    [row] = world.rows("SELECT candidates FROM attempt WHERE email_id = :id", id=id_)
    told = [(item["provider_account"], item["chosen"], item["reason"]) for item in row.candidates]
    assert told == [(item.account, item.chosen, item.reason) for item in group.routes]
    assert told[0][2].startswith("failover drill until ")
    found = planned(world, message(ADA))
    assert found.summary == f"The mail to {ADA} would go through p1, passing over p0."
    assert any(warning.startswith("p0: failover drill until") for warning in found.warnings)
    end(world, drill_id)
    assert planned(world, message(ADA)).summary == f"The mail to {ADA} would go through p0."


def test_a_plan_draws_no_lot(world: World):
    start(world, share=1)
    [group] = planned(world, message(ADA)).groups
    assert group.chosen is group.routes[0]
    assert "; 1 of 100 mails pass it over, by a failover drill until " in group.routes[0].reason


def test_retries_of_a_mail_stay_on_their_side(world: World):
    drill_id = start(world, share=50)
    lot = Lot(drill_id, drills_end(world, drill_id), 50)
    for _ in range(8):
        id_ = world.accept(ADA)
        for _ in range(3):
            rest(world, [refused(ErrorKind.TEMPORARY)] * 3)
            world.lapse()
        rest(world)
        assert set(way(world, id_)) == ({"p1"} if lot.concerns(id_) else {"p0"})


def test_the_breaker_is_not_touched(world: World):
    drill_id = start(world)
    world.accept(ADA)
    rest(world)
    assert not world.rows("SELECT FROM breaker")
    pass_end(world, drill_id)
    id_ = world.accept(ADA)
    rest(world)
    assert way(world, id_) == ["p0"]


def test_mail_with_nowhere_else_to_go_waits_until_the_end(app: Flask):
    world = World(app, accounts=1)
    with pytest.raises(FailedPrecondition, match=r"mail of Test \(it has no other route\)") as refusal:
        start(world, span=MINUTE)
    assert refusal.value.reason == "NO_STANDBY"
    drill_id = start(world, span=MINUTE, force=True)
    id_ = world.accept(ADA)
    rest(world, [TAKEN])
    [row] = world.rows("SELECT due_time FROM email WHERE id = :id", id=id_)
    ends = drills_end(world, drill_id)
    assert row.due_time <= ends + MINUTE / 10
    [told] = world.rows("SELECT text FROM event WHERE email_id = :id AND type = 'deferred'", id=id_)
    assert "p0: failover drill until" in told.text
    assert reported(world, drill_id).waiting == 1
    # Somebody ends it early: what waits is brought forward.
    end(world, drill_id)
    [row] = world.rows("SELECT due_time - now() AS rest FROM email WHERE id = :id", id=id_)
    assert row.rest <= timedelta(seconds=3)
    world.lapse()
    rest(world, [TAKEN])
    assert states(world) == {State.SENT: 1}
    found = reported(world, drill_id)
    assert (found.returned, found.moved, found.waiting) == (1, 0, 0)


def test_no_mail_is_lost_to_a_drill_that_lasts_longer_than_its_patience(app: Flask):
    world = World(app, accounts=1)
    start(world, span=timedelta(hours=24), force=True)
    world.settings(give_up_after_s=60)
    id_ = world.accept(ADA)
    rest(world, [TAKEN])
    world.pass_time(MINUTE)
    world.lapse()
    rest(world, [TAKEN])
    assert way(world, id_) == ["p0"]
    assert states(world) == {State.SENT: 1}


def test_bounced_copies_are_no_duplicates(app: Flask):
    world = World(app, all_tell_ids=True)
    drill_id = start(world)
    world.accept(ADA)
    rest(world, (TAKEN, taken("blocked"), TAKEN))
    tell_all(world)
    world.lapse()
    rest(world)
    tell_all(world)
    found = reported(world, drill_id)
    assert {item.account: item.recipients for item in found.destinations} == {"p1": 1, "p2": 1}
    assert (found.moved, found.duplicates, found.bounced) == (1, 0, 0)
    world.accept("bob@example.org")
    world.heal()
    rest(world, (TAKEN, taken("no user"), TAKEN))
    tell_all(world)
    found = reported(world, drill_id)
    assert (found.moved, found.bounced) == (2, 1)


def test_test_mail_goes_the_same_way_and_is_not_counted(world: World):
    drill_id = start(world)
    id_ = world.accept(ADA)
    world._do("UPDATE email SET test = true WHERE id = :id", id=id_)
    [call] = world.turn()
    world.workers[0].end(call)
    world.turn()
    assert way(world, id_) == ["p1"]
    assert reported(world, drill_id).recipients == 0


def test_another_environment_is_left_alone(app: Flask):
    world = World(app)
    start(world, environment=True)
    other = uuid.uuid4()
    world._do(
        "INSERT INTO environment (id, account_id, name, domain, allow_subdomains, on_ambiguous,"
        " ambiguity_wait_s, give_up_after_s, on_delay) SELECT :other, account_id, 'Other', domain,"
        " allow_subdomains, on_ambiguous, ambiguity_wait_s, give_up_after_s, on_delay FROM environment"
        " WHERE id = :id",
        other=other,
        id=world.place.environment_id,
    )
    world._do(
        "INSERT INTO route (id, environment_id, provider_account_id, position, weight, disabled,"
        " authenticated) SELECT gen_random_uuid(), :other, provider_account_id, position, weight, disabled,"
        " authenticated FROM route WHERE environment_id = :id",
        other=other,
        id=world.place.environment_id,
    )
    assert "p1" in planned(world, message(ADA)).summary
    world.place.environment_id = other
    assert "through p0" in planned(world, message(ADA)).summary


def test_one_drill_at_a_time_and_only_where_it_shows_something(world: World):
    first = start(world)
    with pytest.raises(FailedPrecondition, match="a drill of p0 runs until ") as running:
        start(world, force=True)
    assert running.value.reason == "DRILL_RUNNING"
    # p2 still stands by, though not if all but one are in a drill.
    start(world, 1)
    with pytest.raises(FailedPrecondition, match=r"Test \(p0: failover drill until .*, p1: failover drill"):
        start(world, 2)
    pass_end(world, first)
    start(world)
    world._do("DELETE FROM route WHERE provider_account_id = :id", id=world.place.accounts[2])
    with pytest.raises(FailedPrecondition, match="no environment sends through p2") as unused:
        start(world, 2, force=True)
    assert unused.value.reason == "NOT_IN_USE"


def test_a_standby_that_is_paused_is_none(world: World):
    for account_id in world.place.accounts[1:]:
        world._do("UPDATE provider_account SET pause_time = now() WHERE id = :id", id=account_id)
    with pytest.raises(FailedPrecondition, match="p1: paused by a person, p2: paused by a person"):
        start(world)


def test_a_standby_that_is_ill_or_switched_off_is_none(world: World):
    world._do("UPDATE route SET disabled = true WHERE provider_account_id = :id", id=world.place.accounts[1])
    world._do(
        "INSERT INTO breaker (provider_account_id, domain, state, failures, opened, retry_at, reason)"
        " VALUES (:id, '', 'open', 3, 1, NULL, 'auth: wrong key')",
        id=world.place.accounts[2],
    )
    with pytest.raises(FailedPrecondition) as refusal:
        start(world)
    assert str(refusal.value).startswith(
        "nobody could take over the mail of Test (p1: switched off in this environment, p2: failing until"
        " somebody acts (auth: wrong key)). The mail would wait until the drill ends: "
    )


@pytest.mark.parametrize(("span", "share", "field"), [
    (timedelta(seconds=59), 0, "duration"), (timedelta(hours=24, seconds=1), 0, "duration"),
    (HOUR, -1, "share"), (HOUR, 101, "share"),
])  # fmt: skip
def test_a_drill_has_limits(world: World, span: timedelta, share: int, field: str):
    with pytest.raises(InvalidArgument) as wrong:
        start(world, span=span, share=share)
    assert [item.field for item in wrong.value.violations] == [field]


def test_the_planner_asks_no_more_queries_than_without(world: World):
    def queries() -> int:
        world.accept(ADA)
        found: list[str] = []
        with world.app.app_context():
            engine = db.engine
        listener = lambda *args: found.append(args[2])  # noqa: E731
        event.listen(engine, "before_cursor_execute", listener)
        [call] = world.turn()
        event.remove(engine, "before_cursor_execute", listener)
        world.workers[0].end(call)
        world.turn()
        return len(found)

    without = queries()
    start(world)
    assert queries() == without + 1  # noting the diversions, once a batch


def test_latency_is_compared_with_mail_that_went_the_usual_way(world: World):
    usual = world.accept(ADA)
    rest(world)
    drill_id = start(world)
    moved = world.accept(ADA)
    rest(world)
    for id_, seconds in ((usual, 1), (moved, 3)):
        time = "(SELECT create_time FROM email WHERE id = email_id)"
        world._do(
            f"UPDATE attempt SET end_time = {time} + :span WHERE email_id = :id",
            id=id_,
            span=timedelta(seconds=seconds),
        )
    assert (way(world, usual), way(world, moved)) == (["p0"], ["p1"])
    found = reported(world, drill_id)
    assert (found.moved_latency_s, found.usual_latency_s) == (3.0, 1.0)


def test_drills_are_listed_newest_first(world: World):
    ids = [start(world, 0), start(world, 1)]
    with world.app.app_context():
        rows, token = drills.list_page(str(world.place.tenant_id), "", 1, "")
        assert [row.id for row in rows] == ids[1:]
        rows, token = drills.list_page(str(world.place.tenant_id), "", 1, token)
        assert ([row.id for row in rows], token) == (ids[:1], "")
        rows, _ = drills.list_page("", str(world.place.accounts[0]), 0, "")
        assert [row.id for row in rows] == ids[:1]
        assert drills.names(rows) == {world.place.accounts[0]: "p0"}
        assert db.session.scalars(select(Drill.id).where(Drill.id == ids[0])).one()


def previewed(world: World) -> tuple[str, list[tuple[str, bool, list[tuple[str, bool, str]]]]]:
    with world.app.app_context():
        obstacle, effects = drills.preview(str(world.place.accounts[0]), "")
    told = [
        (
            effect.environment,
            effect.stranded,
            [(item.candidate.name, item.use is Use.YES, item.reason) for item in effect.others],
        )
        for effect in effects
    ]
    return obstacle, told


def test_a_preview_says_whose_mail_would_go_where(world: World):
    assert previewed(world) == ("", [("Test", False, [("p1", True, "healthy"), ("p2", True, "healthy")])])
    for account in world.place.accounts[1:]:
        world._do("UPDATE provider_account SET pause_time = now() WHERE id = :id", id=account)
    paused = "paused by a person"
    assert previewed(world) == ("", [("Test", True, [("p1", False, paused), ("p2", False, paused)])])
    with pytest.raises(FailedPrecondition, match="p1: paused by a person"):
        start(world)
    start(world, force=True)
    obstacle, told = previewed(world)
    assert "a drill of p0 runs until" in obstacle
    assert told == []
