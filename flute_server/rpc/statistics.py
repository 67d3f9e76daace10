"""StatisticsService."""

from __future__ import annotations

from datetime import UTC, datetime

import grpc
from flute.v1 import statistics_service_pb2 as pb
from flute.v1.statistics_service_pb2_grpc import StatisticsServiceServicer
from google.protobuf.duration_pb2 import Duration

from flute_server.admin.find import find
from flute_server.domain.state import EventType
from flute_server.errors import Violation, invalid
from flute_server.models import Account, Dimension, Measure
from flute_server.rpc import convert, email_lists
from flute_server.rpc.principal import require_account, require_sender
from flute_server.sending import attention, overview, progress, statistics, tally
from flute_server.sending.overview import Period
from flute_server.sending.statistics import Interval, Span
from flute_server.sending.summary import summaries

_INTERVALS = {
    pb.STATISTICS_INTERVAL_UNSPECIFIED: Interval.DAY,
    pb.STATISTICS_INTERVAL_HOUR: Interval.HOUR,
    pb.STATISTICS_INTERVAL_DAY: Interval.DAY,
    pb.STATISTICS_INTERVAL_TOTAL: Interval.TOTAL,
}
_GROUPS = {
    pb.STATISTICS_GROUP_UNSPECIFIED: Dimension.ALL,
    pb.STATISTICS_GROUP_PROVIDER_ACCOUNT: Dimension.PROVIDER_ACCOUNT,
    pb.STATISTICS_GROUP_TAG: Dimension.TAG,
    pb.STATISTICS_GROUP_DOMAIN: Dimension.DOMAIN,
}


_PERIODS = {
    pb.OVERVIEW_PERIOD_UNSPECIFIED: Period.DAY,
    pb.OVERVIEW_PERIOD_DAY: Period.DAY,
    pb.OVERVIEW_PERIOD_WEEK: Period.WEEK,
    pb.OVERVIEW_PERIOD_MONTH: Period.MONTH,
}
_FIGURES = {
    "emails": tally.EMAILS,
    "accepted": EventType.ACCEPTED,
    "sent": EventType.SENT,
    "delivered": EventType.DELIVERED,
    "bounced": EventType.BOUNCED,
    "failed": EventType.FAILED,
    "deferred": EventType.DEFERRED,
    "rescued": tally.RESCUED,
    "complained": EventType.COMPLAINED,
    "suppressed": EventType.SUPPRESSED,
    "failovers": EventType.FAILOVER,
    "canceled": EventType.CANCELED,
}


class StatisticsServicer(StatisticsServiceServicer):
    """Figures over time."""

    def GetStatistics(
        self, request: pb.GetStatisticsRequest, context: grpc.ServicerContext
    ) -> pb.GetStatisticsResponse:
        environment_id = require_sender(request.environment_id).environment_id
        if request.interval not in _INTERVALS:
            raise invalid([Violation("interval", "not an interval; hour, day or total")])
        if request.group_by not in _GROUPS:
            raise invalid([Violation("group_by", "not a group; provider_account, tag or domain")])
        interval = _INTERVALS[request.interval]
        start = convert.time(request.start_time) if request.HasField("start_time") else None
        end = convert.time(request.end_time) if request.HasField("end_time") else None
        span = Span.around(start, end, interval, datetime.now(UTC))
        rows = statistics.read(environment_id, span, interval, _GROUPS[request.group_by])
        return pb.GetStatisticsResponse(rows=map(_row, rows))

    def GetAccountOverview(
        self, request: pb.GetAccountOverviewRequest, context: grpc.ServicerContext
    ) -> pb.AccountOverview:
        account = find(Account, require_account(request.account_id))
        now = datetime.now(UTC)
        found = overview.read(account.id, period(request.period), now)
        return pb.AccountOverview(
            start_time=convert.timestamp(found.span.start),
            end_time=convert.timestamp(found.span.end),
            total=_figures(found.total),
            environments=map(_part, found.environments),
            provider_accounts=map(_part, found.provider_accounts),
            series=(
                pb.OverviewPoint(start_time=convert.timestamp(begin), figures=_figures(counts))
                for begin, counts in found.series
            ),
            attention=map(_attention, attention.read(account.id, now)),
        )

    def GetAccountProgress(
        self, request: pb.GetAccountProgressRequest, context: grpc.ServicerContext
    ) -> pb.AccountProgress:
        account = find(Account, require_account(request.account_id))
        found = progress.read(account.id)
        lines = summaries([found.last_email] if found.last_email else [])
        return pb.AccountProgress(
            last_email=email_lists.told(lines[0]) if lines else None,
            delivered=found.delivered,
            handed_over=found.handed_over,
        )


def _row(row: statistics.Row) -> pb.StatisticsRow:
    return pb.StatisticsRow(
        start_time=convert.timestamp(row.start),
        group=row.group,
        counts=row.counts,
        time_to_send=percentiles(row.times.get(Measure.SEND)),
        time_to_deliver=percentiles(row.times.get(Measure.DELIVER)),
    )


def percentiles(times: statistics.Percentiles | None) -> pb.Percentiles | None:
    """As told; None for nothing measured."""
    if times is None:
        return None
    told = pb.Percentiles(count=times.count)
    for name in ("p50", "p90", "p99"):
        duration = Duration()
        duration.FromTimedelta(getattr(times, name))
        getattr(told, name).CopyFrom(duration)
    return told


def period(given: pb.OverviewPeriod.ValueType) -> Period:
    """Raises InvalidArgument for one that there is not."""
    if given not in _PERIODS:
        raise invalid([Violation("period", "not a period; day, week or month")])
    return _PERIODS[given]


def _figures(counts: overview.Counts) -> pb.OverviewFigures:
    return pb.OverviewFigures(**{name: counts.get(type_, 0) for name, type_ in _FIGURES.items()})


def _part(part: overview.Part) -> pb.OverviewPart:
    return pb.OverviewPart(id=str(part.id), name=part.name, figures=_figures(part.counts))


def _attention(item: attention.Attention) -> pb.Attention:
    return pb.Attention(
        kind=pb.AttentionKind.Value(f"ATTENTION_KIND_{item.kind.upper()}"),
        subject_id=item.subject_id,
        subject=item.subject,
        text=item.text,
        urgent=item.urgent,
        time=convert.timestamp(item.time) if item.time else None,
        environment_id=str(item.environment_id or ""),
    )
