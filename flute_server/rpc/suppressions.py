"""SuppressionService."""

from __future__ import annotations

import grpc
from flute.v1 import suppression_service_pb2 as pb
from flute.v1.suppression_service_pb2_grpc import SuppressionServiceServicer
from google.protobuf.empty_pb2 import Empty

from flute_server.admin import suppressions
from flute_server.config import Config
from flute_server.models import Suppression
from flute_server.rpc.convert import timestamp


class SuppressionServicer(SuppressionServiceServicer):
    """Addresses that an account must not mail through any of its providers."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def CreateSuppression(
        self, request: pb.CreateSuppressionRequest, context: grpc.ServicerContext
    ) -> pb.Suppression:
        given = request.suppression
        return _suppression(suppressions.create(given.account_id, given.email, given.text))

    def ListSuppressions(
        self, request: pb.ListSuppressionsRequest, context: grpc.ServicerContext
    ) -> pb.ListSuppressionsResponse:
        rows, token = suppressions.list_page(request.account_id, request.page_size, request.page_token)
        return pb.ListSuppressionsResponse(suppressions=map(_suppression, rows), next_page_token=token)

    def DeleteSuppression(self, request: pb.DeleteSuppressionRequest, context: grpc.ServicerContext) -> Empty:
        suppressions.delete(request.id)
        return Empty()


def _suppression(row: Suppression) -> pb.Suppression:
    return pb.Suppression(
        id=str(row.id),
        account_id=str(row.account_id),
        email=row.address,
        reason=pb.SuppressionReason.Value(f"SUPPRESSION_REASON_{row.reason.upper()}"),
        text=row.text,
        create_time=timestamp(row.create_time),
    )
