"""Around every call: an app context with its session, who calls, what that costs, and errors as statuses."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import TYPE_CHECKING, Any

import grpc
from flask import Flask
from flute.v1.annotations_pb2 import ACCESS_ANYONE, Access, Role, access, role
from flute.v1.email_service_pb2 import SendEmailBatchResponse

from flute_server.admin.sessions import Visit
from flute_server.config import Config
from flute_server.domain.limits import MAX_BATCH
from flute_server.errors import Unauthenticated
from flute_server.rpc.peer import client_address
from flute_server.rpc.principal import Principal, acting, assume, check_access, identify
from flute_server.rpc.statuses import Metadata, told
from flute_server.sending.allowances import NOTHING, QUOTA_EXCEEDED, Allowance, Cost, Taken
from flute_server.sending.limits import meter

_SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
# What calls cost that are about mail; all others cost one token.
_MAIL = "/flute.v1.EmailService/"
_ONE_MAIL = Cost(tokens=1, mails=1, counted=1)
_COSTS: dict[str, Callable[[Any], Cost]] = {
    f"{_MAIL}SendEmail": lambda _: _ONE_MAIL,
    f"{_MAIL}ResendEmail": lambda _: _ONE_MAIL,
    f"{_MAIL}PlanEmail": lambda _: Cost(tokens=1, mails=1),
    f"{_MAIL}SendEmailBatch": lambda request: _of_batch(len(request.emails)),
}
_USUAL = Cost()

Behavior = Callable[[Any, grpc.ServicerContext], Any]

if TYPE_CHECKING:  # generic in their stubs alone
    Handler = grpc.RpcMethodHandler[Any, Any]
    Interceptor = grpc.ServerInterceptor[Any, Any]
else:
    Interceptor = grpc.ServerInterceptor


@dataclass(slots=True)
class _Call:
    """A call while it lasts. trailing: metadata of its answer, whether it ends well or not."""

    context: grpc.ServicerContext
    method: str
    metadata: dict[str, str]
    request_id: str
    trailing: Metadata = field(init=False)

    def __post_init__(self) -> None:
        self.trailing = [("x-request-id", self.request_id)]

    @classmethod
    def begin(cls, context: grpc.ServicerContext, method: str) -> _Call:
        metadata = {name: str(value) for name, value in context.invocation_metadata() or ()}
        given = metadata.get("x-request-id", "")
        return cls(
            context, method, metadata, given if _SANE_REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        )

    def end(self) -> None:
        """Give the answer its metadata, besides what the servicer gave it."""
        self.context.set_trailing_metadata((*(self.context.trailing_metadata() or ()), *self.trailing))


class CallInterceptor(Interceptor):
    """Wraps the calls of Flute's own services, those with one answer and those with a stream of them.

    A stream gets no session, which it would hold for hours: it opens one for each look.
    """

    def __init__(self, app: Flask, config: Config, services: Iterable[ModuleType]) -> None:
        self._app = app
        self._service_token = config.service_token
        self._trusted_peers = config.trusted_peers
        self._meter = meter(config.redis_url)
        self._rights = dict(_rights(services))

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
            around = self._around_stream(stream, method)
            # The pool on which gRPC runs it, so that streams do not take the threads of other calls.
            around.experimental_thread_pool = stream.experimental_thread_pool  # type: ignore[attr-defined]
            return grpc.unary_stream_rpc_method_handler(
                around, handler.request_deserializer, handler.response_serializer
            )
        if handler.unary_unary is None:
            return handler
        return grpc.unary_unary_rpc_method_handler(
            self._around(handler.unary_unary, method),
            handler.request_deserializer,
            handler.response_serializer,
        )

    def _around(self, behavior: Behavior, method: str) -> Behavior:
        def serve(request: Any, context: grpc.ServicerContext) -> Any:  # noqa: ANN401  any message
            call = _Call.begin(context, method)
            with told(context, call.request_id, call.trailing), self._app.app_context():
                caller, taken = self._charge(call, self._admit(call), request)
                try:
                    with acting(caller):
                        answer = behavior(request, context)
                except Exception:
                    self._meter.give_back(taken, taken.counted)
                    raise
                self._meter.give_back(taken, _not_accepted(context, answer, taken))
                call.end()
                return answer

        return serve

    def _around_stream(self, behavior: Behavior, method: str) -> Behavior:
        def serve(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:  # noqa: ANN401
            call = _Call.begin(context, method)
            with told(context, call.request_id, call.trailing):
                with self._app.app_context():
                    caller, _ = self._charge(call, self._admit(call), request)
                call.end()
                # gRPC may ask for each answer on another thread.
                own = copy_context()
                own.run(assume, caller)
                answers = iter(own.run(behavior, request, context))
                while (answer := own.run(next, answers, None)) is not None:
                    yield answer

        return serve

    def _admit(self, call: _Call) -> Principal:
        """Who calls, if they may. Raises FluteError."""
        address = client_address(call.metadata, call.context.peer(), self._trusted_peers)
        try:
            caller = identify(call.metadata.get("authorization"), self._service_token, call.request_id)
        except Unauthenticated as error:
            if error.reason == "BAD_ACCESS_TOKEN":
                self._meter.stranger(address)
            # Whoever logs in may well come with a session that has ended.
            if error.reason != "SESSION_ENDED" or self._rights[call.method][0] != ACCESS_ANYONE:
                raise
            caller = Principal(request_id=call.request_id)
        check_access(caller, *self._rights[call.method])
        agent = call.metadata.get("x-client-agent", "")
        return replace(caller, visit=Visit(address, agent, call.request_id))

    def _charge(self, call: _Call, caller: Principal, request: Any) -> tuple[Principal, Taken]:  # noqa: ANN401
        """Take what the call costs. Raises RateLimited. The operator's own programs have no limits."""
        if caller.sender is None:
            return caller, NOTHING
        cost_of = _COSTS.get(call.method)
        taken = self._meter.take(caller.sender, cost_of(request) if cost_of else _USUAL)
        if taken.allowances:
            call.trailing += _rate_limit(taken.allowances)
        if taken.error is None:
            return caller, taken
        if taken.error.reason == QUOTA_EXCEEDED and request.request_id:
            # It may be a repetition, which is answered as before and stores nothing.
            return replace(caller, sender=replace(caller.sender, refusal=taken.error)), taken
        raise taken.error


Rights = tuple[Access.ValueType, Role.ValueType]


def _rights(services: Iterable[ModuleType]) -> Iterator[tuple[str, Rights]]:
    """Who may call what, as the contract says."""
    for module in services:
        for service in module.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                marks = method.GetOptions().Extensions
                yield f"/{service.full_name}/{method.name}", (marks[access], marks[role])


def _of_batch(mails: int) -> Cost:
    mails = min(mails, MAX_BATCH)  # more are refused, and need not put a bucket into debt for days
    return Cost(tokens=max(1, mails), mails=mails, counted=mails)


def _not_accepted(context: grpc.ServicerContext, answer: Any, taken: Taken) -> int:  # noqa: ANN401
    """How many mails of a call that went well are not counted: repeated ones, and refused ones of a batch."""
    if not taken.counted:
        return 0
    if ("idempotent-replayed", "true") in (context.trailing_metadata() or ()):
        return taken.counted
    if isinstance(answer, SendEmailBatchResponse):
        return sum(not result.id for result in answer.results)
    return 0


def _rate_limit(allowances: Iterable[Allowance]) -> Metadata:
    """The fields of draft-ietf-httpapi-ratelimit-headers: lists of structured items (RFC 9651)."""
    policies = ", ".join(f'"{at.name}";q={at.quota};w={at.window_s}' for at in allowances)
    limits = ", ".join(f'"{at.name}";r={at.remaining};t={at.reset_s}' for at in allowances)
    return [("ratelimit-policy", policies), ("ratelimit", limits)]
