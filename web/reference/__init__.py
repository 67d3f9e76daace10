"""The API reference: /openapi.json, and /docs, the page that shows it."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from importlib import resources

from flask import Blueprint, Response, abort, request

from web.reference.document import document

reference = Blueprint("reference", __name__)

# The page is all ours: no other origin is asked, and nothing in a mail or an answer can become a script.
# Scalar writes its styles into the page, hence unsafe-inline for styles alone.
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_ASSETS = {
    "scalar.js": "text/javascript",
    "docs.js": "text/javascript",
    "docs.css": "text/css",
    "icon.svg": "image/svg+xml",
}


@reference.get("/openapi.json")
def openapi() -> Response:
    """The OpenAPI document."""
    return _cached(_document(), "application/json")


@reference.get("/docs")
def page() -> Response:
    """The document for people."""
    response = _cached(_asset("docs.html"), "text/html")
    response.headers["Content-Security-Policy"] = _PAGE_POLICY
    return response


@reference.get("/docs/<name>")
def asset(name: str) -> Response:
    """What the page consists of."""
    if name not in _ASSETS:
        abort(404)
    return _cached(_asset(name), _ASSETS[name])


@cache
def _document() -> bytes:
    return json.dumps(document(), ensure_ascii=False).encode()


_FOLDER = resources.files("web.reference") / "static"


@cache
def _asset(name: str) -> bytes:
    return (_FOLDER / name).read_bytes()


@cache
def _tag(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def _cached(body: bytes, media_type: str) -> Response:
    """200 with the body, or 304 for who has it."""
    tag = _tag(body)
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if tag in request.headers.get("If-None-Match", ""):
        return Response(status=304, headers=headers)
    return Response(body, headers=headers, content_type=f"{media_type}; charset=utf-8")
