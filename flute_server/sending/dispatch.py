"""Choose the next route for a mail, and prepare the calls that follow from the choice."""

from __future__ import annotations

import random
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from flute_server.domain import route
from flute_server.domain.drill import Drill
from flute_server.domain.message import Handoff
from flute_server.domain.route import Judged, Use, Wait
from flute_server.domain.settlement import backoff
from flute_server.domain.state import EventType, State
from flute_server.providers.base import Provider
from flute_server.providers.registry import PROVIDERS
from flute_server.sending import caps
from flute_server.sending.connections import Connections
from flute_server.sending.outcomes import Call
from flute_server.sending.record import Writes
from flute_server.sending.routing import RouteNow, Routing, give_back_probe, win_probe
from flute_server.sending.simulate import Simulator
from flute_server.sending.task import Pending, Policy, Task
from flute_server.sending.unsubscribe import Links

# How soon a mail comes back whose provider already has its share of this worker's calls.
BUSY_PAUSE = timedelta(milliseconds=500)
# Mails that wait for the same thing come back spread over this part of the wait, but not over more than that.
SPREAD = 0.1
LONGEST_SPREAD = timedelta(minutes=1)

Judgement = Sequence[Judged]


@dataclass(frozen=True, slots=True)
class Choice:
    """The route to take now, if there is one, and how each was judged. busy: it is to be waited for."""

    route: RouteNow | None
    judged: Judgement
    policy: Policy
    busy: bool = False


@dataclass(slots=True)
class Dispatcher:
    """per_account: how many calls to one account may be under way, so that a slow one holds up no other."""

    connections: Connections
    lease: timedelta
    per_account: int
    links: Links
    under_way: Counter[uuid.UUID] = field(default_factory=Counter)

    def dispatch(self, task: Task, routing: Routing, writes: Writes) -> list[Call]:
        """The calls to make now for this task; without any, it is released until something can be done."""
        calls: list[Call] = []
        for group in task.groups(routing.troubled):
            choice = self._choose(task, group, routing, writes, may_wait=not task.calls and not calls)
            if choice.busy:
                writes.look_again(task.email_id, writes.now + BUSY_PAUSE, task.round)
                return []
            if choice.route is None:
                _postpone(task, group, choice.judged, routing, writes)
            else:
                calls.append(self._prepare(task, group, choice.route, choice, writes))
        if not calls and not task.calls:
            release(task, routing, writes)
        elif not task.fresh:
            writes.look_again(task.email_id, writes.now + self.lease, task.round)
        task.fresh = False
        return calls

    def _busy(self, chosen: RouteNow) -> bool:
        return self.under_way[chosen.account_id] >= self.per_account

    def _choose(
        self, task: Task, group: list[Pending], routing: Routing, writes: Writes, *, may_wait: bool
    ) -> Choice:
        """The first usable route that can be had: not busy, its probe won, and room under its cap.

        A test mail takes nothing of that, so that none of it lacks a live one.
        """
        draw = random.random()  # noqa: S311  a lot, no secret
        judged = judge(task, group, routing, self.connections, writes.now, draw=draw)
        by_id = {item.account_id: item for item in routing.routes}
        told = {item.candidate.account: item for item in judged}
        for item in route.usable(judged):
            chosen = by_id[item.candidate.account]
            if task.test:
                return Choice(chosen, judged, routing.policy)
            if may_wait and self._busy(chosen):
                return Choice(None, judged, routing.policy, busy=True)
            if full := _taken(chosen, item, len(group), writes.now):
                told[chosen.account_id] = full
            else:
                return Choice(chosen, list(told.values()), routing.policy)
        return Choice(None, list(told.values()), routing.policy)

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
                "environment_id": task.environment_id,
                "email_time": task.create_time,
                "provider_account_id": chosen.account_id,
                "round": task.round,
                "start_time": writes.now,
                "candidates": explained(choice.judged, chosen.account_id),
                "simulated": _is_played(task, chosen.provider),
            }
        )
        if not task.test and (drill_id := route.diverted(choice.judged, chosen.account_id)):
            writes.divert(drill_id, (pending.row_id for pending in group))
        writes.entries += [{"attempt_id": attempt_id, "recipient_id": pending.row_id} for pending in group]
        handoff = handoff_of(task, group, str(attempt_id))
        if choice.policy.one_click_unsubscribe:
            handoff = self.links.added(handoff, PROVIDERS[chosen.provider].capabilities)
        provider = self._provider(task, group, chosen)
        for pending in group:
            pending.attempts += 1
        return Call(task, choice.policy, chosen, attempt_id, group, handoff, provider)

    def _provider(self, task: Task, group: list[Pending], chosen: RouteNow) -> Provider | Simulator:
        if _is_played(task, chosen.provider):
            return Simulator({pending.recipient.id: pending.attempts for pending in group})
        return connection_of(chosen, self.connections)


def _is_played(task: Task, provider: str) -> bool:
    """Whether nothing leaves: for a test mail, or at a provider that only plays one."""
    return task.test or PROVIDERS[provider].simulated


def connection_of(route_: RouteNow, connections: Connections) -> Provider:
    """The live connection to a route's account."""
    return connections.get(route_.account_id, route_.revision, route_.provider, route_.credentials)


def judge(
    task: Task,
    group: list[Pending],
    routing: Routing,
    connections: Connections,
    now: datetime,
    *,
    draw: float,
) -> Judgement:
    """Every route in order with the verdict on it; only read, nothing is taken. draw: see route.plan."""
    handoff = handoff_of(task, group, "")
    candidates = [
        _candidate(item, handoff, group, connections, _drill(item, task, routing, now))
        for item in routing.routes
    ]
    return route.plan(candidates, now, draw)


def _candidate(
    item: RouteNow, handoff: Handoff, group: list[Pending], connections: Connections, drill: Drill | None
) -> route.Candidate:
    one = group[0]  # the others have the same history and needs
    refused = one.for_good.get(item.account_id)
    domains = {pending.recipient.address.domain for pending in group}
    return route.Candidate(
        account=item.account_id,
        name=item.name,
        position=item.position,
        weight=item.weight,
        disabled=item.disabled,
        paused=item.paused,
        tried=item.account_id in one.tried,
        authenticated=item.authenticated or not one.needs_authentication,
        breaker=item.health,
        troubles={name: health for name, health in item.domain_health.items() if name in domains},
        objections=(refused,) if refused else connection_of(item, connections).objections(handoff),
        drill=drill,
    )


def _drill(item: RouteNow, task: Task, routing: Routing, now: datetime) -> Drill | None:
    """The drill that this mail has to heed. At its last try there is none: no mail is lost to a drill."""
    if item.drill is None or _time_is_up(task, routing, now):
        return None
    return item.drill if item.drill.concerns(task.email_id) else None


def _taken(chosen: RouteNow, item: Judged, mails: int, now: datetime) -> Judged | None:
    """Take the probe and the room that the route needs; the new verdict on it if they cannot be had."""
    if item.probes and not win_probe(chosen.account_id, item.probes, now):
        return route.outrun(item)
    full = caps.take(chosen, mails)
    if full is None:
        return None
    if item.probes:
        give_back_probe(chosen.account_id, item.probes, now)
    return route.full(item, full.reason, now + timedelta(seconds=full.wait_s))


def release(task: Task, routing: Routing, writes: Writes) -> None:
    """Let go of a task: until its next round, until its held recipients are decided upon, or for good."""
    if _time_is_up(task, routing, writes.now):
        _give_up(task, writes)
    times = [task.held_until] if task.held_until else []
    round_ = task.round
    if waits := _waits(task, writes.now):
        # Who needs a new round must not be hurried by who only waits for room under a cap.
        wait = min([wait for wait in waits if wait.new_round] or waits, key=lambda wait: wait.until)
        times.append(min(wait.until, task.start_time + routing.policy.give_up_after))
        round_ += wait.new_round
    writes.look_again(task.email_id, min(times, default=None), round_)


def _time_is_up(task: Task, routing: Routing, now: datetime) -> bool:
    return now >= task.start_time + routing.policy.give_up_after


def _give_up(task: Task, writes: Writes) -> None:
    """The last try was in vain for who would have to wait for another; each told why before."""
    for pending in [pending for pending in task.pending.values() if pending.waiting]:
        text = "gave up: the time that the environment's give_up_after allows is over"
        writes.tell(task.email_id, EventType.FAILED, text, pending.row_id)
        writes.move(pending.row_id, State.FAILED)
        del task.pending[pending.row_id]


def _waits(task: Task, now: datetime) -> list[Wait]:
    rest = Wait(_rested(task, now))
    return [pending.wait or rest for pending in task.pending.values() if pending.waiting]


def _rested(task: Task, now: datetime) -> datetime:
    """The end of the back-off after this round."""
    return now + backoff(task.round, random.random())  # noqa: S311  jitter, no secret


def _postpone(task: Task, group: list[Pending], judged: Judgement, routing: Routing, writes: Writes) -> None:
    """No route can take these recipients now: they wait for the next round, or their time is up."""
    story = "; ".join(f"{item.candidate.name}: {item.reason}" for item in judged) or "it has no route"
    give_up = _time_is_up(task, routing, writes.now)
    if give_up or route.hopeless(judged):
        why = "gave up" if give_up else "no provider of this environment can ever carry this mail"
        for pending in group:
            writes.tell(task.email_id, EventType.FAILED, f"{why}: {story}", pending.row_id)
            writes.move(pending.row_id, State.FAILED)
            del task.pending[pending.row_id]
        return
    if not task.test and (drill_id := route.diverted(judged, None)):
        writes.divert(drill_id, (pending.row_id for pending in group))
    wait = route.wait(judged, _rested(task, writes.now))
    if _is_news(task, group, wait):
        text = f"no provider can take it now ({story}); trying again later"
        writes.tell(task.email_id, EventType.DEFERRED, text, _only(group))
    for pending in group:
        pending.waiting, pending.wait = True, _spread(wait, writes.now)


def _is_news(task: Task, group: list[Pending], wait: Wait) -> bool:
    """A wait is told when it begins, and when routes were tried in vain; not each time that it goes on."""
    if wait.new_round:
        return bool(group[0].tried) or task.round == 0
    return task.lease == 1


def _spread(wait: Wait, now: datetime) -> Wait:
    width = min((wait.until - now) * SPREAD, LONGEST_SPREAD)
    return Wait(wait.until + width * random.random(), wait.new_round)  # noqa: S311  jitter, no secret


def _only(group: list[Pending]) -> int | None:
    return group[0].row_id if len(group) == 1 else None


def handoff_of(task: Task, group: list[Pending], attempt_id: str) -> Handoff:
    """What a provider gets of this mail for these recipients."""
    recipients = tuple(pending.recipient for pending in group)
    return Handoff(str(task.email_id), attempt_id, task.message, recipients)


def explained(judged: Judgement, chosen: uuid.UUID | None) -> list[dict[str, object]]:
    """Every route with the reason why it was or was not taken. chosen: the account of the one that was."""
    told: list[dict[str, object]] = []
    for item in judged:
        taken = item.candidate.account == chosen
        reason = item.reason
        if not taken and item.use is Use.YES:
            reason = "healthy, comes later in the order"
        told.append({"provider_account": item.candidate.name, "chosen": taken, "reason": reason})
    return told
