"""POST /v1/email and POST /v1/email/batch: the calls with more to them than the contract says."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import Any

from flask import Response
from flute.v1.email_pb2 import DeliveryState, Email, EmailContent
from flute.v1.email_service_pb2 import (
    PlanEmailRequest,
    PlanEmailResponse,
    SendEmailBatchRequest,
    SendEmailBatchResponse,
    SendEmailRequest,
    SendEmailResult,
)
from google.protobuf.message import Message

from flute_json.naming import words
from flute_json.render import Json, accepted, render
from web.api import api, request
from web.api.calls import json_answer
from web.api.location import locate, pointer
from web.api.operations import operations
from web.api.parse import MAX_PROBLEMS, Parser, Problems, array, boolean, malformed, string, summary
from web.client import A, Caller, Rpc, RpcFailure, current_client
from web.errors import FieldError, Problem, detail_of, from_rpc, steps

MOST_EMAILS = 500

_SEND = Rpc("/flute.v1.EmailService/SendEmail", Email)
_SEND_BATCH = Rpc("/flute.v1.EmailService/SendEmailBatch", SendEmailBatchResponse)
_PLAN = Rpc("/flute.v1.EmailService/PlanEmail", PlanEmailResponse)

_OPERATIONS = {operation.name: operation for operation in operations()}
_STATE = words(DeliveryState.DESCRIPTOR)
_send_parser = Parser(EmailContent.DESCRIPTOR, {"access_token": string, "dry_run": boolean})
_email_parser = Parser(EmailContent.DESCRIPTOR)


@api.post("/v1/email")
def send() -> Response:
    """Accept a mail: 202 means that it is stored durably. With dry_run, tell its way: 200."""
    request.no_query()
    content: Any
    content, extra = _send_parser.parse(request.json_object())
    caller = request.caller(request.one_token(extra.get("access_token", "")))
    if extra.get("dry_run"):
        plan, headers = _call(_PLAN, PlanEmailRequest(content=content), caller)
        return json_answer(render(plan), 200, headers)
    message = SendEmailRequest(content=content, request_id=request.idempotency_key())
    email, headers = _call(_SEND, message, caller)
    return json_answer(accepted(email), 202, {**headers, "Location": f"/v1/email/{email.id}"})


def _call(rpc: Rpc[A], message: Message, caller: Caller) -> tuple[A, dict[str, str]]:
    try:
        return current_client().call(rpc, message, caller)
    except RpcFailure as failure:
        raise from_rpc(failure, partial(locate, _OPERATIONS["SendEmail"])) from failure


# ----- batches


def _as_it_is(value: object, _at: str, _step: str | int, _problems: Problems) -> object:
    return value


_batch_parser = Parser(
    SendEmailBatchRequest.DESCRIPTOR, {"access_token": string, "emails": array(_as_it_is)}, fields=()
)


@api.post("/v1/email/batch")
def send_batch() -> Response:
    """Accept many mails. One that cannot be read or accepted is told so in its place and hinders no other."""
    request.no_query()
    caller, batch, digest = _read_batch()
    message = SendEmailBatchRequest(
        emails=batch.emails, request_id=request.idempotency_key(), body_digest=digest
    )
    try:
        answer, headers = current_client().call(_SEND_BATCH, message, caller)
    except RpcFailure as failure:
        raise from_rpc(failure, batch.locate) from failure
    return json_answer({"results": batch.results(answer)}, 202, headers)


def _read_batch() -> tuple[Caller, _Batch, bytes]:
    """Whose batch, its mails, and what tells its body from others where the server does not get it whole."""
    body = request.json_octets()
    _, extra = _batch_parser.parse(request.decoded(body))
    caller = request.caller(request.one_token(extra.get("access_token", "")))
    batch = _Batch(extra.get("emails", []))
    return caller, batch, b"" if batch.whole else hashlib.sha256(body).digest()


class _Batch:
    """The mails of a batch. Those that can be read go to the server, which so counts them differently.

    whole: all can be read.
    """

    def __init__(self, given: list[Any]) -> None:
        if not 1 <= len(given) <= MOST_EMAILS:
            error = FieldError("/emails", "invalid", f"must hold 1 to {MOST_EMAILS} emails, not {len(given)}")
            raise Problem(422, "invalid_fields", f"/emails: {error.detail}", [error])
        self.emails: list[Any] = []
        self._results: list[Json] = []
        self._indexes: list[int] = []
        unreadable: list[FieldError] = []
        for index, value in enumerate(given):
            fields, problems = _email_parser.read(value, f"/emails/{index}")
            if problems:
                unreadable += problems
                self._results.append(_refusal("malformed_body", summary(problems), problems))
            else:
                self.emails.append(fields)
                self._indexes.append(index)
                self._results.append({})
        if not self.emails:
            raise malformed(unreadable[:MAX_PROBLEMS])
        self.whole = not unreadable

    def results(self, answer: SendEmailBatchResponse) -> list[Json]:
        """One for each mail that was given, in that order."""
        for index, result in zip(self._indexes, answer.results, strict=True):
            self._results[index] = _result(result, index)
        return self._results

    def locate(self, path: str) -> tuple[str, str]:
        """As web.api.location.locate."""
        at = steps(path)
        if at[:1] == ["emails"] and len(at) > 1 and int(at[1]) < len(self._indexes):
            return _pointer(at, self._indexes[int(at[1])]), ""
        return locate(_OPERATIONS["SendEmailBatch"], path)


def _result(result: SendEmailResult, index: int) -> Json:
    if not result.HasField("problem"):
        return {"id": result.id, "status": _STATE.get(result.state)}
    problem = result.problem
    errors = [FieldError(_pointer(steps(e.field), index), "invalid", e.detail) for e in problem.errors]
    return _refusal(problem.code, detail_of(problem.code, problem.detail, errors), errors)


def _refusal(code: str, detail: str, errors: list[FieldError]) -> Json:
    return {"code": code, "detail": detail, "errors": [error.to_json() for error in errors]}


def _pointer(at: list[str], index: int) -> str:
    """Where the mail of this index has the field that the server has at content.to[0] or emails[3].to[0]."""
    inside = at[{"content": 1, "emails": 2}.get(at[0], 0) :] if at else at
    return f"/emails/{index}{pointer(EmailContent.DESCRIPTOR, inside)}"
