"""Write down what came of a call, and where that leaves its recipients."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from flute_server.domain.message import Handoff
from flute_server.domain.outcome import ErrorKind, Reply, SendResult
from flute_server.domain.settlement import Settlement, Step, settle
from flute_server.domain.state import EventType, State
from flute_server.domain.wording import answered, consequence
from flute_server.providers.base import Provider
from flute_server.sending import routing
from flute_server.sending.claim import Claim
from flute_server.sending.record import Writes
from flute_server.sending.routing import RouteNow
from flute_server.sending.task import Pending, Policy, Task

LOST = Reply(ErrorKind.AMBIGUOUS, text="the worker was lost during the call")


@dataclass(frozen=True, slots=True)
class Call:
    """One hand-over under way."""

    task: Task
    policy: Policy
    route: RouteNow
    attempt_id: uuid.UUID
    group: list[Pending]
    handoff: Handoff
    provider: Provider


@dataclass(frozen=True, slots=True)
class Ended:
    """A call with its answer."""

    call: Call
    result: SendResult


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
            self.task.hold(self.writes.now + self.policy.ambiguity_wait)
            self.writes.move(pending.row_id, settlement.state)
        elif settlement.step is Step.END:
            self.writes.move(pending.row_id, settlement.state)
            self.task.pending.pop(pending.row_id, None)


def record(ended: Ended, writes: Writes) -> None:
    """The outcome for every recipient of a call, and what the account's health learns from it."""
    call = ended.call
    desk = _Desk(call.task, call.policy, writes)
    writes.close(call.attempt_id)
    replies = [ended.result.of(pending.recipient.id) for pending in call.group]
    for pending, reply in zip(call.group, replies, strict=True):
        pending.tried.add(call.route.account_id)
        if routing.lasting_objection(reply):
            pending.for_good[call.route.account_id] = answered(call.route.name, reply)
        desk.settle(pending, call.attempt_id, call.route.name, reply)
    routing.report(call.route.account_id, call.route.health, replies, writes.now)


def resolve(item: Claim, policy: Policy, writes: Writes) -> None:
    """Decide what earlier attempts left open: calls whose worker died, and recipients that are held."""
    desk = _Desk(item.task, policy, writes)
    for open_ in item.lost:
        writes.close(open_.attempt_id)
        desk.settle(item.task.pending[open_.row_id], open_.attempt_id, open_.account, LOST)
    for row_id, end in item.held.items():
        until = end + policy.ambiguity_wait
        if policy.hold_ambiguous and writes.now < until:
            item.task.hold(until)
            continue
        item.task.pending[row_id].held = False
        text = "nothing more was heard of the last attempt; sending it again"
        writes.move(row_id, State.QUEUED)
        writes.tell(item.task.email_id, EventType.FAILOVER, text, row_id)
