"""Who changed what."""

from __future__ import annotations

from flask import request
from flask.typing import ResponseReturnValue
from flute.v1.audit_service_pb2 import ListAuditEntriesRequest, ListAuditEntriesResponse

from web.dashboard import dashboard
from web.dashboard.ask import ask
from web.dashboard.me import me
from web.dashboard.render import page

_PAGE = 50


@dashboard.get("/audit")
def audit() -> ResponseReturnValue:
    """The newest first."""
    token = request.args.get("page", "")
    message = ListAuditEntriesRequest(account_id=me().account_id, page_size=_PAGE, page_token=token)
    told = ask(message, ListAuditEntriesResponse)
    return page(
        "audit.html", nav="audit", entries=told.audit_entries, next_page=told.next_page_token, first=not token
    )
