"""POST /v1/suppressions/import and GET /v1/suppressions/export: the suppression list as CSV."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator

from flask import Response
from flask import request as flask_request
from flute.v1.suppression_service_pb2 import (
    ExportSuppressionsRequest,
    ExportSuppressionsResponse,
    ImportSuppressionsRequest,
    ImportSuppressionsResponse,
)

from flute_json.render import render
from web.api import api, request
from web.api.calls import json_answer
from web.client import Caller, FluteClient, Rpc, RpcFailure, current_client

_log = logging.getLogger("web")

MAX_CSV = 10 * 1024 * 1024
# 100,000 lines are checked and stored one by one.
IMPORT_TIMEOUT_S = 60.0

_IMPORT = Rpc("/flute.v1.SuppressionService/ImportSuppressions", ImportSuppressionsResponse)
_EXPORT = Rpc("/flute.v1.SuppressionService/ExportSuppressions", ExportSuppressionsResponse)


@api.post("/v1/suppressions/import")
def import_csv() -> Response:
    """Put the addresses of a file on the list."""
    request.no_query()
    request.refuse_idempotency_key()
    caller = request.caller(request.one_token(""))
    request.check_type("text/csv", "CSV")
    message = ImportSuppressionsRequest(
        csv=request.raw(min(MAX_CSV, flask_request.max_content_length or MAX_CSV))
    )
    answer, headers = current_client().call(_IMPORT, message, caller, IMPORT_TIMEOUT_S)
    return json_answer(render(answer), 200, headers)


@api.get("/v1/suppressions/export")
def export_csv() -> Response:
    """The whole list. It is told as it is read, so that its length does not matter."""
    request.no_query()
    client, caller = current_client(), request.caller(request.one_token(""))
    # The first piece is fetched before the answer begins, so that a refusal can still be told.
    first, headers = client.call(_EXPORT, ExportSuppressionsRequest(), caller)
    headers["Content-Disposition"] = 'attachment; filename="suppressions.csv"'
    return Response(_pieces(client, caller, first), 200, headers, mimetype="text/csv")


def _pieces(client: FluteClient, caller: Caller, piece: ExportSuppressionsResponse) -> Iterator[bytes]:
    """Raises ConnectionResetError: gunicorn ends the connection, so that callers see that something lacks."""
    yield piece.csv
    while piece.next_page_token:
        message = ExportSuppressionsRequest(page_token=piece.next_page_token)
        try:
            # Each piece costs what a call costs, and a list of any length can be had within any rate limit.
            piece = client.call_patiently(_EXPORT, message, caller)
        except RpcFailure as failure:
            _log.warning("request %s: the export broke off: %s", caller.request_id, failure.message)
            raise ConnectionResetError(errno.ECONNRESET, "the export broke off") from failure
        yield piece.csv
