"""The one door to flute_server: messages in and out, and every failure as an RpcFailure."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import grpc
from flask import current_app
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2
from grpc_status import rpc_status

from web.config import WebConfig

HEALTH_TIMEOUT_S = 1.0
# How long a call may wait for a rate limit that is used up, and how long at least before it asks again.
PATIENCE_S = 30.0
_SHORTEST_WAIT_S = 0.05

A = TypeVar("A", bound=Message)
_Detail = TypeVar("_Detail", bound=Message)

# What the server tells besides its answer -> the header that says so.
_HEADERS = {
    "ratelimit": "RateLimit",
    "ratelimit-policy": "RateLimit-Policy",
    "idempotent-replayed": "Idempotent-Replayed",
}


@dataclass(frozen=True, slots=True)
class Rpc(Generic[A]):
    """A call that the server knows: its path, and what it answers."""

    path: str
    answer: type[A]


@dataclass(frozen=True, slots=True)
class Caller:
    """On whose behalf we call. token: their key or session, or empty; address, agent: from where."""

    token: str
    request_id: str
    address: str
    agent: str = ""


@dataclass(frozen=True, slots=True)
class Violation:
    """A field that the server refused; `field` is a proto path such as content.to[0].email."""

    field: str
    reason: str
    description: str


# Not frozen: contextlib and others set __traceback__ on exceptions.
@dataclass(eq=False)
class RpcFailure(Exception):
    """A call that did not succeed, with everything that google.rpc.Status said about it.

    headers: what the answer's header has to say besides.
    """

    code: grpc.StatusCode
    message: str
    reason: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    violations: tuple[Violation, ...] = ()
    retry_after_s: float | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

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
        # The last answer did not come in time: a server that hangs would hold every thread for as long.
        self._suspect = False
        # Whoever waits holds a thread: most of them stay free for others.
        self._waits = threading.Semaphore(max(1, config.threads // 4))

    def call(
        self, rpc: Rpc[A], request: Message, caller: Caller, timeout_s: float | None = None
    ) -> tuple[A, dict[str, str]]:
        """The server's answer, and what the answer's header has to say. Raises RpcFailure.

        timeout_s: for calls that may take longer than others.
        """
        metadata: tuple[tuple[str, str], ...] = (("x-request-id", caller.request_id),)
        if caller.address:
            metadata += (("x-client-address", caller.address),)
        if caller.agent:
            metadata += (("x-client-agent", caller.agent),)
        if caller.token:
            metadata += (("authorization", f"Bearer {caller.token}"),)
        if self._suspect and not self.is_serving():
            raise RpcFailure(grpc.StatusCode.UNAVAILABLE, "the server hangs, as a call before found out")
        method = self._connect().method(rpc)
        try:
            answer, call = method.with_call(
                request, timeout=timeout_s or self._config.rpc_timeout_s, metadata=metadata
            )
        except grpc.RpcError as error:
            self._suspect = _code(error) is grpc.StatusCode.DEADLINE_EXCEEDED
            raise _failure(error) from error
        self._suspect = False
        return answer, _headers(call)

    def call_patiently(self, rpc: Rpc[A], request: Message, caller: Caller) -> A:
        """The server's answer, after a wait if the caller's rate limit is used up. Raises RpcFailure.

        That also tells of the limit when it would take too long, or when too many wait already.
        """
        give_up = time.monotonic() + PATIENCE_S
        while True:
            try:
                return self.call(rpc, request, caller)[0]
            except RpcFailure as failure:
                if not self._waited(failure, give_up):
                    raise

    def _waited(self, failure: RpcFailure, give_up: float) -> bool:
        if failure.reason != "RATE_LIMITED" or failure.retry_after_s is None:
            return False
        wait_s = max(failure.retry_after_s, _SHORTEST_WAIT_S)
        if time.monotonic() + wait_s > give_up or not self._waits.acquire(blocking=False):
            return False
        try:
            time.sleep(wait_s)
        finally:
            self._waits.release()
        return True

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


class _Connection:
    def __init__(self, config: WebConfig) -> None:
        self.pid = os.getpid()
        self.channel = _channel(config)
        self._methods: dict[str, grpc.UnaryUnaryMultiCallable[Any, Any]] = {}
        # Spelled out: the annotations of the generated stub do not know its methods.
        self.check_health = self.channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            health_pb2.HealthCheckRequest.SerializeToString,
            health_pb2.HealthCheckResponse.FromString,
        )

    def method(self, rpc: Rpc[A]) -> grpc.UnaryUnaryMultiCallable[Any, A]:
        """Ready to be called. Two threads may make the same one, which does no harm."""
        method = self._methods.get(rpc.path)
        if method is None:
            method = self.channel.unary_unary(rpc.path, _serialized, rpc.answer.FromString)
            self._methods[rpc.path] = method
        return method


def _serialized(request: Message) -> bytes:
    return request.SerializeToString()


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
    code, message, headers = error.code(), error.details() or "", _headers(error)
    try:
        status = rpc_status.from_call(error)
    except ValueError:
        status = None
    if status is None:
        return RpcFailure(code, message, headers=headers)
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
        headers=headers,
    )


def _headers(call: grpc.Call) -> dict[str, str]:
    """What the trailing metadata says that the caller's answer has to say too."""
    trailing = call.trailing_metadata()
    return {_HEADERS[key]: str(value) for key, value in trailing or () if key in _HEADERS}


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
