"""EventService."""

from __future__ import annotations

import grpc
from flute.v1 import event_service_pb2 as pb
from flute.v1.event_service_pb2_grpc import EventServiceServicer
from google.protobuf.empty_pb2 import Empty

from flute_server.config import Config
from flute_server.errors import Violation, invalid
from flute_server.providers.base import WebhookRequest
from flute_server.sending.ingest import Receiver

MAX_BODY_BYTES = 5 * 1024 * 1024


class EventServicer(EventServiceServicer):
    """Takes in what providers tell about mail that they accepted."""

    def __init__(self, config: Config) -> None:
        self._receiver = Receiver(config)

    def IngestWebhook(self, request: pb.IngestWebhookRequest, context: grpc.ServicerContext) -> Empty:
        _check_size("body", request.body)
        given = WebhookRequest(dict(request.headers), request.body)
        self._receiver.webhook(request.provider, request.provider_account_id, given)
        return Empty()

    def IngestBounce(self, request: pb.IngestBounceRequest, context: grpc.ServicerContext) -> Empty:
        _check_size("raw", request.raw)
        self._receiver.bounce(request.recipient, request.raw)
        return Empty()


def _check_size(field: str, value: bytes) -> None:
    if len(value) > MAX_BODY_BYTES:
        raise invalid([Violation(field, f"at most {MAX_BODY_BYTES:,} bytes")])
