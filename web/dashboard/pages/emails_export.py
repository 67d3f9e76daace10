"""The list of mails as CSV, under the filters of the page."""

from __future__ import annotations

import csv
import errno
import io
import logging
import re
from collections.abc import Iterable, Iterator
from itertools import islice

from flask import Response, abort, request, stream_with_context
from flask.typing import ResponseReturnValue
from flute.v1.email_pb2 import (
    RECIPIENT_KIND_BCC,
    RECIPIENT_KIND_CC,
    RECIPIENT_KIND_TO,
    EmailSummary,
    RecipientKind,
)
from flute.v1.email_service_pb2 import ListEmailsRequest, ListEmailsResponse
from google.protobuf.timestamp_pb2 import Timestamp

from web.client import RpcFailure
from web.dashboard import dashboard
from web.dashboard.ask import ask
from web.dashboard.pages.email_filters import STATES, Filters
from web.errors import request_id

_log = logging.getLogger("web")

# More would keep a thread of web busy for long; a narrower filter gets at the rest.
MOST = 50_000
_PAGE = 200
_COLUMNS = (
    "id", "status", "create_time", "send_at", "from", "to", "cc", "bcc", "subject", "tags",
    "provider_accounts", "test",
)  # fmt: skip
# Spreadsheets take such a cell for a formula; an apostrophe before it makes it text.
_FORMULA = re.compile(r"'*[=+\-@\t\r\n]")


@dashboard.get("/emails/export")
def emails_export() -> ResponseReturnValue:
    """All that matches, newest first, told as it is read."""
    filters = Filters.of(request.args, request.args.get("environment", ""))
    message = filters.request(page_size=_PAGE)
    message.page_token = ""
    if filters.form.failed:
        abort(400, "; ".join(filters.form.errors.values()))
    # The first page is fetched before the answer begins, so that a refusal can still be told.
    lines = _lines(message, ask(message, ListEmailsResponse))
    headers = {"Content-Disposition": 'attachment; filename="emails.csv"'}
    return Response(stream_with_context(lines), 200, headers, mimetype="text/csv")


def _lines(message: ListEmailsRequest, first: ListEmailsResponse) -> Iterator[str]:
    yield _line(_COLUMNS)
    emails = _emails(message, first)
    for email in islice(emails, MOST):
        yield _line(_cells(email))
    if next(emails, None):
        yield _line([f"Only the newest {MOST:,} mails are in this file. Narrow the filters for the others."])


def _emails(message: ListEmailsRequest, told: ListEmailsResponse) -> Iterator[EmailSummary]:
    """Raises ConnectionResetError: gunicorn ends the connection, so that a browser sees that rows lack."""
    yield from told.emails
    while told.next_page_token:
        message.page_token = told.next_page_token
        try:
            told = ask(message, ListEmailsResponse)
        except RpcFailure as failure:
            _log.warning("request %s: the export broke off: %s", request_id(), failure.message)
            raise ConnectionResetError(errno.ECONNRESET, "the export broke off") from failure
        yield from told.emails


def _cells(email: EmailSummary) -> list[str]:
    return [
        email.id,
        STATES.get(email.state, ""),
        _time(email.create_time),
        _time(email.send_at),
        getattr(email, "from").email,
        _addresses(email, RECIPIENT_KIND_TO),
        _addresses(email, RECIPIENT_KIND_CC),
        _addresses(email, RECIPIENT_KIND_BCC),
        email.subject,
        ", ".join(email.tags),
        ", ".join(email.provider_accounts),
        "true" if email.test else "false",
    ]


def _addresses(email: EmailSummary, kind: RecipientKind.ValueType) -> str:
    return ", ".join(one.email for one in email.recipients if one.kind == kind)


def _time(time: Timestamp) -> str:
    return time.ToJsonString() if time.seconds else ""


def _line(cells: Iterable[str]) -> str:
    text = io.StringIO()
    csv.writer(text).writerow(f"'{cell}" if _FORMULA.match(cell) else cell for cell in cells)
    return text.getvalue()
