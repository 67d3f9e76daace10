"""WebhookService."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import timedelta

import grpc
from flute.v1 import webhook_service_pb2 as pb
from flute.v1.webhook_service_pb2_grpc import WebhookServiceServicer
from google.protobuf.duration_pb2 import Duration
from google.protobuf.empty_pb2 import Empty

from flute_server.admin import webhook_endpoints
from flute_server.admin.webhook_endpoints import FIELDS, Settings
from flute_server.config import Config
from flute_server.errors import Violation, invalid
from flute_server.models import AlertKind, Environment, WebhookEndpoint, db
from flute_server.rpc.convert import time, timestamp
from flute_server.rpc.principal import author, current, require_sender
from flute_server.rpc.waiting import waiting
from flute_server.sending import alerts
from flute_server.sending.story import find_email
from flute_server.sending.webhooks import log
from flute_server.sending.webhooks.log import Entry, Try
from flute_server.sending.webhooks.probe import probe


class WebhookServicer(WebhookServiceServicer):
    """Where an environment's events are told to its owner's own programs."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def CreateWebhookEndpoint(
        self, request: pb.CreateWebhookEndpointRequest, context: grpc.ServicerContext
    ) -> pb.CreateWebhookEndpointResponse:
        given = request.webhook_endpoint
        sender = require_sender(given.environment_id)
        row, secret = webhook_endpoints.create(
            self._config, sender.environment_id, _settings(given), author()
        )
        return pb.CreateWebhookEndpointResponse(webhook_endpoint=_endpoint(row), secret=secret)

    def GetWebhookEndpoint(
        self, request: pb.GetWebhookEndpointRequest, context: grpc.ServicerContext
    ) -> pb.WebhookEndpoint:
        return _endpoint(_found(request.id))

    def ListWebhookEndpoints(
        self, request: pb.ListWebhookEndpointsRequest, context: grpc.ServicerContext
    ) -> pb.ListWebhookEndpointsResponse:
        sender = require_sender(request.environment_id)
        rows, token = webhook_endpoints.list_page(
            sender.environment_id, request.page_size, request.page_token
        )
        return pb.ListWebhookEndpointsResponse(webhook_endpoints=map(_endpoint, rows), next_page_token=token)

    def UpdateWebhookEndpoint(
        self, request: pb.UpdateWebhookEndpointRequest, context: grpc.ServicerContext
    ) -> pb.WebhookEndpoint:
        row, given = _found(request.id), request.webhook_endpoint
        set_ = {field.name for field, _ in given.ListFields()}
        fields = set(request.update_mask.paths) or set_.intersection(FIELDS)
        webhook_endpoints.update(self._config, row, _settings(given), fields, author())
        if not row.paused:
            _settle(row)
        db.session.commit()
        return _endpoint(row)

    def DeleteWebhookEndpoint(
        self, request: pb.DeleteWebhookEndpointRequest, context: grpc.ServicerContext
    ) -> Empty:
        row = _found(request.id)
        _settle(row)
        webhook_endpoints.delete(row, author())
        db.session.commit()
        return Empty()

    def RotateWebhookSecret(
        self, request: pb.RotateWebhookSecretRequest, context: grpc.ServicerContext
    ) -> pb.CreateWebhookEndpointResponse:
        overlap = _span(request.overlap) if request.HasField("overlap") else None
        row, secret = webhook_endpoints.rotate(self._config, _found(request.id), overlap, author())
        return pb.CreateWebhookEndpointResponse(webhook_endpoint=_endpoint(row), secret=secret)

    def TestWebhookEndpoint(
        self, request: pb.TestWebhookEndpointRequest, context: grpc.ServicerContext
    ) -> pb.WebhookTry:
        with waiting(self._config.grpc_threads).one():
            return _try(probe(self._config, _found(request.id)))

    def ListWebhookDeliveries(
        self, request: pb.ListWebhookDeliveriesRequest, context: grpc.ServicerContext
    ) -> pb.ListWebhookDeliveriesResponse:
        row = _found(request.endpoint_id)
        state = _word(request.state)
        entries, token = log.list_page(row.id, state, request.page_size, request.page_token)
        return _deliveries(entries, token)

    def ListEmailWebhookDeliveries(
        self, request: pb.ListEmailWebhookDeliveriesRequest, context: grpc.ServicerContext
    ) -> pb.ListWebhookDeliveriesResponse:
        email = find_email(request.email_id, _own_environment())
        state = _word(request.state)
        entries, token = log.list_of_email(email.id, state, request.page_size, request.page_token)
        return _deliveries(entries, token)

    def GetWebhookDelivery(
        self, request: pb.GetWebhookDeliveryRequest, context: grpc.ServicerContext
    ) -> pb.WebhookDelivery:
        return _delivery(log.get(request.id, _own_environment()))

    def ReplayWebhookDeliveries(
        self, request: pb.ReplayWebhookDeliveriesRequest, context: grpc.ServicerContext
    ) -> pb.ReplayWebhookDeliveriesResponse:
        row = _found(request.endpoint_id)
        ranged = request.HasField("start_time") or request.HasField("end_time") or request.only_failed
        if bool(request.delivery_ids) == ranged:
            text = "give either delivery_ids, or start_time with end_time and only_failed if wanted"
            raise invalid([Violation("delivery_ids", text)])
        if ranged and not request.HasField("start_time"):
            raise invalid([Violation("start_time", "is required for a range")])
        if ranged:
            end = time(request.end_time) if request.HasField("end_time") else None
            start = time(request.start_time)
            count = log.replay_range(row, start, end, only_failed=request.only_failed)
        else:
            count = log.replay_named(row.id, request.delivery_ids)
        webhook_endpoints.note_replay(row, count, author())
        db.session.commit()
        return pb.ReplayWebhookDeliveriesResponse(count=count)


def _span(duration: Duration) -> timedelta:
    """Our span; what none of ours can hold is as long as one can be."""
    try:
        return duration.ToTimedelta()
    except (OverflowError, ValueError):
        return timedelta.max


def _own_environment() -> uuid.UUID | None:
    """The key's environment; None for the service, which may see all."""
    sender = current.get().sender
    return sender.environment_id if sender else None


def _found(id_: str) -> WebhookEndpoint:
    return webhook_endpoints.find(id_, _own_environment())


def _settle(row: WebhookEndpoint) -> None:
    environment = db.session.get_one(Environment, row.environment_id)
    alerts.settle(environment.account_id, AlertKind.WEBHOOK, str(row.id))


def _word(state: pb.WebhookDeliveryState.ValueType) -> str:
    if state == pb.WEBHOOK_DELIVERY_STATE_UNSPECIFIED:
        return ""
    if state not in pb.WebhookDeliveryState.values():
        raise invalid([Violation("state", "no state of a delivery")])
    return pb.WebhookDeliveryState.Name(state).removeprefix("WEBHOOK_DELIVERY_STATE_").lower()


def _settings(given: pb.WebhookEndpoint) -> Settings:
    return Settings(given.url, given.description, list(given.event_types), given.paused)


def _endpoint(row: WebhookEndpoint) -> pb.WebhookEndpoint:
    return pb.WebhookEndpoint(
        id=str(row.id),
        environment_id=str(row.environment_id),
        url=row.url,
        description=row.description,
        event_types=row.event_types,
        paused=row.paused,
        pause_reason=row.pause_reason,
        create_time=timestamp(row.create_time),
        failing_since=timestamp(row.failing_since),
        previous_secret_expire_time=timestamp(webhook_endpoints.overlap_end(row)),
    )


def _deliveries(entries: Iterable[Entry], token: str) -> pb.ListWebhookDeliveriesResponse:
    return pb.ListWebhookDeliveriesResponse(webhook_deliveries=map(_delivery, entries), next_page_token=token)


def _delivery(entry: Entry) -> pb.WebhookDelivery:
    return pb.WebhookDelivery(
        id=str(entry.id),
        endpoint_id=str(entry.endpoint_id),
        event_id=entry.event_id,
        event_type=entry.event_type,
        email_id=str(entry.email_id),
        state=pb.WebhookDeliveryState.Value(f"WEBHOOK_DELIVERY_STATE_{entry.state.upper()}"),
        create_time=timestamp(entry.time),
        next_try_time=timestamp(entry.next_try),
        body=entry.body,
        tries=map(_try, entry.tries),
    )


def _try(made: Try) -> pb.WebhookTry:
    took = Duration()
    took.FromTimedelta(made.took)
    return pb.WebhookTry(
        start_time=timestamp(made.begin),
        duration=took,
        status=made.status,
        text=made.text,
        url=made.url,
    )
