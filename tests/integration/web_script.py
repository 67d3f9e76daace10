"""A scripted gRPC server for the tests of web: records what it is asked, answers what it is told."""

from __future__ import annotations

import socket
from collections.abc import Callable
from concurrent import futures
from typing import Any

import grpc
from flute.v1 import email_pb2, email_service_pb2_grpc
from flute.v1.email_pb2 import Email
from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import status_pb2
from grpc_status import rpc_status

EMAIL_ID = "0f8f3c52-6f0e-4f1e-9a53-0d6a1a4f7b10"
KEY = "flute_" + "k" * 43
BODY = {
    "access_token": KEY,
    "subject": "Hello",
    "text": "Hi",
    "to": [{"email": "ada@example.com"}],
    "from": {"name": "Flute", "email": "hello@flutemail.io"},
}


class Script(email_service_pb2_grpc.EmailServiceServicer):
    """Records what it is asked, and answers what it is told."""

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.metadata: list[dict[str, str | bytes]] = []
        self.answer: Callable[[Any, grpc.ServicerContext], Email] = lambda request, context: accepted()

    def SendEmail(self, request: Any, context: Any) -> Email:
        return self._play(request, context)

    def GetEmail(self, request: Any, context: Any) -> Email:
        return self._play(request, context)

    def ExplainEmail(self, request: Any, context: Any) -> Any:
        return self._play(request, context)

    def _play(self, request: Any, context: grpc.ServicerContext) -> Email:
        self.requests.append(request)
        self.metadata.append(dict(context.invocation_metadata()))
        return self.answer(request, context)

    def fail(self, code: int, message: str, *details: Message) -> None:
        def answer(_: object, context: grpc.ServicerContext) -> Email:
            status = status_pb2.Status(code=code, message=message)
            for detail in details:
                packed = any_pb2.Any()
                packed.Pack(detail)
                status.details.append(packed)
            context.abort_with_status(rpc_status.to_status(status))
            raise AssertionError

        self.answer = answer


def accepted() -> Email:
    email = Email(id=EMAIL_ID, state=email_pb2.DELIVERY_STATE_QUEUED)
    email.create_time.FromJsonString("2026-11-22T10:00:00Z")
    email.recipients.add(email="ada@example.com", state=email_pb2.DELIVERY_STATE_QUEUED)
    return email


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def serve(script: Script, port: int = 0) -> tuple[grpc.Server, str]:
    options = [("grpc.max_receive_message_length", -1), ("grpc.so_reuseport", 0)]
    server = grpc.server(futures.ThreadPoolExecutor(4), options=options)
    email_service_pb2_grpc.add_EmailServiceServicer_to_server(script, server)
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    return server, f"127.0.0.1:{port}"
