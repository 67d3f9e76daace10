"""What happens around every request: its id, the headers of every answer, keys kept out of addresses."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from contextlib import suppress
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from flask import Flask, request

from web.errors import REQUEST_ID, Problem

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")

# Of every answer that does not say otherwise: a page may need another Content-Security-Policy.
_HEADERS = [
    ("X-Content-Type-Options", "nosniff"),
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Referrer-Policy", "no-referrer"),
]


def register(app: Flask, trusted_proxies: int) -> None:
    """Install the middleware and the check. trusted_proxies: how many of them add to X-Forwarded-For."""
    app.wsgi_app = _Around(app.wsgi_app, trusted_proxies)  # type: ignore[method-assign]  # Flask's documented way
    app.before_request(_refuse_key_in_address)


class _Around:
    """A middleware rather than Flask's hooks: setting six headers through Werkzeug costs 30 us an answer."""

    def __init__(self, app: WSGIApplication, trusted_proxies: int) -> None:
        self._app = app
        self._trusted_proxies = trusted_proxies

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        given = environ.get("HTTP_X_REQUEST_ID", "")
        request_id = given if _SANE_ID.fullmatch(given) else uuid.uuid4().hex
        environ[REQUEST_ID] = request_id
        if self._trusted_proxies:
            environ["REMOTE_ADDR"] = _client(environ, self._trusted_proxies)

        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:  # noqa: ANN401 (WSGI's)
            own = {name for name, _ in headers}
            ours = [header for header in _HEADERS if header[0] not in own]
            return start_response(status, [*headers, *ours, ("X-Request-Id", request_id)], *more)

        return self._app(environ, start)


def _client(environ: WSGIEnvironment, proxies: int) -> str:
    """The address that the outermost trusted proxy saw; the peer's own for what came past the proxies."""
    entries = environ.get("HTTP_X_FORWARDED_FOR", "").split(",")
    if len(entries) >= proxies:
        with suppress(ValueError):
            return str(ip_address(entries[-proxies].strip()))
    peer: str = environ.get("REMOTE_ADDR", "")
    return peer


def _refuse_key_in_address() -> None:
    # Addresses end up in the logs of every proxy on the way.
    if request.environ.get("QUERY_STRING") and "access_token" in request.args:
        raise Problem(
            400,
            "key_in_address",
            "An API key must not be part of the address. Send it in the header Authorization: Bearer <key>, "
            "and consider this one leaked.",
        )
