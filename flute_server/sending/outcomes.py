"""Write down what came of a call, and where that leaves its recipients."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from flute_server.domain.message import Handoff
from flute_server.domain.outcome import ErrorKind, Outcome, Reply, SendResult
from flute_server.domain.settlement import FOR_GOOD, Settlement, Step, settle
from flute_server.domain.state import EventType, State
from flute_server.domain.wording import answered, consequence
from flute_server.providers.base import LookUp, Provider, Trace
from flute_server.sending import health
from flute_server.sending.claim import Claim, Held
from flute_server.sending.record import OnRecord, Writes
from flute_server.sending.routing import RouteNow
from flute_server.sending.simulate import Simulator
from flute_server.sending.task import Pending, Policy, Task

LOST = Reply(ErrorKind.AMBIGUOUS, text="the worker was lost during the call")
# How soon a provider that could not tell is asked again about a held mail.
ASK_AGAIN = timedelta(minutes=5)
_WAITING = frozenset({State.QUEUED, State.SENDING})

Record = Mapping[tuple[uuid.UUID, int], OnRecord]


@dataclass(frozen=True, slots=True)
class Call:
    """One hand-over under way."""

    task: Task
    policy: Policy
    route: RouteNow
    attempt_id: uuid.UUID
    group: list[Pending]
    handoff: Handoff
    provider: Provider | Simulator


@dataclass(frozen=True, slots=True)
class Ended:
    """A call with its answer."""

    call: Call
    result: SendResult
    duration_s: float


@dataclass(frozen=True, slots=True)
class Inquiry:
    """Asking a provider whether it took a mail that is held."""

    task: Task
    policy: Policy
    held: Held
    row_id: int
    provider: Provider | Simulator
    trace: Trace


@dataclass(frozen=True, slots=True)
class Told:
    """An inquiry with its answer."""

    inquiry: Inquiry
    answer: LookUp


@dataclass(frozen=True, slots=True)
class _Desk:
    """Where the outcomes of one task are written down."""

    task: Task
    policy: Policy
    writes: Writes

    def settle(self, pending: Pending, attempt_id: uuid.UUID, account: str, reply: Reply) -> None:
        """One recipient's answer: ledger, timeline, state and what is next."""
        settlement = settle(reply, hold_ambiguous=self.policy.hold_ambiguous)
        self.writes.enter(attempt_id, pending.row_id, settlement.outcome, reply)
        text = answered(account, reply) + consequence(settlement)
        self.writes.tell(self.task.email_id, settlement.event, text, pending.row_id, attempt_id)
        self._advance(pending, settlement)

    def _advance(self, pending: Pending, settlement: Settlement) -> None:
        if settlement.step is Step.NEXT_ROUND:
            pending.waiting = True
        elif settlement.step is Step.HOLD:
            pending.held = True
            # At once: the next claim finds out how long the hold is and whom to ask.
            self.task.hold(self.writes.now)
            self.writes.move(pending.row_id, settlement.state)
        elif settlement.step is Step.END:
            self.writes.move(pending.row_id, settlement.state)
            self.task.pending.pop(pending.row_id, None)


def record(ended: Ended, on_record: Record, writes: Writes) -> None:
    """The outcome for every recipient of a call, and what the account's health learns from it."""
    call = ended.call
    desk = _Desk(call.task, call.policy, writes)
    writes.close(call.attempt_id)
    replies = [ended.result.of(pending.recipient.id) for pending in call.group]
    for pending, reply in zip(call.group, replies, strict=True):
        pending.tried.add(call.route.account_id)
        known = on_record[call.attempt_id, pending.row_id]
        if known.outcome is not None or known.state not in _WAITING:
            # A webhook was quicker than the answer, and has decided about this recipient.
            writes.enter(call.attempt_id, pending.row_id, _outcome(reply), reply)
            call.task.pending.pop(pending.row_id, None)
            continue
        if reply.kind in FOR_GOOD:
            pending.for_good[call.route.account_id] = answered(call.route.name, reply)
        desk.settle(pending, call.attempt_id, call.route.name, reply)
    if isinstance(call.provider, Simulator):
        call.provider.foretell(call.handoff, call.route.account_id, writes.now)
        return
    domains = [pending.recipient.address.domain for pending in call.group]
    told = list(zip(domains, replies, strict=True))
    health.report(call.route, told, ended.duration_s, writes.now)


def record_facts(ended: Ended, on_record: Record, writes: Writes) -> None:
    """The answer to a call whose email is in other hands by now: evidence, where there was none."""
    call = ended.call
    writes.close(call.attempt_id)
    for pending in call.group:
        reply = ended.result.of(pending.recipient.id)
        outcome = _outcome(reply)
        writes.enter(call.attempt_id, pending.row_id, outcome, reply)
        known = on_record[call.attempt_id, pending.row_id]
        if known.outcome is Outcome.AMBIGUOUS and outcome is not Outcome.AMBIGUOUS:
            writes.learn(call.attempt_id, pending.row_id, outcome, None)
            _clear_up(call, pending.row_id, known.state, reply, writes)
    if isinstance(call.provider, Simulator):
        call.provider.foretell(call.handoff, call.route.account_id, writes.now)


def _clear_up(call: Call, row_id: int, state: State, reply: Reply, writes: Writes) -> None:
    """A late answer to a call that was taken for lost: whoever holds the mail for it need not any more."""
    email_id, words = call.task.email_id, f"{answered(call.route.name, reply)}; the answer came late"
    if reply.accepted and state in _WAITING:
        writes.move(row_id, State.SENT)
        writes.tell(email_id, EventType.SENT, words, row_id, call.attempt_id)
    elif not reply.accepted and state is State.SENDING:
        writes.move(row_id, State.QUEUED)
        writes.tell(email_id, EventType.FAILOVER, words, row_id, call.attempt_id)
        writes.hurry(email_id)


def _outcome(reply: Reply) -> Outcome:
    return settle(reply, hold_ambiguous=False).outcome


def resolve(item: Claim, policy: Policy, writes: Writes) -> list[tuple[int, Held]]:
    """Decide what earlier attempts left open; gives the held recipients that can still be asked about."""
    task = item.task
    desk = _Desk(task, policy, writes)
    for row_id, why in item.suppressed.items():
        writes.move(row_id, State.SUPPRESSED)
        writes.tell(task.email_id, EventType.SUPPRESSED, why, row_id)
        del task.pending[row_id]
        item.held.pop(row_id, None)
    if item.gone:
        _end_for_want_of_content(item, writes)
    for attempt_id in item.unended:
        writes.close(attempt_id)
    for open_ in item.lost:
        if pending := task.pending.get(open_.row_id):
            desk.settle(pending, open_.attempt_id, open_.account, LOST)
        else:
            writes.enter(open_.attempt_id, open_.row_id, Outcome.AMBIGUOUS, LOST)
    return [
        (row_id, held) for row_id, held in item.held.items() if not _over(task, row_id, held, policy, writes)
    ]


def _end_for_want_of_content(item: Claim, writes: Writes) -> None:
    for row_id in item.task.pending:
        writes.move(row_id, State.FAILED)
        writes.tell(item.task.email_id, EventType.FAILED, f"cannot be sent again: its {item.gone}", row_id)
    item.task.pending.clear()
    item.held.clear()


def _over(task: Task, row_id: int, held: Held, policy: Policy, writes: Writes) -> bool:
    """True when a recipient needs not be held any longer: the wait is over, or the policy has changed."""
    if policy.hold_ambiguous and writes.now < held.end + policy.ambiguity_wait:
        return False
    text = f"nothing more was heard of the mail from {held.account}; sending it again"
    _free(task, row_id, writes, text)
    return True


def _free(task: Task, row_id: int, writes: Writes, text: str) -> None:
    task.pending[row_id].held = False
    writes.move(row_id, State.QUEUED)
    writes.tell(task.email_id, EventType.FAILOVER, text, row_id)


def hold_on(task: Task, held: Held, policy: Policy, writes: Writes, ask: timedelta = ASK_AGAIN) -> None:
    """Leave a recipient held until the provider can be asked, or the wait is over."""
    task.hold(min(held.end + policy.ambiguity_wait, writes.now + ask))


def record_answer(told: Told, on_record: Record, writes: Writes) -> None:
    """What a look-up proves about a held recipient: it was taken, it was not, or nothing."""
    inquiry, answer = told.inquiry, told.answer
    task, held, row_id = inquiry.task, inquiry.held, inquiry.row_id
    known = on_record[held.attempt_id, row_id]
    if known.outcome is not Outcome.AMBIGUOUS or known.state is not State.SENDING:
        task.pending.pop(row_id, None)  # a webhook was quicker
    elif answer.found is None:
        hold_on(task, held, inquiry.policy, writes)
    elif answer.found:
        writes.learn(held.attempt_id, row_id, Outcome.ACCEPTED, None)
        writes.move(row_id, State.SENT)
        text = f"{held.account} was asked and has the mail: {answer.text}"
        writes.tell(task.email_id, EventType.SENT, text, row_id, held.attempt_id)
        del task.pending[row_id]
    else:
        writes.learn(held.attempt_id, row_id, Outcome.NOT_SENT, None)
        text = f"{held.account} was asked and does not have the mail: {answer.text}; sending it again"
        _free(task, row_id, writes, text)
