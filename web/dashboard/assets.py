"""What the pages consist of: styles, scripts, icons, the font; served by us alone.

Their address holds the hash of all of them together: it changes when they change, so that a browser may keep
them for good, and one may name another by a relative address. Some are put together here from their parts, so
that a page asks for one style sheet and two scripts.
"""

from __future__ import annotations

import gzip
import hashlib
from functools import cache
from importlib import resources

from flask import Blueprint, Flask, Response, abort, request, url_for

assets = Blueprint("assets", __name__)

_FOLDER = resources.files("web.dashboard") / "static"
_STYLES = ("tokens", "base", "frame", "forms", "parts", "data", "charts")
_SCRIPTS = ("page", "times", "copy", "dialogs", "forms", "passwords", "live", "reorder")

# The files of each asset. Those that are not ours come in a cascade layer: whatever we say wins over them.
_PARTS: dict[str, tuple[str, ...]] = {
    "app.css": ("vendor/pico.min.css", "vendor/uPlot.min.css", *(f"css/{name}.css" for name in _STYLES)),
    "theme.js": ("js/theme.js",),
    "app.js": ("vendor/htmx.min.js", *(f"js/{name}.js" for name in _SCRIPTS)),
    "charts.js": ("vendor/uPlot.iife.min.js", "js/charts.js"),
    "icons.svg": ("icons.svg",),
    "icon.svg": ("icon.svg",),
    "inter.woff2": ("vendor/inter.woff2",),
}
_MEDIA_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "woff2": "font/woff2",
}
_FOR_GOOD = "public, max-age=31536000, immutable"


def register(app: Flask) -> None:
    """Serve the assets, and let templates say `asset("app.css")`."""
    app.register_blueprint(assets)
    app.add_template_global(address, "asset")


def address(name: str) -> str:
    """Where the asset is now. Raises KeyError for one that is not there."""
    _PARTS[name]
    return url_for("assets.asset", version=_version(), name=name)


@assets.get("/assets/<version>/<name>")
def asset(version: str, name: str) -> Response:
    """The asset. A page of before an update gets it too, but not to keep."""
    if name not in _PARTS:
        abort(404)
    media_type = _MEDIA_TYPES[name.rpartition(".")[2]]
    headers = {"Cache-Control": _FOR_GOOD if version == _version() else "no-cache", "Vary": "Accept-Encoding"}
    small = _small(name)
    if small and "gzip" in request.accept_encodings.values():
        return Response(small, headers={**headers, "Content-Encoding": "gzip"}, content_type=media_type)
    return Response(_content(name), headers=headers, content_type=media_type)


@cache
def _version() -> str:
    whole = hashlib.sha256()
    for name in sorted(_PARTS):
        whole.update(_content(name))
    return whole.hexdigest()[:16]


@cache
def _content(name: str) -> bytes:
    parts = [_part(path) for path in _PARTS[name]]
    return b"\n".join(parts) if len(parts) > 1 else parts[0]


def _part(path: str) -> bytes:
    content = (_FOLDER / path).read_bytes()
    if not path.startswith("vendor/") or not path.endswith(".css"):
        return content
    return b"@layer vendor{" + content.removeprefix(b'@charset "UTF-8";') + b"}"


@cache
def _small(name: str) -> bytes:
    """Compressed, or nothing where that is not worth it."""
    return b"" if name.endswith(".woff2") else gzip.compress(_content(name), mtime=0)
