"""Around every call: an app context with its session, who calls, and errors turned into statuses."""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

import grpc
from flask import Flask
from flute.v1.annotations_pb2 import Access, access
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.code_pb2 import Code
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_status.rpc_status import to_status
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from flute_server.errors import FluteError, Unavailable
from flute_server.rpc.principal import Principal, check_access, current, identify

log = logging.getLogger(__name__)

DOMAIN = "flute"
RETRY_AFTER_S = 2
_SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")

Behavior = Callable[[Any, grpc.ServicerContext], Any]

if TYPE_CHECKING:  # generic in their stubs alone
    Handler = grpc.RpcMethodHandler[Any, Any]
    Interceptor = grpc.ServerInterceptor[Any, Any]
else:
    Interceptor = grpc.ServerInterceptor


class _Around(Interceptor):
    """Wraps the calls of Flute's own services, those with one answer and those with a stream of them."""

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Handler | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        handler = continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or not method.startswith("/flute."):
            return handler
        if stream := handler.unary_stream:
            around = self.around_stream(stream, method)
            # The pool on which gRPC runs it, so that streams do not take the threads of other calls.
            around.experimental_thread_pool = stream.experimental_thread_pool  # type: ignore[attr-defined]
            return grpc.unary_stream_rpc_method_handler(
                around, handler.request_deserializer, handler.response_serializer
            )
        if handler.unary_unary is None:
            return handler
        return grpc.unary_unary_rpc_method_handler(
            self.around(handler.unary_unary, method),
            handler.request_deserializer,
            handler.response_serializer,
        )

    def around(self, behavior: Behavior, method: str) -> Behavior:
        raise NotImplementedError

    def around_stream(self, behavior: Behavior, method: str) -> Behavior:
        raise NotImplementedError


class ErrorInterceptor(_Around):
    """Turns every error into a google.rpc.Status with an ErrorInfo; what is unforeseen shows no detail."""

    def around(self, behavior: Behavior, method: str) -> Behavior:
        def call(request: Any, context: grpc.ServicerContext) -> Any:  # noqa: ANN401  any message
            with _told(context):
                return behavior(request, context)

        return call

    def around_stream(self, behavior: Behavior, method: str) -> Behavior:
        def call(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:  # noqa: ANN401
            with _told(context):
                yield from behavior(request, context)

        return call


@contextmanager
def _told(context: grpc.ServicerContext) -> Iterator[None]:
    """What goes wrong inside this block is told to the caller."""
    try:
        yield
    except FluteError as error:
        _abort(context, error)
    except (OperationalError, PoolTimeoutError) as error:
        log.error("request %s: the database does not answer: %s", request_id(context), error)
        text = "the database does not answer; try again"
        _abort(context, Unavailable("DATABASE_AWAY", text))
    except Exception:
        log.exception("request %s failed unforeseen", request_id(context))
        _abort_internal(context)


class SessionInterceptor(_Around):
    """Says who calls, whether they may, and gives the call an app context, hence a database session.

    A stream gets no session, which it would hold for hours: it opens one for each look.
    """

    def __init__(self, app: Flask, service_token: str, services: Iterable[ModuleType]) -> None:
        self._app = app
        self._service_token = service_token
        self._access = dict(_accesses(services))

    def around(self, behavior: Behavior, method: str) -> Behavior:
        def call(request: Any, context: grpc.ServicerContext) -> Any:  # noqa: ANN401  any message
            with self._app.app_context():
                token = current.set(self._caller(context, method))
                try:
                    return behavior(request, context)
                finally:
                    current.reset(token)

        return call

    def around_stream(self, behavior: Behavior, method: str) -> Behavior:
        def call(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:  # noqa: ANN401
            with self._app.app_context():
                caller = self._caller(context, method)
            # gRPC may ask for each answer on another thread.
            own = copy_context()
            own.run(current.set, caller)
            answers = iter(own.run(behavior, request, context))
            while (answer := own.run(next, answers, None)) is not None:
                yield answer

        return call

    def _caller(self, context: grpc.ServicerContext, method: str) -> Principal:
        caller = identify(context.invocation_metadata(), self._service_token, request_id(context))
        check_access(caller, self._access[method])
        return caller


def _accesses(services: Iterable[ModuleType]) -> Iterator[tuple[str, Access.ValueType]]:
    """Who may call what, as the contract says."""
    for module in services:
        for service in module.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                yield f"/{service.full_name}/{method.name}", method.GetOptions().Extensions[access]


def request_id(context: grpc.ServicerContext) -> str:
    """The caller's x-request-id where it is sane, else a new one."""
    given = dict(context.invocation_metadata()).get("x-request-id", "")
    return str(given) if _SANE_REQUEST_ID.fullmatch(str(given)) else uuid.uuid4().hex


def _abort(context: grpc.ServicerContext, error: FluteError) -> NoReturn:
    info = ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)
    details: list[Any] = [info]
    if error.violations:
        violations = [
            BadRequest.FieldViolation(field=violation.field, description=violation.text)
            for violation in error.violations
        ]
        details.append(BadRequest(field_violations=violations))
    if isinstance(error, Unavailable):
        details.append(RetryInfo(retry_delay=Duration(seconds=RETRY_AFTER_S)))
    _abort_with(context, error.code, error.text, details)


def _abort_internal(context: grpc.ServicerContext) -> NoReturn:
    id_ = request_id(context)
    info = ErrorInfo(reason="INTERNAL", domain=DOMAIN, metadata={"request_id": id_})
    _abort_with(context, "INTERNAL", f"an unforeseen error; the log has it under request {id_}", [info])


def _abort_with(context: grpc.ServicerContext, code: str, text: str, details: Sequence[Any]) -> NoReturn:
    status = Status(code=Code.Value(code), message=text)
    for detail in details:
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    context.abort_with_status(to_status(status))
    raise AssertionError("abort_with_status raises")
