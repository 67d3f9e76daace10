"""Every call that the contract gives a place in the JSON API, and that needs no more than the contract says.

One handler for all: requests are built and answers told by descriptors, so that JSON and gRPC cannot drift.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc
from flask import Blueprint, Response
from flask import request as flask_request
from flask.blueprints import BlueprintSetupState
from flute.v1.annotations_pb2 import ACCESS_ANYONE
from flute.v1.email_pb2 import Email
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from werkzeug.routing import BaseConverter

from flute_json.naming import Kind, kind
from flute_json.render import Json, accepted, render
from web.api import request
from web.api.location import locate
from web.api.operations import Operation, operations
from web.api.parse import Parser, string
from web.api.query import Query
from web.client import Rpc, RpcFailure, current_client
from web.errors import Problem, from_rpc

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_INDEX = re.compile(r"[0-9]{1,9}")

# Calls with more to them than the contract says: web.api.email has them.
_SPECIAL = {"SendEmail", "SendEmailBatch"}
# Calls that wait for somebody else's program, which has 10 seconds.
_TIMEOUT_S = {"TestWebhookEndpoint": 15.0}


class _Id(BaseConverter):
    """A step of a path that is an id: /v1/email/batch is an address of its own, also for other methods."""

    regex = r"(?!(?:batch|import|export)\Z)[^/]+"


def register(api: Blueprint) -> None:
    """Add the routes."""
    api.record(_know_ids)
    for operation in operations():
        if operation.name not in _SPECIAL:
            api.add_url_rule(
                re.sub(r"{(\w+)}", r"<id:\1>", operation.path),
                operation.name,
                Call.of(operation).handle,
                methods=[operation.method],
            )


def _know_ids(state: BlueprintSetupState) -> None:
    state.app.url_map.converters["id"] = _Id


@dataclass(frozen=True, slots=True)
class Call:
    """An operation with what it takes to carry it out."""

    operation: Operation
    rpc: Rpc[Any]
    request: type[Message]
    query: Query
    parser: Parser | None
    view: Callable[[Any], Json]

    @classmethod
    def of(cls, operation: Operation) -> Call:
        """Prepares everything that does not depend on a request."""
        names = operation.request.fields_by_name
        new_mail = operation.response is Email.DESCRIPTOR and operation.status == 202
        return cls(
            operation,
            Rpc(operation.rpc, GetMessageClass(operation.response)),
            GetMessageClass(operation.request),
            Query(() if operation.body else (names[name] for name in operation.fields)),
            Parser(operation.body, {"access_token": string}, operation.fields) if operation.body else None,
            accepted if new_mail else render,
        )

    def handle(self, **places: str) -> Response:
        """Answer a request to this place."""
        fields = self.query.parse(flask_request.environ.get("QUERY_STRING", ""))
        token = self._read_body(self.parser, fields) if self.parser else ""
        self._take_idempotency_key(fields)
        caller = request.caller(request.one_token(token, self.operation.access != ACCESS_ANYONE))
        fields |= {name: self._place(name, given) for name, given in places.items()}
        try:
            answer, headers = current_client().call(
                self.rpc, self.request(**fields), caller, _TIMEOUT_S.get(self.operation.name)
            )
        except RpcFailure as failure:
            raise self._problem(failure) from failure
        return self._answer(answer, headers)

    def _place(self, name: str, given: str) -> str | int:
        """What a step of the path means. Raises Problem for what leads nowhere."""
        if kind(self.operation.request.fields_by_name[name]) is Kind.INTEGER:
            if not _INDEX.fullmatch(given):
                raise _nothing()
            return int(given)
        if not _UUID.fullmatch(given):
            raise self._not_found()
        return given.lower()

    def _read_body(self, parser: Parser, fields: dict[str, Any]) -> str:
        """Adds what the body says to the request's fields; gives the access token in it."""
        name = self.operation.body_field
        body = request.json_object(required=bool(name))
        found, extra = parser.parse(body)
        fields |= {name: found} if name else found
        if "update_mask" in self.operation.request.fields_by_name:
            fields["update_mask"] = {"paths": parser.given(body)}
        return str(extra.get("access_token", ""))

    def _take_idempotency_key(self, fields: dict[str, Any]) -> None:
        if "request_id" in self.operation.request.fields_by_name:
            fields["request_id"] = request.idempotency_key()
        elif self.operation.method == "POST":
            request.refuse_idempotency_key()

    def _answer(self, message: Any, headers: dict[str, str]) -> Response:  # noqa: ANN401  any message
        status = self.operation.status
        if status == 204:
            response = Response(status=status, headers=headers)
            response.headers.remove("Content-Type")
            return response
        if self.view is accepted:
            headers["Location"] = f"/v1/email/{message.id}"
        return json_answer(self.view(message), status, headers)

    def _problem(self, failure: RpcFailure) -> Problem:
        problems = self.operation.problems
        if failure.code is grpc.StatusCode.NOT_FOUND and "email_not_found" in problems:
            of_the_email = failure.reason == "EMAIL_NOT_FOUND" or "not_found" not in problems
            return self._not_found(failure.headers) if of_the_email else _nothing(failure.headers)
        return from_rpc(failure, partial(locate, self.operation))

    def _not_found(self, headers: Mapping[str, str] | None = None) -> Problem:
        # One answer for all cases: it tells nobody whether an id exists elsewhere or could exist at all.
        if "email_not_found" in self.operation.problems:
            text = "There is no email with this id. Check it, and that the key is of the mail's environment."
            return Problem(404, "email_not_found", text, headers=headers)
        return _nothing(headers)


def _nothing(headers: Mapping[str, str] | None = None) -> Problem:
    text = "There is nothing with this id. Check it, and that the key is of the right environment."
    return Problem(404, "not_found", text, headers=headers)


def json_answer(body: Json, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer with this body."""
    return Response(json.dumps(body), status, headers, mimetype="application/json")
