"""What provider events change: never by their order, never twice, never against a higher word."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flute_server.domain.effect import MOST_ATTEMPTS, RESEND_WITHIN, Elsewhere, Notice, Seen, effect
from flute_server.domain.event import ProviderEventKind as Kind
from flute_server.domain.outcome import Fate, Outcome
from flute_server.domain.state import EventType, State
from flute_server.domain.verdict import Action, Cause, Verdict

SENT = Seen(State.SENT, Outcome.ACCEPTED, None, Elsewhere.NOWHERE, attempts=1, age=timedelta(seconds=5))


def verdict(cause: Cause, action: Action) -> Verdict:
    return Verdict(cause, True, action, "a-rule", "a reason", 0.9)


BLOCK = verdict(Cause.PROVIDER, Action.FAILOVER)
NO_USER = verdict(Cause.RECIPIENT, Action.SUPPRESS)
VIRUS = verdict(Cause.MESSAGE, Action.STOP)
DMARC = verdict(Cause.SENDER_DOMAIN, Action.FAILOVER_IF_AUTHENTICATED)
RIDDLE = verdict(Cause.UNKNOWN, Action.REVIEW)
VACATION = verdict(Cause.NOT_A_BOUNCE, Action.NONE)

verdicts = st.sampled_from([BLOCK, NO_USER, VIRUS, DMARC, RIDDLE])
events = st.tuples(st.sampled_from(list(Kind)), verdicts)
starts = st.sampled_from(
    [
        SENT,
        replace(SENT, state=State.QUEUED, outcome=None),
        replace(SENT, state=State.SENDING, outcome=Outcome.AMBIGUOUS),
        replace(SENT, state=State.QUEUED, outcome=Outcome.AMBIGUOUS),
    ]
)


def after(seen: Seen, kind: Kind, told: Verdict | None = None) -> Seen:
    found = effect(kind, seen, told)
    return replace(
        seen,
        state=found.state or seen.state,
        outcome=found.outcome or seen.outcome,
        fate=found.fate or seen.fate,
    )


@given(starts, st.lists(st.sampled_from([k for k in Kind if k is not Kind.DROPPED]), max_size=6), st.data())
def test_the_order_of_events_changes_nothing(seen: Seen, kinds: list[Kind], data: st.DataObject):
    told = data.draw(verdicts)
    shuffled = data.draw(st.permutations(kinds))
    one, other = seen, seen
    for kind in kinds:
        one = after(one, kind, told)
    for kind in shuffled:
        other = after(other, kind, told)
    assert (one.state, one.fate, one.outcome) == (other.state, other.fate, other.outcome)


@given(starts, st.lists(events, max_size=6), events)
def test_telling_it_again_changes_nothing(
    seen: Seen, before: list[tuple[Kind, Verdict]], last: tuple[Kind, Verdict]
):
    for kind, told in before:
        seen = after(seen, kind, told)
    once = after(seen, *last)
    assert after(once, *last) == once


@given(events)
def test_only_a_refusal_puts_a_delivered_mail_back_in_the_queue(event: tuple[Kind, Verdict]):
    delivered = after(SENT, Kind.DELIVERED)
    kind, told = event
    if effect(kind, delivered, told).state is State.QUEUED:
        assert kind in {Kind.BOUNCED, Kind.DROPPED}
        assert told in {BLOCK, DMARC}


@pytest.mark.parametrize(
    ("told", "state", "notice"),
    [
        (BLOCK, State.QUEUED, None),
        (DMARC, State.QUEUED, Notice.ALERT_SENDER_DOMAIN),
        (NO_USER, State.BOUNCED, Notice.SUPPRESS_BOUNCE),
        (VIRUS, State.FAILED, None),
        (RIDDLE, State.BOUNCED, Notice.ALERT_REVIEW),
    ],
)
def test_a_bounce_has_the_consequence_of_its_cause(told: Verdict, state: State, notice: Notice | None):
    found = effect(Kind.BOUNCED, SENT, told)
    assert (found.state, found.notice) == (state, notice)
    assert found.event is EventType.BOUNCED
    assert found.consequence


def test_a_vacation_notice_is_no_bounce():
    assert effect(Kind.BOUNCED, SENT, VACATION).state is None


def test_a_bounce_that_comes_too_late_or_too_often_resends_nothing():
    late = replace(SENT, age=RESEND_WITHIN + timedelta(minutes=1))
    often = replace(SENT, attempts=MOST_ATTEMPTS)
    for seen in (late, often):
        assert effect(Kind.BOUNCED, seen, BLOCK).state is State.FAILED


@pytest.mark.parametrize("told", [BLOCK, DMARC])
def test_a_bounce_of_what_was_taken_back_resends_nothing(told: Verdict):
    """Also when an earlier call, of which nothing was known, had delivered it."""
    taken_back = replace(SENT, state=State.CANCELED, outcome=Outcome.AMBIGUOUS, canceled=True)
    assert effect(Kind.BOUNCED, taken_back, told).state is State.CANCELED
    for seen in (after(taken_back, Kind.DELIVERED), replace(SENT, canceled=True)):
        assert effect(Kind.BOUNCED, seen, told).state is State.FAILED


@pytest.mark.parametrize("elsewhere", [Elsewhere.OPEN, Elsewhere.TAKEN, Elsewhere.ARRIVED])
def test_a_bounce_of_one_copy_decides_nothing_while_another_is_alive(elsewhere: Elsewhere):
    found = effect(Kind.BOUNCED, replace(SENT, elsewhere=elsewhere), BLOCK)
    assert found.state is None
    assert found.fate is Fate.BOUNCED


def test_proof_of_delivery_ends_a_hold_and_a_pending_resend():
    held = Seen(State.SENDING, Outcome.AMBIGUOUS, None, Elsewhere.NOWHERE, 1, timedelta(seconds=1))
    for seen in (
        held,
        replace(held, state=State.QUEUED),
        replace(held, elsewhere=Elsewhere.OPEN, state=State.QUEUED),
    ):
        assert effect(Kind.DELIVERED, seen).state is State.DELIVERED
    assert effect(Kind.ACCEPTED, held).state is State.SENT


def test_complaints_and_unsubscriptions_are_kept_in_mind():
    assert effect(Kind.COMPLAINED, SENT).notice is Notice.SUPPRESS_COMPLAINT
    assert effect(Kind.UNSUBSCRIBED, SENT).notice is Notice.SUPPRESS_UNSUBSCRIBE
