"""DrillService."""

from __future__ import annotations

from datetime import datetime, timedelta

import grpc
from flute.v1 import drill_service_pb2 as pb
from flute.v1.drill_service_pb2_grpc import DrillServiceServicer
from google.protobuf.duration_pb2 import Duration

from flute_server.admin.find import find
from flute_server.domain.route import Use
from flute_server.models import Drill
from flute_server.rpc.convert import timestamp
from flute_server.rpc.principal import author, require_account
from flute_server.sending import drills
from flute_server.sending.drill_report import Destination, Report, report


class DrillServicer(DrillServiceServicer):
    """Failover drills."""

    def CreateDrill(self, request: pb.CreateDrillRequest, context: grpc.ServicerContext) -> pb.Drill:
        # No conversion of the message's own: it raises for what no timedelta holds.
        seconds = request.duration.seconds if abs(request.duration.seconds) < 10**9 else -1
        row = drills.create(
            request.provider_account_id,
            request.environment_id,
            timedelta(seconds=seconds),
            request.share,
            force=request.force,
            author=author(),
        )
        return _told(row)

    def PreviewDrill(
        self, request: pb.PreviewDrillRequest, context: grpc.ServicerContext
    ) -> pb.PreviewDrillResponse:
        obstacle, effects = drills.preview(request.provider_account_id, request.environment_id)
        return pb.PreviewDrillResponse(obstacle=obstacle, effects=map(_effect, effects))

    def GetDrill(self, request: pb.GetDrillRequest, context: grpc.ServicerContext) -> pb.Drill:
        return _told(find(Drill, request.id))

    def ListDrills(
        self, request: pb.ListDrillsRequest, context: grpc.ServicerContext
    ) -> pb.ListDrillsResponse:
        account_id = request.account_id
        if account_id or not request.provider_account_id:
            account_id = require_account(account_id)
        rows, token = drills.list_page(
            account_id, request.provider_account_id, request.page_size, request.page_token
        )
        names, now = drills.names(rows), drills.now()
        told = [_drill(row, names[row.provider_account_id], now) for row in rows]
        return pb.ListDrillsResponse(drills=told, next_page_token=token)

    def EndDrill(self, request: pb.EndDrillRequest, context: grpc.ServicerContext) -> pb.Drill:
        return _told(drills.end(request.id, author()))


def _told(row: Drill) -> pb.Drill:
    """With its report."""
    told = _drill(row, drills.names([row])[row.provider_account_id], drills.now())
    told.report.CopyFrom(_report(report(row)))
    return told


def _drill(row: Drill, name: str, now: datetime) -> pb.Drill:
    return pb.Drill(
        id=str(row.id),
        account_id=str(row.account_id),
        provider_account_id=str(row.provider_account_id),
        provider_account=name,
        environment_id=str(row.environment_id or ""),
        share=row.share,
        duration=Duration(seconds=row.duration_s),
        create_time=timestamp(row.create_time),
        end_time=timestamp(row.end_time),
        running=row.end_time > now,
    )


def _effect(effect: drills.Effect) -> pb.DrillEffect:
    stand_ins = (
        pb.DrillStandIn(provider_account=item.candidate.name, ready=item.use is Use.YES, reason=item.reason)
        for item in effect.others
    )
    return pb.DrillEffect(
        environment_id=str(effect.environment_id),
        environment=effect.environment,
        stand_ins=stand_ins,
        stranded=effect.stranded,
    )


def _report(found: Report) -> pb.DrillReport:
    added = None
    if found.moved_latency_s is not None and found.usual_latency_s is not None:
        added = found.moved_latency_s - found.usual_latency_s
    return pb.DrillReport(
        recipients=found.recipients,
        moved=found.moved,
        returned=found.returned,
        waiting=found.waiting,
        failed=found.failed,
        dropped=found.dropped,
        bounced=found.bounced,
        duplicates=found.duplicates,
        destinations=map(_destination, found.destinations),
        moved_latency=_span(found.moved_latency_s),
        usual_latency=_span(found.usual_latency_s),
        added_latency=_span(added),
    )


def _destination(found: Destination) -> pb.DrillDestination:
    return pb.DrillDestination(
        provider_account_id=str(found.account_id),
        provider_account=found.account,
        recipients=found.recipients,
    )


def _span(seconds: float | None) -> Duration | None:
    if seconds is None:
        return None
    span = Duration()
    span.FromTimedelta(timedelta(seconds=seconds))
    return span
