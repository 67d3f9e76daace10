"""AlertService."""

from __future__ import annotations

import grpc
from flute.v1 import alert_service_pb2 as pb
from flute.v1.alert_service_pb2_grpc import AlertServiceServicer

from flute_server.admin import alerts
from flute_server.models import Alert
from flute_server.rpc.convert import timestamp
from flute_server.rpc.principal import require_account


class AlertServicer(AlertServiceServicer):
    """What waits for a person."""

    def ListAlerts(
        self, request: pb.ListAlertsRequest, context: grpc.ServicerContext
    ) -> pb.ListAlertsResponse:
        rows, token = alerts.list_page(
            require_account(request.account_id),
            request.page_size,
            request.page_token,
            resolved=request.include_resolved,
        )
        return pb.ListAlertsResponse(alerts=map(_alert, rows), next_page_token=token)

    def ResolveAlert(self, request: pb.ResolveAlertRequest, context: grpc.ServicerContext) -> pb.Alert:
        return _alert(alerts.resolve(request.id))


def _alert(row: Alert) -> pb.Alert:
    return pb.Alert(
        id=str(row.id),
        account_id=str(row.account_id),
        kind=row.kind,
        subject=row.subject,
        text=row.text,
        count=row.count,
        create_time=timestamp(row.create_time),
        resolve_time=timestamp(row.resolve_time),
    )
