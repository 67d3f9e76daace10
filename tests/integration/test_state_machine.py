"""Any order of answers, events, crashes and lapses: the invariants 1 to 4 of the design hold.

Hypothesis drives the real worker loop and the real reader over a real PostgreSQL (scripted.py). The oracle is
what the providers' own books say, and what Flute had been told by the time that it began a call.
"""

from __future__ import annotations

import logging
import os
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from flask import Flask
from hypothesis import HealthCheck, Phase, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from flute_server.domain.event import ProviderEventKind as Kind
from flute_server.domain.outcome import ErrorKind
from flute_server.domain.state import State
from flute_server.local.embedded import Services
from flute_server.models import AmbiguityPolicy
from flute_server.sending.outcomes import Call, Ended, Inquiry
from flute_server.sending.story import tell
from tests.integration.books import FORTUNES, TAKEN, Deed, refused, taken, unclear
from tests.integration.places import fresh_app
from tests.integration.scripted import Worker, World

ADDRESSES = [f"{name}@{domain}" for name in ("ada", "bob", "cyd") for domain in ("example.com", "gmail.com")]
SPANS = {
    "half an hour": timedelta(minutes=30),
    "two hours": timedelta(hours=2),
    "a day": timedelta(hours=30),
}
WINDOW = timedelta(hours=1)  # the environment's ambiguity_wait
# A longer run: FLUTE_EXAMPLES=1000 python -m pytest tests/integration/test_state_machine.py -o timeout=0
EXAMPLES = int(os.environ.get("FLUTE_EXAMPLES", "20"))
# How many rounds it may take until all has come to rest, once all is well.
ROUNDS = 25

REFUSALS = [kind for kind in ErrorKind if kind is not ErrorKind.AMBIGUOUS]
fortunes = st.sampled_from(sorted(FORTUNES))
deeds = st.one_of(
    fortunes.map(taken),
    st.sampled_from(REFUSALS).map(refused),
    st.one_of(st.none(), fortunes).map(unclear),
)
numbers = st.integers(0, 1)
dice = st.integers(0, 50)

# What an event proves of the mail that it is about: the provider has, or had, it.
PROOFS = frozenset({Kind.ACCEPTED, Kind.DEFERRED, Kind.DELIVERED, Kind.OPENED, Kind.CLICKED, Kind.COMPLAINED})
RESENDING = frozenset({"failover", "retry", "failover_if_authenticated"})
# The words of the timeline that explain how a recipient ended.
EXPLAINED_BY = {
    State.SENT: {"sent"},
    State.DEFERRED: {"deferred"},
    State.DELIVERED: {"delivered", "opened", "clicked", "complained"},
    State.BOUNCED: {"bounced"},
    State.FAILED: {"failed", "bounced"},
    State.SUPPRESSED: {"suppressed"},
    State.CANCELED: {"canceled"},
}

UNCLEAR = "gave no answer, so it may or may not have taken the mail"

Key = tuple[str, int]  # an attempt and a recipient

_STUCK = """
SELECT r.id, r.state FROM recipient r JOIN email e ON e.id = r.email_id
WHERE e.environment_id = :environment AND r.state IN ('scheduled', 'queued', 'sending')
    AND e.due_time IS NULL
"""
_OPEN_TWICE = """
SELECT l.recipient_id FROM ledger l JOIN attempt a ON a.id = l.attempt_id JOIN email e ON e.id = a.email_id
WHERE e.environment_id = :environment AND l.outcome IS NULL GROUP BY 1 HAVING count(*) > 1
"""
_EVENTS = """
SELECT v.id, v.type, v.text, v.time, v.recipient_id, v.attempt_id
FROM event v JOIN email e ON e.id = v.email_id WHERE e.environment_id = :environment ORDER BY v.id
"""
_LEDGER = """
SELECT a.id::text, l.recipient_id, a.start_time, a.end_time, l.outcome, l.fate, l.action, l.error
FROM attempt a JOIN ledger l ON l.attempt_id = a.id JOIN email e ON e.id = a.email_id
WHERE e.environment_id = :environment ORDER BY a.start_time
"""
_CANCELED = """
SELECT r.id, (SELECT count(*) FROM ledger l WHERE l.recipient_id = r.id) FROM recipient r
WHERE r.email_id = :id AND r.state = 'canceled'
"""
_MATCHED = """
SELECT p.key, p.kind FROM provider_event p JOIN provider_account a ON a.id = p.provider_account_id
WHERE a.account_id = :tenant AND p.email_id IS NOT NULL
"""
_SNAPSHOT = (
    _EVENTS,
    _LEDGER,
    "SELECT r.id, r.state, r.update_time FROM recipient r JOIN email e ON e.id = r.email_id"
    " WHERE e.environment_id = :environment ORDER BY 1",
    "SELECT id, due_time, lease, round FROM email WHERE environment_id = :environment ORDER BY 1",
    "SELECT count(*) FROM provider_event p JOIN provider_account a ON a.id = p.provider_account_id"
    " WHERE a.account_id = :tenant",
    "SELECT address, reason, text FROM suppression WHERE account_id = :tenant ORDER BY 1",
    "SELECT kind, subject, count FROM alert WHERE account_id = :tenant ORDER BY 1, 2",
)


class Sending(RuleBasedStateMachine):
    """Mail, workers, providers and time in any order; `teardown` brings all to rest and compares books."""

    app: ClassVar[Flask]

    @initialize(policy=st.sampled_from(AmbiguityPolicy), can_be_asked=st.booleans())
    def set_up(self, policy: AmbiguityPolicy, can_be_asked: bool) -> None:
        self.policy = policy
        self.world = World(self.app, policy, can_be_asked=can_be_asked)
        self.emails: list[uuid.UUID] = []
        self.timeline: dict[int, Any] = {}
        self.accepted: set[Key] = set()  # by answers that were written down
        self.checked: set[Key] = set()
        self.taken_back: dict[int, int] = {}  # recipients, with their attempts until then

    # ----- what may happen

    @rule(first=st.integers(0, len(ADDRESSES) - 1), count=st.integers(1, 3))
    def accept(self, first: int, count: int) -> None:
        self.emails.append(self.world.accept(*(ADDRESSES * 2)[first : first + count]))

    @rule(address=st.sampled_from(ADDRESSES), span=st.sampled_from(sorted(SPANS)))
    def accept_for_later(self, address: str, span: str) -> None:
        self.emails.append(self.world.accept(address, send_in=SPANS[span]))

    @precondition(lambda self: self.emails)
    @rule(which=dice, span=st.sampled_from([None, *SPANS.values()]))
    def reschedule(self, which: int, span: timedelta | None) -> None:
        self.world.reschedule(_pick(self.emails, which), span)

    @precondition(lambda self: self.emails)
    @rule(which=dice)
    def cancel(self, which: int) -> None:
        id_ = _pick(self.emails, which)
        if self.world.cancel(id_):
            note("  canceled")
            self.taken_back |= dict(self.world.rows(_CANCELED, id=id_))

    @rule(number=numbers)
    def turn(self, number: int) -> None:
        """A worker writes down what has ended, claims what is due and begins calls."""
        self._turn(number)

    @rule(number=numbers, fails=st.sampled_from(["before", "after"]))
    def turn_while_the_database_fails(self, number: int, fails: str) -> None:
        self._turn(number, fails)

    @precondition(lambda self: self._calls(acted=False))
    @rule(which=dice, deed=deeds, other=deeds, where=st.sampled_from(ADDRESSES))
    def act(self, which: int, deed: Deed, other: Deed, where: str) -> None:
        """A provider acts on a call; its events may come before the answer does."""
        _, call = _pick(self._calls(acted=False), which)
        self._act(call, deed, {where: other})

    @precondition(lambda self: self._endable())
    @rule(which=dice)
    def answer(self, which: int) -> None:
        worker, call = _pick(self._endable(), which)
        note(f"  the answer comes to {worker.name}")
        worker.end(call)

    @precondition(lambda self: self._calls(acted=False))
    @rule(which=dice, deed=deeds)
    def act_answer_and_turn(self, which: int, deed: Deed) -> None:
        """The usual case, which would be rare if it took three rules."""
        worker, call = _pick(self._calls(acted=False), which)
        self._act(call, deed, {})
        worker.end(call)
        self._turn(self.world.workers.index(worker))

    @rule(number=numbers, softly=st.booleans())
    def end_worker(self, number: int, softly: bool) -> None:
        """A worker dies, or is told to stop: then another takes its place once its calls have ended."""
        if softly:
            self.world.workers[number].stop.set()
        else:
            self.world.crash(number)

    @rule(
        what=st.sampled_from(["leases lapse", "leases lapse", "half an hour", "two hours", "a day", "healed"])
    )
    def time_goes_on(self, what: str) -> None:
        if what in SPANS:
            self.world.pass_time(SPANS[what])
        elif what == "healed":
            self.world.heal()
        else:
            self.world.lapse()

    @precondition(lambda self: self.world.untold())
    @rule(picks=st.lists(dice, min_size=1, max_size=4))
    def tell(self, picks: list[int]) -> None:
        """A provider posts some of its events in any order, perhaps one twice."""
        untold = self.world.untold()
        account, _ = _pick(untold, picks[0])
        own = [event for id_, event in untold if id_ == account]
        chosen = [_pick(own, pick) for pick in picks]
        note(f"  told: {[(event['kind'], event['key'][:4]) for event in chosen]}")
        self.world.tell(account, chosen)

    @precondition(lambda self: self.world.told)
    @rule(which=dice)
    def tell_again(self, which: int) -> None:
        self.world.post(*_pick(self.world.told, which))

    @rule()
    def read(self) -> None:
        self.world.read()

    # ----- how it is done

    def _calls(self, *, acted: bool) -> list[tuple[Worker, Call]]:
        return [
            (worker, call)
            for worker in self.world.workers
            for call in worker.under_way
            if isinstance(call, Call) and self.world.acted(call) is acted
        ]

    def _endable(self) -> list[tuple[Worker, Call | Inquiry]]:
        asked: list[tuple[Worker, Call | Inquiry]] = [
            (worker, inquiry)
            for worker in self.world.workers
            for inquiry in worker.under_way
            if isinstance(inquiry, Inquiry)
        ]
        return asked + list(self._calls(acted=True))

    def _act(self, call: Call, deed: Deed, exceptions: dict[str, Deed]) -> None:
        self.world.act(call, deed, exceptions)
        done = {r.address.email: exceptions.get(r.address.email, deed) for r in call.handoff.recipients}
        note(f"  {call.route.name}, attempt {str(call.attempt_id)[:4]}: {done}")

    def _turn(self, number: int, fails: str = "") -> None:
        worker = self.world.workers[number]
        told = [item.call for item in worker.ended() if isinstance(item, Ended)]
        for call in self.world.turn(worker, fails):
            note(f"  {worker.name} began {call.__class__.__name__}")
        if fails != "before":
            self._note_accepted(told)
        self._check_new_attempts()
        if worker.stop.is_set() and not worker.under_way and not fails:
            self.world.crash(number)

    def _note_accepted(self, calls: list[Call]) -> None:
        for call in calls:
            result = self.world.provider(call).answers[str(call.attempt_id)]
            for recipient in call.handoff.recipients:
                if result.of(recipient.id).accepted:
                    self.accepted.add((str(call.attempt_id), int(recipient.id)))

    def _known_accepted(self) -> set[Key]:
        """What Flute had been told by now that a provider has."""
        by_events = {
            (attempt_id, int(recipient_id))
            for key, kind in self.world.rows(_MATCHED)
            if kind in PROOFS
            for attempt_id, recipient_id, _ in [key.split(":")]
        }
        return self.accepted | by_events

    def _check_new_attempts(self) -> None:
        """Invariant 2: a call is begun only when no earlier one can still deliver, or that is not known."""
        accepted = self._known_accepted()
        earlier: dict[int, list[Any]] = defaultdict(list)
        for row in self.world.rows(_LEDGER):
            key = (row.id, row.recipient_id)
            if key not in self.checked:
                for other in earlier[row.recipient_id]:
                    self._check_pair(other, row, accepted)
            self.checked.add(key)
            earlier[row.recipient_id].append(row)

    def _check_pair(self, old: Any, new: Any, accepted: set[Key]) -> None:
        words = (
            f"recipient {new.recipient_id}: attempt {new.id[:4]} although {old.id[:4]} is {tuple(old[4:])}"
        )
        if old.fate == "bounced" and old.action in RESENDING:
            return
        assert (old.id, old.recipient_id) not in accepted, f"{words}, and Flute was told that it was taken"
        assert old.outcome in {"not_sent", "refused", "ambiguous"}, words
        if old.outcome == "ambiguous" and self.policy is AmbiguityPolicy.WAIT:
            assert new.start_time - old.end_time >= WINDOW, f"{words}, and the window is not over"

    # ----- what always holds

    @invariant()
    def promises_hold(self) -> None:
        """1: who waits has a time at which somebody looks. 4: what was told once stays as it is."""
        assert self.world.rows(_STUCK) == [], "forgotten"
        assert self.world.rows(_OPEN_TWICE) == [], "two calls at once"
        now = {row.id: tuple(row) for row in self.world.rows(_EVENTS)}
        assert {id_: row for id_, row in self.timeline.items() if now.get(id_) != row} == {}, "rewritten"
        self.timeline = now
        made = Counter(row.recipient_id for row in self.world.rows(_LEDGER))
        assert {id_: made[id_] for id_ in self.taken_back} == self.taken_back, "sent after it was taken back"

    # ----- the end

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        self._come_to_rest()
        self.promises_hold()
        self._compare_the_books()
        self._tell_all_again()

    def _come_to_rest(self) -> None:
        """All is well from now on: providers answer, workers live, and all that is to be told is told."""
        for _ in range(ROUNDS):
            for _, call in self._calls(acted=False):
                self._act(call, TAKEN, {})
            for worker, ended in self._endable():
                worker.end(ended)
            for number, worker in enumerate(self.world.workers):
                worker.stop.clear()
                self._turn(number)
            self.world.tell_all()
            while self.world.read():
                pass
            if self._rests():
                return
            self.world.heal()
            self.world.lapse()
            self.world.pass_time(timedelta(minutes=30))
        raise AssertionError(f"no rest: {self._waiting()}")

    def _rests(self) -> bool:
        return not (self._waiting() or any(worker.under_way for worker in self.world.workers))

    def _waiting(self) -> list[Any]:
        query = "SELECT id, due_time - now() FROM email WHERE environment_id = :environment"
        return self.world.rows(query + " AND due_time IS NOT NULL")

    def _compare_the_books(self) -> None:
        """Invariants 1 and 2, with the books of the providers."""
        ledger: dict[int, list[Any]] = defaultdict(list)
        for row in self.world.rows(_LEDGER):
            assert row.outcome is not None, f"attempt {row.id} was never closed"
            ledger[row.recipient_id].append(row)
        words: dict[Any, set[str]] = defaultdict(set)
        for row in self.timeline.values():
            words[row[4]].add(row[1])
        # A late answer may clear up in the ledger what was unclear before; the timeline stays.
        ambiguous = {row[4] for row in self.timeline.values() if UNCLEAR in row[2]}
        told = {tuple(key.split(":")[:2]) for key, _ in self.world.rows(_MATCHED)}
        copies = [copy for provider in self.world.providers.values() for copy in provider.copies]
        arrived = Counter(copy.recipient_id for copy in copies if copy.arrived)
        known = {
            copy.recipient_id
            for copy in copies
            if copy.arrived and (copy.attempt_id, str(copy.recipient_id)) in told
        }
        for recipient_id, state in self._final_states().items():
            assert words[recipient_id] & EXPLAINED_BY[state], f"{recipient_id}: nothing explains {state}"
            assert (state is State.DELIVERED) == (recipient_id in known), f"{recipient_id}: {state} is wrong"
            assert arrived[recipient_id] <= 1 or recipient_id in ambiguous, (
                f"{recipient_id} got several copies"
            )

    def _final_states(self) -> dict[int, State]:
        found: dict[int, State] = {}
        with self.app.app_context():
            for id_ in self.emails:
                story = tell(str(id_), None, full=False)
                assert story.state in EXPLAINED_BY, f"{id_} has not ended: {story.states}"
                found |= story.states
        return found

    def _tell_all_again(self) -> None:
        """Invariant 4: whatever is told again changes nothing."""
        before = [self.world.rows(query) for query in _SNAPSHOT]
        for account, body in reversed(self.world.told):
            self.world.post(account, body)
        while self.world.read():
            pass
        assert [self.world.rows(query) for query in _SNAPSHOT] == before


def _pick(items: list[Any], number: int) -> Any:
    return items[number % len(items)]


@pytest.fixture(scope="module")
def app(services: Services) -> Iterator[Flask]:
    # A Redis of its own: no worker listens to these wake-ups, as if all were lost.
    own = Services(services.database_url, services.redis_url.replace("db=0", "db=4"))
    with fresh_app(own, "machine_test") as app:
        yield app


class TestSending(Sending.TestCase):  # type: ignore[misc,valid-type]  # made by hypothesis
    settings = settings(
        max_examples=EXAMPLES,
        stateful_step_count=30,
        deadline=None,
        # Shrinking takes minutes here. Without it a failure is told at once, with its trace.
        phases=(Phase.explicit, Phase.reuse, Phase.generate),
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        print_blob=True,
    )

    @pytest.fixture(autouse=True)
    def _over(self, app: Flask, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.ERROR)
        Sending.app = app
