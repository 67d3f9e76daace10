"""POST /v1/email and GET /v1/email/<id>."""

from __future__ import annotations

import json
import re

import grpc
from flask import Response
from flute.v1.email_pb2 import EmailContent

from web.api import api, render, request
from web.api.parse import Parser
from web.client import RpcFailure, current_client
from web.errors import Problem, request_id

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_parser = Parser(EmailContent, extra=("access_token",))


@api.post("/v1/email")
def send() -> Response:
    """Accept a mail. 202 means that it is stored durably."""
    header = request.header_token()
    content, extra = _parser.parse(request.json_object())
    token = request.one_token(header, extra.get("access_token", ""))
    email = current_client().send_email(content, token, request_id())
    return _json(render.accepted(email), 202, {"Location": f"/v1/email/{email.id}"})


@api.get("/v1/email/<email_id>")
def get(email_id: str) -> Response:
    """Tell what became of a mail."""
    token = request.header_token()
    if not _UUID.fullmatch(email_id):
        raise _not_found()
    try:
        email = current_client().get_email(email_id.lower(), token, request_id())
    except RpcFailure as failure:
        if failure.code is grpc.StatusCode.NOT_FOUND:
            raise _not_found() from failure
        raise
    return _json(render.email(email))


def _not_found() -> Problem:
    # One answer for all cases: it tells nobody whether an id exists elsewhere or could exist at all.
    return Problem(404, "email_not_found", "There is no email with this id.")


def _json(body: render.Json, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(json.dumps(body), status, headers, mimetype="application/json")
