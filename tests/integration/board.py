"""The dashboard before a scripted server: what the server answers, and all pages that there are."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import grpc
from flask import Flask
from flute.v1.annotations_pb2 import ROLE_OWNER
from flute.v1.person_service_pb2 import SIGN_UP_MODE_OPEN, Me, SignUpPolicy
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from tests.integration.web_script import METHODS

TOKEN = "flute_session_" + "s" * 43
PAGE = {"Accept": "text/html"}
HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)>{{7*7}}'


def answers(**by_request: Message) -> Callable[[Any, grpc.ServicerContext], Any]:
    """For Script.answer: by the name of the request; empty for the others."""
    outputs = {method.input_type.name: method.output_type for method in METHODS.values()}
    policy = SignUpPolicy(mode=SIGN_UP_MODE_OPEN, mail_configured=True)
    known: dict[str, Message] = {"GetMeRequest": somebody(), "GetSignUpPolicyRequest": policy, **by_request}

    def answer(request: Any, _: grpc.ServicerContext) -> Any:
        name = type(request).__name__
        return known[name] if name in known else GetMessageClass(outputs[name])()

    return answer


def hostile(descriptor: Descriptor, depth: int = 0) -> Message:
    """A message with something in every field, and in every text what must never become part of a page."""
    message = GetMessageClass(descriptor)()
    for field in descriptor.fields:
        if field.message_type and field.message_type.GetOptions().map_entry:
            continue
        value = _hostile_value(field, depth)
        if value is None:
            continue
        if field.is_repeated:
            getattr(message, field.name).extend([value])
        elif isinstance(value, Message):
            getattr(message, field.name).CopyFrom(value)
        else:
            setattr(message, field.name, value)
    return message


def _hostile_value(field: FieldDescriptor, depth: int) -> Any:
    if field.message_type:
        if field.message_type.full_name == "google.protobuf.Timestamp":
            return Timestamp(seconds=1_790_000_000)
        return hostile(field.message_type, depth + 1) if depth < 5 else None
    if field.enum_type:
        return field.enum_type.values[-1].number
    texts = {FieldDescriptor.TYPE_STRING: HOSTILE, FieldDescriptor.TYPE_BYTES: HOSTILE.encode()}
    return texts.get(field.type, 1)


def somebody(name: str = "Ada", account: str = "Acme") -> Me:
    return Me(
        id="u",
        name=name,
        email="ada@acme.example",
        confirmed=True,
        account_id="a",
        account_name=account,
        role=ROLE_OWNER,
        operator=True,
    )


def failing(name: str, code: grpc.StatusCode, text: str) -> Callable[[Any, grpc.ServicerContext], Any]:
    usual = answers()

    def answer(request: Any, context: grpc.ServicerContext) -> Any:
        if type(request).__name__ == name:
            context.abort(code, text)
        return usual(request, context)

    return answer


def pages(app: Flask, method: str) -> list[tuple[str, str]]:
    """Endpoint and an address of every page that knows the method."""

    def address(rule: Rule) -> str:
        numbered = re.sub("<int:[^>]*>", "1", rule.rule)
        return re.sub("<[^>]*>", "0f8f3c52-6f0e-4f1e-9a53-0d6a1a4f7b10", numbered)

    rules = [rule for rule in app.url_map.iter_rules() if rule.endpoint.startswith("dashboard.")]
    return [
        (rule.endpoint.partition(".")[2], address(rule)) for rule in rules if method in (rule.methods or ())
    ]


def forgery_token(page: TestResponse) -> str:
    found = re.search('name="csrf_token" value="([^"]+)"', page.text)
    assert found
    return found[1]


def is_caged(answer: TestResponse) -> bool:
    """Whether what it shows is somebody else's HTML, and runs in a sandbox of the browser."""
    return "sandbox" in answer.headers["Content-Security-Policy"].split("; ")


def check_headers(answer: TestResponse) -> None:
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert re.search("frame-ancestors '(none|self)'", policy)
    # A mail as it is, in a frame: it may have styles, and nothing of it can run, be sent or ask anybody.
    if is_caged(answer):
        assert "allow-" not in policy
        assert "script-src" not in policy
    else:
        assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
