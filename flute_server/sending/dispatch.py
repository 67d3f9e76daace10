"""Choose the next route for a mail, and prepare the calls that follow from the choice."""

from __future__ import annotations

import random
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from flute_server.domain import route
from flute_server.domain.message import Handoff
from flute_server.domain.route import Judged, Use
from flute_server.domain.settlement import backoff
from flute_server.domain.state import EventType, State
from flute_server.providers.base import Provider
from flute_server.sending.connections import Connections
from flute_server.sending.outcomes import Call
from flute_server.sending.record import Writes
from flute_server.sending.routing import RouteNow, Routing, win_probe
from flute_server.sending.task import Pending, Policy, Task

# How soon a mail comes back whose provider already has its share of this worker's calls.
BUSY_PAUSE = timedelta(milliseconds=500)

Judgement = Sequence[Judged]


@dataclass(frozen=True, slots=True)
class Choice:
    """The route to take now, if there is one, and how each was judged."""

    route: RouteNow | None
    judged: Judgement
    policy: Policy


@dataclass(slots=True)
class Dispatcher:
    """per_account: how many calls to one account may be under way, so that a slow one holds up no other."""

    connections: Connections
    lease: timedelta
    per_account: int
    under_way: Counter[uuid.UUID] = field(default_factory=Counter)

    def dispatch(self, task: Task, routing: Routing, writes: Writes) -> list[Call]:
        """The calls to make now for this task; without any, it is released until something can be done."""
        calls: list[Call] = []
        for group in task.groups():
            choice = self._choose(task, group, routing, writes)
            if choice.route is None:
                _postpone(task, group, choice.judged, routing, writes)
            elif self._busy(choice.route) and not task.calls and not calls:
                writes.look_again(task.email_id, writes.now + BUSY_PAUSE, task.round)
                return []
            else:
                calls.append(self._prepare(task, group, choice.route, choice, writes))
        if calls or task.calls:
            writes.look_again(task.email_id, writes.now + self.lease, task.round)
        else:
            release(task, routing, writes)
        return calls

    def _busy(self, chosen: RouteNow) -> bool:
        return self.under_way[chosen.account_id] >= self.per_account

    def _provider(self, candidate: RouteNow) -> Provider:
        return self.connections.get(
            candidate.account_id, candidate.revision, candidate.provider, candidate.credentials
        )

    def _choose(self, task: Task, group: list[Pending], routing: Routing, writes: Writes) -> Choice:
        handoff = _handoff(task, group, "")
        candidates = [self._candidate(item, handoff, group[0]) for item in routing.routes]
        judged = route.plan(candidates, writes.now, random.random())  # noqa: S311  a lot, no secret
        by_id = {item.account_id: item for item in routing.routes}
        for item in judged:
            account = item.candidate.account
            if item.use is Use.YES or (item.use is Use.PROBE and win_probe(account, writes.now)):
                return Choice(by_id[account], judged, routing.policy)
        return Choice(None, judged, routing.policy)

    def _candidate(self, item: RouteNow, handoff: Handoff, pending: Pending) -> route.Candidate:
        refused = pending.for_good.get(item.account_id)
        return route.Candidate(
            account=item.account_id,
            name=item.name,
            position=item.position,
            weight=item.weight,
            disabled=item.disabled,
            tried=item.account_id in pending.tried,
            breaker=item.health,
            objections=(refused,) if refused else self._provider(item).objections(handoff),
        )

    def _prepare(
        self,
        task: Task,
        group: list[Pending],
        chosen: RouteNow,
        choice: Choice,
        writes: Writes,
    ) -> Call:
        """Record the attempt before it is made, so that a crash leaves a trace."""
        attempt_id = uuid.uuid4()
        writes.attempts.append(
            {
                "id": attempt_id,
                "email_id": task.email_id,
                "provider_account_id": chosen.account_id,
                "round": task.round,
                "start_time": writes.now,
                "candidates": _explained(choice.judged, chosen),
            }
        )
        writes.entries += [{"attempt_id": attempt_id, "recipient_id": pending.row_id} for pending in group]
        handoff = _handoff(task, group, str(attempt_id))
        provider = self._provider(chosen)
        return Call(task, choice.policy, chosen, attempt_id, group, handoff, provider)


def release(task: Task, routing: Routing, writes: Writes) -> None:
    """Let go of a task: until its next round, until its held recipients are decided upon, or for good."""
    times = [task.held_until] if task.held_until else []
    round_ = task.round
    if any(pending.waiting for pending in task.pending.values()):
        pause = backoff(task.round, random.random())  # noqa: S311  jitter, no secret
        last_try = task.create_time + routing.policy.give_up_after
        next_try = writes.now + pause
        times.append(min(next_try, last_try) if writes.now < last_try else next_try)
        round_ += 1
    writes.look_again(task.email_id, min(times, default=None), round_)


def _postpone(task: Task, group: list[Pending], judged: Judgement, routing: Routing, writes: Writes) -> None:
    """No route can take these recipients now: they wait for the next round, or their time is up."""
    story = "; ".join(f"{item.candidate.name}: {item.reason}" for item in judged) or "it has no route"
    give_up = writes.now >= task.create_time + routing.policy.give_up_after
    if not give_up and not route.hopeless(judged):
        if group[0].tried or task.round == 0:
            text = f"no provider can take it now ({story}); trying again later"
            writes.tell(task.email_id, EventType.DEFERRED, text, _only(group))
        for pending in group:
            pending.waiting = True
        return
    why = "gave up" if give_up else "no provider of this environment can ever carry this mail"
    for pending in group:
        writes.tell(task.email_id, EventType.FAILED, f"{why}: {story}", pending.row_id)
        writes.move(pending.row_id, State.FAILED)
        del task.pending[pending.row_id]


def _only(group: list[Pending]) -> int | None:
    return group[0].row_id if len(group) == 1 else None


def _handoff(task: Task, group: list[Pending], attempt_id: str) -> Handoff:
    recipients = tuple(pending.recipient for pending in group)
    return Handoff(str(task.email_id), attempt_id, task.message, recipients)


def _explained(judged: Judgement, chosen: RouteNow) -> list[dict[str, object]]:
    """Every route with the reason why it was or was not taken."""
    told: list[dict[str, object]] = []
    for item in judged:
        taken = item.candidate.account == chosen.account_id
        reason = item.reason
        if not taken and item.use is Use.YES:
            reason = "healthy, comes later in the order"
        told.append({"provider_account": item.candidate.name, "chosen": taken, "reason": reason})
    return told
