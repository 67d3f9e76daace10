"""GET and POST /unsubscribe/<token>: where the List-Unsubscribe link of a mail leads (RFC 8058).

GET shows a page with a button and changes nothing: mail programs and virus scanners open links by themselves.
POST acts, whether a mail program sends it or the button does.
"""

from __future__ import annotations

import base64
import hashlib
from io import BytesIO

from flask import Blueprint, Response, render_template
from flask import request as flask_request
from flute.v1.suppression_service_pb2 import UnsubscribeRequest, UnsubscribeResponse
from werkzeug.formparser import FormDataParser

from web.api import request
from web.client import Rpc, RpcFailure, current_client
from web.errors import from_rpc

# A form of one short field, in either encoding that RFC 8058 allows.
MAX_FORM = 16 * 1024

_UNSUBSCRIBE = Rpc("/flute.v1.SuppressionService/Unsubscribe", UnsubscribeResponse)

unsubscribe = Blueprint("unsubscribe", __name__)


@unsubscribe.get("/unsubscribe/<token>")
def ask(token: str) -> Response:
    """Show whom it concerns, and a button."""
    try:
        found = _call(token, only_look=True)
    except RpcFailure as failure:
        return _failed(failure)
    text = f"{found.email} will get no more mail from {found.domain}."
    return _page(200, "Unsubscribe?", text, ask=True)


@unsubscribe.post("/unsubscribe/<token>")
def act(token: str) -> Response:
    """Unsubscribe. The mail program's request and the button's are the same."""
    if _form().get("List-Unsubscribe") != "One-Click":
        text = "Nothing was changed: the request did not say List-Unsubscribe=One-Click."
        return _page(400, "Not unsubscribed", text)
    try:
        found = _call(token, only_look=False)
    except RpcFailure as failure:
        return _failed(failure)
    return _page(200, "You are unsubscribed", f"{found.email} will get no more mail from {found.domain}.")


def _form() -> dict[str, str]:
    body = request.raw(MAX_FORM)
    parser = FormDataParser()
    _, form, _ = parser.parse(BytesIO(body), flask_request.mimetype, len(body), flask_request.mimetype_params)
    return form.to_dict()


def _call(token: str, only_look: bool) -> UnsubscribeResponse:
    message = UnsubscribeRequest(token=token, only_look=only_look)
    answer, _ = current_client().call(_UNSUBSCRIBE, message, request.caller(""))
    return answer


def _failed(failure: RpcFailure) -> Response:
    """In plain words: who reads it has only clicked on a link."""
    problem = from_rpc(failure)
    if problem.status in {429, 503}:
        text = "Something is not working on our side just now. Please try again in a minute."
        page = _page(problem.status, "Please try again", text)
        page.headers.update(problem.headers)
        return page
    text = "It may be incomplete, or too old. Please open it again from the mail that it came with."
    return _page(404, "This link does not work", text)


def _page(status: int, title: str, text: str, *, ask: bool = False) -> Response:
    html = render_template("unsubscribe.html", title=title, text=text, ask=ask)
    style = html.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    )
    return Response(html, status, {"Content-Security-Policy": policy}, mimetype="text/html")
