"""The one door to flute_server: messages in and out, and every failure as an RpcFailure."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import grpc
from flask import current_app
from flute.v1.email_pb2 import Email, EmailContent
from flute.v1.email_service_pb2 import GetEmailRequest, SendEmailRequest
from flute.v1.email_service_pb2_grpc import EmailServiceStub
from flute.v1.event_service_pb2 import IngestBounceRequest, IngestWebhookRequest
from flute.v1.event_service_pb2_grpc import EventServiceStub
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2
from grpc_status import rpc_status

from web.config import WebConfig

HEALTH_TIMEOUT_S = 1.0

_Response = TypeVar("_Response", bound=Message)
_Detail = TypeVar("_Detail", bound=Message)
_Metadata = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Violation:
    """A field that the server refused; `field` is a proto path such as content.to[0].email."""

    field: str
    reason: str
    description: str


# Not frozen: contextlib and others set __traceback__ on exceptions.
@dataclass(eq=False)
class RpcFailure(Exception):
    """A call that did not succeed, with everything that google.rpc.Status said about it."""

    code: grpc.StatusCode
    message: str
    reason: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    violations: tuple[Violation, ...] = ()
    retry_after_s: float | None = None

    @property
    def too_large(self) -> bool:
        """The server, or gRPC itself, refused the size of the message."""
        if self.code is not grpc.StatusCode.RESOURCE_EXHAUSTED:
            return False
        return "TOO_LARGE" in self.reason or "larger than max" in self.message


class FluteClient:
    """Calls flute_server with the caller's key. One channel per process, opened by its first call."""

    def __init__(self, config: WebConfig) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._connection: _Connection | None = None

    def send_email(self, content: EmailContent, token: str, request_id: str) -> Email:
        """Hand a mail over. Returning means that it is stored durably."""
        stub = self._connect().email
        return self._call(stub.SendEmail, SendEmailRequest(content=content), token, request_id)

    def get_email(self, email_id: str, token: str, request_id: str) -> Email:
        """One mail; without a token the server masks it."""
        return self._call(self._connect().email.GetEmail, GetEmailRequest(id=email_id), token, request_id)

    def ingest_webhook(
        self, provider: str, provider_account_id: str, headers: dict[str, str], body: bytes, request_id: str
    ) -> None:
        """Pass a provider's call on, untouched. Returning means that it is stored durably."""
        request = IngestWebhookRequest(
            provider=provider, provider_account_id=provider_account_id, headers=headers, body=body
        )
        self._call(self._connect().events.IngestWebhook, request, "", request_id)

    def ingest_bounce(self, recipient: str, raw: bytes, request_id: str) -> None:
        """Pass a bounce mail on. Returning means that it is stored durably."""
        request = IngestBounceRequest(recipient=recipient, raw=raw)
        self._call(self._connect().events.IngestBounce, request, "", request_id)

    def is_serving(self) -> bool:
        """Whether the server answers. One without a health service is taken to be well: it answered."""
        try:
            answer = self._connect().check_health(health_pb2.HealthCheckRequest(), timeout=HEALTH_TIMEOUT_S)
        except grpc.RpcError as error:
            return _code(error) is grpc.StatusCode.UNIMPLEMENTED
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    def close(self) -> None:
        """Close the channel; the next call opens a new one."""
        with self._lock:
            if self._connection is not None:
                self._connection.channel.close()
            self._connection = None

    def _connect(self) -> _Connection:
        connection = self._connection
        # A channel does not survive a fork: whoever inherits one must not touch it.
        if connection is not None and connection.pid == os.getpid():
            return connection
        with self._lock:
            if self._connection is None or self._connection.pid != os.getpid():
                self._connection = _Connection(self._config)
            return self._connection

    def _call(
        self, method: Callable[..., _Response], request: Message, token: str, request_id: str
    ) -> _Response:
        metadata: _Metadata = (("x-request-id", request_id),)
        if token:
            metadata += (("authorization", f"Bearer {token}"),)
        try:
            return method(request, timeout=self._config.rpc_timeout_s, metadata=metadata)
        except grpc.RpcError as error:
            raise _failure(error) from error


class _Connection:
    def __init__(self, config: WebConfig) -> None:
        self.pid = os.getpid()
        self.channel = _channel(config)
        self.email = EmailServiceStub(self.channel)
        self.events = EventServiceStub(self.channel)
        # Spelled out: the annotations of the generated stub do not know its methods.
        self.check_health = self.channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            health_pb2.HealthCheckRequest.SerializeToString,
            health_pb2.HealthCheckResponse.FromString,
        )


def _channel(config: WebConfig) -> grpc.Channel:
    options = [
        # Base64 shrinks on the way in, so a body that passed our limit always fits.
        ("grpc.max_send_message_length", config.max_body_bytes + (1 << 20)),
        ("grpc.max_receive_message_length", -1),
        # A server that is back is found within half a second; one that swallows packets is given up
        # after two.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 500),
        ("grpc.min_reconnect_backoff_ms", 2_000),
        # Mostly for what comes with it: data that is not acknowledged for this long ends the connection.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 5_000),
    ]
    if not config.grpc_tls_ca:
        return grpc.insecure_channel(config.grpc_address, options)
    credentials = grpc.ssl_channel_credentials(Path(config.grpc_tls_ca).read_bytes())
    return grpc.secure_channel(config.grpc_address, credentials, options)


# ----- failures


def _code(error: grpc.RpcError) -> grpc.StatusCode:
    return error.code() if isinstance(error, grpc.Call) else grpc.StatusCode.UNKNOWN


def _failure(error: grpc.RpcError) -> RpcFailure:
    """Read google.rpc.Status and its details. Details that cannot be read are left out, never fatal."""
    if not isinstance(error, grpc.Call):
        return RpcFailure(grpc.StatusCode.UNKNOWN, type(error).__name__)
    code, message = error.code(), error.details() or ""
    try:
        status = rpc_status.from_call(error)
    except ValueError:
        status = None
    if status is None:
        return RpcFailure(code, message)
    info = _detail(status, error_details_pb2.ErrorInfo())
    retry = _detail(status, error_details_pb2.RetryInfo())
    return RpcFailure(
        code,
        status.message or message,
        reason=info.reason,
        metadata=dict(info.metadata),
        violations=tuple(
            Violation(v.field, v.reason, v.description)
            for v in _detail(status, error_details_pb2.BadRequest()).field_violations
        ),
        retry_after_s=retry.retry_delay.ToTimedelta().total_seconds() or None,
    )


def _detail(status: status_pb2.Status, empty: _Detail) -> _Detail:
    """The first detail of the wanted kind, or the empty one that was given."""
    for packed in status.details:
        if packed.Unpack(empty):
            break
    return empty


def current_client() -> FluteClient:
    """The client of the app that serves the present request."""
    client: FluteClient = current_app.extensions["flute"]
    return client
