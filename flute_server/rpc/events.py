"""EventService."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
from flute.v1 import event_service_pb2 as pb
from flute.v1.event_service_pb2_grpc import EventServiceServicer
from google.protobuf.empty_pb2 import Empty

from flute_server.config import Config
from flute_server.errors import Violation, invalid
from flute_server.providers.base import WebhookRequest
from flute_server.rpc.event_stream import POOL, Streams, event
from flute_server.rpc.principal import require_sender
from flute_server.sending import feed
from flute_server.sending.ingest import Receiver
from flute_server.sending.position import BEGINNING, Position

MAX_BODY_BYTES = 5 * 1024 * 1024
DEFAULT_PAGE = 100
LARGEST_PAGE = 1000


class EventServicer(EventServiceServicer):
    """Takes in what providers tell about mail that they accepted, and tells what became of it."""

    def __init__(self, config: Config, streams: Streams) -> None:
        self._receiver = Receiver(config)
        self._streams = streams

    def IngestWebhook(self, request: pb.IngestWebhookRequest, context: grpc.ServicerContext) -> Empty:
        _check_size("body", request.body)
        given = WebhookRequest(dict(request.headers), request.body)
        self._receiver.webhook(request.provider, request.provider_account_id, given)
        return Empty()

    def IngestBounce(self, request: pb.IngestBounceRequest, context: grpc.ServicerContext) -> Empty:
        _check_size("raw", request.raw)
        self._receiver.bounce(request.recipient, request.raw)
        return Empty()

    def ListEvents(
        self, request: pb.ListEventsRequest, context: grpc.ServicerContext
    ) -> pb.ListEventsResponse:
        environment_id = require_sender(request.environment_id).environment_id
        types = feed.checked_types(request.types)
        if not 0 <= request.page_size <= LARGEST_PAGE:
            raise invalid([Violation("page_size", f"must be 1 to {LARGEST_PAGE}, or 0 for the usual size")])
        if request.latest and not request.page_token:
            return pb.ListEventsResponse(next_page_token=feed.latest().encode())
        after = Position.decode(request.page_token) if request.page_token else BEGINNING
        page = feed.read(environment_id, after, types, request.page_size or DEFAULT_PAGE)
        return pb.ListEventsResponse(events=map(event, page.events), next_page_token=page.end.encode())

    def StreamEvents(
        self, request: pb.StreamEventsRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.StreamEventsResponse]:
        return self._streams.follow(request, context)

    StreamEvents.experimental_thread_pool = POOL  # type: ignore[attr-defined]  # where gRPC runs it


def _check_size(field: str, value: bytes) -> None:
    if len(value) > MAX_BODY_BYTES:
        raise invalid([Violation(field, f"at most {MAX_BODY_BYTES:,} bytes")])
