"""StatisticsService."""

from __future__ import annotations

from datetime import UTC, datetime

import grpc
from flute.v1 import statistics_service_pb2 as pb
from flute.v1.statistics_service_pb2_grpc import StatisticsServiceServicer
from google.protobuf.duration_pb2 import Duration

from flute_server.errors import Violation, invalid
from flute_server.models import Dimension, Measure
from flute_server.rpc import convert
from flute_server.rpc.principal import require_sender
from flute_server.sending import statistics
from flute_server.sending.statistics import Interval, Span

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


def _row(row: statistics.Row) -> pb.StatisticsRow:
    return pb.StatisticsRow(
        start_time=convert.timestamp(row.start),
        group=row.group,
        counts=row.counts,
        time_to_send=_percentiles(row.times.get(Measure.SEND)),
        time_to_deliver=_percentiles(row.times.get(Measure.DELIVER)),
    )


def _percentiles(times: statistics.Percentiles | None) -> pb.Percentiles | None:
    if times is None:
        return None
    told = pb.Percentiles(count=times.count)
    for name in ("p50", "p90", "p99"):
        duration = Duration()
        duration.FromTimedelta(getattr(times, name))
        getattr(told, name).CopyFrom(duration)
    return told
