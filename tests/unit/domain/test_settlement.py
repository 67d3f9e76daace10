"""What an answer leads to."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from flute_server.domain.outcome import ErrorKind, Outcome, Reply
from flute_server.domain.settlement import LONGEST_BACKOFF, Step, backoff, settle
from flute_server.domain.state import FINAL, State, email_state
from flute_server.domain.wording import answered, consequence

RECIPIENT_OR_MESSAGE = {ErrorKind.RECIPIENT, ErrorKind.SUPPRESSED, ErrorKind.MESSAGE}
kinds = st.sampled_from([None, *ErrorKind])


@given(kinds, st.booleans())
def test_every_answer_has_one_consequence_in_words(kind: ErrorKind | None, hold: bool):
    settlement = settle(Reply(kind), hold_ambiguous=hold)
    assert answered("Postmark", Reply(kind)).startswith("Postmark ")
    if kind is not None:
        assert consequence(settlement)


@given(kinds, st.booleans())
def test_only_a_fault_that_is_not_the_mails_own_goes_to_another_provider(kind: ErrorKind | None, hold: bool):
    settlement = settle(Reply(kind), hold_ambiguous=hold)
    if kind in RECIPIENT_OR_MESSAGE or kind is None:
        assert settlement.step is Step.END
    if settlement.step is Step.NEXT_ROUTE:
        assert settlement.outcome is not Outcome.ACCEPTED


def test_what_may_have_been_sent_is_held_where_the_policy_says_so():
    assert settle(Reply(ErrorKind.AMBIGUOUS), hold_ambiguous=True).step is Step.HOLD
    assert settle(Reply(ErrorKind.AMBIGUOUS), hold_ambiguous=False).step is Step.NEXT_ROUTE


@given(st.integers(0, 10_000), st.floats(0, 1, exclude_max=True))
def test_backoff_grows_and_stays_bounded(round_: int, draw: float):
    assert timedelta(seconds=3) < backoff(round_, draw) <= LONGEST_BACKOFF * 1.25
    assert backoff(round_, draw) <= backoff(round_ + 1, draw)


@given(st.lists(st.sampled_from(State), min_size=1))
def test_an_email_ends_when_its_last_recipient_does(states: list[State]):
    ended = email_state(states) in FINAL | {State.SENT}
    assert ended == all(state in FINAL | {State.SENT} for state in states)
    assert email_state(states) in states
