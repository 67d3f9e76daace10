"""The public JSON API and the dashboard: a thin gRPC client that never touches the database."""

from __future__ import annotations

from flask import Flask

from web import around, dashboard, errors
from web.api import api
from web.client import FluteClient
from web.config import WebConfig
from web.reference import reference
from web.unsubscribe import unsubscribe

__all__ = ["create_app"]


def create_app(config: WebConfig | None = None) -> Flask:
    """Build the WSGI application. No connection is opened here: gunicorn forks after this."""
    config = config or WebConfig.from_env()
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = config.max_body_bytes
    app.extensions["flute"] = FluteClient(config)
    # A redirect would make a POST with a mail in it travel twice; a wrong path is a 404.
    app.url_map.merge_slashes = False
    around.register(app, config.trusted_proxies)
    errors.register(app)
    app.register_blueprint(api)
    app.register_blueprint(unsubscribe)
    app.register_blueprint(reference)
    dashboard.register(app, config)
    return app
