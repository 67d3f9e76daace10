"""GET /healthz: can this process do its work?"""

from __future__ import annotations

from flask import Response

from web.api import api
from web.client import current_client


@api.get("/healthz")
def healthz() -> Response:
    """200 when the server behind answers, else 503. For load balancers, so without details."""
    serving = current_client().is_serving()
    body = '{"status": "ok"}' if serving else '{"status": "unavailable"}'
    return Response(body, 200 if serving else 503, mimetype="application/json")
