"""A scripted gRPC server for the tests of web: records what it is asked, answers what it is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from contextlib import contextmanager
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, NoReturn

import flute.v1
import grpc
from flask.testing import FlaskClient
from flute.v1 import email_pb2
from flute.v1.email_pb2 import Email
from google.protobuf import any_pb2
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import status_pb2
from grpc_status import rpc_status

from web import create_app
from web.config import WebConfig

EMAIL_ID = "0f8f3c52-6f0e-4f1e-9a53-0d6a1a4f7b10"
KEY = "flute_" + "k" * 43
BODY = {
    "access_token": KEY,
    "subject": "Hello",
    "text": "Hi",
    "to": [{"email": "ada@example.com"}],
    "from": {"name": "Flute", "email": "hello@flutemail.io"},
}

_SERVICES = [
    import_module(f"flute.v1.{module.name}")
    for module in iter_modules(flute.v1.__path__)
    if module.name.endswith("_service_pb2")
]
METHODS: Mapping[str, MethodDescriptor] = {
    f"/{service.full_name}/{method.name}": method
    for module in _SERVICES
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}


class Script(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic in its stubs alone
    """Knows every call with one answer. Records what it is asked, and answers what it is told."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.calls: list[str] = []
        self.requests: list[Any] = []
        self.metadata: list[dict[str, str | bytes]] = []
        self.trailing: tuple[tuple[str, str], ...] = ()
        # Without it, an accepted mail where a mail is due, and elsewhere a message without anything in it.
        self.answer: Callable[[Any, grpc.ServicerContext], Any] | None = None

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        method = METHODS.get(handler_call_details.method)
        if method is None:
            return None

        def play(request: Any, context: grpc.ServicerContext) -> Any:
            self.calls.append(method.name)
            self.requests.append(request)
            self.metadata.append(dict(context.invocation_metadata()))
            context.set_trailing_metadata(self.trailing)
            if self.answer is not None:
                return self.answer(request, context)
            return accepted() if method.output_type is Email.DESCRIPTOR else output()

        output: Any = GetMessageClass(method.output_type)
        read: Any = GetMessageClass(method.input_type)
        return grpc.unary_unary_rpc_method_handler(play, read.FromString, output.SerializeToString)

    def fail(self, code: int, message: str, *details: Message) -> None:
        self.answer = lambda _, context: self.refuse(context, code, message, *details)

    def refuse(self, context: grpc.ServicerContext, code: int, message: str, *details: Message) -> NoReturn:
        """End the present call, for an answer that does so now and then."""
        status = status_pb2.Status(code=code, message=message)
        for detail in details:
            packed = any_pb2.Any()
            packed.Pack(detail)
            status.details.append(packed)
        full = rpc_status.to_status(status)
        context.set_trailing_metadata((*self.trailing, *full.trailing_metadata))
        context.abort(full.code, full.details)
        raise AssertionError


def accepted() -> Email:
    email = Email(id=EMAIL_ID, state=email_pb2.DELIVERY_STATE_QUEUED)
    email.create_time.FromJsonString("2026-11-22T10:00:00Z")
    email.recipients.add(email="ada@example.com", state=email_pb2.DELIVERY_STATE_QUEUED)
    return email


@contextmanager
def web_before(script: Script, **settings: Any) -> Iterator[FlaskClient]:
    """Flask's client of a web with the script behind it."""
    server, address = serve(script)
    app = create_app(WebConfig(grpc_address=address, **settings))
    try:
        yield app.test_client()
    finally:
        app.extensions["flute"].close()
        server.stop(0).wait()


def serve(script: Script, port: int = 0) -> tuple[grpc.Server, str]:
    options = [("grpc.max_receive_message_length", -1), ("grpc.so_reuseport", 0)]
    server = grpc.server(futures.ThreadPoolExecutor(4), options=options)
    server.add_generic_rpc_handlers((script,))
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    return server, f"127.0.0.1:{port}"
