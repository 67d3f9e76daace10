"""What stands around every page: sessions, CSRF, who may come in, headers, and errors as pages."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from io import BytesIO
from typing import TypeVar
from urllib.parse import urlsplit

import grpc
from flask import Blueprint, Flask, Response, make_response, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError, CSRFProtect  # type: ignore[import-untyped]  # it has no annotations
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from web.api.request import raw
from web.client import RpcFailure
from web.config import WebConfig
from web.dashboard import session
from web.dashboard.me import me
from web.dashboard.render import page
from web.dashboard.words import sentence, too_fast
from web.errors import Problem, from_http, from_rpc, request_id

_log = logging.getLogger("web")
_csrf = CSRFProtect()

# The longest form: a suppression list of some ten thousand lines, or a mail with an attachment to try out.
MAX_FORM = 12 * 1024 * 1024
# Of who is not logged in: an address, a password, a name.
MAX_STRANGERS_FORM = 64 * 1024
# Taking a form of megabytes apart into its fields would keep everybody else waiting for seconds.
MOST_FIELDS = 1000
# As long as a session lives without being used (flute_server/admin/sessions.py).
REMEMBERED = timedelta(days=14)

# Nothing but our own files, and no script or style in a page: what a mail or a name says can never run.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

View = TypeVar("View", bound=Callable[..., ResponseReturnValue])
_open: set[str] = set()


def without_login(view: View) -> View:
    """Marks a page that needs nobody to be logged in."""
    _open.add(view.__name__)
    return view


def surround(dashboard: Blueprint) -> None:
    """Put it around every page of the blueprint. Once: an app is made more than once in a process."""
    dashboard.before_request(_take_form)
    dashboard.before_request(_check_login)
    dashboard.after_request(_protect)
    dashboard.register_error_handler(RpcFailure, _from_rpc)
    dashboard.register_error_handler(Problem, _from_problem)
    dashboard.register_error_handler(CSRFError, _from_csrf)
    dashboard.register_error_handler(HTTPException, _from_http)
    dashboard.register_error_handler(Exception, _from_bug)


def register(app: Flask, config: WebConfig) -> None:
    """Install sessions and CSRF. The JSON API is not touched: it has no cookies, hence no CSRF."""
    app.secret_key = config.secret_key
    app.config.update(
        FLUTE_PUBLIC_URL=config.public_url,
        # Texts of a form may be as long as the form, whose length _take_form has bounded by then.
        MAX_FORM_MEMORY_SIZE=MAX_FORM,
        SESSION_COOKIE_NAME="__Host-flute" if config.secure else "flute",
        SESSION_COOKIE_SECURE=config.secure,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        PERMANENT_SESSION_LIFETIME=REMEMBERED,
        WTF_CSRF_CHECK_DEFAULT=False,
        # As long as the session: a form that was open overnight is not lost.
        WTF_CSRF_TIME_LIMIT=None,
        # It compares the Referer, which our own policy does not send.
        WTF_CSRF_SSL_STRICT=False,
    )
    _csrf.init_app(app)
    app.register_error_handler(NotFound, _from_nowhere)
    app.register_error_handler(MethodNotAllowed, _from_nowhere)


def _take_form() -> None:
    """Read a form with the patience of the API, then check that it comes from a page of ours."""
    if request.method != "POST":
        return
    body = raw(MAX_FORM if session.token() else MAX_STRANGERS_FORM)
    # Werkzeug bounds the parts of multipart/form-data alone.
    if request.mimetype != "multipart/form-data" and body.count(b"&") >= MOST_FIELDS:
        raise Problem(413, "too_many_fields", f"A form may have up to {MOST_FIELDS:,} fields.")
    request.environ["wsgi.input"] = BytesIO(body)
    _csrf.protect()


def _check_login() -> ResponseReturnValue | None:
    if not session.token():
        return None if _is_open() else to_login()
    if _is_open():
        _forget_ended_session()
    return None


def _is_open() -> bool:
    return (request.endpoint or "").rpartition(".")[2] in _open


def _forget_ended_session() -> None:
    """Where somebody logs in anew, the token of a session that has ended would be in the way."""
    try:
        me()
    except RpcFailure as failure:
        if failure.code is grpc.StatusCode.UNAUTHENTICATED:
            session.end()


def to_login() -> ResponseReturnValue:
    """Ask them to log in, and come back to this page then."""
    if request.headers.get("HX-Request"):
        # htmx would put the login page into a part of this one.
        return Response(status=204, headers={"HX-Redirect": _login(_page_of_htmx())})
    return redirect(_login(request.full_path.rstrip("?") if request.method == "GET" else ""))


def _page_of_htmx() -> str:
    try:
        return urlsplit(request.headers.get("HX-Current-URL", "")).path
    except ValueError:  # anybody can write anything there
        return ""


def _login(here: str) -> str:
    return url_for("dashboard.log_in", next=here if here not in {"", "/"} else None)


def safe_next(given: str | None) -> str:
    """Where to go after the login: a page of ours, or the first one for what is none."""
    home = url_for("dashboard.home")
    if not given or not given.startswith("/") or given[1:2] in {"/", "\\"} or "\\" in given:
        return home
    if any(ord(c) < 0x21 or ord(c) == 0x7F for c in given):
        return home
    there = urlsplit(given)
    return home if there.scheme or there.netloc else given


def _protect(response: Response) -> Response:
    response.headers.setdefault("Content-Security-Policy", POLICY)
    response.headers["Vary"] = "Cookie, HX-Request"
    return response


# ----- errors


def _from_rpc(failure: RpcFailure) -> ResponseReturnValue:
    if failure.code is grpc.StatusCode.UNAUTHENTICATED:
        session.end()
        return to_login()
    if failure.reason == "NO_ACCOUNT" and request.method == "GET":
        return _to_accounts()
    return _from_problem(from_rpc(failure))


def _to_accounts() -> ResponseReturnValue:
    """Who was taken out of the account in which they acted goes on in another one."""
    there = url_for("dashboard.account")
    if request.headers.get("HX-Request"):
        return Response(status=204, headers={"HX-Redirect": there})
    return redirect(there)


_TITLES = {
    400: "That did not work",
    403: "You may not do this",
    404: "There is nothing here",
    405: "That did not work",
    409: "That is not possible now",
    413: "That is too large",
    422: "Something is not right",
    429: "Too fast",
    503: "Please try again in a moment",
}


def _from_problem(problem: Problem) -> ResponseReturnValue:
    title, text = _TITLES.get(problem.status, problem.title), sentence(problem.detail)
    if problem.status == 429 and "Retry-After" in problem.headers:
        text = too_fast(problem.detail, float(problem.headers["Retry-After"]))
    body = page("error.html", title=title, text=text, request_id=request_id())
    return Response(body, problem.status, dict(problem.headers), mimetype="text/html")


def _from_csrf(_error: CSRFError) -> ResponseReturnValue:
    text = (
        "The page was open for too long, or you logged in again meanwhile. Go back, reload it and try again."
    )
    return _from_problem(Problem(400, "csrf", text))


def _from_http(error: HTTPException) -> ResponseReturnValue:
    status = error.code or 503
    if status < 400:
        return error.get_response()
    text = _HTTP_TEXT.get(status, error.description or "")
    headers = {name: value for name, value in error.get_headers() if name == "Allow"}
    return _from_problem(Problem(status, "http", text, headers=headers))


_HTTP_TEXT = {
    404: "The address may be mistyped, or what was here is gone.",
    405: "The address is there, but not for this kind of request.",
    413: f"A form may have up to {MAX_FORM // 1024 // 1024} MB.",
}


def _from_nowhere(error: NotFound | MethodNotAllowed) -> ResponseReturnValue:
    """An address that nobody serves, or not so: a page for people, a problem for programs."""
    if request.path.startswith("/v1/") or "text/html" not in request.headers.get("Accept", ""):
        return from_http(error)
    return _protect(make_response(_from_http(error)))


def _from_bug(error: Exception) -> ResponseReturnValue:
    _log.error("request %s: unexpected %s", request_id(), type(error).__name__, exc_info=error)
    text = "Something went wrong on our side. Nothing that you had saved is lost."
    return _from_problem(Problem(503, "unavailable", text, headers={"Retry-After": "1"}))
