"""Which way a mail would take now: the dispatcher's own judgement, with nothing stored and nothing taken."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import func, select

from flute_server.domain import drill, route
from flute_server.domain.capability import Capabilities, losses
from flute_server.domain.message import Handoff, Message, Recipient, RecipientKind
from flute_server.domain.route import Judged, Use
from flute_server.models import ProviderAccount, db
from flute_server.sending import account_states, caps, suppress
from flute_server.sending.accept import check, check_routes
from flute_server.sending.connections import Connections
from flute_server.sending.dispatch import connection_of, explained, handoff_of, judge
from flute_server.sending.routing import RouteNow, Routing, load
from flute_server.sending.senders import Sender
from flute_server.sending.store import Draft
from flute_server.sending.task import Pending, Task
from flute_server.sending.unsubscribe import Links

# What forbids no header.
_ALL = Capabilities(max_bytes=0, max_recipients=0)
_NOW = frozenset({Use.YES, Use.PROBE, Use.LAST_RESORT})
_ILL = frozenset({Use.PROBE, Use.LAST_RESORT, Use.LATER})


@dataclass(frozen=True, slots=True)
class PlannedRoute:
    """A route as it is judged now.

    ill: its account is not well, as a whole or at a recipient's domain; losses: what its provider would leave
    out or change.
    """

    account: str
    provider: str
    chosen: bool
    usable: bool
    ill: bool
    reason: str
    losses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PlannedGroup:
    """Recipients that travel together, and every route in the order of trying.

    hopeless: none of them can ever carry the mail.
    """

    recipients: tuple[str, ...]
    routes: tuple[PlannedRoute, ...]
    hopeless: bool

    @property
    def chosen(self) -> PlannedRoute | None:
        return next((item for item in self.routes if item.chosen), None)


@dataclass(frozen=True, slots=True)
class Plan:
    """suppressed: (address, why)."""

    summary: str
    groups: tuple[PlannedGroup, ...]
    suppressed: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]

    @property
    def sendable(self) -> bool:
        return any(group.chosen for group in self.groups)


def plan(sender: Sender, draft: Draft, connections: Connections, links: Links) -> Plan:
    """What accepting the mail would lead to at this moment. Raises what accepting it would raise for its
    content and for want of a route."""
    now = db.session.scalars(select(func.now())).one()
    check(sender, draft, now)
    check_routes(sender)
    message = draft.message
    addressed = [address.email for address in (*message.to, *message.cc, *message.bcc)]
    on_list = suppress.listed(sender.account_id, addressed)
    task = _task(sender, message, set(on_list), now)
    routing = load([task])[sender.environment_id]
    desk = _Desk(task, _without_lots(routing), _lots(routing, now), connections, links, now)
    groups = tuple(desk.planned(group) for group in task.groups(desk.routing.troubled))
    suppressed = tuple((email, on_list[email.lower()]) for email in addressed if email.lower() in on_list)
    doubts = _doubts(routing.routes) if any(group.chosen for group in groups) else ()
    warnings = (*_conditions(sender, draft, now), *_dead_ends(groups), *_troubles(groups), *doubts)
    return Plan(_summary(groups, suppressed), groups, suppressed, warnings)


def _task(sender: Sender, message: Message, suppressed: set[str], now: datetime) -> Task:
    """The mail as a worker would have it at its first look, without those who would get nothing."""
    by_kind = {RecipientKind.TO: message.to, RecipientKind.CC: message.cc, RecipientKind.BCC: message.bcc}
    recipients = [
        Recipient(str(number), address, kind)
        for number, (kind, address) in enumerate((k, a) for k, named in by_kind.items() for a in named)
        if address.email.lower() not in suppressed
    ]
    pending = {int(recipient.id): Pending(recipient, int(recipient.id)) for recipient in recipients}
    return Task(
        email_id=uuid.uuid4(),
        environment_id=sender.environment_id,
        lease=1,
        round=0,
        create_time=now,
        message=message,
        pending=pending,
    )


@dataclass(frozen=True, slots=True)
class _Desk:
    """What judging a group of recipients takes. lots: what drills do to a part of the mail, by account."""

    task: Task
    routing: Routing
    lots: Mapping[uuid.UUID, str]
    connections: Connections
    links: Links
    now: datetime

    def planned(self, group: list[Pending]) -> PlannedGroup:
        # No lot is drawn: of equals the one is named first that stands first.
        judged = judge(self.task, group, self.routing, self.connections, self.now, draw=0.0)
        routes = {item.account_id: item for item in self.routing.routes}
        seen = [_capped(item, routes[item.candidate.account], len(group), self.now) for item in judged]
        chosen = next(iter(route.usable(seen)), None)
        order = sorted(seen, key=lambda item: item.use is Use.LAST_RESORT)
        told = explained(order, chosen.candidate.account if chosen else None)
        handoff = handoff_of(self.task, group, "")
        planned = tuple(
            PlannedRoute(
                account=item.candidate.name,
                provider=routes[item.candidate.account].provider,
                chosen=item is chosen,
                usable=item.use in _NOW,
                ill=item.use in _ILL and not item.candidate.off,
                reason=str(words["reason"]) + _lot(item, seen) + self.lots.get(item.candidate.account, ""),
                losses=tuple(self._losses(routes[item.candidate.account], handoff)),
            )
            for item, words in zip(order, told, strict=True)
        )
        recipients = tuple(pending.recipient.address.email for pending in group)
        return PlannedGroup(recipients, planned, hopeless=route.hopeless(seen))

    def _losses(self, route_: RouteNow, handoff: Handoff) -> Iterator[str]:
        capabilities = connection_of(route_, self.connections).capabilities
        yield from losses(capabilities, handoff)
        wanted = self.routing.policy.one_click_unsubscribe
        if wanted and self.links.added(handoff, _ALL) != self.links.added(handoff, capabilities):
            yield "the mail goes without its link to unsubscribe, a header that the provider does not carry"


def _without_lots(routing: Routing) -> Routing:
    """Without the drills that concern a part of the mail: nobody can tell whether this one."""
    routes = [
        replace(item, drill=None) if item.drill and item.drill.share < drill.ALL else item
        for item in routing.routes
    ]
    return Routing(routing.policy, routes)


def _lots(routing: Routing, now: datetime) -> dict[uuid.UUID, str]:
    return {
        item.account_id: f"; {item.drill.share} of 100 mails pass it over, by a {item.drill.words(now)}"
        for item in routing.routes
        if item.drill and item.drill.share < drill.ALL
    }


def _capped(item: Judged, route_: RouteNow, mails: int, now: datetime) -> Judged:
    """The verdict with the route's cap in mind."""
    full = caps.look(route_, mails) if item.use in _NOW else None
    return route.full(item, full.reason, now + timedelta(seconds=full.wait_s)) if full else item


def _lot(item: Judged, others: Sequence[Judged]) -> str:
    """Who else might be taken just as well."""
    weights = [
        other.candidate.weight
        for other in others
        if other.candidate.position == item.candidate.position and other.use is Use.YES
    ]
    if item.use is not Use.YES or len(weights) < 2:
        return ""
    return f"; among equals it comes first for {item.candidate.weight} of {sum(weights)} mails, by lot"


def _conditions(sender: Sender, draft: Draft, now: datetime) -> Iterator[str]:
    if sender.test:
        text = "the key is of type test: nobody gets its mail, and what becomes of it is simulated"
        yield f"{text}; this is the way of a live mail"
    if draft.send_at and draft.send_at > now:
        time = f"{draft.send_at:%Y-%m-%d %H:%M:%S} UTC"
        yield f"the mail would wait until {time}; this is the way that it would take now"


def _dead_ends(groups: Sequence[PlannedGroup]) -> Iterator[str]:
    for group in groups:
        usable = [item.account for item in group.routes if item.usable]
        whom = _some(group.recipients)
        if not usable:
            reasons = "; ".join(f"{item.account}: {item.reason}" for item in group.routes)
            yield f"no provider can take the mail to {whom} now ({reasons})"
        if len(usable) == 1:
            yield f"no other provider could take over the mail to {whom} if {usable[0]} fails"


def _troubles(groups: Sequence[PlannedGroup]) -> Iterable[str]:
    """Each trouble once, as far as it is not told as a dead end."""
    return dict.fromkeys(
        f"{item.account}: {item.reason}"
        for group in groups
        for item in group.routes
        if item.ill and group.chosen
    )


def _doubts(routes: Iterable[RouteNow]) -> Iterator[str]:
    """Accounts that would be given mail, and failed their last check."""
    ids = [item.account_id for item in routes if not item.disabled]
    query = select(ProviderAccount).where(ProviderAccount.id.in_(ids), ~ProviderAccount.check_ok)
    rows = db.session.scalars(query.order_by(ProviderAccount.name)).all()
    standings = account_states.read(rows)
    for row in rows:
        if found := account_states.DOUBTS.get(standings[row.id].state):
            yield f"{row.name}: {found} ({row.check_text.rstrip('.')}); it is tried all the same"


def _summary(groups: Sequence[PlannedGroup], suppressed: Sequence[tuple[str, str]]) -> str:
    parts = [_first_step(group) for group in groups]
    if suppressed:
        whom = _some([email for email, _ in suppressed])
        parts.append(f"nothing would be sent to {whom}, on the suppression list")
    text = "; ".join(parts)
    return text[0].upper() + text[1:] + "."


def _first_step(group: PlannedGroup) -> str:
    whom = _some(group.recipients)
    if group.chosen is None:
        what = (
            "fail, for no provider can ever carry it" if group.hopeless else "wait, for none can take it now"
        )
        return f"the mail to {whom} would {what}"
    passed = [item.account for item in group.routes[: group.routes.index(group.chosen)]]
    over = f", passing over {_some(passed)}" if passed else ""
    return f"the mail to {whom} would go through {group.chosen.account}{over}"


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
