"""The addresses that the account must not mail: looked up, added, removed, taken in and given out as CSV."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from flask import Response, redirect, request, stream_with_context, url_for
from flask.typing import ResponseReturnValue
from flute.v1.suppression_service_pb2 import (
    SUPPRESSION_REASON_UNSPECIFIED,
    CreateSuppressionRequest,
    DeleteSuppressionRequest,
    ExportSuppressionsRequest,
    ExportSuppressionsResponse,
    ImportSuppressionsRequest,
    ImportSuppressionsResponse,
    ListSuppressionsRequest,
    ListSuppressionsResponse,
    Suppression,
    SuppressionReason,
)
from google.protobuf.empty_pb2 import Empty

from web.dashboard import dashboard
from web.dashboard.act import act
from web.dashboard.ask import ask
from web.dashboard.form import Form
from web.dashboard.gate import takes_role
from web.dashboard.render import page, say

_PAGE_SIZE = 50
_PREFIX = "SUPPRESSION_REASON_"
_REASONS = {
    "bounce": ("Bounced", "bad"),
    "complaint": ("Complained", "bad"),
    "unsubscribe": ("Unsubscribed", "special"),
    "manual": ("Added by hand", "neutral"),
}
_BY_NAME = {name: SuppressionReason.Value(_PREFIX + name.upper()) for name in _REASONS}
# A page of the list takes in some seconds what a large file holds.
_IMPORT_TIMEOUT_S = 60.0


@dashboard.get("/suppressions")
def suppressions() -> ResponseReturnValue:
    """The list, or what of it was searched for."""
    return _list(Form.of())


@dashboard.post("/suppressions")
def add_suppression() -> ResponseReturnValue:
    """One address, by hand."""
    form = Form.of()
    wanted = Suppression(email=form["email"], text=form["text"])
    if made := form.send(CreateSuppressionRequest(suppression=wanted), Suppression):
        say(f"{made.email} gets no more mail from this account.")
        return redirect(url_for("dashboard.suppressions"), 303)
    return _list(form)


@dashboard.post("/suppressions/<id_>/remove")
def remove_suppression(id_: str) -> ResponseReturnValue:
    """It may be mailed again; who said so is in the audit log."""
    act(DeleteSuppressionRequest(id=id_), Empty, "The address is off the list: it may be mailed again.")
    return redirect(url_for("dashboard.suppressions"), 303)


@dashboard.route("/suppressions/import", methods=["GET", "POST"])
@takes_role("developer")
def import_suppressions() -> ResponseReturnValue:
    """A file, or lines pasted in."""
    form, told = Form.of({"csv": "file" if request.files.get("file") else "lines"}), None
    if request.method == "POST":
        told = form.send(
            ImportSuppressionsRequest(csv=_given(form)), ImportSuppressionsResponse, _IMPORT_TIMEOUT_S
        )
    return form.shown(page("suppressions/import.html", nav="suppressions", form=form, told=told))


@dashboard.get("/suppressions/export.csv")
def export_suppressions() -> ResponseReturnValue:
    """All of it, piece by piece."""
    first = ask(ExportSuppressionsRequest(), ExportSuppressionsResponse)
    headers = {"Content-Disposition": "attachment; filename=suppressions.csv"}
    return Response(
        stream_with_context(_pieces(first)), headers=headers, content_type="text/csv; charset=utf-8"
    )


def _pieces(piece: ExportSuppressionsResponse) -> Iterator[bytes]:
    yield piece.csv
    while piece.next_page_token:
        message = ExportSuppressionsRequest(page_token=piece.next_page_token)
        piece = ask(message, ExportSuppressionsResponse)
        yield piece.csv


def _given(form: Form) -> bytes:
    file = request.files.get("file")
    content = file.read() if file else b""
    if not content and not form["lines"]:
        form.problem = "Choose a file, or paste lines."
    # Whoever pastes has addresses alone, often without a header line.
    return content or _with_header(form["lines"]).encode()


def _with_header(lines: str) -> str:
    first = lines.partition("\n")[0].lower()
    return lines if "email" in first and "@" not in first else f"email\n{lines}"


def _list(form: Form) -> ResponseReturnValue:
    wanted, reason = request.args.get("search", "").strip(), request.args.get("reason", "")
    after = request.args.get("after", "")
    told = ask(
        ListSuppressionsRequest(
            page_size=_PAGE_SIZE,
            page_token=after,
            email=wanted,
            reason=_BY_NAME.get(reason, SUPPRESSION_REASON_UNSPECIFIED),
        ),
        ListSuppressionsResponse,
    )
    here = partial(url_for, "dashboard.suppressions", search=wanted or None, reason=reason or None)
    following = told.next_page_token
    body = page(
        "suppressions/list.html",
        nav="suppressions",
        form=form,
        rows=[(row, *_reason(row)) for row in told.suppressions],
        reasons=[("", "Any reason"), *((key, label) for key, (label, _) in _REASONS.items())],
        search=wanted,
        reason=reason,
        filtered=bool(wanted or reason),
        next_url=here(after=following) if following else "",
        first_url=here() if after else "",
    )
    return form.shown(body)


def _reason(row: Suppression) -> tuple[str, str]:
    """Its label and tone."""
    key = SuppressionReason.Name(row.reason).removeprefix(_PREFIX).lower()
    return _REASONS.get(key, (key, "neutral"))
