"""POST /v1/webhooks/<provider>/<provider account> and /v1/bounces: what is told about mail that was taken."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import grpc
from flask import Response
from flask import request as flask_request
from flute.v1.event_service_pb2 import IngestBounceRequest, IngestWebhookRequest
from google.protobuf.empty_pb2 import Empty

from web.api import api, request
from web.client import Rpc, RpcFailure, current_client
from web.errors import Problem

# The largest batch that a provider posts is below 1 MB (SendGrid); the rest is room.
MAX_BODY = 5 * 1024 * 1024

_WEBHOOK = Rpc("/flute.v1.EventService/IngestWebhook", Empty)
_BOUNCE = Rpc("/flute.v1.EventService/IngestBounce", Empty)


@api.post("/v1/webhooks/<provider>/<provider_account_id>")
def receive(provider: str, provider_account_id: str) -> Response:
    """200 means that it is stored. 401 for what is not proven to come from the provider: Postmark, for one,
    would never try again after a 403."""
    body = request.raw(MAX_BODY)
    headers = {name.lower(): value for name, value in flask_request.headers.items()}
    message = IngestWebhookRequest(
        provider=provider, provider_account_id=provider_account_id, headers=headers, body=body
    )
    with _refusals():
        current_client().call(_WEBHOOK, message, request.caller(""))
    return Response("{}", 200, mimetype="application/json")


@api.post("/v1/bounces")
def bounce() -> Response:
    """A bounce or complaint as raw MIME, from a mail server that delivers to a program instead of to us.

    ?recipient= is the envelope recipient; without it, the return path in the mail is the proof.
    """
    message = IngestBounceRequest(
        recipient=flask_request.args.get("recipient", ""), raw=request.raw(MAX_BODY)
    )
    with _refusals():
        current_client().call(_BOUNCE, message, request.caller(""))
    return Response("{}", 200, mimetype="application/json")


@contextmanager
def _refusals() -> Iterator[None]:
    """What the server finds wrong, in the words of HTTP."""
    try:
        yield
    except RpcFailure as failure:
        if failure.code is grpc.StatusCode.INVALID_ARGUMENT:
            raise Problem(400, "malformed_body", failure.message) from failure
        if failure.code is grpc.StatusCode.UNAUTHENTICATED:
            raise Problem(401, "not_proven", failure.message) from failure
        raise
