"""AuditService."""

from __future__ import annotations

import grpc
from flute.v1 import audit_service_pb2 as pb
from flute.v1.audit_service_pb2_grpc import AuditServiceServicer

from flute_server.admin import audit
from flute_server.models import AuditEntry
from flute_server.rpc.convert import timestamp
from flute_server.rpc.principal import require_account


class AuditServicer(AuditServiceServicer):
    """Who changed what."""

    def ListAuditEntries(
        self, request: pb.ListAuditEntriesRequest, context: grpc.ServicerContext
    ) -> pb.ListAuditEntriesResponse:
        rows, token = audit.list_page(
            require_account(request.account_id), request.page_size, request.page_token
        )
        return pb.ListAuditEntriesResponse(audit_entries=map(_entry, rows), next_page_token=token)


def _entry(row: AuditEntry) -> pb.AuditEntry:
    return pb.AuditEntry(
        id=str(row.id),
        account_id=str(row.account_id),
        actor=row.actor,
        action=row.action,
        subject=row.subject,
        text=row.text,
        request_id=row.request_id,
        create_time=timestamp(row.create_time),
    )
