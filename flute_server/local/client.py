"""The command line's door to the gRPC API: calls with a token, and failures in one line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
from flute.v1.account_service_pb2_grpc import AccountServiceStub
from flute.v1.alert_service_pb2_grpc import AlertServiceStub
from flute.v1.api_key_service_pb2_grpc import ApiKeyServiceStub
from flute.v1.audit_service_pb2_grpc import AuditServiceStub
from flute.v1.domain_check_service_pb2_grpc import DomainCheckServiceStub
from flute.v1.drill_service_pb2_grpc import DrillServiceStub
from flute.v1.email_service_pb2_grpc import EmailServiceStub
from flute.v1.environment_service_pb2_grpc import EnvironmentServiceStub
from flute.v1.event_service_pb2_grpc import EventServiceStub
from flute.v1.member_service_pb2_grpc import MemberServiceStub
from flute.v1.person_service_pb2_grpc import PersonServiceStub
from flute.v1.provider_account_service_pb2_grpc import ProviderAccountServiceStub
from flute.v1.route_service_pb2_grpc import RouteServiceStub
from flute.v1.session_service_pb2_grpc import SessionServiceStub
from flute.v1.statistics_service_pb2_grpc import StatisticsServiceStub
from flute.v1.suppression_service_pb2_grpc import SuppressionServiceStub
from flute.v1.system_service_pb2_grpc import SystemServiceStub
from flute.v1.user_service_pb2_grpc import UserServiceStub
from flute.v1.webhook_service_pb2_grpc import WebhookServiceStub
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status

TIMEOUT_S = 15.0
_Request = TypeVar("_Request", bound=Message)
_Response = TypeVar("_Response", bound=Message)
_HINTS = {
    grpc.StatusCode.UNAVAILABLE: "Does it run (`flute up`, `flute server`)? Is FLUTE_GRPC_ADDRESS right?",
    grpc.StatusCode.UNAUTHENTICATED: "Is FLUTE_SERVICE_TOKEN (or --data-dir) that of this server?",
    grpc.StatusCode.DEADLINE_EXCEEDED: "`flute doctor` may know what keeps it.",
}


class RpcFailed(Exception):
    """A call that the server refused or did not answer, in words for a person."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        super().__init__(text)
        self.code = code


class Client:
    """One channel with all services on it."""

    def __init__(self, address: str, token: str, ca: str = "") -> None:
        self._address = address
        self._token = token
        self._channel = open_channel(address, ca)
        self.accounts = AccountServiceStub(self._channel)
        self.alerts = AlertServiceStub(self._channel)
        self.api_keys = ApiKeyServiceStub(self._channel)
        self.audit = AuditServiceStub(self._channel)
        self.domain_checks = DomainCheckServiceStub(self._channel)
        self.drills = DrillServiceStub(self._channel)
        self.emails = EmailServiceStub(self._channel)
        self.environments = EnvironmentServiceStub(self._channel)
        self.events = EventServiceStub(self._channel)
        self.provider_accounts = ProviderAccountServiceStub(self._channel)
        self.routes = RouteServiceStub(self._channel)
        self.statistics = StatisticsServiceStub(self._channel)
        self.suppressions = SuppressionServiceStub(self._channel)
        self.system = SystemServiceStub(self._channel)
        self.members = MemberServiceStub(self._channel)
        self.persons = PersonServiceStub(self._channel)
        self.sessions = SessionServiceStub(self._channel)
        self.users = UserServiceStub(self._channel)
        self.webhooks = WebhookServiceStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._channel.close()

    def call(
        self, method: Callable[..., _Response], request: Message, timeout: float = TIMEOUT_S
    ) -> _Response:
        """Make one call. Raises RpcFailed."""
        metadata = (("authorization", f"Bearer {self._token}"),) if self._token else ()
        try:
            return method(request, metadata=metadata, timeout=timeout)
        except grpc.RpcError as error:
            raise _failed(error, self._address) from error

    def pages(self, method: Callable[..., Any], request: _Request, items: str) -> Iterator[Any]:
        """Every item of a list call, page after page."""
        fields: Any = request
        fields.page_size = 1000
        while True:
            answer = self.call(method, request)
            yield from getattr(answer, items)
            fields.page_token = answer.next_page_token
            if not fields.page_token:
                return


def open_channel(address: str, ca: str = "") -> grpc.Channel:
    """A channel, with TLS when there is a file of trusted certificates."""
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    if not ca:
        return grpc.insecure_channel(address, options)
    credentials = grpc.ssl_channel_credentials(Path(ca).read_bytes())
    return grpc.secure_channel(address, credentials, options)


def _failed(error: grpc.RpcError, address: str) -> RpcFailed:
    if not isinstance(error, grpc.Call):
        return RpcFailed(grpc.StatusCode.UNKNOWN, type(error).__name__)
    code, text = error.code(), error.details() or "no reason given"
    hint = _HINTS.get(code, "")
    if code is grpc.StatusCode.UNAVAILABLE and not _violations(error) and "connect" in text.lower():
        text = f"flute_server does not answer at {address}"
    elif code is grpc.StatusCode.UNAVAILABLE:
        hint = ""  # it did answer, and says itself what is away
    elif code is grpc.StatusCode.DEADLINE_EXCEEDED:
        text = f"flute_server at {address} did not answer in time"
    # The server's text repeats the first violation.
    further = [f"{v.field}: {v.description}" for v in _violations(error)]
    if len(further) > 1:
        text = "; ".join(further)
    return RpcFailed(code, f"{text.rstrip('.?')}. {hint}" if hint else text)


def _violations(error: grpc.Call) -> list[Any]:
    try:
        status = rpc_status.from_call(error)
    except ValueError:  # what the details say contradicts the call
        return []
    request = error_details_pb2.BadRequest()
    for packed in status.details if status else ():
        if packed.Unpack(request):
            return list(request.field_violations)
    return []
