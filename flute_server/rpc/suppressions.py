"""SuppressionService."""

from __future__ import annotations

import uuid

import grpc
from flute.v1 import suppression_service_pb2 as pb
from flute.v1.suppression_service_pb2_grpc import SuppressionServiceServicer
from google.protobuf.empty_pb2 import Empty

from flute_server.addresses import masked
from flute_server.admin import suppressions
from flute_server.config import Config
from flute_server.errors import Violation, invalid
from flute_server.models import Suppression, SuppressionReason
from flute_server.rpc.convert import timestamp
from flute_server.rpc.principal import author, current, require_account
from flute_server.sending.unsubscribe import subscriber, unsubscribe


class SuppressionServicer(SuppressionServiceServicer):
    """Addresses that an account must not mail through any of its providers."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def CreateSuppression(
        self, request: pb.CreateSuppressionRequest, context: grpc.ServicerContext
    ) -> pb.Suppression:
        given = request.suppression
        account_id = require_account(given.account_id)
        reason = _reason("suppression.reason", given.reason) or SuppressionReason.MANUAL
        return _suppression(suppressions.create(account_id, given.email, reason, given.text, author()))

    def GetSuppression(
        self, request: pb.GetSuppressionRequest, context: grpc.ServicerContext
    ) -> pb.Suppression:
        return _suppression(suppressions.get(request.id, _own_account()))

    def ListSuppressions(
        self, request: pb.ListSuppressionsRequest, context: grpc.ServicerContext
    ) -> pb.ListSuppressionsResponse:
        rows, token = suppressions.list_page(
            require_account(request.account_id),
            request.email,
            _reason("reason", request.reason),
            request.page_size,
            request.page_token,
        )
        return pb.ListSuppressionsResponse(suppressions=map(_suppression, rows), next_page_token=token)

    def DeleteSuppression(self, request: pb.DeleteSuppressionRequest, context: grpc.ServicerContext) -> Empty:
        suppressions.delete(request.id, _own_account(), author())
        return Empty()

    def ImportSuppressions(
        self, request: pb.ImportSuppressionsRequest, context: grpc.ServicerContext
    ) -> pb.ImportSuppressionsResponse:
        done = suppressions.import_csv(require_account(request.account_id), request.csv, author())
        return pb.ImportSuppressionsResponse(
            added=done.added,
            known=done.known,
            refused=done.refused,
            problems=[pb.CsvProblem(line=line.number, detail=line.why) for line in done.problems],
        )

    def ExportSuppressions(
        self, request: pb.ExportSuppressionsRequest, context: grpc.ServicerContext
    ) -> pb.ExportSuppressionsResponse:
        piece, token = suppressions.export_csv(require_account(request.account_id), request.page_token)
        return pb.ExportSuppressionsResponse(csv=piece, next_page_token=token)

    def Unsubscribe(
        self, request: pb.UnsubscribeRequest, context: grpc.ServicerContext
    ) -> pb.UnsubscribeResponse:
        who = subscriber(request.token, self._config)
        if not request.only_look:
            unsubscribe(who)
        return pb.UnsubscribeResponse(email=masked(who.address), domain=who.domain)


def _own_account() -> uuid.UUID | None:
    """The account of the key; the service may act in all."""
    sender = current.get().sender
    return sender.account_id if sender else None


def _reason(field: str, given: pb.SuppressionReason.ValueType) -> SuppressionReason | None:
    if not given:
        return None
    try:
        name = pb.SuppressionReason.Name(given)
    except ValueError as error:
        raise invalid([Violation(field, "not a reason for a suppression")]) from error
    return SuppressionReason(name.removeprefix("SUPPRESSION_REASON_").lower())


def _suppression(row: Suppression) -> pb.Suppression:
    return pb.Suppression(
        id=str(row.id),
        account_id=str(row.account_id),
        email=row.address,
        reason=pb.SuppressionReason.Value(f"SUPPRESSION_REASON_{row.reason.upper()}"),
        text=row.text,
        create_time=timestamp(row.create_time),
    )
