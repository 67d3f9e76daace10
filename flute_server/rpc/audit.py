"""AuditService."""

from __future__ import annotations

import grpc
from flute.v1 import audit_service_pb2 as pb
from flute.v1.audit_service_pb2_grpc import AuditServiceServicer


class AuditServicer(AuditServiceServicer):
    """Who changed what."""

    def ListAuditEntries(
        self, request: pb.ListAuditEntriesRequest, context: grpc.ServicerContext
    ) -> pb.ListAuditEntriesResponse:
        raise NotImplementedError
