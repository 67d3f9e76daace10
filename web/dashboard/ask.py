"""Calls to flute_server in the name of who is logged in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import TypeVar

import flute.v1
from flask import request
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message

from web.client import Caller, Rpc, current_client
from web.dashboard import session
from web.errors import request_id

A = TypeVar("A", bound=Message)
_NOT_PRINTABLE = re.compile(r"[^\x20-\x7e]")


def ask(message: Message, answer: type[A], timeout_s: float | None = None) -> A:
    """The answer to a request. Which call it belongs to is told by its type: each RPC has one of its own.

    timeout_s: for calls that wait for somebody else's program. Raises RpcFailure.
    """
    told, _ = current_client().call(_rpc(message, answer), message, _caller(), timeout_s)
    return told


@cache
def _methods() -> dict[str, MethodDescriptor]:
    """Full name of the request -> its RPC."""
    return {method.input_type.full_name: method for method in _all_methods()}


def _all_methods() -> Iterator[MethodDescriptor]:
    for module in iter_modules(flute.v1.__path__):
        if module.name.endswith("_service_pb2"):
            descriptor = import_module(f"flute.v1.{module.name}").DESCRIPTOR
            for service in descriptor.services_by_name.values():
                yield from service.methods


def _rpc(message: Message, answer: type[A]) -> Rpc[A]:
    method = _methods()[message.DESCRIPTOR.full_name]
    if method.output_type is not answer.DESCRIPTOR:
        raise TypeError(f"{method.name} answers with {method.output_type.name}, not {answer.DESCRIPTOR.name}")
    return Rpc(f"/{method.containing_service.full_name}/{method.name}", answer)


def _caller() -> Caller:
    return Caller(
        session.token(),
        request_id(),
        request.environ.get("REMOTE_ADDR", ""),
        # Metadata is ASCII; what else a browser calls itself by matters to nobody.
        _NOT_PRINTABLE.sub("", request.headers.get("User-Agent", ""))[:300],
    )
