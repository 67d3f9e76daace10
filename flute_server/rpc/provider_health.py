"""How a provider account fares and fared, as messages."""

from __future__ import annotations

from datetime import datetime

from flute.v1 import provider_account_service_pb2 as pb

from flute_server.domain.account_state import AccountState
from flute_server.domain.outcome import Outcome
from flute_server.domain.state import EventType
from flute_server.models import Measure
from flute_server.rpc.convert import timestamp
from flute_server.rpc.statistics import percentiles
from flute_server.sending.account_health import AccountHealth, Point
from flute_server.sending.tally import CALLS, RESCUED

_FIGURES = {
    "attempts": CALLS,
    "accepted": Outcome.ACCEPTED,
    "not_sent": Outcome.NOT_SENT,
    "refused": Outcome.REFUSED,
    "ambiguous": Outcome.AMBIGUOUS,
    "delivered": EventType.DELIVERED,
    "deferred": EventType.DEFERRED,
    "rescued": RESCUED,
}


def state(state: AccountState) -> pb.ProviderAccountState.ValueType:
    """What it is, in the contract's word."""
    return pb.ProviderAccountState.Value(f"PROVIDER_ACCOUNT_STATE_{state.upper()}")


def breaker_state(state: str) -> pb.BreakerState.ValueType:
    """The same of a breaker."""
    return pb.BreakerState.Value(f"BREAKER_STATE_{state.upper()}")


def told(found: AccountHealth) -> pb.ProviderAccountHealth:
    """The answer to GetProviderAccountHealth."""
    return pb.ProviderAccountHealth(
        start_time=timestamp(found.span.start),
        end_time=timestamp(found.span.end),
        total=_point(found.span.start, found.total),
        series=(_point(begin, point) for begin, point in found.series),
        causes=(pb.BounceCause(cause=cause, count=n) for cause, n in found.total.causes.most_common()),
        domains=(
            pb.DomainFigures(
                domain=domain, sent=sent, delivered=delivered, bounced=bounced, deferred=deferred
            )
            for domain, sent, delivered, bounced, deferred in found.domains
        ),
        breaker_changes=(
            pb.BreakerChange(
                time=timestamp(row.time), opened=row.opened, domain=row.domain, reason=row.reason
            )
            for row in found.changes
        ),
    )


def _point(begin: datetime, point: Point) -> pb.ProviderAccountPoint:
    figures = {name: point.counts.get(type_, 0) for name, type_ in _FIGURES.items()}
    return pb.ProviderAccountPoint(
        start_time=timestamp(begin),
        figures=pb.ProviderAccountFigures(bounced=point.causes.total(), **figures),
        call_time=percentiles(point.times(Measure.CALL)),
        time_to_deliver=percentiles(point.times(Measure.DELIVER)),
    )
